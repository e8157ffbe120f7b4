"""How many calls are in flight: more while answers come as fast as ever, fewer when the provider is overloaded, none
while it is down.
"""

from __future__ import annotations

import asyncio
import logging
import math
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

log = logging.getLogger(__name__)
FIRST_CALLS = 4
OPEN_AFTER_FAILURES = 10
"""Failures in a row, without any success between them, after which the system is taken for down."""
_QUIET = 1.0  # seconds without an answer, at least, before failures are an outage
OPEN_AFTER_SILENCE = 20.0
"""Seconds in which nothing at all came back while calls were in flight."""
PATIENCE = 120.0
"""Seconds that rows wait for a system that is down, before they end as the spec's failure plan says."""
PROBE_SECONDS, LATER_PROBES, LATER = 1.0, 5.0, 60.0
"""Seconds between two probes of a system that is down, and between those after `LATER` seconds of it."""
RESUMED_CALLS = 16
"""In flight at most after an outage; as many as before are reached from there as at the start."""
OUTCOMES = 100
"""Calls that are looked back on; concurrency is lowered when more than a tenth of them failed."""
_TOLERATED = OUTCOMES // 10
_IN_TIME = 0.8  # share of the time after which calls were given up that more calls at once may take
BLOCK, _BLOCKS = 50, 16
"""Answers after which latency is judged: the median of two blocks against the lower quartile of many."""
_SLOW, _FAST = 3.0, 2.0
"""Times the usual median: above the first, calls wait in the provider's own line; below the second there is room."""
_STARTING = 2.0  # more for each answer, so that every round of calls is three times the one before
_LOWERED, _AGAIN = 0.6, 0.25
"""What is left of the concurrency when it is lowered, and how many more for each answer on half of the way back."""
Ended = Literal["answered", "refused", "failed", "late"]


