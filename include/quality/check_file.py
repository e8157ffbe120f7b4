"""Hold a file against expectations, without Airflow and without a ledger."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from include.errors import ConfigurationError
from include.files.reading import Reading
from include.files.stage import stage_file
from include.files.staged import FileRows
from include.models import Interval
from include.quality.examine import Finding, examine, numbered
from include.quality.expectation import Expectation
from include.quality.suite_file import FileSuite
from include.quality.usual import History
from include.report.cells import harmless
from include.staging import read_chunks

READABLE = "readable"
"""The expectation that every file has: its records are records, its values what they are declared to be."""
COLUMNS = ("expectation", "severity", "row", "key", "columns", "expected", "found")
EXAMPLES = 5
_PAGE = 65_536


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What a file was found to be. `examples` are places of failing rows by expectation, `unreadable` counts records
    and values that could not be read; `failing` is the number of lines in the file of failing rows.
    """

    source: str
    found: FileRows
    findings: Sequence[Finding]
    examples: Mapping[str, Sequence[str]]
    unreadable: int
    failing: int

    @property
    def holds(self) -> bool:
        """Whether everything can be read and every critical and warning expectation is met."""
        return not self.unreadable and all(one.success for one in self.findings if one.expectation.severity != "info")


def check_file(
    source: Path,
    suite: FileSuite,
    interval: Interval,
    *,
    key: Sequence[str] = (),
    failures: Path | None = None,
    reading: Reading | None = None,
) -> FileCheck:
    """Hold the rows of a file against a suite; `interval` is what derived columns may ask.

    `reading` says what is known of the file's form; types, trimming and absent words are the suite's. Writes a line for
    every failing row of every expectation to the CSV `failures`, with cells that no spreadsheet takes for a formula;
    values of the rows are not in it. Raises what `stage_file` raises, and ConfigurationError when `failures` cannot be
    written.
    """
    said = replace(
        reading or Reading(),
        kinds=suite.declared,
        trim=suite.trim,
        absent=suite.absent,
        expected=suite.columns,
        measured=suite.measured,
        texts=suite.texts,
    )
    with tempfile.TemporaryDirectory(prefix="nightledger-") as folder, ExitStack() as stack:
        out = _Lines(_open(failures, stack))
        staged = stage_file(source, UPath(folder), key=key, reading=said, tell=out.tell)
        unreadable = out.written
        findings = examine(staged.rows, suite.expectations, History(interval), ours=())
        _explain(findings, staged)
        examples: dict[str, Sequence[str]] = {READABLE: out.examples}
        for finding in findings:
            examples[finding.expectation.id] = _write_failing(finding, staged, source.name, out)
        return FileCheck(source.name, staged, findings, examples, unreadable, out.written)


def _write_failing(finding: Finding, staged: FileRows, name: str, out: _Lines) -> list[str]:
    """Write a line for each failing row, or one for the expectation where it names none; returns the first places."""
    one, examples = finding.expectation, list[str]()
    for places, keys in _failing(finding, staged, name):
        examples += places[: EXAMPLES - len(examples)]
        out.write(one, places, keys)
    if not finding.success and not finding.failing:
        out.write(one, [""], [""], finding.in_words())
    return examples


def _failing(finding: Finding, staged: FileRows, name: str) -> Iterator[tuple[list[str], list[str]]]:
    """Place and key of every failing row; a row without a key has its place for one."""
    if not finding.failing:
        return
    for start, batch in numbered(read_chunks(staged.places, rows=_PAGE)):
        at = finding.within(start, batch.num_rows)
        if at:
            rows = batch.take(pa.Array.from_buffers(pa.uint32(), len(at), [None, pa.py_buffer(at)]))
            places = pc.binary_join_element_wise(name, rows.column("line").cast(pa.string()), ":")
            yield places.to_pylist(), pc.coalesce(rows.column("key"), places).to_pylist()


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
        self.written = 0
        self.examples: list[str] = []
        if self._write is not None:
            self._write(iter([COLUMNS]))

    def tell(self, place: str, column: str, problem: str) -> None:
        """A record or value that could not be read."""
        if len(self.examples) < EXAMPLES:
            self.examples.append(place)
        self._lines(READABLE, "critical", [place], [""], column, "Every record and value can be read", problem)

    def write(self, one: Expectation, places: Sequence[str], keys: Sequence[str], found: str = "") -> None:
        """Rows that fail an expectation, or the expectation itself where it has no failing rows."""
        self._lines(one.id, one.severity, places, keys, " ".join(one.columns), one.meaning, found)

    def _lines(
        self,
        name: str,
        severity: str,
        places: Sequence[str],
        keys: Sequence[str],
        columns: str,
        meaning: str,
        said: str,
    ) -> None:
        self.written += len(places)
        if self._write is None:
            return
        before, after = map(harmless, (name, severity)), [harmless(cell) for cell in (columns, meaning, said)]
        first, second = before
        self._write(
            (first, second, harmless(place), place_key, *after)
            for place, place_key in zip(places, map(harmless, keys), strict=True)
        )
