"""Concurrency follows the provider, and an outage is noticed, waited for and given up in time."""

from __future__ import annotations

import asyncio

from include.night.enrich.flow import FIRST_CALLS, OPEN_AFTER_FAILURES, OPEN_AFTER_SILENCE, PROBE_SECONDS, Flow
from tests.core.night.enrich.virtual import now, run


async def calls(flow: Flow, count: int, latency: float = 0.1, ended: str = "answered", workers: int = 64) -> int:
    """Make so many calls; how many were let through."""
    waiting, made = iter(range(count)), 0

    async def work() -> None:
        nonlocal made
        for _ in waiting:
            if not await flow.enter():
                return
            made += 1
            await asyncio.sleep(latency)
            flow.leave(ended, latency)  # type: ignore[arg-type]

    await asyncio.gather(*(work() for _ in range(workers)))
    return made


def test_it_begins_with_few_calls_and_grows_while_they_are_answered() -> None:
    async def main() -> Flow:
        flow = Flow(64, clock=now)
        assert int(flow.limit) == FIRST_CALLS
        await calls(flow, 1_000)
        return flow

    assert run(main()).limit == 64


def test_it_stops_growing_when_answers_get_slow_and_shrinks_when_calls_fail() -> None:
    async def main() -> tuple[float, float]:
        flow = Flow(1_000, clock=now)
        await calls(flow, 200, latency=0.1)
        await calls(flow, 100, latency=2.0, workers=200)
        slow = flow.limit
        await calls(flow, 500, latency=2.0, workers=200)
        assert flow.limit <= slow + 2
        flow.flying += 1
        flow.leave("failed", 1.0)
        return slow, flow.limit

    before, after = run(main())
    assert after < before


def test_an_outage_opens_the_breaker_and_every_row_is_let_go_after_patience() -> None:
    async def main() -> tuple[int, float]:
        flow = Flow(64, patience=60.0, clock=now)
        made = await calls(flow, 500, latency=0.05, ended="failed")
        return made, now()

    made, seconds = run(main())
    probes = 60.0 / PROBE_SECONDS
    assert OPEN_AFTER_FAILURES <= made <= OPEN_AFTER_FAILURES + FIRST_CALLS + probes
    assert 60.0 < seconds < 70.0


def test_a_probe_finds_the_system_back() -> None:
    async def main() -> tuple[int, float]:
        flow = Flow(64, clock=now)
        await calls(flow, OPEN_AFTER_FAILURES, latency=0.05, ended="failed", workers=4)
        return await calls(flow, 100), now()

    made, seconds = run(main())
    assert made == 100
    assert seconds < 10.0


def test_silence_opens_the_breaker_within_half_a_minute() -> None:
    async def main() -> None:
        flow = Flow(8, clock=now)
        for _ in range(FIRST_CALLS):
            await flow.enter()
        await asyncio.sleep(OPEN_AFTER_SILENCE - 1)
        flow.watch()
        assert not flow.open
        await asyncio.sleep(2)
        flow.watch()
        assert flow.open

    run(main())


def test_refusals_by_a_limit_are_no_outage() -> None:
    async def main() -> int:
        return await calls(Flow(64, clock=now), 200, ended="refused")

    assert run(main()) == 200


def test_a_place_that_was_not_used_goes_to_the_next() -> None:
    async def main() -> None:
        flow = Flow(1, clock=now)
        assert await flow.enter()
        next_one = asyncio.create_task(flow.enter())
        await asyncio.sleep(0.1)
        assert not next_one.done()
        flow.step_back()
        assert await next_one

    run(main())
