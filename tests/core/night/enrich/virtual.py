"""A clock that jumps to the next moment at which anything happens, and a vendor that counts on it."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.demo.sandbox.windows import Bucket
from include.systems.limits.limiter import KeyLimiter, ProcessStore
from include.systems.registry import Window


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing: time goes on by what would have been waited."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += max(timeout or 0.0, 0.0)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumping = _Jumping()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run on virtual time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)


def now() -> float:
    """Virtual seconds."""
    return asyncio.get_running_loop().time()


@dataclass
class Vendor:
    """A key's buckets of requests and tokens a minute, with headers; `charge` is what so many tokens count.

    `level` is how many requests the bucket holds at first. `taken` are the times of requests that were let through.
    """

    rpm: int = 10**6
    tpm: int = 10**9
    headers: bool = True
    level: float | None = None
    charge: Callable[[int], float] = float
    forge: dict[str, str] = field(default_factory=dict)
    refused: int = 0
    taken: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.requests, self.tokens = Bucket(self.rpm), Bucket(self.tpm)
        if self.level is not None:
            self.requests._level, self.requests._at = self.level, 0.0

    async def call(self, tokens: int) -> tuple[bool, dict[str, str], float]:
        await asyncio.sleep(random.uniform(0.005, 0.02))
        charge = min(self.charge(tokens), self.tpm)
        wait = max(self.requests.wait_for(1, now()), self.tokens.wait_for(charge, now()))
        if wait > 0:
            self.refused += 1
            return False, self.told(), wait
        self.requests.take(1, now())
        self.tokens.take(charge, now())
        self.taken.append(now())
        told = self.told()
        await asyncio.sleep(random.uniform(0.04, 0.08))
        return True, told, 0.0

    def told(self) -> dict[str, str]:
        if not self.headers:
            return {}
        return {
            "x-ratelimit-limit-requests": str(self.rpm),
            "x-ratelimit-remaining-requests": str(int(self.requests.level(now()))),
            "x-ratelimit-limit-tokens": str(self.tpm),
            "x-ratelimit-remaining-tokens": str(int(self.tokens.level(now()))),
        } | self.forge

    async def another_tenant(self, a_second: float) -> None:
        while True:
            await asyncio.sleep(1 / a_second)
            if self.requests.wait_for(1, now()) <= 0:
                self.requests.take(1, now())


async def send_all(vendor: Vendor, limiter: KeyLimiter, sizes: Sequence[int], workers: int = 32) -> float:
    """Send every request until it is let through; the virtual second at which the last one ended."""
    waiting = iter(sizes)

    async def work() -> None:
        for tokens in waiting:
            while True:
                lease = await limiter.acquire(tokens)
                answered, headers, wait = await vendor.call(tokens)
                limiter.observe(lease, headers)
                if answered:
                    limiter.settle(lease, round(vendor.charge(tokens)))
                    break
                limiter.refuse(wait)
                await asyncio.sleep(max(1.0, wait) + random.random())

    async with limiter:
        await asyncio.gather(*(work() for _ in range(workers)))
    return now()


def finish(
    vendor: Vendor, windows: Sequence[Window], sizes: Sequence[int], *, limiters: int = 1, others: float = 0.0
) -> float:
    """Virtual seconds until all is sent, by so many limiters on one store, beside another tenant."""
    random.seed(11)

    async def main() -> float:
        store = ProcessStore(windows, clock=now)
        tenant = asyncio.create_task(vendor.another_tenant(others)) if others else None
        parts = [sizes[one::limiters] for one in range(limiters)]
        ended = await asyncio.gather(*(send_all(vendor, KeyLimiter(store, clock=now), part) for part in parts))
        if tenant:
            tenant.cancel()
        return max(ended)

    return float(run(main()))