@dataclass
class Flow:
    """The gate before every call of one process: concurrency that adapts, and a circuit breaker.

    A long tail and isolated failures are ordinary and change nothing: what counts is the median of the last latencies
    and the share of the last calls that failed. Breaker: closed (usual), open (nothing leaves but a probe now and
    then), given up (open for longer than `patience` seconds): then `enter` says False and nothing is asked any more.
    `silence` is how long nothing may come back before anything was heard, in seconds.
    """

    most: int
    patience: float = PATIENCE
    silence: float = OPEN_AFTER_SILENCE
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    limit: float = field(init=False)
    flying: int = field(default=0, init=False)
    why: str = field(default="", init=False)
    _starting: bool = field(default=True, init=False)
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=2 * BLOCK), init=False)
    _medians: deque[float] = field(default_factory=lambda: deque(maxlen=_BLOCKS), init=False)
    _fresh: int = field(default=0, init=False)
    _late: float = field(default=math.inf, init=False)
    _waiting: bool = field(default=False, init=False)
    _passing: int = field(default=0, init=False)
    _halfway: float = field(default=0.0, init=False)
    _reached: float = field(default=0.0, init=False)
    _longest: float = field(default=0.0, init=False)
    _failed: deque[bool] = field(default_factory=lambda: deque(maxlen=OUTCOMES), init=False)
    _answered: deque[float] = field(default_factory=lambda: deque(maxlen=1_024), init=False)
    _failures: int = field(default=0, init=False)
    _heard: float = field(default=0.0, init=False)
    _opened: float | None = field(default=None, init=False)
    _probe_at: float = field(default=0.0, init=False)
    _probing: bool = field(default=False, init=False)
    _line: deque[asyncio.Future[None]] = field(default_factory=deque, init=False)

    def __post_init__(self) -> None:
        self.limit = self._reached = float(min(FIRST_CALLS, self.most))

    @property
    def open(self) -> bool:
        """Whether the breaker is open: the system is taken for down."""
        return self._opened is not None

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
                    self._probe_later()
                    return self._take_place()
                await self.sleep(min(0.25, self.patience / 4))
            elif self.flying < int(self.limit):
                return self._take_place()
            else:
                turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._line.append(turn)
                await turn
        return False

    def leave(self, ended: Ended, latency: float, why: str = "") -> None:
        """A call is over after `latency` seconds: answered, refused by a limit, failed or given up as late.

        `why` is the failure in words.
        """
        self.flying -= 1
        self._heard = self.clock()
        self._probing = False
        if self._passing:
            self._passing -= 1
        else:
            self._failed.append(ended in ("failed", "late"))
        if ended in ("failed", "late"):
            self.why = why or self.why
            self._fail(latency if ended == "late" else 0.0)
        else:
            self._hear()
        if ended == "answered":
            self._learn(latency)
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

    # More and fewer

    def _learn(self, latency: float) -> None:
        """More at once for each answer while it is not known how many are taken, then one more for each round."""
        self._answered.append(self.clock())
        self._longest = max(latency, self._longest * 0.999)
        if self._passing:  # it left before the last change, and says nothing about what came after
            return
        self._latencies.append(latency)
        self._fresh += 1
        if self._fresh == BLOCK:
            self._fresh = 0
            self._judge(statistics.median(list(self._latencies)[-BLOCK:]))
        would_be_late = latency * (self.limit + 1) / self.limit > _IN_TIME * self._late
        if self.flying + 1 >= self.limit / 2 and not (self._waiting or would_be_late):  # only what is used may grow
            step = _STARTING if self._starting else _AGAIN if self.limit < self._halfway else 1.0 / self.limit
            self.limit = min(self.limit + step, float(self.most))
            self._reached = max(self._reached, self.limit)

    def _judge(self, block: float) -> None:
        """Lower what makes answers slow; where few calls are as slow, this is what the provider takes by now."""
        usual = sorted(self._medians)[len(self._medians) // 4] if self._medians else block
        if block <= _SLOW * usual:
            self._medians.append(block)
        median = statistics.median(self._latencies)
        if median > _SLOW * usual and self.limit > FIRST_CALLS:
            self._lower(max(self.limit * _LOWERED, float(FIRST_CALLS)))
            self._waiting = True
        elif median > _SLOW * usual:
            self._medians.clear()
            self._starting, self._waiting = True, False
        else:
            self._waiting = median > _FAST * usual

    def _lower(self, limit: float) -> None:
        self._starting, self._waiting = False, False
        self._halfway, self.limit = (self.limit + limit) / 2, max(limit, 1.0)
        self._passing, self._fresh = self.flying, 0
        self._failed.clear()
        self._latencies.clear()

    def _fail(self, late: float) -> None:
        """Fewer at once when too many fail; no more than are answered while one waits, when it did so in vain."""
        self._failures += 1
        answered = sum(1 for moment in self._answered if moment > self.clock() - late)
        if self._failures >= OPEN_AFTER_FAILURES and not self._answers_lately():
            self._open("every call fails")
        elif late and answered < self.limit:
            self._late = late
            self._lower(float(answered))
            self._halfway = self._reached = self.limit
        elif sum(self._failed) > _TOLERATED:
            self._lower(self.limit * _LOWERED)

    def _answers_lately(self) -> bool:
        """Whether answers still come: calls that fail between them are too many, and no outage."""
        usual = self._medians[-1] if self._medians else 0.0
        return bool(self._answered) and self.clock() - self._answered[-1] < max(_QUIET, 2 * usual)

    # Down and up

    def watch(self) -> None:
        """Take the system for down if nothing at all came back for long; to be called now and then."""
        allowed = max(OPEN_AFTER_SILENCE, 2 * self._longest) if self._answered else self.silence
        if self.clock() - self._heard > allowed and self.flying + self._failures > 2:
            self._open("nothing comes back")

    def _open(self, why: str) -> None:
        if self._opened is None:
            log.warning("the system is taken for down: %s; nothing but a probe leaves until it answers", why)
            self.why = self.why or why
            self._opened = self.clock()
            self._probe_later()

    def _probe_later(self) -> None:
        now = self.clock()
        long = self._opened is not None and now - self._opened > LATER
        self._probe_at = now + (LATER_PROBES if long else PROBE_SECONDS)

    def _hear(self) -> None:
        self._failures = 0
        if self._opened is not None:
            log.warning("the system answers again after %.0f s", self.clock() - self._opened)
            self._opened, self.why = None, ""
            self._lower(min(self._reached, float(RESUMED_CALLS)))
            self._starting = True
