"""Values on their way to another system and back, in JSON types, and when two of them are the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from include.plain import visible


def plain(value: Any) -> Any:
    """A value in JSON types: times in UTC as ISO 8601, exact numbers as text where no float holds them, text visible.

    A formula stays, since a program reads it. What is no number (NaN, infinity) becomes null.
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {visible(str(name)): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return visible(str(value))


def _number(value: Decimal) -> Any:
    if not value.is_finite():
        return None
    if value == value.to_integral_value() and abs(value) < 2**63:
        return int(value)
    near = float(value)
    return near if Decimal(repr(near)) == value else str(value)


def same(one: Any, other: Any) -> bool:
    """Whether two plain values mean the same: numbers by value, times by moment, all else as written."""
    if one == other and isinstance(one, bool) == isinstance(other, bool):
        return True
    if one is None or other is None:
        return False
    if isinstance(one, str) and isinstance(other, str):
        return _same_time(one, other)
    if isinstance(one, (dict, list)) or isinstance(other, (dict, list)):
        return False
    return _same_number(one, other)


def _same_time(one: str, other: str) -> bool:
    try:
        return datetime.fromisoformat(one) == datetime.fromisoformat(other)
    except ValueError:
        return False


def _same_number(one: Any, other: Any) -> bool:
    try:
        return Decimal(str(_whole(one))) == Decimal(str(_whole(other)))
    except InvalidOperation:
        return False


def _whole(value: Any) -> Any:
    """SQLite has 0 and 1 for no and yes."""
    return int(value) if isinstance(value, bool) else value
