"""Read a dropped file by its declaration: good records into Parquet, every other one set aside with its line."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from upath import UPath

from include.errors import ContractBroken
from include.models import Record, RejectedRow
from include.staging import ARROW, StagedWriter
from include.systems.files.drop import FileDrop
from include.systems.files.formats.delimited import Found, Layout, find_layout, open_text, read_records
from include.systems.files.formats.encoding import Encoding, find_encoding
from include.systems.files.formats.values import explain_missing, join_key, read_columns

_SHOWN = 200


@dataclass(frozen=True, slots=True)
class DropFacts:
    """What was found in a file: its encoding and how that was found, delimiter, undeclared columns, and counts."""

    encoding: str
    encoding_found: str
    delimiter: str
    extra_columns: list[str]
    rows: int
    rejected: int


def stage_drop(
    drop: FileDrop,
    local: Path,
    name: str,
    into: Path,
    set_aside: Callable[[RejectedRow], None],
    personal: Collection[str] = (),
    owner: str = "",
) -> DropFacts:
    """Write the records of the file at `local`, called `name` at its source, to Parquet with `key` and `line`.

    Bad records go to `set_aside` with every reason and the file's `owner`; of records with the same key the first good
    one counts. Memory does not grow with the file. Raises ContractBroken for an empty file or one that lacks a declared
    column.
    """
    encoding = find_encoding(local)
    declared = [column.source_name for column in drop.columns]
    longest = drop.max_field_chars * len(declared)
    layout = find_layout(local, encoding, declared, longest)
    if layout is None:
        raise _broken(drop, name, "empty file")
    _check_header(drop, name, layout)
    reader = _Reader(drop, name, layout, encoding, set(personal), owner)
    rejected = 0
    with (
        closing(FirstLines()) as first_lines,
        open_text(local, encoding) as handle,
        StagedWriter(UPath(into), _schema(drop)) as writer,
    ):
        for found in read_records(handle, layout.delimiter, longest, len(layout.header)):
            if found.line <= layout.line or found.blank:
                continue
            row, reasons = reader.read(found)
            if not reasons and (first := first_lines.claim(row["key"], found.line)):
                reasons = [f"{drop.key}: the same as in line {first}, which counts"]
            if reasons:
                rejected += 1
                set_aside(reader.rejection(found, row, reasons))
            else:
                writer.append(row)
    if not writer.rows + rejected:
        raise _broken(drop, name, "empty file: a header and no row")
    extra = [column for column in layout.header if column not in declared]
    return DropFacts(encoding.codec, encoding.how, layout.delimiter, extra, writer.rows + rejected, rejected)


def _schema(drop: FileDrop) -> pa.Schema:
    columns = [(drop.prefix + column.name, ARROW[column.kind]) for column in drop.columns]
    return pa.schema([("key", pa.string()), ("line", pa.int64()), *columns])


def _check_header(drop: FileDrop, name: str, layout: Layout) -> None:
    declared = [column.source_name for column in drop.columns]
    problems = [explain_missing(column, layout.header) for column in declared if column not in layout.header]
    problems += [f"{column!r} is there twice" for column in declared if layout.header.count(column) > 1]
    if problems:
        raise _broken(drop, name, "; ".join(problems))


def _broken(drop: FileDrop, name: str, problem: str) -> ContractBroken:
    return ContractBroken(problem, system=drop.system, about=name, action="Ask the sender, or correct the spec")


class _Reader:
    """Turns a record of one file into a staged row, or says why not."""

    def __init__(
        self,
        drop: FileDrop,
        name: str,
        layout: Layout,
        encoding: Encoding,
        personal: Collection[str],
        owner: str,
    ) -> None:
        self._owner = owner
        self._drop, self._name, self._header = drop, name, layout.header
        self._doubtful = not encoding.clean
        self._codec = encoding.codec
        self._personal = personal
        self._may_show = not any(drop.prefix + column.name in personal for column in drop.columns)

    def read(self, found: Found) -> tuple[Record, list[str]]:
        """The row and every reason against it."""
        if found.problem:
            return {}, [found.problem]
        drop = self._drop
        raw = dict(zip(self._header, found.fields, strict=True))
        row, reasons = read_columns(raw, drop.columns, prefix=drop.prefix, personal=self._personal)
        row["key"], row["line"] = join_key(raw[drop.key]), found.line
        if row["key"] is None:
            reasons.append(f"{drop.key}: missing, so the row cannot be joined")
        for column in drop.columns:
            text = raw[column.source_name]
            if len(text) > drop.max_field_chars:
                reasons.append(f"{drop.prefix}{column.name}: longer than {drop.max_field_chars} characters")
            if self._doubtful and "\ufffd" in text:
                reasons.append(f"{drop.prefix}{column.name}: has bytes that are not {self._codec}")
        return row, reasons

    def rejection(self, found: Found, row: Record, reasons: list[str]) -> RejectedRow:
        """The record set aside under the names that the use case declares personal, values cut short."""
        drop = self._drop
        place = f"{drop.system}/{self._name}:{found.line}"
        if found.problem:
            record: Record = {"text": found.text[:_SHOWN].rstrip("\r\n")} if self._may_show else {}
        else:
            raw = dict(zip(self._header, found.fields, strict=True))
            record = {drop.prefix + column.name: raw[column.source_name][:_SHOWN] for column in drop.columns}
        key = row.get("key") if self._may_show else None
        return RejectedRow(place, key, place, tuple(reasons), record, counts_as_input=False, owner=self._owner)


class FirstLines:
    """The line of each key seen first, in a temporary database of SQLite that goes to disk when it grows."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE seen (key TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")
        self._database.execute("BEGIN")

    def claim(self, key: str, line: int) -> int | None:
        """None for a key not seen before, else its first line."""
        if self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, line)).rowcount:
            return None
        first: int = self._database.execute("SELECT line FROM seen WHERE key = ?", (key,)).fetchone()[0]
        return first

    def close(self) -> None:
        """Forget them."""
        self._database.close()
