"""Dates and times as people write them, read by declared formats: `dates("%m/%d/%Y")`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError
from include.models import Kind
from include.systems.files.formats.notation import BLANKS

if TYPE_CHECKING:
    import pyarrow as pa

_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_SHORT = "|".join(name[:3] for name in _MONTHS.split("|"))
_PARTS: Mapping[str, tuple[str, str]] = {
    "d": ("day", "0?[1-9]|[12][0-9]|3[01]"),
    "m": ("month", "0?[1-9]|1[0-2]"),
    "Y": ("year", "[0-9]{4}"),
    "y": ("short", "[0-9]{2}"),
    "b": ("name", f"(?i:{_SHORT})"),
    "B": ("name", f"(?i:{_MONTHS})"),
    "H": ("hour", "[01]?[0-9]|2[0-3]"),
    "I": ("twelve", "0?[1-9]|1[0-2]"),
    "M": ("minute", "[0-5][0-9]"),
    "S": ("second", "[0-5][0-9]"),
    "f": ("fraction", "[0-9]{1,6}"),
    "p": ("half", "(?i:[ap]m)"),
    "z": ("zone", "Z|[+-](?:0[0-9]|1[0-5]):?[0-5][0-9]"),
}
"""By directive of strptime: what it gives, and its form."""
_OF_TIMES = frozenset("HIMSfpz")
_DIRECTIVE = re.compile(r"%(.)", re.DOTALL)


@dataclass(frozen=True)
class Dates:
    """Dates or times in one of several formats of strptime; made by `dates`."""

    formats: tuple[str, ...]

    @cached_property
    def kind(self) -> Kind:
        """Times where a format has an hour, else dates."""
        return "datetime" if any(set(_DIRECTIVE.findall(one)) & _OF_TIMES for one in self.formats) else "date"

    @property
    def code(self) -> str:
        """The declaration as it stands in a rules file."""
        return "dates(" + ", ".join(f'"{one}"' for one in self.formats) + ")"

    def read(self, texts: pa.StringArray) -> pa.Array:
        """Trimmed texts as dates or UTC times; null where none of the formats fits, or two that mean other times."""
        from include.systems.files.formats.days import read_days

        return read_days(texts, self._forms, whole=self.kind == "date")

    def spell(self, value: Any) -> str | None:
        """A date or time as the first format writes it; None where that would leave something of it out."""
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        if not isinstance(value, datetime):
            return None
        if "%z" in self.formats[0] and value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        said = f"{value:{self.formats[0].replace('%Y', f'{value.year:04}')}}"
        again = datetime.strptime(said, self.formats[0])
        return said if again == value else None

    @cached_property
    def _forms(self) -> tuple[str, ...]:
        return tuple(map(_form, self.formats))


def dates(*formats: str) -> Dates:
    """Dates, or times where a format has an hour, by directives of strptime: %d %m %b %B %y %Y %H %I %p %M %S %f %z.

    Names of months are English, in any case. Times are UTC where they name no zone. Without %d it is the month's first
    day; %y from 69 is of the last century. Days, months and hours may lack their leading zero where something stands
    between them. A value that two formats read differently is not read. Raises ConfigurationError for a format that
    leaves open what is meant.
    """
    if not formats:
        raise ConfigurationError('needs a format, such as dates("%d.%m.%Y")', about="dates")
    for one in formats:
        if wrong := _wrong_with(one):
            raise ConfigurationError(wrong, about=f"dates({one!r})")
    return Dates(tuple(formats))


def _wrong_with(given: Any) -> str | None:
    """What a format lacks or has too much, in words."""
    if not isinstance(given, str):
        return "is no format"
    used = _DIRECTIVE.findall(given.replace("%%", ""))
    unknown = next((one for one in used if one not in _PARTS), None)
    if unknown is not None or _DIRECTIVE.sub("", given).count("%"):
        return f"%{unknown or ''} is none of {' '.join('%' + one for one in _PARTS)}"
    parts = [_PARTS[one][0] for one in used]
    if twice := next((one for one in used if parts.count(_PARTS[one][0]) > 1), None):
        return f"%{twice} is there twice"
    have = set(used)
    for needed, why in (("Yy", "a year"), ("mbB", "a month")):
        if len(have & set(needed)) != 1:
            return f"needs {why}, once: {' or '.join('%' + one for one in needed)}"
    if ("I" in have) != ("p" in have) or {"I", "H"} <= have:
        return "%I and %p need each other, and %H neither"
    if have & set("MSfpz") and not have & set("HI"):
        return "a time needs its hour: %H, or %I with %p"
    if ("S" in have and "M" not in have) or ("f" in have and "S" not in have):
        return "minutes, seconds and their fractions need each other, in this order"
    return None


def _form(given: str) -> str:
    """A format as a regular expression with named groups; digits that nothing sets apart have their leading zeros."""
    pieces, at, ends_in_digit = list[str](), 0, False
    for found in _DIRECTIVE.finditer(given):
        between, one = given[at : found.start()], found[1]
        pieces.append(_literal(between))
        at = found.end()
        if one == "%":
            pieces.append("%")
            continue
        name, form = _PARTS[one]
        follows = given[at : at + 2]
        tight = (ends_in_digit and not between) or (follows[:1] == "%" and follows[1:] in "dmYyHIMSf") or (
            follows[:1].isdigit() or between[-1:].isdigit()
        )  # fmt: skip
        if tight and one in "dmHI":
            form = form.replace("0?", "0").replace("[01]?", "[01]")
        pieces.append(f"(?P<{name}>{form})")
        ends_in_digit = one in "dmYyHIMSf"
    return f"^{''.join(pieces)}{_literal(given[at:])}$"


def _literal(text: str) -> str:
    return re.sub(r"(\\? )+", lambda _: f"[{BLANKS}]+", re.escape(text))
