"""Keep within the limits of a key. The port is what the engine knows; one process is enough for this form of it."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from include.systems import Window


@dataclass(slots=True)
class Lease:
    """Leave to send one request; `settle` it with the tokens that were really used."""

    at: float
    tokens: int


class Limiter(Protocol):
    """Grants leave to send; implementations differ in who shares the limit."""

    async def acquire(self, tokens: int) -> Lease:
        """Wait until one request of about `tokens` tokens fits every window, and take its place in them."""
        ...

    def settle(self, lease: Lease, tokens: int) -> None:
        """Correct the lease by the tokens that the answer reports."""
        ...

    def observe(self, headers: Mapping[str, str]) -> None:
        """Learn from an answer's `x-ratelimit-*` headers what is left of the key's limit."""
        ...

    def pause(self, seconds: float) -> None:
        """Send nothing for so long: the vendor answered 429."""
        ...


@dataclass
class ProcessLimiter:
    """Sliding windows within one process; first come, first served.

    `safety` keeps that share of each limit free, because the vendor's clock and ours differ by the network's delay.
    """

    windows: Sequence[Window]
    safety: float = 0.02
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _sent: list[deque[Lease]] = field(init=False)
    _used: list[int] = field(init=False)
    _closed_until: float = field(default=0.0, init=False)
    _queue: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def __post_init__(self) -> None:
        self._sent = [deque() for _ in self.windows]
        self._used = [0 for _ in self.windows]

    async def acquire(self, tokens: int) -> Lease:
        """Wait in line until every window has room."""
        async with self._queue:
            while (wait := self._wait(tokens)) > 0:
                await self.sleep(wait)
            lease = Lease(self.clock(), tokens)
            for index, sent in enumerate(self._sent):
                sent.append(lease)
                self._used[index] += tokens
            return lease

    def settle(self, lease: Lease, tokens: int) -> None:
        """Correct what the windows count, where the lease has not left them already."""
        for index, sent in enumerate(self._sent):
            if sent and sent[0].at <= lease.at:
                self._used[index] += tokens - lease.tokens
        lease.tokens = tokens

    def observe(self, headers: Mapping[str, str]) -> None:
        """Close until the vendor's reset when it says that nothing is left, e.g. because others use the key too."""
        for kind in ("requests", "tokens"):
            left, reset = headers.get(f"x-ratelimit-remaining-{kind}"), headers.get(f"x-ratelimit-reset-{kind}")
            if left is not None and reset and left.strip().isdigit() and int(left) == 0:
                self.pause(min(parse_duration(reset), 60.0) if kind == "tokens" else min(parse_duration(reset), 1.0))

    def pause(self, seconds: float) -> None:
        """Close for so long; an earlier, longer closure stands."""
        self._closed_until = max(self._closed_until, self.clock() + seconds)

    def _wait(self, tokens: int) -> float:
        now = self.clock()
        wait = self._closed_until - now
        for index, window in enumerate(self.windows):
            sent = self._sent[index]
            while sent and sent[0].at <= now - window.per_seconds:
                self._used[index] -= sent.popleft().tokens
            wait = max(wait, self._window_wait(index, window, tokens, now))
        return wait

    def _window_wait(self, index: int, window: Window, tokens: int, now: float) -> float:
        sent = self._sent[index]
        if not sent:
            return 0.0
        leaves_at = sent[0].at + window.per_seconds - now
        full = window.requests is not None and len(sent) >= max(1, int(window.requests * (1 - self.safety)))
        heavy = window.tokens is not None and self._used[index] + tokens > window.tokens * (1 - self.safety)
        return max(leaves_at, 0.001) if full or heavy else 0.0


def parse_duration(text: str) -> float:
    """Seconds from the vendor's form, e.g. `6m0s`, `1.5s`, `20ms`; 0 if it is none."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    return sum(float(number) * units[unit] for number, unit in parts)
