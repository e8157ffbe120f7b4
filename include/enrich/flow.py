"""How many calls are in flight: more while answers come fast, fewer when calls fail, none while the system is down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

log = logging.getLogger(__name__)
FIRST_CALLS = 8
OPEN_AFTER_FAILURES = 10
"""Failures in a row, without any success between them, after which the system is taken for down."""
OPEN_AFTER_SILENCE = 20.0
"""Seconds in which nothing at all came back while calls were in flight."""
PATIENCE = 120.0
"""Seconds that rows wait for a system that is down, before they end as the spec's failure plan says."""
_FIRST_PROBE, _LONGEST_PROBE = 2.0, 15.0
_SLOW = 3.0  # times the usual latency at which more calls at once would only wait in the provider's own line
_SAMPLES = 256
Ended = Literal["answered", "refused", "failed"]


@dataclass
class Flow:
    """The gate before every call of one process: concurrency that adapts, and a circuit breaker.

    Closed (usual), open (nothing leaves but a probe now and then), given up (open for longer than `patience`): then
    `enter` says False and nothing is asked any more.
    """

    most: int
    patience: float = PATIENCE
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    limit: float = field(init=False)
    flying: int = field(default=0, init=False)
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_SAMPLES), init=False)
    _starting: bool = field(default=True, init=False)
    _usual: float = field(default=0.0, init=False)
    _lately: float = field(default=0.0, init=False)
    _lowered: float = field(default=0.0, init=False)
    _failures: int = field(default=0, init=False)
    _heard: float = field(default=0.0, init=False)
    _opened: float | None = field(default=None, init=False)
    _probe_at: float = field(default=0.0, init=False)
    _probe_wait: float = field(default=_FIRST_PROBE, init=False)
    _probing: bool = field(default=False, init=False)
    _line: deque[asyncio.Future[None]] = field(default_factory=deque, init=False)

    def __post_init__(self) -> None:
        self.limit = float(min(FIRST_CALLS, self.most))

    @property
    def down(self) -> bool:
        """Whether the system has been down for longer than patience allows."""
        return self._opened is not None and self.clock() - self._opened > self.patience

    async def enter(self) -> bool:
        """Wait for a place; False when the system is given up."""
        while not self.down:
            if self._opened is not None:
                if not self._probing and self.clock() >= self._probe_at:
                    self._probing = True
                    self._probe_at = self.clock() + self._probe_wait
                    self._probe_wait = min(self._probe_wait * 2, _LONGEST_PROBE)
                    return self._take_place()
                await self.sleep(min(0.25, self.patience / 4))
            elif self.flying < int(self.limit):
                return self._take_place()
            else:
                turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._line.append(turn)
                await turn
        return False

    def leave(self, ended: Ended, latency: float) -> None:
        """A call is over: answered after `latency` seconds, refused by a limit, or failed."""
        self.flying -= 1
        self._heard = self.clock()
        self._probing = False
        if ended == "failed":
            self._fail()
        else:
            self._hear()
        if ended == "answered":
            self._grow(latency)
        self._wake()

    def step_back(self) -> None:
        """Give a place back that was not used for a call."""
        self.flying -= 1
        self._probing = False
        self._wake()

    def _wake(self) -> None:
        """Wake as many as have a place; all of them when the system is down, to see for themselves."""
        places = len(self._line) if self._opened is not None else int(self.limit) - self.flying
        while places > 0 and self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                places -= 1

    def _take_place(self) -> bool:
        if self.flying == 0:
            self._heard = self.clock()
        self.flying += 1
        return True

    def slowest_usual(self, share: float = 0.99) -> float | None:
        """The latency that `share` of the last calls stayed under, in seconds; None while too few are known."""
        if len(self.latencies) < 50:
            return None
        return sorted(self.latencies)[int(share * (len(self.latencies) - 1))]

    def _hear(self) -> None:
        self._failures = 0
        if self._opened is not None:
            log.warning("the system answers again after %.0f s", self.clock() - self._opened)
            self._opened, self._probe_wait, self.limit = None, _FIRST_PROBE, float(min(FIRST_CALLS, self.most))

    def _grow(self, latency: float) -> None:
        """One more at once for each answer at first, then one more for each round; no more while answers get slow."""
        self.latencies.append(latency)
        self._usual = min(latency, self._usual * 1.002) if self._usual else latency
        self._lately += (latency - self._lately) * (0.1 if self._lately else 1.0)
        if self._lately > _SLOW * self._usual and self.limit > FIRST_CALLS:
            self._starting = False
        elif self.flying + 1 >= self.limit / 2:  # only what is used may grow
            self.limit = min(self.limit + (1.0 if self._starting else 1.0 / self.limit), float(self.most))

    def _fail(self) -> None:
        self._failures += 1
        now = self.clock()
        if now - self._lowered > 1.0:
            self._lowered, self._starting = now, False
            self.limit = max(self.limit * 0.8, 1.0)
        if self._failures >= OPEN_AFTER_FAILURES:
            self._open("every call fails")

    def watch(self) -> None:
        """Take the system for down if nothing at all came back for long; to be called now and then."""
        usual = self.slowest_usual() or 0.0
        silent = self.clock() - self._heard > max(OPEN_AFTER_SILENCE, 10 * usual)
        if silent and self.flying + self._failures > 2:
            self._open("nothing comes back")

    def _open(self, why: str) -> None:
        if self._opened is None:
            log.warning("the system is taken for down: %s; nothing but a probe leaves until it answers", why)
            self._opened = self.clock()
            self._probe_at = self.clock() + self._probe_wait
