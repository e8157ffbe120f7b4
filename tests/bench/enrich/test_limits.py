from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.bench.enrich.clients import body_of, ending
from tests.bench.enrich.limits import Key, best_seconds, spell
from tests.bench.enrich.scenarios import charge
from tests.bench.enrich.server import FAULTS, completion, draw
from tests.bench.enrich.stand import MOST_OUTPUT


def greedy(key: Key, count: int, charge: float = 1.0) -> float:
    """Seconds of a client that sends each request at the first moment at which it fits."""
    now = 0.0
    for _ in range(count):
        while (wait := key.take(charge, now)) > 0:
            now += wait + 1e-9
    return now


def test_a_full_bucket_lets_a_minutes_worth_leave_at_once_and_no_more() -> None:
    key = Key(rpm=300)
    assert [key.take(1, 10.0) for _ in range(300)] == [0.0] * 300
    assert key.take(1, 10.0) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("limits", "count"),
    [({"rpm": 300}, 500), ({"rpm": 300, "others": 80, "start": 0.02}, 200), ({"rpm": 60, "start": 0.5}, 20)],
)
def test_nobody_can_be_faster_than_the_best_possible_and_a_greedy_client_is_as_fast(
    limits: dict[str, Any], count: int
) -> None:
    shared = {name: limits[name] for name in ("others", "start") if name in limits}
    best = best_seconds(count, limits["rpm"], **shared)
    assert best <= greedy(Key(**limits), count) + 1.0 <= best + 2.0


def test_a_token_limit_is_as_fast_as_its_tokens() -> None:
    assert greedy(Key(tpm=6_000), 100, charge=100) == pytest.approx(best_seconds(100 * 100, 6_000), abs=0.01)


def test_a_request_larger_than_the_whole_limit_goes_when_the_bucket_is_full() -> None:
    key = Key(tpm=1_000)
    assert key.take(5_000, 0.0) == 0.0
    assert key.take(100, 1.0) > 200


def test_another_tenant_draws_steadily_whoever_else_asks() -> None:
    key = Key(rpm=300, others=80, start=0.02)
    greedy(key, 200)
    assert key.requests.at > 0
    assert key.taken_by_others == pytest.approx(key.requests.at * 80 / 60, abs=1)


def test_headers_say_whole_units_that_are_really_left() -> None:
    key = Key(rpm=60, tpm=6_000)
    key.take(500, 0.0)
    key.take(500, 0.9)
    told = dict(line.split(": ") for line in key.headers().strip().split("\r\n"))
    assert told["x-ratelimit-remaining-requests"] == "58"
    assert told["x-ratelimit-remaining-tokens"] == "5090"
    assert told["x-ratelimit-reset-requests"] == "2s"
    assert told["x-ratelimit-limit-requests"] == "60"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.12, "120ms"), (0.0, "0ms"), (1.0, "1s"), (59.2, "1m0s"), (360, "6m0s")]
)
def test_times_are_written_as_the_vendor_writes_them(seconds: float, said: str) -> None:
    assert spell(seconds) == said


def test_faults_come_at_their_share_and_follow_the_seed() -> None:
    shares = dict.fromkeys(FAULTS, 0.01)
    drawn = Counter(draw(shares, f"message {number}", 1, seed=7) for number in range(20_000))
    assert set(drawn) == {None, *FAULTS}
    assert all(150 <= drawn[kind] <= 250 for kind in FAULTS)
    again = Counter(draw(shares, f"message {number}", 1, seed=8) for number in range(20_000))
    assert again != drawn


def test_a_malformed_answer_is_a_whole_completion_with_broken_content() -> None:
    assert ending(json.loads(completion("ab12cd", 10, whole=True))) == "answered"
    assert ending(json.loads(completion("ab12cd", 10, whole=False))) == "malformed"


def test_the_charge_is_that_of_the_request_that_is_sent() -> None:
    line = '{"id": "a", "note": "' + "x" * 4_000 + '"}'
    sent = body_of(line, MOST_OUTPUT)["messages"]
    assert charge(line) == sum(len(part["content"]) for part in sent) // 4 > 1_000
    assert charge('{"id": "a"}') == MOST_OUTPUT
