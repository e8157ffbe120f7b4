"""How fields are set apart and quoted, found out from a file's first lines; whatever was guessed is said."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from include.systems.files.formats.delimited import Dialect, Found, read_records
from include.systems.files.formats.reading import LONGEST_FIELD, Reading

SAMPLE_RECORDS = 300
DELIMITERS = (",", ";", "\t", "|", "^", "~", "\x1f", "\x01")
_NAMES = {"\t": "tab", "\x1f": "unit separator", "\x01": "control A"}
_LONGEST_RECORD = 64 * LONGEST_FIELD
_QUOTED = re.compile(r"'(?:[^']|'')+'")
_BEGINS = re.compile(f'(?:^|[\r{re.escape("".join(DELIMITERS))}]) *"', re.MULTILINE)


def say_delimiter(delimiter: str) -> str:
    """A delimiter as a person calls it."""
    return _NAMES.get(delimiter, delimiter)


def find_dialect(lines: Sequence[str], delimiter: str | None, reading: Reading) -> tuple[Dialect, list[str]]:
    """The delimiter that gives most records one width, then how fields are quoted; and what of it was guessed.

    Anything but double quotes, doubled within a field, is taken only where more can be read so, or fields show it.
    """
    sample = _begin(lines)
    plain = "".join(sample)
    tries = [Dialect(one, field=LONGEST_FIELD) for one in ([delimiter] if delimiter else DELIMITERS)]
    tried = tries + [replace(one, escape="\\") for one in tries if '\\"' in plain]
    single = "'" in plain and not _BEGINS.search(plain)
    tried += [replace(one, quote="'") for one in tries if single]
    scores = [_score(records_of(sample, one), reading) for one in tried]
    dialect = Dialect(tried[scores.index(max(scores))].delimiter, field=LONGEST_FIELD)
    if single and _apostrophes(sample, dialect):
        dialect = replace(dialect, quote="'")
    quote, mark = dialect.quote, re.escape(dialect.delimiter)
    if any(f"\\{quote}" in line for line in lines) and _escapes(lines, dialect):
        dialect = replace(dialect, escape="\\")
    if re.search(rf"{mark} +{quote}[^{quote}\n]*{quote} *(?:{mark}|\r|\n|$)", plain) and _spaced(sample, dialect):
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


def _begin(lines: Sequence[str]) -> Sequence[str]:
    """The lines of the first records, each of which may be long; if its quotes never match, as many lines."""
    records, quotes = 0, 0
    for at, line in enumerate(lines):
        quotes += line.count('"')
        records += quotes % 2 == 0
        if records == SAMPLE_RECORDS:
            return lines[: at + 1]
    return lines if quotes % 2 == 0 else lines[:SAMPLE_RECORDS]


def records_of(lines: Sequence[str], dialect: Dialect, most: int | None = SAMPLE_RECORDS) -> list[Found]:
    """Records from the first of these lines on, at most so many (None: all)."""
    handle = io.StringIO("".join(lines), newline="")
    return list(islice(read_records(handle, dialect, _LONGEST_RECORD), most))


def _apostrophes(lines: Sequence[str], dialect: Dialect) -> bool:
    """Whether fields are quoted by apostrophes: more can be read so; or as much, and most values of a column stand in
    them, or one that has apostrophes within doubles them.
    """
    quoted = replace(dialect, quote="'")
    fewer = _misfits(lines, dialect) - _misfits(lines, quoted)
    if fewer:
        return fewer > 0
    whole = [one.fields for one in records_of(lines, dialect) if one.problem is None and not one.blank][1:]
    if any("''" in field[1:-1] and _QUOTED.fullmatch(field) for fields in whole for field in fields):
        return True
    columns = [[field for field in column if field.strip()] for column in zip(*whole, strict=False)]
    return any(2 * sum(map(bool, map(_QUOTED.fullmatch, column))) > len(column) for column in columns)


def _escapes(lines: Sequence[str], dialect: Dialect) -> bool:
    """Whether more can be read if a backslash makes a quote part of its field than if it only stands before one, as at
    the end of a path.
    """
    return _misfits(lines, replace(dialect, escape="\\")) < _misfits(lines, dialect)


def _spaced(lines: Sequence[str], dialect: Dialect) -> bool:
    """Whether fields begin with blanks and a quote, or more can be read if such blanks do not count."""
    begun = re.compile(f" +{dialect.quote}.*{dialect.quote} *", re.DOTALL)
    plain = records_of(lines, dialect)
    if any(begun.fullmatch(field) for one in plain if one.problem is None for field in one.fields):
        return True
    return _misfits(lines, replace(dialect, blanks=True)) < _misfits(lines, dialect)


def _misfits(lines: Sequence[str], dialect: Dialect) -> int:
    """How many records cannot be read, or have not the usual width."""
    found = [one for one in records_of(lines, dialect, most=None) if not one.blank]
    width = usual_width(found)
    return sum(one.problem is not None or len(one.fields) != width for one in found)


def _score(records: Sequence[Found], reading: Reading) -> tuple[int, float, bool, int]:
    """How well a delimiter does: expected columns in a record, share of records that have the usual width, whether the
    first has, and the width.
    """
    found = max((len(set(reading.expected) & {one.strip() for one in r.fields}) for r in records[:40]), default=0)
    whole = [one for one in records if not one.blank]
    width = usual_width(whole[1:]) if len(whole) > 1 else max((len(one.fields) for one in whole), default=0)
    if width < 2:
        return found, 0.0, False, 0
    share = sum(len(one.fields) == width and one.problem is None for one in whole) / len(whole)
    return found, round(share, 1) if share >= 0.5 else 0.0, len(whole[0].fields) == width, width


def usual_width(records: Sequence[Found]) -> int:
    """How many fields most records have that can be read; 0 where none can."""
    widths = Counter(len(one.fields) for one in records if one.problem is None and not one.blank)
    return widths.most_common(1)[0][0] if widths else 0
