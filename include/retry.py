"""One retry ladder for every call that leaves this process: how often, how long to wait, what the server asked for."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_ATTEMPTS = 5
LONGEST_RETRY_AFTER = 120.0
"""Seconds that a server may make us wait at most; asked for more, a wrong or hostile header would hang the night."""

_LONGEST_BASE = 8.0


def wait_seconds(
    attempt: int, retry_after: float | None = None, *, spread: Callable[[], float] = random.random
) -> float:
    """Seconds to wait after the failed `attempt` (counted from 1): at least 1, 2, 4, 8, and at least `retry_after`.

    Up to one more base interval is added and nothing is ever taken away, so that clients told the same time to wait
    do not wake together, and none wakes early. `spread` gives a number in [0, 1).
    """
    base = min(2.0 ** (attempt - 1), _LONGEST_BASE)
    return max(base, retry_after or 0.0) + spread() * base


def retry_after_seconds(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds the server asks to wait, at most LONGEST_RETRY_AFTER; None if it does not say, or says nonsense.

    Reads `retry-after-ms` (milliseconds), else `retry-after` as seconds or as an HTTP date (RFC 9110, 10.2.3).
    """
    said = {name.lower(): value.strip() for name, value in headers.items()}
    seconds = _number(said.get("retry-after-ms"), 1000.0)
    if seconds is None:
        seconds = _number(said.get("retry-after"), 1.0)
    if seconds is None:
        seconds = _until(said.get("retry-after"), now or datetime.now(UTC))
    return None if seconds is None else min(seconds, LONGEST_RETRY_AFTER)


def _number(text: str | None, unit: float) -> float | None:
    try:
        value = float(text) / unit if text else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) and value >= 0 else None


def _until(text: str | None, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text) if text else None
    except (ValueError, OverflowError):
        return None
    if moment is None:
        return None
    return max((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp(), 0.0)
