"""How a file is to be read, as far as somebody says so, and what comes of reading it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from include.errors import ConfigurationError
from include.models import Kind
from include.systems.files.formats.notation import Notation

LONGEST_FIELD = 1_000_000
"""Characters of one field; more is told as one record that cannot be read."""
ABSENT = ("", "-", "--", "\u2013", "\u2014", "?", "na", "n/a", "#n/a", "nan", "null", "(null)", "none", "nil", "\\n")
"""What stands for no value, in a column of any kind, in any case and with blanks around it."""

Tell = Callable[[str, str, str], None]
"""Told of what could not be read: its place in the file, the column (empty for a whole record), and what is wrong."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is declared of a file; all that is not is found out from it, and the result says what was found.

    `skip` lines before the table are passed over, then `header` lines (None: one) name the columns, unless `names`
    does. Where `widths` are given, each field has so many characters; None, as the last, is the rest of the line.
    Values of columns in `kinds` are of that kind, or written in that notation. Blanks around texts are cut where `trim`
    says so (all columns, or some), and `absent` are the words that stand for no value. `expected` columns help to find
    the delimiter. Values of `measured` columns (None: of all) are held against numbers or times, so that a few of
    another kind are told; those of `texts` stay texts, as they are judged by how they are written.
    """

    delimiter: str | None = None
    encoding: str | None = None
    skip: int | None = None
    header: int | None = None
    sheet: str | None = None
    names: tuple[str, ...] = ()
    kinds: Mapping[str, Kind | Notation] = field(default_factory=dict)
    trim: bool | Collection[str] = False
    absent: Collection[str] = ABSENT
    expected: Collection[str] = ()
    measured: Collection[str] | None = None
    texts: Collection[str] = ()
    widths: tuple[int | None, ...] = ()

    def trims(self, column: str) -> bool:
        """Whether blanks around the texts of a column are cut."""
        return self.trim if isinstance(self.trim, bool) else column in self.trim

    def expected_in(self, fields: Collection[str]) -> bool:
        """Whether most of the expected columns are among the fields of a record, which is the header then."""
        wanted = {*self.expected, *self.kinds}
        return bool(wanted) and 2 * len(wanted & {one.strip() for one in fields}) > len(wanted)


def hold_widths(given: Any) -> tuple[int | None, ...]:
    """Widths of fields, in characters; the last may be None, the rest of the line. ConfigurationError for all else."""
    widths = tuple(given) if isinstance(given, Collection) and not isinstance(given, (str, bytes)) else (given,)
    for at, one in enumerate(widths, start=1):
        if not (one is None and at == len(widths)) and (type(one) is not int or not 0 < one <= LONGEST_FIELD):
            raise ConfigurationError(f"{one!r} is no number of characters of field {at}", about="widths")
    return widths


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records of a file: the line of each (counted from 1), and its values as texts, null where there is none.

    Columns in `quoted` hold texts in a format that has numbers, too, so that none of them is one.
    """

    lines: pa.Int64Array
    columns: Mapping[str, pa.StringArray]
    quoted: frozenset[str] = frozenset()


class Told(Protocol):
    """Hears of what cannot be read, and of what was found out."""

    def record(self, line: int, problem: str) -> None:
        """A record that is left out."""

    def value(self, line: int, column: str, problem: str) -> None:
        """A value that cannot be read as it should, in a record that is kept."""

    def empty(self, line: int) -> None:
        """A record without any value, which is left out."""

    def blank(self, line: int) -> None:
        """A line with nothing in it, which is passed over."""

    def note(self, said: str) -> None:
        """Something that was guessed, renamed or passed over, as a sentence."""
