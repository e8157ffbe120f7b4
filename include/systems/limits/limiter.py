"""Keep within the limits of a key, together with everybody else who uses it.

`Limiter` is what the engine knows. `KeyLimiter` is the part inside one process: a line of waiting requests, a little
leave in stock, and what answers said about the limits. The levels themselves are in a `Store`: `ProcessStore` for one
process, `LedgerStore` (include/systems/limits/shared.py) for all processes and machines. Both hold the same `Quota`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self
from uuid import uuid4

from include.systems.limits.quota import REMEMBER_GRANTS, Quota
from include.systems.limits.turns import AHEAD_SECONDS, KINDS, Ask, Grant, Seen
from include.systems.registry import Window

log = logging.getLogger(__name__)
SHORTEST_TURN, LONGEST_TURN = 0.02, 1.0
"""Seconds between two turns at the store: what arrives meanwhile shares the next one."""
OVERTAKING = 0.03  # seconds within which requests may arrive in another order than they left
_LATELY, _MOST_AHEAD = 0.8 * AHEAD_SECONDS, 512  # seconds and requests by which it is judged what leaves next
PATIENCE = 900.0
"""Seconds that a request waits for its place at most; a day's limit that is used up is not waited out."""


class LimitReached(Exception):
    """The limits leave no room for longer than anybody waits; the rest is deferred."""


@dataclass(slots=True)
class Lease:
    """Leave to send one request of about `tokens` tokens; `number` is its place in this process's order of sending,
    `counted` what the limits were charged for it.
    """

    number: int
    sent: float
    tokens: int
    counted: float


class Limiter(Protocol):
    """Grants leave to send; implementations differ in who shares the limit."""

    async def acquire(self, tokens: int) -> Lease:
        """Wait until one request of about `tokens` tokens fits every limit, and take its place in them."""
        ...

    def settle(self, lease: Lease, tokens: int) -> None:
        """Correct the estimate by the tokens that the answer reports."""
        ...

    def observe(self, lease: Lease, headers: Mapping[str, str]) -> None:
        """Learn from an answer's `x-ratelimit-*` headers what is left of the key's limit."""
        ...

    def miss(self) -> None:
        """A call ended without an answer."""
        ...

    def refuse(self, seconds: float) -> None:
        """The vendor answered 429: send nothing for so long."""
        ...


class Store(Protocol):
    """Where the levels are kept. One turn at a time, whoever asks."""

    async def turn(self, ask: Ask) -> tuple[Grant, float]:
        """Take a turn at the quota; returns the grant and the store's time, in seconds."""
        ...


@dataclass
class ProcessStore:
    """Levels known to this process alone."""

    windows: Sequence[Window]
    clock: Callable[[], float] = time.monotonic
    quota: Quota = field(init=False)

    def __post_init__(self) -> None:
        self.quota = Quota(self.windows)

    async def turn(self, ask: Ask) -> tuple[Grant, float]:
        """Take a turn; others in this process wait for nothing, since it does not yield."""
        now = self.clock()
        return self.quota.turn(ask, now), now


