"""What people see on a night and drift says too: lost and repeated rows, jumps, values that are new or gone."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from upath import UPath

from include.night.check.course import course
from include.night.check.drift import DriftFact, measure, usual_edges
from include.night.check.past_nights import PastNight
from include.quality.profile import profile_night
from include.quality.repeats import KEPT, Repeats, hashes
from include.spec.use_case import Drift
from include.staging import StagedWriter

START = datetime(2026, 9, 7, tzinfo=UTC)
Change = Callable[[dict[str, Any], np.random.Generator], dict[str, Any]]
NIGHTS = 35


def lines(day: int, rows: int) -> dict[str, Any]:
    """Order lines of a night: two or three an order, whose customer is unknown for whole orders."""
    random = np.random.default_rng([7, day])
    orders = np.sort(random.integers(0, rows * 2 // 5, rows)) + day * 10_000
    unknown = {order for order in set(orders.tolist()) if (order * 2_654_435_761) % 10 < 2}
    return {
        "order": [f"SO{order}" for order in orders],
        "customer": [None if order in unknown else f"C{order % 900}" for order in orders.tolist()],
        "region": random.choice(["north", "south", "west"], rows, p=[0.5, 0.3, 0.2]).tolist(),
        "price": random.lognormal(3, 1, rows).round(2).tolist(),
    }


class Shop:
    """Nights in turn, profiled as the check stage does."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.past = folder, list[PastNight]()

    def night(self, day: int, rows: int, change: Change | None = None) -> PastNight:
        columns = lines(day, rows)
        columns = change(columns, np.random.default_rng(day)) if change else columns
        table = pa.table(columns)
        with StagedWriter(UPath(self.folder / "raw.parquet"), table.schema) as writer:
            writer.write_table(table)
        start = START + timedelta(days=day)
        edges, manifest = usual_edges(self.past), writer.manifest("r", "raw")
        whole, profiles = profile_night(manifest, start + timedelta(days=1), edges=edges)
        return PastNight(f"run-{day}", start, table.num_rows, profiles, whole)

    def look(self, change: Change | None = None, rows: int = 400) -> list[DriftFact]:
        return [f for f in measure(self.night(NIGHTS, rows, change), self.past, Drift()) if f.verdict == "drifted"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Thirty-five nights of some 400 lines; on every ninth there is a promotion."""
    found = Shop(tmp_path_factory.mktemp("shop"))
    random = np.random.default_rng(3)
    for day in range(NIGHTS):
        rows = 700 if day % 9 == 4 else int(random.normal(400, 40))
        found.past.insert(0, found.night(day, rows))
    return found


def kept(share: float) -> Change:
    def change(columns: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
        at = random.random(len(columns["order"])) < share
        return {name: [v for v, keep in zip(values, at, strict=True) if keep] for name, values in columns.items()}

    return change


def twice(columns: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    return {name: values + values[:120] for name, values in columns.items()}


def put(name: str, make: Callable[[list[Any], np.random.Generator], list[Any]]) -> Change:
    return lambda columns, random: columns | {name: make(columns[name], random)}


def hundredfold(values: list[Any], random: np.random.Generator) -> list[Any]:
    return [value * 100 if random.random() < 0.1 else value for value in values]


def test_a_steady_night_and_a_promotion_that_came_before_are_no_drift(shop: Shop) -> None:
    assert shop.look() == []
    assert shop.look(rows=700) == []


@pytest.mark.parametrize(
    ("change", "signal", "column"),
    [
        (kept(0.6), "volume", ""),
        (twice, "repeated", ""),
        (put("price", hundredfold), "level", "price"),
        (put("region", lambda was, _: ["east" if at % 20 == 0 else v for at, v in enumerate(was)]), "values", "region"),
        (put("region", lambda was, _: ["north" if v == "west" else v for v in was]), "values", "region"),
    ],
)
def test_what_people_see_is_said(shop: Shop, change: Change, signal: str, column: str) -> None:
    assert (signal, column) in [(f.signal, f.column) for f in shop.look(change)]


def test_a_new_value_and_one_that_is_gone_are_named(shop: Shop) -> None:
    new = shop.look(put("region", lambda was, _: ["east" if at % 20 == 0 else v for at, v in enumerate(was)]))
    assert [(f.statistic, f.detail) for f in new] == [("new value", "value 'east' was never there")]
    gone = shop.look(put("region", lambda was, _: ["north" if v == "west" else v for v in was]))
    assert ("value gone", "value 'west' is not there") in [(f.statistic, f.detail) for f in gone]


def test_values_that_go_missing_within_whole_orders_and_then_anywhere(shop: Shop) -> None:
    change = put("customer", lambda was, random: [None if random.random() < 0.25 else v for v in was])
    assert ("null_share", "customer") in [(f.signal, f.column) for f in shop.look(change)]


def test_columns_that_miss_values_together_are_named(shop: Shop) -> None:
    def change(columns: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
        gone = random.random(len(columns["order"])) < 0.1
        both = {n: [None if g else v for v, g in zip(columns[n], gone, strict=True)] for n in ("region", "price")}
        return columns | both

    (found,) = [f for f in shop.look(change) if (f.signal, f.column) == ("null_share", "")]
    assert found.detail == "no value in region, price of the same row"


def test_rows_per_value_are_exact_for_few_and_near_for_many() -> None:
    few, many = Repeats(), Repeats()
    few.add(hashes(pa.array(["a", "b", "a", None, ""])))
    assert few.per_value() == 5 / 4
    values = [f"value {at % 100_000}" for at in range(130_000)]
    for at in range(0, len(values), 13_000):
        many.add(hashes(pa.array(values[at : at + 13_000])))
    assert many.per_value() == pytest.approx(1.3, rel=3 / math.sqrt(KEPT))
    assert Repeats().per_value() is None


def test_a_part_of_an_array_has_the_hashes_of_the_whole() -> None:
    array = pa.array(["", "a", "ab", "customer 00000001", None, "customer 00000002"])
    assert hashes(array.slice(2, 3)).tolist() == hashes(array)[2:5].tolist()
    assert len(set(hashes(array).tolist())) == 6


def test_a_trend_is_forecast_by_the_night_before_and_a_week_by_its_weekday() -> None:
    days = [START + timedelta(days=at) for at in range(36)]
    trend = course([(days[at], float(at)) for at in range(34, -1, -1)], days[35])
    assert trend is not None
    assert trend.expected == 34
    week = course([(days[at], 80.0 if days[at].weekday() > 4 else 800.0) for at in range(34, -1, -1)], days[33])
    assert week is not None
    assert week.expected == 80
    assert course([(days[0], 1.0)], days[1]) is None
