"""Stage a file of a declared form into a local folder, so that its rows can be read as often as they are asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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


def stage_table(member: Member, folder: Path, columns: Sequence[str], tell: Tell, given: Record) -> Staged:
    """Rows and columns; `given` is what is declared of how the file is written.

    Raises ContractBroken for an empty file, and for one that is damaged or none of this form.
    """
    if not member.path.stat().st_size:
        raise ContractBroken("empty file", about=member.name, action="Ask the sender")
    reading = Reading(**given, kinds=dict.fromkeys(columns, "text"))
    try:
        found = stage_file(member.path, UPath(folder), reading=reading, tell=tell)
    except ConfigurationError as error:  # what came is not what the spec says; no setting of ours is wrong
        raise ContractBroken(error.problem, about=member.name, action=error.action or "Ask the sender") from error
    return Staged(list(found.types), lambda: _staged(folder), found.notes)


def stage_elements(member: Member, folder: Path, row: str, optional: Sequence[str]) -> Staged:
    """Elements of XML at the path `row`; raises ContractBroken for a document that is damaged."""
    spool, seen = folder / "records.jsonl", dict.fromkeys(optional)
    with spool.open("w", encoding="utf-8", errors="replace") as out:
        for line, record in read_xml(member.path, row, member.name):
            seen |= dict.fromkeys(record)
            out.write(json.dumps([line, record]) + "\n")
    return Staged(list(seen), lambda: _spooled(spool))


def _spooled(spool: Path) -> Iterator[tuple[int, Record]]:
    with spool.open(encoding="utf-8") as handle:
        for text in handle:
            line, record = json.loads(text)
            yield line, record


def _staged(folder: Path) -> Iterator[tuple[int, Record]]:
    rows, places = (pq.ParquetFile(folder / f"{name}.parquet") for name in ("raw", "places"))
    with rows, places:
        lines = (line for batch in places.iter_batches(_ROWS, columns=["line"]) for line in batch["line"].to_pylist())
        for batch in rows.iter_batches(_ROWS):
            for record in batch.to_pylist():
                yield next(lines), record
