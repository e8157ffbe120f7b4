"""Which declarations a column's texts speak for: told to people, who declare one of them; never applied."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from include.systems.files.formats.dates import Dates
from include.systems.files.formats.kinds import NEARLY
from include.systems.files.formats.notation import Amounts, Notation
from include.systems.files.formats.reading import Reading

MOST = 1_000
"""Values that are looked at."""
_LONGEST = 40
_MARKS = ((".", None), (",", None), (",", "."), (".", ","), (",", " "), (".", " "), (".", "'"), (",", "'"))
_WORD = re.compile(r"(?:^|(?<=\s))[^\W\d_]{1,4}\.?(?=\s)|(?<=\s)[^\W\d_]{1,4}\.?$")
_PLAIN = r"^[-+]?[0-9]+(\.[0-9]+)?$"
_ZEROS = r"^[-+]?0[0-9]+$"
_DAYS = ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%Y{0}%m{0}%d", "%d{0}%m{0}%y", "%m{0}%d{0}%y", "%d{0}%b{0}%Y", "%d{0}%b{0}%y")
_WORDED = ("%b %d, %Y", "%B %d, %Y", "%d. %B %Y", "%d %B %Y", "%Y%m%d")
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S.%f")


class Waiting:
    """Columns of texts that a rule needs, and maybe not as texts: a few values of each, to say how they are written."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._kept = dict[str, list[pa.StringArray]]()

    def add(self, name: str, texts: pa.StringArray) -> None:
        """Keep some trimmed texts of a column that is not declared."""
        reading = self._reading
        if reading.measured is None or name not in reading.expected or name in reading.texts:
            return
        kept = self._kept.setdefault(name, [])
        if sum(map(len, kept)) < MOST:
            kept.append(pc.drop_null(texts).slice(0, MOST))

    @cached_property
    def said(self) -> dict[str, str]:
        """By column, the declarations that more than half of its values speak for: `amounts() or dates("%Y")`."""
        found = {name: likely(pa.concat_arrays(kept), share=0.5) for name, kept in self._kept.items()}
        return {name: " or ".join(one.code for one in notations) for name, notations in found.items() if notations}

    def why(self) -> dict[str, str]:
        """By column, why it is text."""
        return {
            name: f"nothing says how its values are written; in COLUMNS, declare {said}"
            for name, said in self.said.items()
        }

    def notes(self) -> Iterator[str]:
        """A sentence for each of these columns that a rule measures."""
        for name, said in self.said.items():
            if name in (self._reading.measured or ()):
                yield f"{name!r} is text; for a rule about its size declare in COLUMNS how it is written: {said}"


def likely(texts: pa.StringArray, share: float = NEARLY) -> tuple[Notation, ...]:
    """The notations that a `share` of the first thousand trimmed texts have, and no other has more of: one if they
    leave no doubt, several where `1,234` or `01/02/2026` could be either, none for texts and identifiers.
    """
    given = pc.drop_null(texts).slice(0, MOST)
    short = pc.less_equal(pc.binary_length(given), _LONGEST)
    if not short.true_count or short.true_count < share * len(given):
        return ()
    best = _best(given, share, _dates(given))
    if best or pc.any(pc.match_substring_regex(given, _ZEROS)).as_py():
        return best
    plain = pc.match_substring_regex(given, _PLAIN).true_count
    return _best(given, share, _amounts(given), beyond=plain)


def _best(given: pa.StringArray, share: float, tried: Iterator[Notation], beyond: int = 0) -> tuple[Notation, ...]:
    shares = [(len(given) - one.read(given).null_count, one) for one in tried]
    most = max((count for count, _ in shares), default=0)
    if most < share * len(given) or most <= beyond:
        return ()
    found = [one for count, one in shares if count == most]
    plain = {one.decimal for one in found if isinstance(one, Amounts) and one.thousands is None}
    kept = [one for one in found if not isinstance(one, Amounts) or one.thousands is None or one.decimal not in plain]
    marked = pc.any(pc.match_substring_regex(given, "[.,]")).as_py()
    return tuple(one for one in kept if marked or not isinstance(one, Amounts) or one.decimal == ".")


def _amounts(given: pa.StringArray) -> Iterator[Amounts]:
    texts = given.to_pylist()
    units: Sequence[str] = ()
    percent = sum("%" in one for one in texts) > len(texts) / 2
    if percent:
        units = ("%",)
    else:
        found = Counter(unit for one in texts for unit in _units(one))
        units = [unit for unit, count in found.most_common(2) if count > 0.02 * len(texts) + 1]
    for decimal, thousands in _MARKS:
        yield Amounts(decimal, thousands, tuple(units), percent)


def _units(text: str) -> set[str]:
    """Signs of currencies, and short words that a blank sets apart; `A12` is an identifier."""
    return {sign for sign in text if unicodedata.category(sign) == "Sc"} | set(_WORD.findall(text))


def _dates(given: pa.StringArray) -> Iterator[Dates]:
    first = next(text for text in given.to_pylist() if len(text) <= _LONGEST)
    marks = [mark for mark in "./- " if mark in first]
    days = [one.format(mark) for mark in marks for one in _DAYS] + list(_WORDED)
    for day in days:
        for time in _TIMES if ":" in first else ("",):
            yield Dates((day + time,))
