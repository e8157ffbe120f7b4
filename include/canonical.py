"""One canonical form of a value, so that equal inputs have equal hashes on every machine and in every version."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from include.models import Record
from include.personal import token_of, tokenise_all

_AS_IT_IS = (str, int, bool)
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces, UTC times; numbers that are equal print equally (`5.0` as `5`).

    NaN and infinities become null, since JSON has no such numbers.
    """
    return _ENCODER.encode(_plain(value))


def digest(value: Any) -> str:
    """sha256 of the canonical form, as hex."""
    return digest_of(canonical(value))


def digest_of(text: str) -> str:
    """sha256 of a text that is a canonical form, as hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def mask(record: Mapping[str, Any], personal: Iterable[str], secret: str, free: Iterable[str] = ()) -> Record:
    """The record with each personal value replaced by a keyed token; equal values get equal tokens.

    The columns in `personal` become tokens as a whole; elsewhere, values that can be told by their form do, and in the
    columns `free`, which people write into, whatever is found for a model as well.
    """
    hidden, written = set(personal), set(free)
    return {
        name: _token(value, secret)
        if name in hidden
        else tokenise_all(_without_people(_plain(value), secret) if name in written else _plain(value), secret, name)
        for name, value in record.items()
    }


def _without_people(value: Any, secret: str) -> Any:
    from include.privacy.find import find_personal

    if isinstance(value, str):
        for one in reversed(find_personal(value)):
            value = f"{value[: one.start]}{token_of(value[one.start : one.end], secret)}{value[one.end :]}"
        return value
    if isinstance(value, Mapping):
        return {name: _without_people(item, secret) for name, item in value.items()}
    return [_without_people(item, secret) for item in value] if isinstance(value, list) else value


def _token(value: Any, secret: str) -> Any:
    return value if value is None or value == "" else token_of(value, secret)


def _plain(value: Any) -> Any:
    if value is None or type(value) in _AS_IT_IS:  # nearly all of them, and the checks below cost a third of an input
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return None if not math.isfinite(value) else int(value) if value.is_integer() else value
    if isinstance(value, Decimal):
        return _plain(float(value))
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return value
