"""Which kind of values a column holds, and its texts as such values, in Arrow and a batch at a time."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from include.models import Kind
from include.staging import ARROW, column_of
from include.systems.files.formats.values import read_text

NEARLY = 0.95
"""The share of a column's values that must be of a kind for the others to be called wrong."""
_SPELT = 8  # letters of a word of which every mix of cases is looked for, which is faster than to lower all values
_SETTLED = 1_000  # values, after which a kind that not even half of them have is given up
_FORMS: Mapping[Kind, str] = {
    "boolean": r"^(?i:true|false)$",
    "integer": r"^-?(0|[1-9][0-9]{0,17})$",
    "number": r"^-?((0|[1-9][0-9]{0,14})|(0|[1-9][0-9]*)(\.[0-9]+([eE][+-]?[0-9]{1,3})?|[eE][+-]?[0-9]{1,3})"
    r"|(?i:inf|infinity))$",
    "date": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "datetime": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?([+-][0-9:]{2,5}|Z)?)?$",
}
"""What values of a kind look like, narrowest first; `007`, `+49` and whole numbers that no float holds are texts."""
_IDENTIFIER = r"^(-?0[0-9]|\+[0-9]|-?[0-9]{16,}$)"
_ZONE = r"(?:Z|:[0-9.,]+[+-][0-9:]{2,5})$"
_LARGEST, _EXACT = "9223372036854775807", 10**15
_NO_NUMBER_IN_QUOTES: frozenset[Kind] = frozenset({"boolean", "integer", "number"})


@dataclass(slots=True)
class Narrowing:
    """What is known of a column's kind so far, from `add` for every batch of it."""

    seen: int = 0
    padded: bool = False
    _matched: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(_FORMS, 0))
    _named: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(_FORMS, 0))
    _first: dict[Kind, int] = field(default_factory=dict)
    _alive: list[Kind] = field(default_factory=lambda: list(_FORMS))
    _guess: Kind | None = None

    def add(self, texts: pa.StringArray, lines: pa.Int64Array, *, quoted: bool = False) -> None:
        """Take in trimmed texts, null where there is no value, and their lines in the file."""
        if quoted:
            self._alive = [kind for kind in self._alive if kind not in _NO_NUMBER_IN_QUOTES]
        values = texts.drop_null() if texts.null_count else texts
        if not len(values) or not self._alive:
            self.seen += len(values)
            return
        self.seen += len(values)
        if self._guess in self._alive and self._all_are(values, self._guess):
            return
        masks = {kind: _matches(values, kind) for kind in self._alive}
        odd = pc.match_substring_regex(values, _IDENTIFIER) if "integer" in masks or "number" in masks else None
        for kind, mask in masks.items():
            count = mask.true_count
            self._matched[kind] += count
            if count < len(values):
                if kind not in self._first:
                    where = lines.filter(texts.is_valid()) if texts.null_count else lines
                    self._first[kind] = where[pc.index(mask, False).as_py()].as_py()
                self._named[kind] += pc.and_not(odd, mask).true_count if odd is not None else 0
        self._settle()

    def _all_are(self, values: pa.StringArray, kind: Kind) -> bool:
        """Whether all values are of the kind that all were so far, by casting them, which is faster than to look."""
        given, wider = len(values), list[Kind]()
        if kind == "integer":
            whole = _cast(values, kind)
            if whole is None or not pc.all(pc.equal(whole.cast(pa.string()), values)).as_py():
                return False
            ends = pc.min_max(whole).as_py()
            wider = ["number"] if max(-ends["min"], ends["max"]) < _EXACT else []
        elif kind == "date":
            if _cast(values, kind) is None:
                return False
            wider = ["datetime"]
        elif kind != "datetime" or _cast(values, kind) is None:
            return False
        if any(one not in (kind, *wider) for one in self._alive):
            return False
        for one in (kind, *wider):
            self._matched[one] += given
        return True

    def _settle(self) -> None:
        if self.seen >= _SETTLED:
            self._alive = [kind for kind in self._alive if 2 * self._matched[kind] >= self.seen]
        whole = [kind for kind in self._alive if self._matched[kind] == self.seen]
        self._guess = whole[0] if whole else None
        if self._guess is not None and self.seen >= _SETTLED:
            at = list(_FORMS).index(self._guess)
            self._alive = [kind for kind in self._alive if list(_FORMS).index(kind) >= at]

    def kind(self, *, measured: bool) -> tuple[Kind, bool]:
        """The narrowest kind of all values, else that of nearly all if they are `measured`; and whether all have it.

        A column without values is text, and so is one with identifiers among its numbers.
        """
        if not self.seen:
            return "text", True
        for kind in self._alive:
            if self._matched[kind] == self.seen:
                return kind, True
        most = max(self._alive, key=self._matched.__getitem__, default=None)
        if measured and most and not self._named[most] and self._matched[most] >= NEARLY * self.seen:
            return most, False
        return "text", True

    def disturbed(self) -> tuple[Kind, int] | None:
        """Of a column that is text: the narrowest kind that most of its values have, and the first line without."""
        for kind in self._alive:
            if self.seen and self._matched[kind] < self.seen < 2 * self._matched[kind]:
                return kind, self._first[kind]
        return None


