"""`check`: hold a file against expectations, without Airflow and without a ledger."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from include.errors import ConfigurationError
from include.models import Interval
from include.operations.check_file.check import READABLE, Failing, FileCheck, check_file
from include.operations.check_file.suite_file import FileSuite, load_suite
from include.systems.files.formats.reading import Reading, hold_widths

if TYPE_CHECKING:
    from include.operations.check_file.file_history import PastCheck

_VALUES = 5
"""Different values of an expectation's failing rows that are told; the page has more."""


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--input", required=True, type=Path, metavar="FILE", help="delimited text, JSON Lines, XLSX, ODS or Parquet"
    )
    rules = parser.add_mutually_exclusive_group()
    rules.add_argument("--expectations", metavar="MODULE", help="with EXPECTATIONS: a dotted name or a .py file")
    rules.add_argument("--suggest", type=Path, metavar="FILE", help="write first rules for the input to this .py file")
    parser.add_argument("--key", metavar="COLUMNS", help="what names a row, separated by commas (default: its line)")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="an HTML page; without rules a profile of the columns"
    )
    parser.add_argument("--failures", type=Path, metavar="FILE", help="a CSV line for every failing row")
    parser.add_argument("--show-values", action="store_true", help="show what failing rows hold; tokens where personal")
    parser.add_argument("--history", type=Path, metavar="FOLDER", help="keep the check there, and show those before it")
    parser.add_argument("--from", dest="start", metavar="ISO", help="start of the interval, for rules that ask for it")
    parser.add_argument("--to", dest="end", metavar="ISO", help="its end (default: the day that ended last, UTC)")
    form = parser.add_argument_group("what is known of the file (the rest is found out, and said)")
    form.add_argument("--delimiter", metavar="CHARACTER", help="between fields; \\t or tab for tabs")
    form.add_argument("--widths", metavar="NUMBERS", help="characters of each field, such as 10,5,8; * is the rest")
    form.add_argument("--encoding", metavar="NAME", help="as Python names it, such as cp1252")
    form.add_argument("--skip", type=int, metavar="LINES", help="lines before the table")
    form.add_argument("--header", type=int, metavar="LINES", help="lines that name the columns: 0, 1 or more")
    form.add_argument("--columns", metavar="NAMES", help="names of all columns, separated by commas, if no line does")
    form.add_argument("--sheet", metavar="NAME", help="of a workbook (default: its first)")
    parser.set_defaults(command=run)


def run(given: argparse.Namespace, out: TextIO) -> int:
    """Exit code 0 when all can be read and every critical and warning expectation is met, else 1."""
    if given.suggest is not None:
        _suggest(given.input, given.suggest, _reading(given), out)
        if given.report is given.failures is given.history is None:
            return 0
        given.expectations = str(given.suggest)
    if given.expectations is None and given.report is None:
        raise ConfigurationError(
            "needs --expectations or --suggest; --report alone profiles the columns", about="check"
        )
    checked = check_file(
        given.input,
        load_suite(given.expectations) if given.expectations is not None else FileSuite(()),
        _interval(given.start, given.end),
        key=[name.strip() for name in (given.key or "").split(",") if name.strip()],
        failures=given.failures,
        reading=_reading(given),
        show_values=given.show_values,
        profiled=given.report is not None or given.history is not None,
        secret=os.environ.get("NIGHTLEDGER_TOKEN_SECRET", ""),
    )
    checks, since = _keep(given.history, checked, given.report) if given.history is not None else ([], [])
    if given.report is not None:
        _write_report(given.report, checked, given.failures, checks)
    out.writelines(_tell(checked))
    out.writelines(since)
    for what, place in (("Report", given.report), ("Failing rows", given.failures)):
        if place is not None:
            out.write(f"{what}: {place}\n")
    out.write(f"{checked.in_words()}\n")
    return 0 if checked.holds or given.suggest is not None else 1


