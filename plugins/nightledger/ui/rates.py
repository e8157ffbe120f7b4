"""Downloads and looks at personal values are counted per user, so that one login cannot carry everything away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fastapi import HTTPException

_MOST_USERS = 10_000


class Rate:
    """At most `most` in any `seconds`, per user and process of the api-server; `clock` gives seconds."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._times: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def take(self, user_id: str) -> None:
        """Count one; raises HTTPException 429 with `Retry-After` when the user has had as many already."""
        now = self._clock()
        with self._lock:
            if len(self._times) > _MOST_USERS:
                self._times = {user: kept for user, times in self._times.items() if (kept := self._recent(times, now))}
            times = self._recent(self._times.get(user_id, []), now)
            if len(times) >= self._most:
                wait = max(1, round(times[0] + self._seconds - now))
                words = f"At most {self._most} in {self._seconds:.0f} s. Try again in {wait} s."
                raise HTTPException(429, words, headers={"Retry-After": str(wait)})
            self._times[user_id] = [*times, now]

    def _recent(self, times: list[float], now: float) -> list[float]:
        return [at for at in times if now - at < self._seconds]


LOOKS = Rate(60, 3600)
"""Looks at personal values, on whatever page."""
