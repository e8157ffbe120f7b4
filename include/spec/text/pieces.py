"""Long texts cut into pieces that overlap, each with its page, its place and the heading that it stands under."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import ClassVar, NamedTuple

from include.errors import ConfigurationError
from include.models import Kind, Record
from include.spec.reshape import numbered, require, set_aside
from include.spec.transforms import Applied, added
from include.systems.text.tokens import PAGE_BREAK, token_spans

_LONGEST_HEADING = 120
_SHORTEST_CAPITALS = 4
_TITLE = re.compile(
    r"#{1,6} \S.*"
    r"|(?i:article|section|chapter|exhibit|schedule|annex|appendix|artikel|abschnitt|kapitel|anlage|anhang)\b.*"
    r"|§ ?\d.*"
)
_NUMBERED = re.compile(r"\d{1,3}(?:\.\d{1,3}){0,4}\.?\s{1,8}([^\W\d_]).{0,80}")


class Piece(NamedTuple):
    """A part of a text, from character `start` to before `end`, on page `page` and maybe further ones.

    `heading` is the line that it stands under, empty where there is none or the piece begins with it.
    """

    text: str
    start: int
    end: int
    page: int
    last_page: int
    heading: str

    @property
    def headed(self) -> str:
        """The text under its heading."""
        return f"{self.heading}\n{self.text}" if self.heading else self.text

    @property
    def pages(self) -> str:
        """The page, or the first and last one."""
        return str(self.page) if self.page == self.last_page else f"{self.page}-{self.last_page}"


@dataclass(frozen=True, slots=True)
class Cut:
    """Pieces of `size` tokens, each of which begins `size - overlap` tokens after the one before.

    A token is a run of letters and digits, or one sign of a script without spaces. With `headings` a piece knows the
    last line before it that looks like one: Markdown, a number or "Article" before a title, a line in capitals.
    """

    size: int = 400
    overlap: int = 200
    headings: bool = True

    def check(self, name: str) -> None:
        """Raise ConfigurationError for sizes by which a text would never end."""
        if not 0 <= self.overlap < self.size:
            problem = f"pieces of {self.size} tokens cannot overlap by {self.overlap}"
            raise ConfigurationError(problem, about=f"column {name}", action="Correct the use case's spec")

    def pieces(self, text: str) -> list[Piece]:
        """The pieces in their order; none of a text without a token."""
        tokens = token_spans(text)
        breaks = [at for at, sign in enumerate(text) if sign == PAGE_BREAK] if PAGE_BREAK in text else []
        headings = _headings(text) if self.headings else {}
        places, found = list(headings), list[Piece]()
        for first in range(0, max(len(tokens) - self.overlap, min(len(tokens), 1)), self.size - self.overlap):
            start, end = tokens[first][0], tokens[min(first + self.size, len(tokens)) - 1][1]
            heading = _heading_above(start, places, headings)
            pages = bisect_right(breaks, start) + 1, bisect_right(breaks, end - 1) + 1
            found.append(Piece(text[start:end], start, end, *pages, heading))
        return found


def _headings(text: str) -> dict[int, str]:
    """Lines that look like headings, by the place of their first character that is no blank."""
    lines = re.split("(?<=[\n\f])", text)
    found = {}
    for start, line in zip(accumulate(map(len, lines), initial=0), lines, strict=False):
        bare = line.strip()
        if len(bare) <= _LONGEST_HEADING and _looks_like_heading(bare):
            found[start + len(line) - len(line.lstrip())] = bare
    return found


def _looks_like_heading(line: str) -> bool:
    if _TITLE.fullmatch(line) or (len(line) > _SHORTEST_CAPITALS and line.isupper()):
        return True
    numbered = _NUMBERED.fullmatch(line)
    return numbered is not None and not numbered[1].islower()


def _heading_above(start: int, places: Sequence[int], headings: Mapping[int, str]) -> str:
    """The last heading before a place, empty where there is none or the place lies in it."""
    above = bisect_right(places, start)
    if not above:
        return ""
    place = places[above - 1]
    return "" if start < place + len(headings[place]) else headings[place]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One row for each piece of a long text, under the heading it stands under; column `key` is its number from 1.

    Column `of` then holds the piece. The row is `<row id>/<number>`; its lineage says the `page`, the `span` of
    characters and the `heading`. Pages are parted by form feeds. A text without a token gives no row and is counted as
    `empty`; one of more than `most` pieces is set aside.
    """

    whole: ClassVar[bool] = False

    of: str
    size: int = 400
    overlap: int = 200
    headings: bool = True
    key: str = "chunk"
    most: int = 20_000

    @property
    def made_of(self) -> Mapping[str, Sequence[str]]:
        """The number, of the text."""
        return {self.key: (self.of,)}

    def columns(self, given: Mapping[str, Kind]) -> Mapping[str, Kind]:
        """The columns with the number."""
        self._cut.check(self.of)
        require(given, self.of, "text", of=self.key)
        return added(given, self.key, "integer")

    def apply(self, rows: list[Record], end: datetime) -> Applied:
        """A row for each piece."""
        applied, empty = Applied(), 0
        for row in rows:
            pieces = self._cut.pieces(row[self.of] or "")
            empty += not pieces
            if len(pieces) > self.most:
                reason = f"{self.of}: {len(pieces)} pieces, at most {self.most} are taken"
                applied.rejected.append(set_aside(row, reason))
            else:
                applied.extend(self._row(row, number, piece) for number, piece in enumerate(pieces, 1))
        applied.counts = {"empty": empty}
        return applied

    @property
    def _cut(self) -> Cut:
        return Cut(self.size, self.overlap, self.headings)

    def _row(self, row: Record, number: int, piece: Piece) -> Record:
        place = {"page": piece.pages, "span": f"{piece.start}-{piece.end}"}
        if piece.heading:
            place["heading"] = piece.heading
        return {**row, **numbered(row, number, **place), self.of: piece.headed, self.key: number}
