"""Two ways in which vendors count requests: a sliding window, and a bucket that refills."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass
class SlidingWindow:
    """At most `limit` requests in any span of `seconds`; `now` is a monotonic time in seconds."""

    limit: int
    seconds: float
    _times: deque[float] = field(default_factory=deque)

    def remaining(self, now: float) -> int:
        """Requests that would be let through now."""
        while self._times and self._times[0] <= now - self.seconds:
            self._times.popleft()
        return self.limit - len(self._times)

    def take(self, now: float) -> bool:
        """Count one request, unless the window is full."""
        if self.remaining(now) <= 0:
            return False
        self._times.append(now)
        return True


@dataclass
class Bucket:
    """A bucket of `limit` units that starts full and refills evenly, `limit` per minute."""

    limit: int
    _level: float = -1.0
    _at: float = 0.0

    def level(self, now: float) -> float:
        """Units in the bucket at monotonic time `now` (seconds)."""
        if self._level < 0:
            self._level, self._at = float(self.limit), now
        self._level = min(float(self.limit), self._level + (now - self._at) * self.limit / 60.0)
        self._at = now
        return self._level

    def wait_for(self, units: float, now: float) -> float:
        """Seconds until `units` can be taken; 0 if they can be taken now, infinity if the bucket is too small."""
        if units > self.limit:
            return float("inf")
        return max(0.0, units - self.level(now)) * 60.0 / self.limit

    def take(self, units: float, now: float) -> None:
        """Take the units; the caller has asked `wait_for` before."""
        self._level = self.level(now) - units

    def until_full(self, now: float) -> float:
        """Seconds until the bucket is full again."""
        return (self.limit - self.level(now)) * 60.0 / self.limit
