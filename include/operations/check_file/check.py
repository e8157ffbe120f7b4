"""Hold a file against expectations, without Airflow and without a ledger."""

from __future__ import annotations

import csv
import hashlib
import secrets
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TextIO

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from include.errors import ConfigurationError
from include.models import Interval
from include.operations.check_file.file_profile import FileColumn, profile_file
from include.operations.check_file.suite_file import FileSuite
from include.personal import token_of, tokenise
from include.plain import visible
from include.quality.examine import Finding, examine
from include.quality.expectation import Expectation
from include.quality.failing_values import Counted, Hidden, side_by_side, texts_of
from include.quality.usual import History
from include.report.cells import harmless
from include.systems.files.formats.reading import Reading
from include.systems.files.formats.stage import stage_file
from include.systems.files.formats.staged import FileRows
from include.systems.files.formats.values import explain_missing

READABLE = "readable"
"""The expectation that every file has: its records are records, its values what they are declared to be."""
COLUMNS = ("expectation", "severity", "row", "key", "columns", "expected", "found")
MOST_ROWS = 100
"""Failing rows of an expectation that are kept to be shown; all of them are in the CSV."""
MOST_VALUES = 10
_PAGE = 65_536


class FailingRow(NamedTuple):
    """A failing row: `file:line`, its key or that place, and what it holds or what is wrong, if that is told."""

    place: str
    key: str
    found: str


