"""The retry ladder: how long to wait, and what a server may ask for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from include.retry import LONGEST_RETRY_AFTER, MAX_ATTEMPTS, retry_after_seconds, wait_seconds

NOW = datetime(2026, 11, 20, 2, 0, 0, tzinfo=UTC)


def test_waits_double_from_one_to_eight_seconds() -> None:
    assert [wait_seconds(n, spread=lambda: 0.0) for n in range(1, MAX_ATTEMPTS + 1)] == [1, 2, 4, 8, 8]


def test_jitter_only_lengthens_a_wait() -> None:
    assert wait_seconds(3, spread=lambda: 0.5) == 6
    assert all(1 <= wait_seconds(1) < 2 for _ in range(100))


def test_retry_after_is_the_floor_and_clients_spread_above_it() -> None:
    assert wait_seconds(1, 30, spread=lambda: 0.0) == 30
    assert len({wait_seconds(1, 30) for _ in range(10)}) == 10
    assert all(wait_seconds(2, 30) >= 30 for _ in range(10))


def test_a_short_retry_after_does_not_shorten_the_ladder() -> None:
    assert wait_seconds(4, 0.05, spread=lambda: 0.0) == 8


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"Retry-After": "Fri, 20 Nov 2026 02:00:30 GMT"}, 30.0),
        ({"Retry-After": "Fri, 20 Nov 2026 01:00:00 GMT"}, 0.0),
        ({"Retry-After": "86400"}, LONGEST_RETRY_AFTER),
        ({"Retry-After": "Fri, 20 Nov 2099 02:00:00 GMT"}, LONGEST_RETRY_AFTER),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "tomorrow"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form_and_nonsense_is_none(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers, NOW) == seconds
