"""How far a night may lie from those before it: by its own course, by size, by weekday, by the distances of nights."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from include.night.check.course import Course, beyond, course
from include.night.check.drift import DriftFact
from include.night.check.past_nights import PastNight
from include.night.check.signals import usual_nights
from include.report.quality_text import measured
from include.spec.use_case import Drift
from tests.core.quality.histories import START, History, Rows


def test_distances_are_skewed_and_their_limit_is_kept_by_all_but_a_few() -> None:
    random = np.random.default_rng(31)
    pairs = ((random.chisquare(2, 35).tolist(), random.chisquare(2)) for _ in range(3000))
    assert np.mean([one > beyond(seen, 1e-2) for seen, one in pairs]) < 6e-3
    distances = random.chisquare(2, 35)
    assert beyond((distances * 8).tolist(), 1e-3) == pytest.approx(8 * beyond(distances.tolist(), 1e-3))
    few = random.chisquare(4, 9).tolist()
    assert beyond(few, 1e-3) == 0


def test_what_happened_twice_is_no_drift_the_third_time() -> None:
    errors = [0.0] * 30
    assert Course(0, [*errors, 5.0]).limits(1e-3)[1] < 5
    assert Course(0, [*errors, 5.0, 6.0]).limits(1e-3)[1] >= 5


def test_a_limit_is_that_of_its_side() -> None:
    below, above = Course(0, [-1.0, -1.2, -0.9, -1.1] * 4 + [0.01, 0.02, 0.015, 0.01] * 4).limits(1e-3)
    assert above < 0.1 < 1 < below


def test_few_errors_of_a_side_are_judged_by_all() -> None:
    _, above = Course(0, [-1.0, -1.2, -0.9, -1.1] * 4 + [0.01]).limits(1e-3)
    assert above > 1


def test_a_spread_is_at_least_what_nine_tenths_stay_within() -> None:
    often = [0.1, -0.1] * 12 + [2.0, -2.0] * 3
    assert Course(0, often).limits(1e-3)[1] > 3


def test_a_floor_holds_where_nothing_ever_changed() -> None:
    assert Course(0, [0.0] * 20).limits(1e-3, 0.5)[1] > 1
    assert Course(0, [0.0] * 20).limits(1e-3)[1] == 0


def test_a_night_of_few_rows_may_lie_further_off_and_its_errors_weigh_less() -> None:
    nights = [(START + timedelta(days=day), float(day % 2)) for day in range(20, -1, -1)]
    usual = course(nights, START + timedelta(days=21), [100] * 21, 100)
    small = course(nights, START + timedelta(days=21), [100] * 21, 25)
    assert usual is not None
    assert small is not None
    assert small.limits(1e-3)[1] == pytest.approx(2 * usual.limits(1e-3)[1])
    odd = [25 if value else 100 for _, value in nights]
    less = course(nights, START + timedelta(days=21), odd, 100)
    assert less is not None
    assert max(map(abs, less.errors)) < max(map(abs, usual.errors))


def test_weekdays_are_compared_where_nights_are_days_and_not_where_they_are_months() -> None:
    def nights(step: int) -> list[PastNight]:
        return [PastNight(f"{at}", START + timedelta(days=at * step), 10, {}) for at in range(34, -1, -1)]

    daily = usual_nights(nights(1), START + timedelta(days=35), Drift())
    monthly = usual_nights(nights(30), START + timedelta(days=35 * 30), Drift())
    assert daily is not None
    assert monthly is not None
    assert {night.start.weekday() for night in daily.nights} == {0}
    assert len(monthly.nights) == 35
    assert usual_nights(nights(1)[:6], START, Drift()) is None


def amounts(day: int) -> Rows:
    """Amounts of any size up to hundreds, in orders that are alike."""
    random = np.random.default_rng([32, day])
    found = np.repeat(random.lognormal(3, 1, 40), 4).round(2)
    found[:4] = 2000 if day == 7 else found[:4]
    return {"amount": found.tolist()}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return History(tmp_path_factory.mktemp("amounts"), amounts)


def far_out(history: History, rows: Rows) -> list[str]:
    return [
        f.detail for f in history.findings(rows) if f.statistic == "share of rows far out" and f.verdict == "drifted"
    ]


def test_some_rows_of_a_size_that_hardly_any_had_are_far_out(history: History) -> None:
    usual = amounts(35)["amount"]
    assert far_out(history, {"amount": usual}) == []
    assert far_out(history, {"amount": [-2000.0 if at % 16 == 0 else v for at, v in enumerate(usual)]}) == [
        "of a size that at most 0.2% of rows had before"
    ]
    assert far_out(history, {"amount": [2000.0 if at < 4 else v for at, v in enumerate(usual)]}) == []


def test_two_rows_of_forty_may_be_of_any_size(tmp_path: Path) -> None:
    def few(day: int) -> Rows:
        return {"amount": amounts(day)["amount"][8:160:4]}

    history = History(tmp_path, few)
    assert far_out(history, {"amount": [2000.0, 2000.0, *few(35)["amount"][2:]]}) == []


def test_what_lies_beyond_the_first_night_is_far_out_too(tmp_path: Path) -> None:
    def steady(day: int) -> Rows:
        return {"amount": np.random.default_rng([33, day]).uniform(17, 31, 200).tolist()}

    history = History(tmp_path, steady)
    below = {"amount": [16.5 if at % 12 == 0 else v for at, v in enumerate(steady(35)["amount"])]}
    assert far_out(history, below) == ["beyond the smallest or largest value of the first night"]


def test_nights_that_counted_no_sizes_are_not_held_against_them(history: History) -> None:
    spoiled = {"amount": [2000.0 if at % 16 == 0 else v for at, v in enumerate(amounts(35)["amount"])]}
    for night in history.past:
        night.columns["amount"].profile.pop("sizes")
    assert "of a size" not in "".join(far_out(history, spoiled))


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (
            DriftFact("volume", "order", "share of numbers", "drifted", 0.13, 0.0, 0.05, 9, "2 of 15"),
            "13.0 %, usually 0.0 %",
        ),
        (DriftFact("volume", "order", "rows per number", "drifted", 1.5, 2.5, 0.4), "1.50 rows each, usually 2.50"),
        (DriftFact("volume", "", "rows", "drifted", 300, 500, 100), "300, usually 500"),
        (DriftFact("distribution", "x", "share of rows far out", "drifted", 0.1, 0.0, 0.03), "10.0 %, usually 0.0 %"),
    ],
)
def test_a_figure_is_said_in_its_own_unit(fact: DriftFact, words: str) -> None:
    assert measured(fact).startswith(words)
