"""Values of the declared kinds, from code that makes them: what does not fit is said, and never quoted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from include.models import Kind

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
TYPES: Mapping[Kind, Any] = {
    "text": str,
    "integer": int,
    "number": float,
    "datetime": datetime,
    "date": date,
    "boolean": bool,
}
"""What a value of each kind is in Python."""


class OtherKind(ValueError):
    """A value is not of the declared kind; says what it is and never the value."""


def of_kind(value: Any, kind: Kind) -> Any:
    """The value as it is staged; raises ValueError saying what else it is, without quoting it.

    Times are in UTC; in texts, NUL and half surrogate pairs, which no database takes, become U+FFFD.
    """
    if value is None:
        return None
    if kind == "number" and type(value) is int:
        value = float(value) if abs(value) < 1 << 1023 else math.inf
    if type(value) is not TYPES[kind]:
        raise OtherKind(f"expected {kind}, got {type(value).__name__}")
    if (kind == "number" and not math.isfinite(value)) or (kind == "integer" and not -(2**63) <= value < 2**63):
        raise OtherKind(f"expected {kind}, got one out of range")
    if kind == "datetime":
        if value.tzinfo is None:
            raise OtherKind("expected datetime, got one without a time zone")
        return value.astimezone(UTC)
    return _UNSTORABLE.sub("\ufffd", value) if kind == "text" else value
