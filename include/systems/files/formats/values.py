"""Turn what a source sends into values of the declared kinds, or say in words why that cannot be done."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from include.models import Column, Kind, Record

ABSENT_TEXT = frozenset({"", "-", "--", "\u2013", "\u2014", "n/a", "N/A", "#N/A", "null", "NULL", "(null)", "\\N"})
ABSENT = frozenset({"na", "nan", "none", "nil", "null", "n/a", "#n/a", "(null)", "?", "unknown"})
_TRUE, _FALSE = frozenset({"true", "t", "yes", "y", "1"}), frozenset({"false", "f", "no", "n", "0"})
_GROUPED = re.compile(r"([+-]?[1-9]\d{0,2})((?:([,' \u00a0\u202f])\d{3})(?:\3\d{3})*)(\.\d+)?", re.ASCII)
_EUROPEAN = re.compile(r"[+-]?[1-9]\d{0,2}(?:(?:\.\d{3})+,\d+|(?:\.\d{3}){2,})", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
_PLAIN_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_EPOCH_MILLIS = re.compile(r"-?\d{11,13}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = 40


def read_value(raw: Any, kind: Kind) -> Any:
    """The value, or None where the source has none (empty, `n/a`, `null`, `-` and the like); else ValueError.

    Numbers may have thousands separators; `1.234` alone is one and a bit, as in the source's own JSON. Times are ISO
    8601 or epoch milliseconds, and UTC if they name no zone. Text is trimmed and otherwise kept as it came, but for
    NUL and half surrogate pairs, which no database takes: they become U+FFFD.
    """
    if raw is None:
        return None
    if not isinstance(raw, (str, int, float)):
        raise ValueError("a nested value")
    text = clean_text(str(raw).lower() if isinstance(raw, bool) else str(raw))
    if text in ABSENT_TEXT or (kind != "text" and text.lower() in ABSENT):
        return None
    return _READERS[kind](text)


def read_text(text: str, kind: Kind) -> Any:
    """A trimmed text that is known to be a value, as `read_value` reads it; ValueError where it is none of the kind."""
    return _READERS[kind](text)


def read_columns(
    raw: Mapping[str, Any], columns: Iterable[Column], *, prefix: str = "", personal: Collection[str] = ()
) -> tuple[Record, list[str]]:
    """The declared columns under their staged names, and every reason why one could not be read (it is None then).

    A reason never shows the value of a column in `personal`, nor anything that looks like an e-mail address.
    """
    record: Record = {}
    reasons = []
    for column in columns:
        name, value = prefix + column.name, raw.get(column.source_name)
        try:
            record[name] = read_value(value, column.kind)
        except ValueError:
            record[name] = None
            reasons.append(f"{name}: expected {column.kind}, got {_show(value, name in personal)}")
    return record, reasons


def clean_text(text: str) -> str:
    """Trimmed text that every database and file format can hold."""
    text = text.strip()
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def join_key(value: Any) -> str | None:
    """The form in which keys of two sources are compared: lower case, trimmed, without scheme, `www.` and path.

    A path is cut only after a scheme, so that keys which are no addresses keep their slashes.
    """
    text = clean_text(str(value)).lower() if value is not None else ""
    scheme, separator, rest = text.partition("://")
    if separator and scheme.isalpha():
        text = rest.partition("/")[0]
    return text.removeprefix("www.").rstrip("/.") or None


def explain_missing(name: str, existing: Iterable[str]) -> str:
    """`no "x"; closest: "y" (renamed?)`, for a declared name that a source does not have."""
    close = difflib.get_close_matches(name, list(existing), n=3, cutoff=0.5)
    return f"no {name!r}" + (f"; closest: {', '.join(map(repr, close))} (renamed?)" if close else "")


def _show(value: Any, hidden: bool) -> str:
    text = str(value)
    if hidden or "@" in text or not isinstance(value, (str, int, float)):
        return f"something else ({len(text)} characters)"
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _number(text: str) -> Decimal:
    if match := _GROUPED.fullmatch(text):
        text = match[1] + re.sub(r"\D", "", match[2]) + (match[4] or "")
    elif _EUROPEAN.fullmatch(text):
        text = text.replace(".", "").replace(",", ".")
    elif _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    elif not _PLAIN_NUMBER.fullmatch(text):
        raise ValueError("no number")
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError("no number") from error


def _read_number(text: str) -> float:
    value = float(_number(text))
    if not math.isfinite(value):
        raise ValueError("too large")
    return value


def _read_integer(text: str) -> int:
    value = _number(text)
    if value != value.to_integral_value() or not -(2**63) <= value < 2**63:
        raise ValueError("no whole number of 64 bits")
    return int(value)


def _read_datetime(text: str) -> datetime:
    if _EPOCH_MILLIS.fullmatch(text):
        return _EPOCH + timedelta(milliseconds=int(text))
    value = datetime.fromisoformat(text)
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("out of range") from error


def _read_date(text: str) -> date:
    return _read_datetime(text).date()


def _read_boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("neither yes nor no")


_READERS: Mapping[Kind, Callable[[str], Any]] = {
    "text": str,
    "integer": _read_integer,
    "number": _read_number,
    "datetime": _read_datetime,
    "date": _read_date,
    "boolean": _read_boolean,
}
