"""Bounds hold as often as they say, and a threshold keeps its promise on rows that chose it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from include.systems.fitted.bounds import bounds, certain_above

RUNS, ROWS, WANTED = 200, 3_000, 0.95


@pytest.mark.parametrize(("hits", "of"), [(0, 20), (20, 20), (13, 20), (950, 1_000)])
def test_bounds_are_those_of_clopper_and_pearson(hits: int, of: int) -> None:
    theirs = binomtest(hits, of).proportion_ci(confidence_level=0.9, method="exact")
    assert bounds(hits, of) == pytest.approx((theirs.low, theirs.high))


def worlds() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows whose probability says too much: claimed probability, true one, and whether each row is right."""
    made = []
    for seed in range(RUNS):
        chance = np.random.default_rng(seed)
        claimed = chance.uniform(0.4, 1.0, ROWS)
        true = np.clip(claimed**0.25 * 0.99, 0, 1)
        made.append((claimed, true, chance.uniform(size=ROWS) < true))
    return made


def broken(threshold: float | None, claimed: np.ndarray, true: np.ndarray) -> bool:
    return threshold is not None and true[claimed >= threshold].mean() < WANTED


def test_the_threshold_promises_too_much_as_rarely_as_it_says() -> None:
    found = [(certain_above(claimed, right, WANTED), claimed, true) for claimed, true, right in worlds()]
    assert sum(broken(*one) for one in found) <= 0.07 * RUNS
    decided = [(claimed >= (threshold or 2)).mean() for threshold, claimed, _ in found]
    assert np.mean(decided) > 0.3, "it keeps its promise by deciding nothing"


def test_without_a_bound_it_would_promise_too_much_every_second_time() -> None:
    """The worlds are hard enough for the test above to mean something."""

    def naive(claimed: np.ndarray, right: np.ndarray) -> float:
        order = np.argsort(-claimed)
        share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
        return float(claimed[order[np.flatnonzero(share >= WANTED).max()]])

    assert sum(broken(naive(claimed, right), claimed, true) for claimed, true, right in worlds()) > 0.3 * RUNS


def test_nothing_is_certain_where_nothing_is_right_often_enough() -> None:
    chance = np.random.default_rng(0)
    assert certain_above(chance.uniform(size=2_000), chance.uniform(size=2_000) < 0.8, 0.95) is None


def test_a_few_rows_that_are_all_right_prove_nothing() -> None:
    assert certain_above(np.linspace(0.5, 1, 200), np.ones(200, dtype=bool), 0.95) is None
    assert certain_above(np.array([]), np.array([], dtype=bool), 0.95) is None


def test_all_rows_are_decided_where_all_are_right() -> None:
    assert certain_above(np.linspace(0.5, 1, 400), np.ones(400, dtype=bool), 0.95) == 0.5
