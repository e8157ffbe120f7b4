"""Hold a file against expectations, without Airflow and without a ledger."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TextIO

from upath import UPath

from include.errors import ConfigurationError
from include.models import Interval
from include.quality.examine import Finding, examine
from include.quality.expectation import Expectation
from include.quality.failures import read_failures, write_failures
from include.quality.file_rows import FileRows, stage_file
from include.quality.usual import History
from include.report.cells import harmless
from include.use_case import Kind

log = logging.getLogger(__name__)
READABLE = "readable"
"""The expectation that every file has: its records are records, its values what they are declared to be."""
COLUMNS = ("expectation", "severity", "row", "key", "columns", "expected", "found")
EXAMPLES = 5
_PAGE = 50_000


@dataclass(frozen=True, slots=True)
class FileSuite:
    """What a file is held against, and the types of the columns for which it is said."""

    expectations: Sequence[Expectation]
    declared: Mapping[str, Kind]


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


def load_suite(name: str) -> FileSuite:
    """The suite of a module, given by its dotted name or as a Python file.

    It has `EXPECTATIONS`, and `COLUMNS` (column name to type) where the types that the values show are not the right
    ones. Raises ConfigurationError for a module that cannot be imported, or has no such list.
    """
    module = _import(name)
    suite = getattr(module, "EXPECTATIONS", None)
    if not isinstance(suite, Sequence) or not all(isinstance(one, Expectation) for one in suite):
        raise ConfigurationError("has no list EXPECTATIONS of `Expectation`", about=name)
    return FileSuite(suite, dict(getattr(module, "COLUMNS", {})))


def _import(name: str) -> ModuleType:
    try:
        if not name.endswith(".py"):
            return importlib.import_module(name)
        spec = importlib.util.spec_from_file_location(f"expectations_of_{Path(name).stem}", name)
        if spec is None or spec.loader is None:
            raise ImportError("is no Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except Exception as error:
        raise ConfigurationError(f"cannot be imported ({type(error).__name__}: {error})", about=name) from error


def check_file(
    source: Path, suite: FileSuite, interval: Interval, *, key: Sequence[str] = (), failures: Path | None = None
) -> FileCheck:
    """Hold the rows of a CSV, JSON Lines or Parquet file against a suite; `interval` is what derived columns may ask.

    Writes a line for every failing row of every expectation to the CSV `failures`, with cells that no spreadsheet takes
    for a formula; values of the rows are not in it. Raises what `stage_file` raises, and ConfigurationError when
    `failures` cannot be written.
    """
    expected = [name for one in suite.expectations for name in one.columns]
    with tempfile.TemporaryDirectory(prefix="nightledger-") as folder, ExitStack() as stack:
        out = _Lines(_open(failures, stack))
        place = UPath(folder)
        staged = stage_file(
            source, place / "raw.parquet", key=key, declared=suite.declared, expected=expected, tell=out.tell
        )
        if staged.renamed:
            log.warning("columns staged under another name: %s", dict(staged.renamed))
        unreadable = out.written
        findings = examine(staged.rows, suite.expectations, History(interval))
        _explain(findings, staged)
        failed = write_failures(place / "failures.parquet", "file", staged.rows, findings, "failures")
        examples: dict[str, list[str]] = {READABLE: out.examples}
        for finding in findings:
            one, at = finding.expectation, 0
            while page := read_failures(failed, one.id, at, _PAGE):
                examples.setdefault(one.id, [row.row_id for row in page[:EXAMPLES]])
                for row in page:
                    out.write(one, row.row_id, row.row_key or "")
                at += len(page)
            if not finding.success and not at:
                out.write(one, "", "", finding.in_words())
        return FileCheck(source.name, staged, findings, examples, unreadable, out.written)


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
        self._write: Callable[[Sequence[str]], object] = csv.writer(file).writerow if file else len
        self._write(COLUMNS)
        self.written = 0
        self.examples: list[str] = []

    def tell(self, place: str, column: str, problem: str) -> None:
        """A record or value that could not be read."""
        if len(self.examples) < EXAMPLES:
            self.examples.append(place)
        self._line(READABLE, "critical", place, "", column, "Every record and value can be read", problem)

    def write(self, one: Expectation, place: str, key: str, found: str = "") -> None:
        """A row that fails an expectation, or the expectation itself where it has no failing rows."""
        self._line(one.id, one.severity, place, key, " ".join(one.columns), one.meaning, found)

    def _line(self, *cells: str) -> None:
        self.written += 1
        self._write([harmless(cell) for cell in cells])
