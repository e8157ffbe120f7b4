"""The morning report as one HTML file that needs nothing from elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.links import review_page
from include.models import OUTCOMES, Outcome
from include.report import wording
from include.report.sections import Facts

_WORDS = ("number", "money", "percent", "milliseconds", "plural", "tallies", "second_calls", "decided", "observed")


class Step(NamedTuple):
    """One step of the flow: how it relates to the step before, its name, its rows, and what they are made of."""

    sign: str
    name: str
    rows: int
    made_of: str


def as_html(facts: Facts) -> str:
    """The report as a page; everything that is not markup of the template is escaped."""
    return (
        _environment()
        .get_template("morning.html.j2")
        .render(
            facts=facts,
            verdict=wording.verdict(facts),
            tone=wording.tone(facts),
            took=wording.took(facts),
            equation=wording.equation(facts.rows),
            endings=wording.endings(facts.rows),
            attention=list(wording.attention(facts)),
            open_letters=list(wording.open_letters(facts)),
            flow=_flow(facts),
            change=wording.change,
            review_page=review_page,
        )
    )


@functools.cache
def _environment() -> Environment:
    """Templates, compiled once per process."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: getattr(wording, name) for name in _WORDS})
    return environment


def _flow(facts: Facts) -> list[Step]:
    """Rows in, minus those that left on the way, equals rows written; empty when nothing was extracted."""
    rows, model = facts.rows, facts.model
    if rows.rows_in is None:
        return []
    left = rows.rows_in - rows.counts.get(Outcome.QUARANTINED, 0)
    answers = (
        (model.rows_asked, "asked"),
        (model.rows_decided, "decided in the process"),
        (model.rows_reused, "reused"),
        (model.rows_by_rule, "by rule"),
    )
    steps = [
        Step("", "In", rows.rows_in, "read from the sources"),
        Step("minus", "Quarantined", rows.rows_in - left, "failed a row check"),
        Step("equals", "To answer", left, _named(answers) or "none asked"),
        _minus(facts, "Dropped out", Outcome.DEAD_LETTER, Outcome.DEFERRED),
        _minus(facts, "Held back", Outcome.IN_REVIEW, Outcome.SHADOWED, Outcome.REJECTED),
    ]
    if rows.not_finished > 0:
        steps.append(Step("minus", "Not finished", rows.not_finished, "a retry finishes them"))
    ended = {key: rows.counts.get(key, 0) for key in (Outcome.WRITTEN, Outcome.UNCHANGED)}
    made_of = _named((count, OUTCOMES[key]) for key, count in ended.items())
    return [*steps, Step("equals", "In place", sum(ended.values()), made_of or "nothing written")]


def _minus(facts: Facts, name: str, *outcomes: Outcome) -> Step:
    counts = [(facts.rows.counts.get(key, 0), OUTCOMES[key]) for key in outcomes]
    return Step("minus", name, sum(count for count, _ in counts), _named(counts) or "none")


def _named(counts: Iterable[tuple[int, Any]]) -> str:
    return ", ".join(f"{count:,} {name}" for count, name in counts if count)
