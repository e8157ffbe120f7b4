"""Numbers as people write them, read by what is declared and never by a guess: `1.234,56 €`, `(1,234.50)`, `12,5 %`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from include.errors import ConfigurationError
from include.models import Kind

if TYPE_CHECKING:
    import pyarrow as pa

BLANKS = " \t\u00a0\u2007\u2009\u202f"
"""What stands for a blank within a value: also the no-break, figure, thin and narrow no-break ones."""
_ALIKE = {" ": BLANKS, "'": "'\u2019", ".": ".", ",": ","}
_MINUS = "\u2212-"  # as a class of characters, so the hyphen is last
_BLANK = f"[{BLANKS}]*"


class Notation(Protocol):
    """How the values of a column are written."""

    @property
    def kind(self) -> Kind:
        """What the values are, once they are read."""

    @property
    def code(self) -> str:
        """The declaration as it stands in a rules file."""

    def read(self, texts: pa.StringArray) -> pa.Array:
        """Trimmed texts as values, null where one is not written so."""

    def spell(self, value: Any) -> str | None:
        """A number or time of a format that has such, as this notation writes it; None where it cannot."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """Numbers with a decimal mark, maybe with thousands set apart in threes and a unit, by `amounts` and `percents`."""

    decimal: str = "."
    thousands: str | None = None
    units: tuple[str, ...] = ()
    percent: bool = False

    @property
    def kind(self) -> Kind:
        """Numbers."""
        return "number"

    @property
    def code(self) -> str:
        """The declaration as it stands in a rules file."""
        said = [f"decimal={_quoted(self.decimal)}"] if self.decimal != "." else []
        said += [f"thousands={_quoted(self.thousands)}"] if self.thousands else []
        if self.percent:
            return f"percents({', '.join(said)})"
        units = [_quoted(one) for one in self.units]
        said += [f"currency={units[0] if len(units) == 1 else '[' + ', '.join(units) + ']'}"] if units else []
        return f"amounts({', '.join(said)})"

    @property
    def form(self) -> str:
        """A regular expression that all values so written match."""
        whole, exponent = "[0-9]+", "" if self.units else r"(?:[eE][-+]?[0-9]{1,3})?"
        if self.thousands:
            mark = f"[{re.escape(_ALIKE[self.thousands])}]"
            whole = f"(?:[1-9][0-9]{{0,2}}(?:{mark}[0-9]{{3}})+|[0-9]+)"
        decimal = re.escape(self.decimal)
        number = f"(?:{whole}(?:{decimal}[0-9]+)?|{decimal}[0-9]+){exponent}"
        unit = f"(?:{'|'.join(re.escape(one) for one in sorted(self.units, key=len, reverse=True))})"
        tied = f"(?:{unit}{_BLANK})?", f"(?:{_BLANK}{unit})?"
        sign, after = f"(?:[+{_MINUS}]{_BLANK})?", f"(?:{_BLANK}[{_MINUS}])?"
        if not self.units:
            bare = [f"{sign}{number}", f"{number}{after}", rf"\({_BLANK}{number}{_BLANK}\)"]
            return f"^(?:{'|'.join(bare)})$"
        every = list[str]()
        for left, right in ((f"{unit}{_BLANK}", ""), ("", tied[1].removesuffix("?") + ("" if self.percent else "?"))):
            every += [f"{sign}{left}{number}{right}", f"{left}{sign}{number}{right}"]
            every += [f"{left}{number}{right}{after}", f"{left}{number}{after}{right}"]
            every += [rf"\({_BLANK}{left}{number}{right}{_BLANK}\)", rf"{left}\({_BLANK}{number}{_BLANK}\){right}"]
        return f"^(?:{'|'.join(every)})$"

    def read(self, texts: pa.StringArray) -> pa.DoubleArray:
        """Trimmed texts as numbers, null where one is not written so; what is too large for a float is not."""
        import pyarrow as pa
        import pyarrow.compute as pc

        fits = pc.match_substring_regex(texts, self.form)
        plain = pc.if_else(fits, texts, pa.scalar(None, pa.string()))
        for unit in sorted(self.units, key=len, reverse=True):
            plain = pc.replace_substring(plain, unit, "")
        for mark in _ALIKE.get(self.thousands or "", ""):
            plain = pc.replace_substring(plain, mark, "")
        if self.decimal != ".":
            plain = pc.replace_substring(plain, self.decimal, ".")
        negative = pc.match_substring_regex(plain, f"[(]|^[{BLANKS}]*[{_MINUS}]|[{_MINUS}][{BLANKS}]*$")
        plain = pc.utf8_trim(plain, f"()+{_MINUS}{BLANKS}")
        if self.percent:
            plain = pc.binary_join_element_wise(plain, "e-2", "")
        values = plain.cast(pa.float64())
        values = pc.if_else(negative, pc.negate(values), values)
        return pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))

    def spell(self, value: Any) -> str | None:
        """A number as this notation writes it; None for what is none."""
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
            return None
        number = Decimal(str(value)) * (100 if self.percent else 1)
        return f"{number:f}".replace(".", self.decimal) + ("%" if self.percent else "")


def amounts(
    decimal: str = ".", *, thousands: str | None = None, currency: str | Sequence[str] | None = None
) -> Amounts:
    """Numbers with the decimal mark `.` or `,`; with `thousands` (`.`, `,`, `'` or a blank) set apart in threes or not.

    A `currency`, or any other unit, may stand before or after; several are spellings of one. Below 0 are `-1`, `1-` and
    `(1)`. `1,234` is no number where the comma is neither. Raises ConfigurationError for what cannot be told apart.
    """
    units = (currency,) if isinstance(currency, str) else tuple(currency or ())
    _hold_marks(decimal, thousands, "amounts")
    for unit in units:
        if not isinstance(unit, str) or not unit.strip(BLANKS) or unit != unit.strip(BLANKS):
            raise ConfigurationError(f"{unit!r} is no currency, such as '€', '$' or 'EUR'", about="amounts")
        if re.search(rf"[0-9+()%{_MINUS}]", unit):
            raise ConfigurationError(f"{unit!r} holds what a number is made of", about="amounts")
    return Amounts(decimal, thousands, units)


def percents(decimal: str = ".", *, thousands: str | None = None) -> Amounts:
    """Shares of 1 that are written with a percent sign before or after: `12,5 %` is 0.125.

    A value without the sign cannot be read, since `0.5` may be a half or a half percent.
    """
    _hold_marks(decimal, thousands, "percents")
    return Amounts(decimal, thousands, ("%",), percent=True)


def _hold_marks(decimal: str, thousands: str | None, about: str) -> None:
    if decimal not in (".", ","):
        raise ConfigurationError(f"decimal={decimal!r} is neither '.' nor ','", about=about)
    if thousands is not None and thousands not in _ALIKE:
        raise ConfigurationError(f"thousands={thousands!r} is none of '.', ',', \"'\" and ' '", about=about)
    if thousands == decimal:
        raise ConfigurationError(f"{decimal!r} cannot be both the decimal mark and between thousands", about=about)


def _quoted(text: str | None) -> str:
    return '"' + (text or "").replace("\\", "\\\\").replace('"', '\\"') + '"'