def _keep(folder: Path, checked: FileCheck, report: Path | None) -> tuple[list[PastCheck], list[str]]:
    """Put the check on record; returns all checks there, and lines on what is different from the one before."""
    from include.operations.check_file.file_history import changes, keep_check, read_checks, record_of

    page = os.path.relpath(report.resolve(), folder.resolve()) if report is not None else None
    keep_check(folder, record_of(checked, page))
    checks, problems = read_checks(folder, checked.suite.name)
    lines = [f"  note: {said}\n" for said in problems]
    here = next(at for at, one in enumerate(checks) if one.checked_at == checked.checked_at)
    if here:
        before = checks[here - 1]
        said = changes(before, checks[here]) or ["nothing is different"]
        lines.append(f"  since {before.file}, checked {before.checked_at:%Y-%m-%d %H:%M} UTC: {'; '.join(said)}\n")
    return checks, lines


def _suggest(source: Path, into: Path, reading: Reading, out: TextIO) -> None:
    from include.operations.suggest.suggest import write_suggestions

    made = write_suggestions(source, into, reading)
    out.write(f"{into}: {made.rules} rules for {made.source}, from {made.rows:,} rows; {made.weak} commented out\n")
    out.write(f"Edit it, then: nightledger check --input {source} --expectations {into}\n")


def _reading(given: argparse.Namespace) -> Reading:
    delimiter = {"\\t": "\t", "tab": "\t"}.get(given.delimiter, given.delimiter)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in "\r\n\"'"):
        raise ConfigurationError("is no single character that can be between fields", about="--delimiter")
    for option, lines in (("--skip", given.skip), ("--header", given.header)):
        if lines is not None and lines < 0:
            raise ConfigurationError("is less than 0", about=option)
    names = tuple(name.strip() for name in (given.columns or "").split(",") if name.strip())
    return Reading(
        delimiter, given.encoding, given.skip, given.header, given.sheet, names, widths=_widths(given.widths)
    )


def _widths(given: str | None) -> tuple[int | None, ...]:
    if given is None:
        return ()
    try:
        return hold_widths([None if one.strip() == "*" else int(one) for one in given.split(",")])
    except ValueError as error:
        raise ConfigurationError(f"{given!r} is no list of numbers, such as 10,5,8", about="--widths") from error


def _write_report(place: Path, checked: FileCheck, failures: Path | None, checks: Sequence[PastCheck]) -> None:
    from include.operations.check_file.page import as_html

    try:
        place.write_text(as_html(checked, place, failures, checks), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot be written ({error.strerror})", about=str(place)) from error


def _interval(start: str | None, end: str | None) -> Interval:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        return Interval.parse(start or (midnight - timedelta(days=1)).isoformat(), end or midnight.isoformat())
    except ValueError as error:
        raise ConfigurationError(f"needs times in ISO 8601: {error}", about="--from and --to") from error


def _tell(checked: FileCheck) -> Iterator[str]:
    found = checked.found
    yield f"{checked.source}: {found.rows.rows:,} rows, {len(found.types)} columns\n"
    if found.encoding not in (None, "utf-8"):
        yield f"  encoding: {found.encoding}\n"
    for said in found.notes:
        yield f"  note: {said}\n"
    for name, words in found.absent.items():
        yield f"  note: no value in {name!r}: {', '.join(f'{word!r} ({n:,})' for word, n in words.items())}\n"
    if checked.unreadable:
        yield f"  FAILED  critical  {checked.unreadable:>9,}  records or values cannot be read\n"
        yield from _values(checked.shown[READABLE])
    for one in checked.findings:
        verdict = "passed" if one.success else "FAILED" if one.expectation.severity != "info" else "noted "
        yield f"  {verdict}  {one.expectation.severity:8}  {len(one.failing):>9,}  {one.expectation.meaning}"
        yield (f": {one.in_words()}" if not one.success else "") + "\n"
        yield from _values(checked.shown[one.expectation.id])


def _values(failing: Failing) -> Iterator[str]:
    """The values that failing rows have, most frequent first, as far as they are told."""
    least = "at least " if failing.at_least else ""
    counted = failing.values or [(row.found, 1) for row in failing.rows if row.found]
    yield from (f"                      {least}{rows:,} x {value}\n" for value, rows in counted[:_VALUES])
    if failing.different > _VALUES:
        yield f"                      and {failing.different - _VALUES:,} others\n"
