"""One contract for both stores: a process's own, and the ledger's, which all processes share."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import pytest

from include.database import open_database
from include.errors import LedgerUnavailable
from include.settings import ROOT
from include.systems.limits.limiter import SHORTEST_TURN, KeyLimiter, ProcessStore, Store
from include.systems.limits.shared import LedgerStore
from include.systems.registry import Window
from tests.core.conftest import Ledger

Open = Callable[[Sequence[Window]], Store]
HEARD = {"x-unrelated": "1"}


@pytest.fixture(params=["process", "ledger"])
def store_of(request: pytest.FixtureRequest) -> Open:
    if request.param == "process":
        return ProcessStore
    ledger: Ledger = request.getfixturevalue("ledger")
    return lambda windows: LedgerStore(ledger.service, "key", windows)


async def send(limiter: KeyLimiter, count: int, tokens: int = 10) -> list[float]:
    """Times at which so many requests may leave, as asked by as many workers at once."""

    async def one() -> float:
        lease = await limiter.acquire(tokens)
        limiter.observe(lease, HEARD)
        return time.monotonic()

    return sorted(await asyncio.gather(*(one() for _ in range(count))))


def test_a_window_lets_its_limit_through_and_then_waits(store_of: Open) -> None:
    async def main() -> list[float]:
        async with KeyLimiter(store_of([Window(1.0, 10)])) as limiter:
            return await send(limiter, 25)

    times = asyncio.run(main())
    for index in range(15):
        assert times[index + 10] - times[index] > 0.95
    assert times[-1] - times[0] < 3.0


def test_a_bucket_refills_evenly(store_of: Open) -> None:
    async def main() -> list[float]:
        async with KeyLimiter(store_of([Window(1.0, 20, refills=True)])) as limiter:
            return await send(limiter, 40)

    times = asyncio.run(main())
    assert 0.8 < times[-1] - times[0] < 2.0
    assert times[35] - times[25] > 0.35


def test_tokens_are_limited_beside_requests(store_of: Open) -> None:
    async def main() -> list[float]:
        async with KeyLimiter(store_of([Window(1.0, 1_000, 1_000)])) as limiter:
            return await send(limiter, 20, tokens=100)

    times = asyncio.run(main())
    assert times[-1] - times[0] > 0.95


def test_what_was_not_used_is_given_back(store_of: Open) -> None:
    async def main() -> list[float]:
        async with KeyLimiter(store_of([Window(2.0, None, 2_000, refills=True)])) as limiter:
            for _ in range(10):
                lease = await limiter.acquire(190)
                limiter.observe(lease, HEARD)
                limiter.settle(lease, 20)
            return await send(limiter, 5, tokens=190)

    times = asyncio.run(main())
    assert times[-1] - times[0] < 1.0


def test_the_vendors_word_lowers_the_level_at_once(store_of: Open) -> None:
    async def main() -> float:
        async with KeyLimiter(store_of([Window(60.0, 600, refills=True)])) as limiter:
            for remaining in (2, 1):
                lease = await limiter.acquire(10)
                said = {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": str(remaining)}
                limiter.observe(lease, said)
            started = time.monotonic()
            await send(limiter, 10)
            return time.monotonic() - started

    assert asyncio.run(main()) > 0.5  # ten a second, and almost nothing left


def test_a_refusal_closes_the_key_for_everybody(store_of: Open) -> None:
    async def main() -> float:
        store = store_of([Window(60.0, 600, refills=True)])
        async with KeyLimiter(store) as first, KeyLimiter(store) as second:
            await send(first, 2)
            first.refuse(0.6)
            await asyncio.sleep(0.1)
            started = time.monotonic()
            await send(second, 1)
            return time.monotonic() - started

    assert 0.3 < asyncio.run(main()) < 1.5


def test_who_gives_up_waiting_leaves_the_line(store_of: Open) -> None:
    async def main() -> float:
        async with KeyLimiter(store_of([Window(1.0, 2)])) as limiter:
            await send(limiter, 2)
            given_up = [asyncio.create_task(limiter.acquire(10)) for _ in range(20)]
            await asyncio.sleep(0.05)
            for task in given_up:
                task.cancel()
            started = time.monotonic()
            await send(limiter, 1)
            return time.monotonic() - started

    assert asyncio.run(main()) < 1.6


def test_many_requests_without_a_limit_do_not_wait(store_of: Open) -> None:
    slept = list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(seconds)

    async def main() -> None:
        async with KeyLimiter(store_of([]), sleep=sleep) as limiter:
            for _ in range(10):
                await send(limiter, 100)

    asyncio.run(main())
    assert max(slept) == SHORTEST_TURN
    assert len(slept) <= 20


def test_two_processes_share_one_window(ledger: Ledger) -> None:
    program = """
import asyncio, sys, time
from include.systems.limits.limiter import KeyLimiter
from include.database import open_database
from include.systems.limits.shared import LedgerStore
from include.systems.registry import Window
async def main():
    async with KeyLimiter(LedgerStore(open_database(sys.argv[1]), "key", [Window(1.0, 10)])) as limiter:
        async def one():
            limiter.observe(await limiter.acquire(1), {})
            print(time.time())
        await asyncio.gather(*(one() for _ in range(20)))
asyncio.run(main())
"""
    command = [sys.executable, "-c", program, ledger.urls.service]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
    times = sorted(float(line) for process in running for line in process.communicate(timeout=60)[0].split())
    assert len(times) == 40
    for index in range(30):
        assert times[index + 10] - times[index] > 0.9


def test_without_the_ledger_nothing_leaves(ledger: Ledger) -> None:
    gone = open_database(ledger.urls.service.replace("ledger_", "no_such_"))

    async def main() -> None:
        async with KeyLimiter(LedgerStore(gone, "key", [Window(60.0, 10)])) as limiter:
            await limiter.acquire(1)

    with pytest.raises(LedgerUnavailable):
        asyncio.run(main())
