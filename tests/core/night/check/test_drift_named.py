"""Values that were never there and values that are gone, where rows come one by one and where they come in clusters."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.core.quality.histories import History, Rows

STAGES = ["lead", "customer", "other"]


def single(day: int, rows: int = 60) -> Rows:
    random = np.random.default_rng([21, day])
    return {"stage": random.choice(STAGES, rows, p=[0.5, 0.3, 0.2]).tolist()}


def orders(day: int) -> Rows:
    """Orders of four lines each; on every twelfth night one of them is from a country of its own."""
    random = np.random.default_rng([22, day])
    countries = random.choice(["DE", "FR", "UK"], 30, p=[0.6, 0.25, 0.15]).tolist()
    countries[11] = f"new {day}" if day % 12 == 0 else countries[11]
    return {"country": [country for country in countries for _ in range(4)]}


def put(rows: Rows, name: str, value: Any, at: Container[int]) -> Rows:
    """A value at some places of a column."""
    return {name: [value if one in at else was for one, was in enumerate(rows[name])]}


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> History:
    return History(tmp_path_factory.mktemp("stages"), single)


@pytest.fixture(scope="module")
def countries(tmp_path_factory: pytest.TempPathFactory) -> History:
    return History(tmp_path_factory.mktemp("countries"), orders, nights=37)


def said(history: History, rows: Rows) -> list[str]:
    return [f.detail for f in history.findings(rows) if f.signal == "values" and f.verdict == "drifted"]


def test_three_rows_of_a_value_that_a_closed_list_never_had_are_drift(stages: History) -> None:
    assert said(stages, single(35)) == []
    assert said(stages, put(single(35), "stage", "evangelist", range(2))) == []
    assert said(stages, put(single(35), "stage", "evangelist", range(3))) == ["value 'evangelist' was never there"]


def test_a_new_country_of_one_order_is_usual_and_one_in_many_orders_is_not(countries: History) -> None:
    usual = orders(37)
    assert said(countries, put(usual, "country", "XX", range(40, 44))) == []
    assert said(countries, put(usual, "country", "XX", range(40, 56))) == []
    assert said(countries, put(usual, "country", "XX", {0, 1, 12})) == []
    assert said(countries, put(usual, "country", "XX", range(0, 36, 12))) == ["value 'XX' was never there"]


def test_new_values_may_come_in_as_many_places_as_they_did(tmp_path: Path) -> None:
    def scattered(day: int) -> Rows:
        return put(orders(day), "country", f"some {day}", range(0, 48, 12)) if day % 12 == 0 else orders(day)

    history = History(tmp_path, scattered, nights=37)
    assert said(history, put(orders(37), "country", "XX", range(0, 48, 12))) == []
    assert said(history, put(orders(37), "country", "XX", range(0, 60, 12))) == ["value 'XX' was never there"]


def test_a_value_of_a_row_or_two_is_neither_new_nor_gone(tmp_path: Path) -> None:
    def rarely(day: int) -> Rows:
        return put(single(day), "stage", "partner", {7}) if day == 30 else single(day)

    history = History(tmp_path, rarely)
    assert said(history, put(single(35), "stage", "partner", range(9))) == []
    few = ["lead" if stage == "other" else stage for stage in single(35)["stage"]]
    assert said(history, {"stage": [*few[:-2], "other", "other"]}) == []


def test_nights_before_rare_values_were_kept_are_left_out(tmp_path: Path) -> None:
    history = History(tmp_path, single)
    for night in history.past[6:]:
        night.columns["stage"].profile.pop("rare")
    (found,) = [f for f in history.findings() if f.signal == "values"]
    assert found.verdict == "no history"


def test_a_value_of_two_orders_a_night_may_stay_away_however_steady_its_rows(tmp_path: Path) -> None:
    def two_orders(day: int) -> Rows:
        random = np.random.default_rng([26, day])
        kinds = ["lead"] * 14 + ["customer"] * 14 + ["other"] * 2
        return {"stage": [kind for kind in random.permutation(kinds).tolist() for _ in range(10)]}

    history = History(tmp_path, two_orders)
    away = {"stage": ["lead" if stage == "other" else stage for stage in two_orders(35)["stage"]]}
    assert said(history, away) == []


def test_a_value_that_happens_to_be_steady_counts_as_its_column_does(tmp_path: Path) -> None:
    def steady(day: int) -> Rows:
        random = np.random.default_rng([27, day])
        kinds = [kind for kind in random.choice(["lead", "customer"], 6).tolist() for _ in range(10)]
        return {"stage": random.permutation([*kinds, *["other"] * 12]).tolist()}

    history = History(tmp_path, steady)
    away = {"stage": ["lead" if at % 2 else "customer" for at in range(72)]}
    assert said(history, away) == []


def test_a_null_ends_the_place_of_a_value(countries: History) -> None:
    holes = put(put(orders(37), "country", None, range(50)), "country", "XX", range(0, 8, 2))
    assert said(countries, holes) == ["value 'XX' was never there"]
    together = put(put(orders(37), "country", None, range(50)), "country", "XX", range(4))
    assert said(countries, together) == []


def test_nights_that_counted_no_places_are_not_held_against_them(countries: History) -> None:
    for night in countries.past:
        night.columns["country"].profile.pop("places")
    assert said(countries, put(orders(37), "country", "XX", range(0, 36, 12))) == []
    assert said(countries, {"country": ["FR", "DE"] * 60}) == []


def test_a_column_of_few_values_on_some_nights_only_is_no_list(tmp_path: Path) -> None:
    def numbers(day: int) -> Rows:
        rows = 25 if day % 3 else 12
        return {"order": [f"SO-{day}-{at}" for at in range(rows)] + [f"SO-{day}-{at}" for at in range(rows)]}

    history = History(tmp_path, numbers, nights=37)
    assert [f.signal for f in history.findings() if f.signal in ("values", "category_share")] == []


def test_a_value_is_gone_where_its_rows_come_one_by_one(stages: History) -> None:
    gone = {"stage": ["lead" if stage == "other" else stage for stage in single(35)["stage"]]}
    assert said(stages, gone) == ["value 'other' is not there"]


def test_a_value_of_a_few_clusters_may_stay_away(tmp_path: Path) -> None:
    def clustered(day: int) -> Rows:
        random = np.random.default_rng([23, day])
        companies = random.choice(STAGES, 13, p=[0.4, 0.3, 0.3]).tolist()
        return {"stage": random.permutation([stage for stage in companies for _ in range(8)]).tolist()}

    history, random = History(tmp_path, clustered, nights=20), np.random.default_rng(24)
    assert all(len(night.columns["stage"].profile["values"]) == 3 for night in history.past)
    away = {"stage": random.permutation([stage for stage in STAGES[:2] for _ in range(52)]).tolist()}
    assert [f.detail for f in history.findings(away) if f.statistic == "value gone"] == []


def test_a_value_that_was_away_before_is_not_missed(tmp_path: Path) -> None:
    def sometimes(day: int) -> Rows:
        rows = single(day)
        return {"stage": ["lead" if v == "other" else v for v in rows["stage"]]} if day == 20 else rows

    history = History(tmp_path, sometimes)
    assert [f for f in history.findings(sometimes(20)) if f.statistic == "value gone"] == []


def test_a_country_repeats_as_often_as_there_are_rows_and_the_number_of_an_order_does_not(tmp_path: Path) -> None:
    def lines(day: int) -> Rows:
        random = np.random.default_rng([25, day])
        numbers = [f"{number:x}" for number in random.integers(10**8, 10**9, 15).tolist() for _ in range(2)]
        return {"order": numbers, "country": [f"C{at % 15}" for at in range(30)]}

    history = History(tmp_path, lines)
    usual = lines(35)
    doubled = {"order": usual["order"] + usual["order"], "country": [f"C{at % 15}" for at in range(60)]}
    assert [f.column for f in history.findings(doubled) if f.signal == "repeated" and f.column] == ["order"]
