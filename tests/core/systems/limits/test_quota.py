"""Minutes of limits in milliseconds: what is allowed is used, nothing is overrun, nobody starves."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence

import pytest

from include.errors import ConfigurationError
from include.systems.limits.limiter import KeyLimiter, LimitReached, ProcessStore
from include.systems.limits.quota import Quota
from include.systems.limits.turns import Ask, Seen
from include.systems.registry import Window
from tests.core.night.enrich.virtual import Vendor, finish, now, run, send_all

MINUTE = Window(60, 300, None, refills=True)


def test_a_burst_and_then_the_refill_are_used_to_the_last_request() -> None:
    vendor = Vendor(rpm=300)
    assert finish(vendor, [MINUTE], [100] * 500) <= 41.0
    assert vendor.refused <= 1


def test_the_same_without_a_word_from_the_vendor() -> None:
    vendor = Vendor(rpm=300, headers=False)
    assert finish(vendor, [MINUTE], [100] * 500) <= 41.0
    assert vendor.refused <= 1


@pytest.mark.parametrize(("others", "level"), [(1.2, 0.0), (3.0, 100.0), (4.0, 150.0)])
def test_a_key_that_somebody_else_uses_too_draws_few_refusals(others: float, level: float) -> None:
    vendor = Vendor(rpm=300, level=level)
    best = (200 - level) / (5.0 - others)
    assert finish(vendor, [MINUTE], [100] * 200, others=others) <= best * 56 / 53
    assert vendor.refused <= 12


@pytest.mark.parametrize("charged", [1.0, 0.6])
def test_rows_of_uneven_length_use_all_of_a_token_limit(charged: float) -> None:
    chance = random.Random(3)
    sizes = [chance.choice([200, 400, 800, 3_000, 6_000]) for _ in range(300)]
    tpm = int(sum(sizes) * charged / (1 + 55 / 60))
    vendor = Vendor(tpm=tpm, charge=lambda tokens: tokens * charged)
    assert finish(vendor, [Window(60, None, tpm, refills=True)], sizes) <= 60.0
    assert vendor.refused <= 3


def test_a_vendor_that_allows_less_than_the_registry_says_is_believed() -> None:
    vendor = Vendor(rpm=300)
    assert finish(vendor, [Window(60, 3_000, None, refills=True)], [100] * 500) <= 41.0
    assert vendor.refused <= 2


def test_a_registry_that_allows_less_than_the_vendor_is_kept() -> None:
    vendor = Vendor(rpm=3_000)
    assert finish(vendor, [MINUTE], [100] * 500) >= 39.0
    assert vendor.refused == 0


def test_a_wrong_registry_is_learned_from_refusals_alone() -> None:
    vendor = Vendor(rpm=300, headers=False)
    assert finish(vendor, [Window(60, 3_000, None, refills=True)], [100] * 500) <= 60.0
    assert vendor.refused <= 60


@pytest.mark.parametrize("limiters", [2, 4, 8])
def test_limiters_on_one_store_use_the_limit_together(limiters: int) -> None:
    vendor = Vendor(rpm=600)
    rows = 1_200
    seconds = finish(vendor, [Window(60, 600, None, refills=True)], [100] * rows, limiters=limiters)
    assert vendor.refused <= 2
    assert rows / (600 + seconds * 10) >= 0.95


def most_in_any_span(times: Sequence[float], seconds: float) -> int:
    """The largest number of times within any half-open span of that length."""
    most, first = 0, 0
    for last, time in enumerate(times):
        while times[first] <= time - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("limiters", [1, 3])
def test_no_span_of_any_window_ever_holds_more_than_its_limit(limiters: int) -> None:
    windows = [Window(10, 50), Window(60, 200), Window(600, 700)]
    vendor = Vendor(headers=False)
    finish(vendor, windows, [10] * 800, limiters=limiters)
    times = sorted(vendor.taken)
    assert len(times) == 800
    for window in windows:
        most = most_in_any_span(times, window.per_seconds - 0.01)  # the network's delay differs by milliseconds
        assert most <= window.requests
        assert most >= 0.95 * window.requests


def test_tokens_have_sliding_windows_too() -> None:
    vendor = Vendor(headers=False)
    seconds = finish(vendor, [Window(60, None, 10_000)], [500] * 60)
    assert 120 <= seconds <= 135  # 20 a minute


def test_bursts_with_pauses_between_them_keep_every_window() -> None:
    windows = [Window(10, 50), Window(60, 200)]
    vendor = Vendor(headers=False)

    async def bursts(store: ProcessStore, chance: random.Random) -> None:
        async with KeyLimiter(store, clock=now) as limiter:
            for _ in range(12):

                async def one() -> None:
                    lease = await limiter.acquire(10)
                    vendor.taken.append(now())
                    await asyncio.sleep(chance.uniform(0.05, 2.0))
                    limiter.observe(lease, {})
                    limiter.settle(lease, chance.randint(1, 10))

                for _ in range(chance.randint(1, 60)):
                    await asyncio.gather(*(one() for _ in range(chance.randint(1, 4))))
                await asyncio.sleep(chance.uniform(0.0, 70.0))

    async def main() -> None:
        store = ProcessStore(windows, clock=now)
        await asyncio.gather(*(bursts(store, random.Random(seed)) for seed in range(3)))

    run(main())
    assert len(vendor.taken) > 1_000
    for window in windows:
        assert most_in_any_span(sorted(vendor.taken), window.per_seconds) <= window.requests


@pytest.mark.parametrize("latency", [1, 5, 30])
@pytest.mark.parametrize("real", [300, 600, 990])
def test_tokens_that_were_not_used_come_back_only_for_as_long_as_their_request_counts(latency: int, real: int) -> None:
    quota, sent = Quota([Window(60, None, 100_000)]), list[tuple[int, int, float]]()
    for second in range(240):
        ended = [(count, ratio) for at, count, ratio in sent if at == second - latency]
        count = sum(count for count, _ in ended)
        settled = (1_000 * count, real * count, sum(1_000 * count * ratio for count, ratio in ended))
        grant = quota.turn(Ask("one", waiting=[1_000] * 500, settled=settled, heard=True), float(second))
        sent.append((second, grant.granted, grant.ratio))
    used = [sum(real * count for at, count, _ in sent if end - 60 < at <= end) for end in range(240)]
    assert max(used) <= 100_500  # the estimate is scaled by what was learned, to a fraction of a percent
    assert used[-1] >= 90_000


def test_leave_that_was_not_used_ends_with_the_window_that_it_was_counted_in() -> None:
    quota = Quota([Window(60, 100)])
    assert quota.turn(Ask("one", waiting=[10] * 20, ahead=[10] * 5, heard=True), 0.0).ahead == 5
    assert quota.turn(Ask("one", waiting=[10] * 200, unused=(5, 50)), 30.0).granted == 80
    assert quota.turn(Ask("one", waiting=[10] * 200, heard=True), 61.5).granted == 20
    assert quota.turn(Ask("one", waiting=[10] * 200, heard=True), 91.5).granted == 80


@pytest.mark.parametrize(("window", "tokens"), [(Window(10, 1), 1), (Window(60, None, 1_000), 5_000)])
def test_refusals_never_close_a_small_window_for_good(window: Window, tokens: int) -> None:
    quota = Quota([window])
    for second in range(100):
        quota.turn(Ask("one", refused=True, heard=True), float(second))
    assert quota.turn(Ask("one", waiting=[tokens] * 5), 200.0).granted == 1
    again = quota.turn(Ask("one", waiting=[tokens] * 5), 201.0)
    assert again.granted == 0
    assert 0 < again.wait <= window.per_seconds * 1.02


def test_absurd_headers_change_nothing() -> None:
    for value in ("-5", "many", "", "1e9", "1" + "0" * 30, "\u00b2", "0"):
        vendor = Vendor(rpm=300, forge={"x-ratelimit-remaining-requests": value, "x-ratelimit-limit-requests": value})
        assert finish(vendor, [MINUTE], [100] * 400) <= 22.0
        assert vendor.refused <= 1


def test_remaining_above_the_limit_is_no_licence() -> None:
    vendor = Vendor(rpm=300, forge={"x-ratelimit-remaining-requests": "1000000"})
    finish(vendor, [Window(60, 300)], [100] * 500)
    assert vendor.refused == 0


def test_nothing_left_in_every_header_does_not_stop_the_night() -> None:
    vendor = Vendor(rpm=300, forge={"x-ratelimit-remaining-requests": "0"})
    assert finish(vendor, [MINUTE], [100] * 100) <= 90.0


def test_the_first_burst_waits_for_the_first_answer() -> None:
    quota = Quota([MINUTE])
    assert quota.turn(Ask("one", waiting=[10] * 50), 0.0).granted == 2
    assert quota.turn(Ask("one", waiting=[10] * 50), 0.1).granted == 0
    assert quota.turn(Ask("one", waiting=[10] * 50, heard=True), 0.2).granted == 50


def test_a_request_larger_than_a_window_goes_when_the_window_is_empty() -> None:
    vendor = Vendor(tpm=10_000, charge=lambda tokens: min(tokens, 9_000))
    assert finish(vendor, [Window(60, None, 10_000, refills=True)], [100, 50_000, 100]) <= 150.0


def test_a_day_that_is_used_up_is_not_waited_out() -> None:
    async def main() -> None:
        limiter = KeyLimiter(ProcessStore([Window(86_400, 10)], clock=now), clock=now)
        with pytest.raises(LimitReached, match="no room for"):
            await send_all(Vendor(headers=False), limiter, [1] * 30, workers=4)
        assert now() < 60

    run(main())


def shares(weights: dict[str, float], seconds: float, groups: dict[str, str] | None = None) -> dict[str, int]:
    """What each of several limiters gets in so many seconds while all wait."""

    async def main() -> dict[str, int]:
        store, got = ProcessStore([MINUTE], clock=now), dict.fromkeys(weights, 0)
        vendor = Vendor(rpm=300, level=0.0)

        async def use(name: str) -> None:
            async with KeyLimiter(store, (groups or {}).get(name, name), weights[name], clock=now) as limiter:

                async def one() -> None:
                    while True:
                        lease = await limiter.acquire(10)
                        answered, headers, _ = await vendor.call(10)
                        limiter.observe(lease, headers)
                        got[name] += answered

                await asyncio.gather(*(one() for _ in range(8)))

        tasks = [asyncio.create_task(use(name)) for name in weights]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return got

    random.seed(4)
    return dict(run(main()))


def test_waiting_limiters_get_what_their_weights_say_and_nobody_starves() -> None:
    got = shares({"a": 3.0, "b": 1.0}, 120)
    assert 2.4 <= got["a"] / got["b"] <= 3.6
    assert sum(got.values()) >= 0.95 * 600
    tiny = shares({"a": 100.0, "b": 0.5}, 120)
    assert tiny["b"] >= 1


def test_a_group_shares_its_weight() -> None:
    got = shares({"a1": 1.0, "a2": 1.0, "a3": 1.0, "b": 1.0}, 120, {"a1": "a", "a2": "a", "a3": "a", "b": "b"})
    assert 0.8 <= got["b"] / (got["a1"] + got["a2"] + got["a3"]) <= 1.25


def test_who_died_while_waiting_is_forgotten() -> None:
    quota = Quota([MINUTE])
    quota.turn(Ask("dead", waiting=[10] * 400, heard=True), 0.0)
    held_back = quota.turn(Ask("alive", waiting=[10] * 50, heard=True), 1.0).granted
    later = quota.turn(Ask("alive", waiting=[10] * 50, heard=True), 10.0).granted
    assert held_back <= 4
    assert later >= 40


def test_a_quota_survives_being_stored() -> None:
    quota = Quota([MINUTE, Window(86_400, 1_000)])
    seen = Seen("requests", 300, 200, 0.5, 0, 0, 10)
    quota.turn(Ask("one", waiting=[10] * 50, heard=True, seen=[seen]), 1.0)
    again = Quota.read(quota.windows, json.loads(json.dumps(quota.document())))
    ask = Ask("one", waiting=[10] * 500)
    assert again.turn(ask, 2.0) == quota.turn(ask, 2.0)
    assert Quota.read([MINUTE], quota.document()).used == [{}]  # the registry changed


@pytest.mark.parametrize("wrong", [{"requests": 0}, {"requests": -1}, {"tokens": True}, {"per_seconds": 0}, {}])
def test_a_limit_that_lets_nothing_through_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="limit"):
        Window(**{"per_seconds": 60, **wrong})  # type: ignore[arg-type]
