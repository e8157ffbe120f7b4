"""What a file was found to be, as one HTML page that needs nothing from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from include import __version__
from include.operations.check_file import bars
from include.operations.check_file.check import READABLE, Failing, FileCheck
from include.operations.check_file.file_history import PastCheck
from include.quality.examine import Finding
from include.report import charts
from include.report.quality_html import page_environment
from include.report.quality_parts import Point

_SEVERITIES = ("critical", "warning", "info")
MOST_DRAWN = 300
"""Columns of which the distribution is drawn, so that a page of thousands of columns can still be opened."""
MOST_CHECKS = 40


class Shown(NamedTuple):
    """A finding on the page: its anchor, its failing rows, and its course over the checks."""

    finding: Finding
    anchor: str
    failing: Failing
    trend: Markup


def as_html(checked: FileCheck, place: Path, failures: Path | None = None, checks: Sequence[PastCheck] = ()) -> str:
    """The page that will lie at `place`; what comes from the file or the suite is escaped and cut to what a cell holds.

    `checks` are those on record, this one among them, in the order in which they are drawn.
    """
    shown = [_shown(at, one, checked, checks) for at, one in enumerate(checked.findings)]
    failed = sorted(
        (one for one in shown if not one.finding.success),
        key=lambda one: (_SEVERITIES.index(one.finding.expectation.severity), -len(one.finding.failing)),
    )
    critical = any(one.expectation.severity == "critical" for one in checked.failed)
    return (
        page_environment()
        .from_string(Path(__file__).with_name("file_quality.html.j2").read_text(encoding="utf-8"))
        .render(
            checked=checked,
            tone="bad" if critical or checked.unreadable else "look" if checked.failed else "good",
            failed=failed,
            held=[one for one in shown if one.finding.success],
            unread=checked.shown[READABLE],
            nulls_trend=lambda name: _nulls_trend(name, checks[-MOST_CHECKS:]),
            histogram=lambda bins: Markup(bars.histogram(bins)),  # noqa: S704 - escapes what it quotes
            drawn=MOST_DRAWN,
            frequent=any(one.frequent for one in checked.columns),
            checks=_linked(checks[-MOST_CHECKS:], place),
            rows_chart=_rows_chart(checks[-MOST_CHECKS:]),
            left_out=max(len(checks) - MOST_CHECKS, 0),
            failures=failures,
            failures_link=link_to(failures, place) if failures else "",
            version=__version__,
        )
    )


def _linked(checks: Sequence[PastCheck], place: Path) -> list[tuple[PastCheck, str]]:
    """Each check with the address of its page, as far as no later check wrote another one there."""
    newest = {one.report: one.checked_at for one in sorted(checks, key=lambda one: one.checked_at)}
    return [
        (one, link_to(one.report, place) if one.report and newest[one.report] == one.checked_at else "")
        for one in checks
    ]


def link_to(there: Path, here: Path) -> str:
    """An address of a file as seen from a page, empty where it is not there or lies on another drive."""
    try:
        return quote(os.path.relpath(there.resolve(), here.resolve().parent)) if there.exists() else ""
    except ValueError:
        return ""


def _shown(at: int, finding: Finding, checked: FileCheck, checks: Sequence[PastCheck]) -> Shown:
    one = finding.expectation
    trend = [
        Point(past.file, past.end, held.failing, held.failing_share, held.success)
        for past in checks[-MOST_CHECKS:]
        if (held := past.expectations.get(one.id)) is not None
    ]
    needed = None if finding.about_table else one.at_least
    drawn = charts.spark(trend, needed, unit="check", last="last") if len(trend) > 1 else ""
    return Shown(finding, f"rows-{at + 1}", checked.shown[one.id], Markup(drawn))  # noqa: S704 - escapes what it quotes


def _nulls_trend(name: str, checks: Sequence[PastCheck]) -> Markup:
    """The course of a column's share without a value; nothing where it never had one."""
    shares = [(one, one.columns[name]) for one in checks if name in one.columns]
    if len(shares) < 2 or not any(share for _, share in shares):
        return Markup("")
    points = [Point(one.file, one.end, 0, share, success=True) for one, share in shares]
    drawn = charts.spark(points, None, unit="check", last="last", what="Share without a value")
    return Markup(drawn)  # noqa: S704 - escapes what it quotes


def _rows_chart(checks: Sequence[PastCheck]) -> Markup:
    if len(checks) < 2:
        return Markup("")
    steps = [bars.Step(f"{one.end:%Y-%m-%d}", one.rows, one.holds) for one in checks]
    return Markup(bars.course(steps, "rows"))  # noqa: S704 - escapes what it quotes
