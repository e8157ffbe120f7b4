"""How a delimited file is written, found out from its first records; whatever was guessed is said in `notes`."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from include.errors import ContractBroken
from include.files.reading import LONGEST_FIELD, Reading
from include.sources.delimited import Dialect, Found, read_records
from include.sources.values import clean_text

SAMPLE_RECORDS = 300
_DELIMITERS = (",", ";", "\t", "|", "^", "~", "\x1f", "\x01")
_NAMES = {"\t": "tab", "\x1f": "unit separator", "\x01": "control A"}
_SEP = re.compile(r'\ufeff?"?sep=(.)"?\s*', re.IGNORECASE)
_LONGEST_RECORD = 64 * LONGEST_FIELD


@dataclass(frozen=True, slots=True)
class FileLayout:
    """A file's dialect, the names of its columns, and where its first record begins: physical line and UTF-8 byte."""

    dialect: Dialect
    names: tuple[str, ...]
    line: int
    offset: int
    notes: tuple[str, ...] = ()


def say_delimiter(delimiter: str) -> str:
    """A delimiter as a person calls it."""
    return _NAMES.get(delimiter, delimiter)


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
    dialect, notes = _find_dialect(lines[skipped:], delimiter, reading)
    records = [one for one in _records(lines[skipped:], dialect) if not one.blank]
    if not records:
        return None
    if reading.skip is None and not reading.expected_in(records[0].fields):
        records, passed = _after_preamble(records, reading)
        if passed:
            notes.append(
                f"the table begins in line {records[0].line + skipped}; {passed} lines before it are passed over"
            )
    deep = (0 if reading.names else 1) if reading.header is None else reading.header
    names, more = _name(records[:deep], reading, max(_usual_width(records[deep:]), 1), about)
    last = records[deep - 1] if deep else None
    before = last.line + last.lines - 1 if last else records[0].line - 1
    offset = len("".join(lines[: skipped + before]).encode())
    return FileLayout(dialect, names, skipped + before + 1, offset, (*notes, *more))


def _records(lines: Sequence[str], dialect: Dialect, most: int | None = SAMPLE_RECORDS) -> list[Found]:
    handle = io.StringIO("".join(lines), newline="")
    return list(islice(read_records(handle, dialect, _LONGEST_RECORD), most))


def _find_dialect(lines: Sequence[str], delimiter: str | None, reading: Reading) -> tuple[Dialect, list[str]]:
    """The delimiter that gives most records one width, then how fields are quoted; and what of it was guessed."""
    plain = "".join(lines[:SAMPLE_RECORDS])
    quote = '"'
    if '"' not in plain and re.search(r"(?:^|[,;\t|])'[^'\n]*[,;\t|][^'\n]*'\s*(?:[,;\t|]|$)", plain, re.MULTILINE):
        quote = "'"
    tries = [Dialect(one, quote, field=LONGEST_FIELD) for one in ([delimiter] if delimiter else _DELIMITERS)]
    escaping = [replace(one, escape="\\") for one in tries] if f"\\{quote}" in plain else []
    scores = [_score(_records(lines, one), reading) for one in tries + escaping]
    dialect = replace((tries + escaping)[scores.index(max(scores))], escape=None)
    if any(f"\\{quote}" in line for line in lines) and _escapes(lines, dialect):
        dialect = replace(dialect, escape="\\")
    mark = re.escape(dialect.delimiter)
    written = re.search(rf"{mark} +{quote}[^{quote}\n]*{quote} *(?:{mark}|\r|\n|$)", plain)
    if written and _spaced(lines[:SAMPLE_RECORDS], dialect):
        dialect = replace(dialect, blanks=True)
    notes = []
    if not delimiter and dialect.delimiter != "," and max(scores)[1] > 0:
        notes.append(f"fields are set apart by {say_delimiter(dialect.delimiter)}")
    if quote != '"':
        notes.append("fields are quoted by '")
    if dialect.escape:
        notes.append('quotes within fields are written \\"')
    if dialect.blanks:
        notes.append("blanks between a delimiter and a quote do not count")
    return dialect, notes


def _escapes(lines: Sequence[str], dialect: Dialect) -> bool:
    """Whether more can be read if a backslash makes a quote part of its field than if it only stands before one, as at
    the end of a path.
    """
    return _misfits(lines, replace(dialect, escape="\\")) < _misfits(lines, dialect)


def _spaced(lines: Sequence[str], dialect: Dialect) -> bool:
    """Whether fields begin with blanks and a quote, or more can be read if such blanks do not count."""
    begun = re.compile(f" +{dialect.quote}.*{dialect.quote} *", re.DOTALL)
    plain = _records(lines, dialect)
    if any(begun.fullmatch(field) for one in plain if one.problem is None for field in one.fields):
        return True
    return _misfits(lines, replace(dialect, blanks=True)) < _misfits(lines, dialect)


def _misfits(lines: Sequence[str], dialect: Dialect) -> int:
    """How many records cannot be read, or have not the usual width."""
    found = [one for one in _records(lines, dialect, most=None) if not one.blank]
    width = _usual_width(found)
    return sum(one.problem is not None or len(one.fields) != width for one in found)


def _score(records: Sequence[Found], reading: Reading) -> tuple[int, float, bool, int]:
    """How well a delimiter does: expected columns in a record, share of records that have the usual width, whether the
    first has, and the width.
    """
    found = max((len(set(reading.expected) & {one.strip() for one in r.fields}) for r in records[:40]), default=0)
    whole = [one for one in records if not one.blank]
    width = _usual_width(whole[1:]) if len(whole) > 1 else max((len(one.fields) for one in whole), default=0)
    if width < 2:
        return found, 0.0, False, 0
    share = sum(len(one.fields) == width and one.problem is None for one in whole) / len(whole)
    return found, round(share, 1) if share >= 0.5 else 0.0, len(whole[0].fields) == width, width


def _usual_width(records: Sequence[Found]) -> int:
    widths = Counter(len(one.fields) for one in records if one.problem is None and not one.blank)
    return widths.most_common(1)[0][0] if widths else 0


def _after_preamble(records: list[Found], reading: Reading) -> tuple[list[Found], int]:
    """The records from the header on, and how many lines before it are none of the table.

    A line before the table holds at most a third of the fields that the others have.
    """
    width = _usual_width(records)
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
