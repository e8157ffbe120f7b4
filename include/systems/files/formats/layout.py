"""How a delimited file is written, found out from its first records; whatever was guessed is said in `notes`."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from include.errors import ContractBroken
from include.systems.files.formats.delimited import Dialect, Found
from include.systems.files.formats.dialect import find_dialect, records_of, usual_width
from include.systems.files.formats.reading import Reading
from include.systems.files.formats.values import clean_text

_SEP = re.compile(r'\ufeff?"?sep=(.)"?\s*', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FileLayout:
    """A file's dialect, the names of its columns, and where its first record begins: physical line and UTF-8 byte."""

    dialect: Dialect
    names: tuple[str, ...]
    line: int
    offset: int
    notes: tuple[str, ...] = ()


def find_layout(text: str, whole: bool, reading: Reading, about: str) -> FileLayout | None:
    """The layout from the start of a file (`whole`: all of it); None where it holds nothing but blanks.

    Raises ContractBroken where the header is not a record that can be read.
    """
    lines = list(io.StringIO(text, newline=""))
    if not whole and len(lines) > 1:
        lines.pop()
    skipped, delimiter = reading.skip or 0, reading.delimiter
    said = _SEP.fullmatch(lines[skipped]) if len(lines) > skipped else None
    if said and delimiter in (None, said[1]):
        delimiter, skipped = said[1], skipped + 1
    dialect, notes = find_dialect(lines[skipped:], delimiter, reading)
    records = [one for one in records_of(lines[skipped:], dialect) if not one.blank]
    if not records:
        return None
    if reading.skip is None and not reading.expected_in(records[0].fields):
        records, passed = _after_preamble(records, reading)
        if passed:
            notes.append(
                f"the table begins in line {records[0].line + skipped}; {passed} lines before it are passed over"
            )
    deep = (0 if reading.names else 1) if reading.header is None else reading.header
    names, more = _name(records[:deep], reading, max(usual_width(records[deep:]), 1), about)
    last = records[deep - 1] if deep else None
    before = last.line + last.lines - 1 if last else records[0].line - 1
    offset = len("".join(lines[: skipped + before]).encode())
    return FileLayout(dialect, names, skipped + before + 1, offset, (*notes, *more))


def _after_preamble(records: list[Found], reading: Reading) -> tuple[list[Found], int]:
    """The records from the header on, and how many lines before it are none of the table.

    A line before the table holds at most a third of the fields that the others have.
    """
    width = usual_width(records)
    if width < 3 or sum(len(one.fields) == width for one in records) < 0.6 * len(records):
        return records, 0
    for at, one in enumerate(records[: len(records) // 2 + 1]):
        if sum(bool(field.strip()) for field in one.fields) > max(width // 3, 1) or reading.expected_in(one.fields):
            return (records[at:], one.line - records[0].line) if at else (records, 0)
    return records, 0


def _name(header: Sequence[Found], reading: Reading, width: int, about: str) -> tuple[tuple[str, ...], list[str]]:
    """The columns' names, each once, and what was done to them."""
    for one in header:
        if one.problem:
            raise ContractBroken(f"the header cannot be read ({one.problem})", about=f"{about}, line {one.line}")
    if reading.names:
        return rename(reading.names)
    if not header:
        return tuple(f"column_{at}" for at in range(1, width + 1)), ["the columns have no names in the file"]
    return name_columns([one.fields for one in header], max(len(one.fields) for one in header))


def name_columns(header: Sequence[Sequence[str]], width: int) -> tuple[tuple[str, ...], list[str]]:
    """Names of `width` columns by the fields of the lines that name them, and a sentence on what was done to each."""
    rows = [[clean_text(field).lstrip("\ufeff") for field in fields] + [""] * width for fields in header]
    for row in rows[:-1]:  # a cell over several columns is written in the first of them
        for at in range(1, width):
            row[at] = row[at] or row[at - 1]
    return rename([" ".join(filter(None, parts)) for parts in zip(*(row[:width] for row in rows), strict=True)])


def rename(names: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Names with blank ones filled in and repeated ones told apart, and a sentence on each."""
    taken, given, notes = set(names), list[str](), list[str]()
    for at, name in enumerate(names, start=1):
        base = name or f"column_{at}"
        new, number = base, 1
        while new in given or (new != name and new in taken):
            number += 1
            new = f"{base}_{number}"
        given.append(new)
        if new != name:
            notes.append(
                f"column {at} is called {new!r} here: " + (f"{name!r} is there twice" if name else "it has no name")
            )
    return tuple(given), notes
