"""What a file was found to be, as one HTML page that needs nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from include import __version__
from include.models import Interval
from include.quality.check_file import FileCheck
from include.report.quality_html import page_environment
from include.report.wording import number, plural

_SEVERITIES = ("critical", "warning", "info")


def verdict(checked: FileCheck) -> str:
    """One line: is the file fit?"""
    failed = sum(not one.success for one in checked.findings)
    whole = plural(len(checked.findings), "expectation")
    said = f"{number(failed)} of {whole} failed" if failed else f"All {whole} hold"
    return f"{said}, but not everything can be read" if checked.unreadable and not failed else said


def as_html(checked: FileCheck, interval: Interval, failures: Path | None) -> str:
    """The page; everything that comes from the file or the suite is escaped and cut to what a cell can hold."""
    failed = sorted(
        (one for one in checked.findings if not one.success),
        key=lambda one: (_SEVERITIES.index(one.expectation.severity), -len(one.failing)),
    )
    critical = any(one.expectation.severity == "critical" for one in failed)
    return (
        page_environment()
        .get_template("file_quality.html.j2")
        .render(
            checked=checked,
            verdict=verdict(checked),
            tone="bad" if critical or checked.unreadable else "look" if failed else "good",
            failed=failed,
            held=[one for one in checked.findings if one.success],
            interval=str(interval),
            failures=str(failures) if failures else "",
            version=__version__,
        )
    )