@dataclass(frozen=True, slots=True)
class Failing:
    """The first failing rows of an expectation, and the values that most of all its failing rows have.

    Of what cannot be read, `values` are what is wrong. Else they are empty where each is there once; `different` is how
    many there are, `at_least` says that these numbers are lower bounds.
    """

    rows: Sequence[FailingRow] = ()
    values: Sequence[tuple[str, int]] = ()
    different: int = 0
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What a file was found to be, and when.

    `shown` are failing rows by expectation, `unreadable` counts records and values that could not be read; `failing` is
    the number of lines in the CSV of failing rows. `columns` is empty where no profile was asked for.
    """

    source: str
    size: int
    sha256: str
    checked_at: datetime
    suite: FileSuite
    interval: Interval
    found: FileRows
    findings: Sequence[Finding]
    shown: Mapping[str, Failing]
    unreadable: int
    failing: int
    columns: Sequence[FileColumn] = field(default=(), repr=False)

    @property
    def failed(self) -> list[Finding]:
        """Critical and warning expectations that are not met."""
        return [one for one in self.findings if not one.success and one.expectation.severity != "info"]

    @property
    def noted(self) -> list[Finding]:
        """Those that are for information only, and not met."""
        return [one for one in self.findings if not one.success and one.expectation.severity == "info"]

    @property
    def holds(self) -> bool:
        """Whether everything can be read and every critical and warning expectation is met."""
        return not self.unreadable and not self.failed

    def in_words(self) -> str:
        """The verdict in a line, the same wherever it is told."""
        whole, failed, noted = len(self.findings), len(self.failed), len(self.noted)
        what = "record or value" if self.unreadable == 1 else "records or values"
        unread = f"{self.unreadable:,} {what} cannot be read"
        if not whole:
            return "No expectation was held against it" + (f", and {unread}" if self.unreadable else "")
        some = f"{failed:,} of {whole:,} {'expectation' if whole == 1 else 'expectations'} failed"
        held = f"All {whole:,} expectations hold" if whole > 1 else "The only expectation holds"
        if noted and not failed:
            held = f"{whole - noted:,} of {whole:,} expectations hold, {noted:,} for information only do not"
        if failed:
            return f"{some}, and {unread}" if self.unreadable else some
        return f"{held}, but {unread}" if self.unreadable else held


def check_file(
    source: Path,
    suite: FileSuite,
    interval: Interval,
    *,
    key: Sequence[str] = (),
    failures: Path | None = None,
    reading: Reading | None = None,
    show_values: bool = False,
    profiled: bool = False,
    secret: str = "",
) -> FileCheck:
    """Hold the rows of a file against a suite; `interval` is what derived columns may ask.

    `reading` says what is known of the file's form; types, trimming and absent words are the suite's. Writes a line for
    every failing row of every expectation to the CSV `failures`, with cells that no spreadsheet takes for a formula.
    What the rows hold is told only with `show_values`, and what is personal as tokens under `secret` (without one, of
    no meaning beyond this check). With `profiled` every column is profiled. Raises what `stage_file` raises, and
    ConfigurationError when the file changes meanwhile or `failures` cannot be written.
    """
    said = replace(
        reading or Reading(),
        kinds=suite.declared,
        trim=suite.trim,
        absent=suite.absent,
        expected=suite.columns,
        measured=suite.measured,
        texts=suite.texts,
        widths=(reading.widths if reading else ()) or suite.widths,
    )
    with tempfile.TemporaryDirectory(prefix="nightledger-") as folder, ExitStack() as stack:
        size, sha256 = _identify(source)
        hidden = Hidden(frozenset(suite.personal), secret or secrets.token_hex(32))
        tell = _Telling(source.name, key, hidden, show_values=show_values)
        out = _Lines(_open(failures, stack))
        staged = stage_file(source, UPath(folder), key=key, reading=said, tell=out.tell)
        if _identify(source) != (size, sha256):
            raise ConfigurationError("was changed while it was read", about=str(source))
        staged = replace(staged, notes=(*staged.notes, *_unknown(suite.personal, staged)))
        unreadable = out.written
        findings = examine(staged.rows, suite.expectations, History(interval), ours=())
        _explain(findings, staged)
        _hide(findings, hidden)
        shown = {READABLE: Failing(out.first, *_problems(out.problems, staged, hidden if show_values else None))}
        for finding in findings:
            shown[finding.expectation.id] = tell.failing(finding, staged, out)
        told = hidden if show_values else None
        columns = tuple(profile_file(staged.rows, personal=suite.personal, shown=told)) if profiled else ()
        return FileCheck(
            source.name, size, sha256, datetime.now(UTC), suite, interval, staged, findings, shown, unreadable,
            out.written, columns,
        )  # fmt: skip


def _identify(source: Path) -> tuple[int, str]:
    """Size in bytes and sha256 of a file."""
    try:
        with source.open("rb") as handle:
            return source.stat().st_size, hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(f"cannot be read ({error.strerror or error})", about=str(source)) from error


@dataclass(frozen=True, slots=True)
class _Telling:
    """How failing rows are told: under the file's `name`, with the `key` columns, and with what they hold or not."""

    name: str
    key: Sequence[str]
    hidden: Hidden
    show_values: bool

    def failing(self, finding: Finding, staged: FileRows, out: _Lines) -> Failing:
        """Write a line for each failing row, or one for the expectation where it names none."""
        one, first, counted = finding.expectation, list[FailingRow](), Counted()
        columns = list(dict.fromkeys(one.columns)) if self.show_values else []
        for places, rows in self._rows(finding, staged, columns):
            held = [texts_of(rows.column(name)) for name in columns]
            if columns:
                counted.add(held)
            if out.kept or len(first) < MOST_ROWS:
                told = list(self._told(places, columns, held))
                out.write(one, told)
                first += told[: MOST_ROWS - len(first)]
            else:
                out.written += places.num_rows
        if not finding.success and not finding.failing:
            out.write(one, [FailingRow("", "", finding.in_words())])
        found = counted.most(MOST_VALUES)
        told_once = not found or found[0][1] == 1  # the rows say as much
        most = [] if told_once else [(self.hidden.show_all(columns, row), rows) for row, rows in found]
        return Failing(first, most, counted.different, counted.at_least)

    def _rows(
        self, finding: Finding, staged: FileRows, columns: Collection[str]
    ) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        """Places of the failing rows, and the rows in some columns."""
        if not finding.failing:
            return
        for start, places, rows in side_by_side(staged.places, staged.rows, rows=_PAGE, columns=columns):
            at = finding.within(start, places.num_rows)
            if at:
                chosen = pa.Array.from_buffers(pa.uint32(), len(at), [None, pa.py_buffer(at)])
                yield places.take(chosen), rows.take(chosen) if columns else rows

    def _told(
        self, places: pa.RecordBatch, columns: Sequence[str], held: Sequence[pa.StringArray]
    ) -> Iterator[FailingRow]:
        """Each row with its place, its key (else that place) and its values."""
        lines = pc.binary_join_element_wise(self.name, places.column("line").cast(pa.string()), ":").to_pylist()
        hide = any(name in self.hidden.declared for name in self.key)
        values = zip(*(column.to_pylist() for column in held), strict=True) if columns else ((),) * len(lines)
        for line, key, row in zip(lines, places.column("key").to_pylist(), values, strict=True):
            known = line if key is None else token_of(key, self.hidden.secret) if hide else key
            yield FailingRow(line, known, self.hidden.show_all(columns, row) if columns else "")


