"""Texts as days and times by regular expressions with named groups, all of a column at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.staging import ARROW

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_PIVOT = 69  # two-digit years from here are of the last century, as strptime has it
_DAY, _SECOND = 86_400, 1_000_000


def read_days(texts: pa.StringArray, forms: Sequence[str], *, whole: bool) -> pa.Array:
    """Texts as UTC times, or dates if they are `whole`; null where no form fits, or two that mean other times.

    A form has the groups year or short (of two digits), month or name, and may have day, hour or twelve with half,
    minute, second, fraction and zone.
    """
    encoded = texts.dictionary_encode()
    micros, known = _read(encoded.dictionary, forms[0])
    doubt = np.zeros(len(known), bool)
    for form in forms[1:]:
        other, fits = _read(encoded.dictionary, form)
        doubt |= known & fits & (micros != other)
        micros = np.where(fits & ~known, other, micros)
        known |= fits
    times = pa.array(micros, pa.timestamp("us"), mask=~known | doubt)
    return times.cast(pa.date32() if whole else ARROW["datetime"]).take(encoded.indices)


def _read(texts: pa.StringArray, form: str) -> tuple[np.ndarray, np.ndarray]:
    """Microseconds since 1970 of each text, and whether it has this form and is a day that the calendar has."""
    found = pc.extract_regex(texts, form)
    fits = found.is_valid().to_numpy(zero_copy_only=False)
    parts = {field.name: pc.struct_field(found, field.name) for field in found.type}

    def number(name: str, default: int = 0) -> np.ndarray:
        if name not in parts:
            return np.full(len(texts), default, np.int64)
        plain = pc.if_else(pc.equal(pc.binary_length(parts[name]), 0), None, parts[name])
        whole: np.ndarray = pc.fill_null(plain.cast(pa.int64()), default).to_numpy(zero_copy_only=False)
        return whole

    short = number("short")
    years = number("year") if "year" in parts else short + np.where(short >= _PIVOT, 1900, 2000)
    month = _named_month(parts["name"]) if "name" in parts else number("month", 1)
    months = (years - 1970) * 12 + month - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]") + (number("day", 1) - 1)
    fits &= (days.astype("datetime64[M]") == months.astype("datetime64[M]")) & (years > 0)
    hour = number("hour")
    if "half" in parts:
        after = pc.starts_with(pc.ascii_lower(parts["half"]), "p")
        hour = number("twelve") % 12 + 12 * pc.fill_null(after, False).to_numpy(zero_copy_only=False)
    seconds = days.astype(np.int64) * _DAY + hour * 3_600 + number("minute") * 60 + number("second")
    if "zone" in parts:
        seconds -= _offsets(parts["zone"])
    fraction = pc.utf8_rpad(parts["fraction"], 6, "0").cast(pa.int64()) if "fraction" in parts else None
    return seconds * _SECOND + (_filled(fraction) if fraction is not None else 0), fits


def _named_month(names: pa.StringArray) -> np.ndarray:
    short = pc.utf8_slice_codeunits(pc.ascii_lower(names), 0, 3)
    return _filled(pc.index_in(short, pa.array(_MONTHS))) + 1


def _offsets(zones: pa.StringArray) -> np.ndarray:
    """Seconds east of UTC."""
    digits = pc.replace_substring(zones, ":", "")
    plain = pc.if_else(pc.equal(digits, "Z"), "+0000", digits)
    hours, minutes = (pc.utf8_slice_codeunits(plain, a, a + 2).cast(pa.int64()) for a in (1, 3))
    east = _filled(pc.add(pc.multiply(hours, 3_600), pc.multiply(minutes, 60)))
    west = pc.fill_null(pc.starts_with(plain, "-"), False).to_numpy(zero_copy_only=False)
    return np.where(west, -east, east)


def _filled(values: pa.Array) -> np.ndarray:
    found: np.ndarray = pc.fill_null(values.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    return found
