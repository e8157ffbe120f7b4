"""No window of any length is ever exceeded, and what is allowed is used."""

import asyncio
from collections.abc import Sequence

import pytest

from include.enrich.limiter import ProcessLimiter, parse_duration
from include.systems import Window


class Clock:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def grants(windows: Sequence[Window], count: int, tokens: int = 1) -> list[float]:
    clock = Clock()
    limiter = ProcessLimiter(windows, safety=0.0, clock=clock, sleep=clock.sleep)

    async def run() -> list[float]:
        return [(await limiter.acquire(tokens)).at for _ in range(count)]

    return asyncio.run(run())


def most_within(times: Sequence[float], seconds: float) -> int:
    return max(sum(start <= time < start + seconds for time in times) for start in times)


def test_no_sliding_window_holds_more_requests_than_the_limit() -> None:
    times = grants([Window(10, requests=5), Window(60, requests=12)], 40)
    assert most_within(times, 10) == 5
    assert most_within(times, 60) == 12


def test_tokens_count_as_well_as_requests() -> None:
    assert most_within(grants([Window(60, requests=1000, tokens=100)], 20, tokens=30), 60) == 3


def test_a_request_over_the_whole_limit_goes_alone_instead_of_waiting_for_ever() -> None:
    assert len(grants([Window(60, tokens=100)], 2, tokens=500)) == 2


def test_settled_tokens_make_room() -> None:
    clock = Clock()
    limiter = ProcessLimiter([Window(60, tokens=100)], safety=0.0, clock=clock, sleep=clock.sleep)

    async def run() -> float:
        lease = await limiter.acquire(90)
        limiter.settle(lease, 10)
        return (await limiter.acquire(80)).at

    assert asyncio.run(run()) == 1000.0


def test_a_pause_holds_everybody_back() -> None:
    clock = Clock()
    limiter = ProcessLimiter([], clock=clock, sleep=clock.sleep)
    limiter.pause(7)
    limiter.pause(3)
    assert asyncio.run(limiter.acquire(1)).at == 1007.0


def test_the_vendors_word_that_nothing_is_left_closes_the_limiter() -> None:
    clock = Clock()
    limiter = ProcessLimiter([Window(60, requests=100)], clock=clock, sleep=clock.sleep)
    limiter.observe({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m5s"})
    assert asyncio.run(limiter.acquire(1)).at == 1060.0


@pytest.mark.parametrize(("text", "seconds"), [("6m0s", 360), ("1.5s", 1.5), ("20ms", 0.02), ("1h", 3600), ("soon", 0)])
def test_the_vendors_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)
