"""Read delimited text record by record, so that one damaged line costs one line and never the file.

The csv module reads on while a quote is open. Where that ends badly, only the first physical line is given up and the
lines after it are read again.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from include.systems.files.formats.encoding import Encoding

DELIMITERS = (",", ";", "\t", "|")
UNCLOSED = "a quote is not closed within {} characters"


@dataclass(frozen=True, slots=True)
class Found:
    """One record of the file, or one line that is none: `problem` says why, `text` is the start of such a line.

    `line` is the physical line the record starts on, counted from 1; `lines` is how many it spans.
    """

    line: int
    lines: int
    fields: Sequence[str]
    problem: str | None = None
    text: str = ""

    @property
    def blank(self) -> bool:
        """Whether the line holds nothing at all."""
        return self.problem is None and not any(field.strip() for field in self.fields)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How fields are set apart and quoted; `escape` makes a quote, or itself, part of a field, else two quotes do.

    With `blanks`, blanks after a delimiter do not count. A `field` has at most so many characters (None: as many as the
    record).
    """

    delimiter: str
    quote: str | None = '"'
    escape: str | None = None
    blanks: bool = False
    field: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is written: its delimiter and the names in its header, which ends on physical line `line`."""

    delimiter: str
    header: tuple[str, ...]
    line: int


def open_text(path: Path, encoding: Encoding) -> TextIO:
    """The file as text with its line ends as they are; bytes that cannot be decoded become U+FFFD."""
    return path.open(encoding=encoding.codec, errors="replace", newline="")


def find_layout(path: Path, encoding: Encoding, declared: Collection[str], longest: int) -> Layout | None:
    """The layout whose header holds most of the `declared` names, comma first; None for a file without a line.

    Another delimiter is tried only where comma does not find them all.
    """
    best: Layout | None = None
    for delimiter in DELIMITERS:
        with open_text(path, encoding) as handle:
            first = next((found for found in read_records(handle, delimiter, longest) if not found.blank), None)
        if first is None:
            return best
        header = tuple(name.strip().lstrip("\ufeff") for name in first.fields)
        layout = Layout(delimiter, header, first.line + first.lines - 1)
        if best is None or len(set(declared) & set(header)) > len(set(declared) & set(best.header)):
            best = layout
        if set(declared) <= set(best.header):
            break
    return best


def read_records(handle: TextIO, delimiter: str | Dialect, longest: int, width: int | None = None) -> Iterator[Found]:
    """Every record from the handle's first line on; together they span each physical line exactly once.

    A record of more than `longest` characters, with quotes that do not match, or without exactly `width` fields comes
    with a problem. No more than `longest` characters are in memory at once, however long a line is.
    """
    dialect = delimiter if isinstance(delimiter, Dialect) else Dialect(delimiter)
    feed = _Feed(handle, longest, dialect)
    reader = csv.reader(
        feed,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        escapechar=dialect.escape,
        doublequote=dialect.escape is None,
        skipinitialspace=dialect.blanks,
        strict=True,
    )
    largest = dialect.field or longest
    line = 1
    while True:
        csv.field_size_limit(largest)  # the module's own, 131,072, would be told as quotes that do not match
        fields, problem = _next_record(reader, feed, longest, largest)
        if fields is None:
            return
        if problem is None and width is not None and len(fields) != width and any(map(str.strip, fields)):
            problem = f"has {len(fields)} fields, the header has {width}"
        if problem:
            feed.give_back_all_but_first()
        found = Found(line, len(feed.taken), fields, problem, feed.taken[0][0] if problem else "")
        line += found.lines
        feed.begin_record()
        yield found


def _next_record(
    reader: Iterator[list[str]], feed: _Feed, longest: int, largest: int
) -> tuple[list[str] | None, str | None]:
    """Fields (None at the end of the file) and what is wrong with them."""
    try:
        return next(reader), None
    except StopIteration:
        return None, None
    except _TooLongError:
        if feed.taken[0][1] and len(feed.taken) > 1:
            return [], UNCLOSED.format(longest)
        return [], f"longer than {longest} characters"
    except csv.Error as error:
        if "field larger than" in str(error):
            open_quote = len(feed.taken) > 1
            return [], (UNCLOSED if open_quote else "a field is longer than {} characters").format(largest)
        return [], f"quotes do not match ({error})"


def _keep(found: re.Match[str]) -> str:
    """An escape of a quote or of itself; any other is doubled, so that a path keeps its backslashes."""
    return found[0] if found[1] else found[0] * 2


class _TooLongError(Exception):
    """Stops the csv module from gathering more of one record."""


class _Feed:
    """Physical lines for the csv module; `taken` are those of the current record, with whether each is whole."""

    def __init__(self, handle: TextIO, longest: int, dialect: Dialect) -> None:
        self._handle, self._longest = handle, longest
        escape = re.escape(dialect.escape or "")
        self._escape = re.compile(f"{escape}([{escape}{dialect.quote or ''}]?)") if escape else None
        self._again: deque[tuple[str, bool]] = deque()
        self.taken: list[tuple[str, bool]] = []
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        text, whole = self._again.popleft() if self._again else self._read()
        if not text:
            raise StopIteration
        self.taken.append((text, whole))
        self._size += len(text)
        if not whole or self._size > self._longest:
            raise _TooLongError
        return self._escape.sub(_keep, text) if self._escape else text

    def begin_record(self) -> None:
        self.taken, self._size = [], 0

    def give_back_all_but_first(self) -> None:
        self._again.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]

    def _read(self) -> tuple[str, bool]:
        """One line, cut (and not whole) if it is too long; what was cut off is read away in pieces."""
        text = self._handle.readline(self._longest + 2)
        if len(text) <= self._longest or text.endswith(("\n", "\r")):
            return text, True
        piece = text
        while piece and not piece.endswith(("\n", "\r")):
            piece = self._handle.readline(1 << 16)
        return text[: self._longest], False
