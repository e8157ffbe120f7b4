"""How files that a use case reads are written, as it declares them, and their rows as texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow.parquet as pq
from upath import UPath

from include.errors import ConfigurationError, ContractBroken
from include.models import Record
from include.systems.files.formats.reading import Reading, Tell
from include.systems.files.formats.stage import stage_file
from include.systems.files.source.unpacking import Member
from include.systems.files.source.xml import read_xml

_ROWS = 1_000


@dataclass(frozen=True)
class Staged:
    """A file whose every record could be told: the names of its columns, and its rows as often as they are asked for.

    A row is its line, from 1 (of a sheet its row), and its values as texts. `notes` say what was guessed.
    """

    columns: Sequence[str]
    rows: Callable[[], Iterator[tuple[int, Record]]]
    notes: Sequence[str] = ()


class Form(Protocol):
    """A way to write rows into a file."""

    def stage(self, member: Member, folder: Path, columns: Sequence[str], tell: Tell) -> Staged:
        """Read a file into the local folder; `tell` hears of records and values that cannot be read.

        Raises ContractBroken for a file that is damaged or none of this form.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Csv:
    """Delimited text; what is not declared is found out from the file, as `Reading` says."""

    delimiter: str | None = None
    encoding: str | None = None
    skip: int | None = None
    header: int | None = None
    names: tuple[str, ...] = ()

    def stage(self, member: Member, folder: Path, columns: Sequence[str], tell: Tell) -> Staged:
        """As `Form`."""
        given = {name: getattr(self, name) for name in ("delimiter", "encoding", "skip", "header", "names")}
        return _stage(member, folder, columns, tell, Reading(**given, kinds=dict.fromkeys(columns, "text")))


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines:
    """One JSON object a line, in UTF-8; what is nested comes as JSON."""

    def stage(self, member: Member, folder: Path, columns: Sequence[str], tell: Tell) -> Staged:
        """As `Form`."""
        return _stage(member, folder, columns, tell, Reading(kinds=dict.fromkeys(columns, "text")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Xlsx:
    """A sheet of a workbook (XLSX, XLS, ODS), the first unless it is named; values, not formulas."""

    sheet: str | None = None
    skip: int | None = None
    header: int | None = None
    names: tuple[str, ...] = ()

    def stage(self, member: Member, folder: Path, columns: Sequence[str], tell: Tell) -> Staged:
        """As `Form`."""
        given = {name: getattr(self, name) for name in ("sheet", "skip", "header", "names")}
        return _stage(member, folder, columns, tell, Reading(**given, kinds=dict.fromkeys(columns, "text")))


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedWidth:
    """Lines of fields of so many characters each; None as the last width is the rest of the line."""

    widths: tuple[int | None, ...]
    names: tuple[str, ...] = ()
    encoding: str | None = None
    skip: int | None = None

    def stage(self, member: Member, folder: Path, columns: Sequence[str], tell: Tell) -> Staged:
        """As `Form`."""
        given = {name: getattr(self, name) for name in ("widths", "encoding", "skip", "names")}
        return _stage(member, folder, columns, tell, Reading(**given, kinds=dict.fromkeys(columns, "text")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Xml:
    """Elements at the path `row`; columns are paths within it, as `customer/name`, `@id` or `.` for its own text."""

    row: str
    optional: tuple[str, ...] = field(default=())

    def stage(self, member: Member, folder: Path, columns: Sequence[str], tell: Tell) -> Staged:
        """As `Form`; a column that no record has is missing, unless it is `optional`."""
        spool, seen = folder / "records.jsonl", dict.fromkeys(self.optional)
        with spool.open("w", encoding="utf-8", errors="replace") as out:
            for line, record in read_xml(member.path, self.row, member.name):
                seen |= dict.fromkeys(record)
                out.write(json.dumps([line, record]) + "\n")
        return Staged(list(seen), lambda: _spooled(spool))


def _spooled(spool: Path) -> Iterator[tuple[int, Record]]:
    with spool.open(encoding="utf-8") as handle:
        for text in handle:
            line, record = json.loads(text)
            yield line, record


def _stage(member: Member, folder: Path, columns: Sequence[str], tell: Tell, reading: Reading) -> Staged:
    if not member.path.stat().st_size:
        raise ContractBroken("empty file", about=member.name, action="Ask the sender")
    try:
        found = stage_file(member.path, UPath(folder), reading=reading, tell=tell)
    except ConfigurationError as error:  # what came is not what the spec says; no setting of ours is wrong
        raise ContractBroken(error.problem, about=member.name, action=error.action or "Ask the sender") from error
    return Staged(list(found.types), lambda: _staged(folder), found.notes)


def _staged(folder: Path) -> Iterator[tuple[int, Record]]:
    rows, places = (pq.ParquetFile(folder / f"{name}.parquet") for name in ("raw", "places"))
    with rows, places:
        lines = (line for batch in places.iter_batches(_ROWS, columns=["line"]) for line in batch["line"].to_pylist())
        for batch in rows.iter_batches(_ROWS):
            for record in batch.to_pylist():
                yield next(lines), record