@functools.cache
def spellings(words: tuple[str, ...]) -> pa.StringArray:
    """Words in every mix of upper and lower case; long ones, which have too many, in lower case alone."""
    every = {word.lower() for word in words}
    for word in words:
        if len(word) <= _SPELT:
            every |= {"".join(one) for one in itertools.product(*({c.lower(), c.upper()} for c in word))}
    return column_of(sorted(every), pa.string())


def mark_absent(texts: pa.StringArray, words: pa.StringArray) -> tuple[pa.StringArray, pa.BooleanArray | None]:
    """Texts without blanks around them, and which of them stand for no value (None: not one)."""
    trimmed = pc.utf8_trim_whitespace(texts)
    longest = pc.max(pc.binary_length(words)).as_py() or 0
    short = pc.less_equal(pc.binary_length(trimmed), longest)
    if not short.true_count:
        return trimmed, None
    given = pc.utf8_lower(trimmed) if longest > _SPELT else trimmed
    mask = pc.is_in(given, words)
    return trimmed, mask if mask.true_count else None


def convert(texts: pa.StringArray, kind: Kind, *, fits: bool, declared: bool) -> tuple[pa.Array, Sequence[int]]:
    """Trimmed texts as values of a kind, null where one cannot be read; and the positions of those.

    `fits` says that all have the kind's form; values of a `declared` kind may have any that `read_text` reads.
    """
    whole = _cast(texts, kind) if fits else None
    if whole is not None:
        return whole, ()
    plain = pc.fill_null(_matches(texts, kind), False)
    values = _cast(pc.if_else(plain, texts, pa.scalar(None, pa.string())), kind)
    rest = texts.is_valid() if values is None else pc.and_not(texts.is_valid(), plain)
    positions, bad, found = pc.indices_nonzero(rest).to_pylist(), list[int](), list[object]()
    for at in positions:
        try:
            if not declared and values is not None:
                raise ValueError("of another kind")
            found.append(read_text(texts[at].as_py(), kind))
        except ValueError:
            bad.append(at)
            found.append(None)
    if values is None:
        values = pa.nulls(len(texts), ARROW[kind])
    if not positions:
        return values, bad
    return pc.replace_with_mask(values, rest, pa.array(found, ARROW[kind])), bad


def _matches(texts: pa.StringArray, kind: Kind) -> pa.BooleanArray:
    if kind == "boolean":
        return pc.is_in(texts, spellings(("true", "false"))) if len(texts) else pa.array([], pa.bool_())
    mask = pc.match_substring_regex(texts, _FORMS[kind])
    if kind == "integer" and pc.max(pc.binary_length(texts)).as_py() not in (None, *range(19)):
        digits = pc.utf8_ltrim(texts, "-")
        long = pc.and_(pc.match_substring_regex(texts, r"^-?[1-9][0-9]{18}$"), pc.less_equal(digits, _LARGEST))
        return pc.or_(mask, long)
    return mask


def _cast(texts: pa.StringArray, kind: Kind) -> pa.Array | None:
    """Texts as values of a kind; None where one of them has to be read by itself."""
    try:
        if kind == "datetime":
            return _times(texts)
        return texts.cast(ARROW[kind])
    except pa.ArrowInvalid:
        return None


def _times(texts: pa.StringArray) -> pa.Array:
    """ISO 8601 times, UTC where they name no zone."""
    utc = ARROW["datetime"]
    zoned = pc.match_substring_regex(texts, _ZONE)
    count = zoned.true_count
    if not count:
        return texts.cast(pa.timestamp("us")).cast(utc)
    if count == len(texts) - texts.null_count:
        return texts.cast(utc)
    nothing = pa.scalar(None, pa.string())
    plain = pc.if_else(zoned, nothing, texts).cast(pa.timestamp("us")).cast(utc)
    return pc.coalesce(pc.if_else(zoned, texts, nothing).cast(utc), plain)