@dataclass
class KeyLimiter:
    """The line of one process; use it as `async with`, within one event loop.

    `group` names who shares a priority (a use case), `weight` is that priority: the share of a contended key.
    """

    store: Store
    group: str = ""
    weight: float = 1.0
    patience: float = PATIENCE
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    holder: str = field(default_factory=lambda: uuid4().hex[:12])
    _line: deque[tuple[int, asyncio.Future[Lease]]] = field(default_factory=deque, init=False)
    _sent: deque[Lease] = field(default_factory=deque, init=False)
    _stock: list[int] = field(default_factory=list, init=False)
    _stock_until: float = field(default=0.0, init=False)
    _number: int = field(default=0, init=False)
    _seen: dict[str, tuple[Lease, float, float]] = field(default_factory=dict, init=False)
    _last_seen: dict[str, int] = field(default_factory=dict, init=False)
    _settled: tuple[int, int, float] = field(default=(0, 0, 0.0), init=False)
    _ratio: float = field(default=1.0, init=False)
    _closed_for: float = field(default=0.0, init=False)
    _refused: bool = field(default=False, init=False)
    _heard: bool = field(default=False, init=False)
    _missed: bool = field(default=False, init=False)
    _ahead_of_clock: float | None = field(default=None, init=False)
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def __aenter__(self) -> Self:
        self._pump = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)
        if self._stock and error is None:
            await self._turn([])

    async def acquire(self, tokens: int) -> Lease:
        """Wait in line; raises LimitReached, or what the store raised."""
        if self._pump.done():
            self._pump.result()
        if not self._line and self._take_from_stock(tokens):
            if len(self._stock) < 4:
                self._wake.set()
            return self._send(tokens)
        future: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self._line.append((tokens, future))
        self._wake.set()
        return await future

    def settle(self, lease: Lease, tokens: int) -> None:
        """Add the answer's usage to what the next turn reports."""
        estimated, real, counted = self._settled
        self._settled = (estimated + lease.tokens, real + tokens, counted + lease.counted)

    def observe(self, lease: Lease, headers: Mapping[str, str]) -> None:
        """Keep what the request that left last was told, for the next turn."""
        self._heard = True
        for kind in KINDS:
            limit = _count(headers.get(f"x-ratelimit-limit-{kind}"))
            left = _count(headers.get(f"x-ratelimit-remaining-{kind}"))
            if not limit or left is None:
                continue
            held = self._seen.get(kind)
            if lease.number > self._last_seen.get(kind, -1) and (held is None or lease.number > held[0].number):
                self._seen[kind] = (lease, float(limit), float(left))
        if self._line:
            self._wake.set()

    def miss(self) -> None:
        """While nothing was heard yet, another request may try in its place."""
        self._missed = True
        self._wake.set()

    def refuse(self, seconds: float) -> None:
        """Close for everybody with the next turn."""
        self._closed_for = max(self._closed_for, seconds)
        self._refused = self._heard = True
        self._stock.clear()
        self._wake.set()

    def _take_from_stock(self, tokens: int) -> bool:
        if self._stock and self.clock() > self._stock_until:
            return False
        for index, size in enumerate(self._stock):
            if size >= tokens:
                del self._stock[index]
                return True
        return False

    def _send(self, tokens: int) -> Lease:
        self._number += 1
        lease = Lease(self._number, self.clock(), tokens, tokens * self._ratio)
        self._sent.append(lease)
        while self._sent and self._sent[0].sent < lease.sent - REMEMBER_GRANTS:
            self._sent.popleft()
        return lease

    async def _run(self) -> None:
        try:
            await self._serve()
        except Exception as error:  # the ledger is down: everybody in line hears it, and nothing leaves
            for _, future in self._line:
                if not future.done():
                    future.set_exception(error)
            raise

    async def _serve(self) -> None:
        while True:
            if not self._line and not self._refused:
                await self._wake.wait()
            self._wake.clear()
            self._drop_cancelled()
            grant = await self._turn([tokens for tokens, _ in self._line])
            for _ in range(grant.granted):
                tokens, future = self._line.popleft()
                if not future.cancelled():
                    future.set_result(self._send(tokens))
            if grant.wait:  # a little later than told, each by another moment
                self._give_up_after(grant.wait)
                await self.sleep(min(grant.wait * (1.0 + 0.1 * random.random()), LONGEST_TURN))  # noqa: S311 - spread, not secrecy
            else:
                await self.sleep(SHORTEST_TURN)
                self._serve_from_stock()

    def _give_up_after(self, wait: float) -> None:
        if wait > self.patience:
            for _, future in self._line:
                if not future.done():
                    future.set_exception(LimitReached(f"the key's limits leave no room for {wait / 60:.0f} minutes"))
            self._line.clear()

    def _serve_from_stock(self) -> None:
        while self._line and self._take_from_stock(self._line[0][0]):
            tokens, future = self._line.popleft()
            if not future.cancelled():
                future.set_result(self._send(tokens))

    def _drop_cancelled(self) -> None:
        while self._line and self._line[0][1].cancelled():
            self._line.popleft()

    async def _turn(self, waiting: list[int]) -> Grant:
        unused, self._stock = self._stock, []  # given back, so that it never gets old; what is needed is asked anew
        ahead = self._expected()
        seen, self._seen = self._read_seen(), {}
        settled, self._settled = self._settled, (0, 0, 0.0)
        closed_for, self._closed_for, refused, self._refused = self._closed_for, 0.0, self._refused, False
        heard, self._heard = self._heard, False
        missed, self._missed = self._missed, False
        ask = Ask(
            holder=self.holder,
            group=self.group,
            weight=self.weight,
            waiting=waiting,
            ahead=ahead,
            unused=(len(unused), sum(unused)),
            settled=settled,
            seen=seen,
            closed_for=closed_for,
            refused=refused,
            heard=heard,
            missed=missed,
        )
        grant, now = await self.store.turn(ask)
        self._ahead_of_clock, self._ratio = now - self.clock(), grant.ratio
        if grant.ahead:
            self._stock += ahead[: grant.ahead]
            self._stock_until = self.clock() + AHEAD_SECONDS
        return grant

    def _expected(self) -> list[int]:
        """The sizes of what will likely leave within the time for which leave ahead is good."""
        since, lately = self.clock() - _LATELY, list[int]()
        for lease in reversed(self._sent):
            if lease.sent <= since:
                break
            lately.append(lease.tokens)
        return [max(lately)] * min(len(lately), _MOST_AHEAD) if len(lately) >= 8 else []

    def _read_seen(self) -> list[Seen]:
        found = []
        for kind, (lease, limit, left) in self._seen.items():
            if self._ahead_of_clock is None:
                continue
            before = self._last_seen.get(kind, 0)
            after = [later.tokens for later in self._sent if later.number > lease.number]
            just_before = [o.tokens for o in self._sent if o.number < lease.number and o.sent > lease.sent - OVERTAKING]
            between = [other.tokens for other in self._sent if before < other.number <= lease.number]
            count = sum if kind == "tokens" else len
            sent = lease.sent + self._ahead_of_clock
            self._last_seen[kind] = lease.number
            own = count(after), count(just_before), count(between)
            found.append(Seen("tokens" if kind == "tokens" else "requests", limit, left, sent, *own))
        return found


def _count(text: str | None) -> int | None:
    """A header's whole number of at least 0, or None: what cannot be is not believed."""
    stripped = (text or "").strip()
    return int(stripped) if stripped.isascii() and stripped.isdecimal() and len(stripped) <= 12 else None