def _problems(
    told: Counter[tuple[str, str]], staged: FileRows, hidden: Hidden | None
) -> tuple[list[tuple[str, int]], int]:
    """What is wrong and how often, the most frequent first, with the values where these may be shown; of how many."""
    found = Counter[str]()
    for (column, problem), rows in told.items():
        if hidden is not None:
            for value, times in Counter(staged.misread.get((column, problem), {})).most_common(MOST_VALUES):
                found[f"{_said(column, problem)}: {hidden.show(column, value)}"] += times
                rows -= times
        if rows:
            found[_said(column, problem)] += rows
    return found.most_common(MOST_VALUES), len(found)


def _said(column: str, problem: str) -> str:
    return f"{visible(column)}: {problem}" if column else problem


def _explain(findings: Sequence[Finding], staged: FileRows) -> None:
    """Say of an expectation that could not run which value made its column text."""
    for finding in findings:
        mixed = [
            f"{name!r} is text, since {staged.mixed[name]}"
            for name in finding.expectation.columns
            if name in staged.mixed
        ]
        if finding.could_not_run and mixed:
            finding.could_not_run = "; ".join([finding.could_not_run, *mixed])


def _hide(findings: Sequence[Finding], hidden: Hidden) -> None:
    """Take out of what was observed whatever is personal."""
    for one in findings:
        if one.observed is not None:
            declared = not hidden.declared.isdisjoint(one.expectation.columns)
            one.observed = None if declared else tokenise(one.observed, hidden.secret)


def _unknown(personal: Collection[str], staged: FileRows) -> Iterator[str]:
    for name in personal:
        if name not in staged.types:
            yield f"a column declared personal is not in the file: {explain_missing(name, staged.types)}"


def _open(place: Path | None, stack: ExitStack) -> TextIO | None:
    if place is None:
        return None
    try:
        return stack.enter_context(place.open("w", encoding="utf-8", newline=""))
    except OSError as error:
        raise ConfigurationError(f"cannot be written ({error.strerror})", about=str(place)) from error


class _Lines:
    """The CSV of failing rows, or only their number."""

    def __init__(self, file: TextIO | None) -> None:
        self._write: Callable[[Iterator[Sequence[str]]], object] | None = csv.writer(file).writerows if file else None
        self.kept = file is not None
        self.written = 0
        self.first: list[FailingRow] = []
        self.problems: Counter[tuple[str, str]] = Counter()
        if self._write is not None:
            self._write(iter([COLUMNS]))

    def tell(self, place: str, column: str, problem: str) -> None:
        """A record or value that could not be read."""
        self.problems[column, problem] += 1
        if len(self.first) < MOST_ROWS:
            self.first.append(FailingRow(place, "", _said(column, problem)))
        meaning = "Every record and value can be read"
        self._lines(READABLE, "critical", [FailingRow(place, "", problem)], column, meaning)

    def write(self, one: Expectation, rows: Sequence[FailingRow]) -> None:
        """Rows that fail an expectation, or the expectation itself where it has no failing rows."""
        self._lines(one.id, one.severity, rows, " ".join(one.columns), one.meaning)

    def _lines(self, name: str, severity: str, rows: Sequence[FailingRow], columns: str, meaning: str) -> None:
        self.written += len(rows)
        if self._write is None:
            return
        first, second, of, expected = map(harmless, (name, severity, columns, meaning))
        self._write(
            (first, second, harmless(row.place), harmless(row.key), of, expected, harmless(row.found)) for row in rows
        )
