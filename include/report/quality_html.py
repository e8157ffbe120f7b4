"""The data-quality report as one HTML file that needs nothing from elsewhere."""

from __future__ import annotations

import functools
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from include import links
from include.report import charts, quality_text, wording
from include.report.quality_parts import QualityFacts

MOST_REASONS = 30
CELL_CHARS = 400
_JOINERS = "\u200c\u200d"  # emoji and several scripts need them


def as_html(facts: QualityFacts, *, linked: bool = True) -> str:
    """The report as a page; everything that is not markup of the template or a chart is escaped.

    Without `linked` it leads to no page in Airflow, for what the ledger does not keep.
    """
    drawn = facts.drawings[: charts.MOST_DRAWN]
    return (
        page_environment()
        .get_template("quality.html.j2")
        .render(
            facts=facts,
            linked=linked,
            text=quality_text,
            links=links,
            spark=lambda one: Markup(charts.spark(one.trend, one.needed)),  # noqa: S704 - charts escape what they quote
            equation=wording.equation(facts.rows),
            endings=wording.endings(facts.rows),
            attention=list(quality_text.attention(facts)),
            nights_chart=Markup(charts.nights_chart(facts.nights)) if len(facts.nights) > 1 else "",  # noqa: S704
            drawings=[(one, Markup(charts.drift_chart(one))) for one in drawn],  # noqa: S704
            undrawn=len(facts.drawings) - len(drawn),
            reasons=facts.reasons[:MOST_REASONS],
            reasons_left=len(facts.reasons) - MOST_REASONS,
        )
    )


@functools.cache
def page_environment() -> Environment:
    """Templates of reports on data quality, compiled once per process: that takes longer than to fill them."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: getattr(wording, name) for name in ("number", "percent", "plural", "observed")})
    environment.filters.update(cell=cell, states=quality_text.states)
    return environment


def cell(value: str, most: int = CELL_CHARS) -> str:
    """Text from outside for one cell: cut to `most` characters, control and direction marks made visible."""
    shown = "".join(_visible(char) for char in value[: most + 1])
    return shown if len(shown) <= most else f"{shown[:most]}…"


def _visible(char: str) -> str:
    """The character, a space for a line break, and a mark for what would be invisible or turn the text around."""
    if char.isprintable() or char in _JOINERS:
        return char
    return " " if char.isspace() else "�"
