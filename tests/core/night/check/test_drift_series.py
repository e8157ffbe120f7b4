"""Numbers of orders and invoices: what a series lacks was lost, however many rows a night brings by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from include.quality.repeats import Numbering
from tests.core.quality.histories import History, Rows, only


def lines(day: int, *, away: tuple[int, ...] = (), width: int = 7) -> Rows:
    """One to four lines an order, whose numbers go on from night to night; orders are 20 to 80, as it comes.

    Places `away` of the series have no order.
    """
    random = np.random.default_rng([11, day])
    count = int(random.integers(20, 80))
    numbers = [day * 100 + at for at in range(count) if at not in away]
    orders = np.repeat(numbers, random.integers(1, 5, len(numbers))).tolist()
    regions = ["east", "north", "west"]
    return {
        "order": [f"SO{number:0{width}}" for number in orders],
        "region": [regions[number % 3] for number in orders],
        "clerk": [f"E{number}" for number in random.integers(1, 10, len(orders))],
    }


def kept(rows: Rows, share: float, seed: int = 1) -> Rows:
    chosen = np.random.default_rng(seed).random(len(rows["order"])) < share
    return only(rows, lambda at: bool(chosen[at]))


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> History:
    return History(tmp_path_factory.mktemp("series"), lines)


def test_rows_that_are_lost_are_missed_in_the_series_though_volume_says_nothing(series: History) -> None:
    assert series.drifted() == []
    rows = kept(lines(35), 0.6)
    assert ("volume", "", "rows") not in series.drifted(rows)
    assert ("volume", "order", "share of numbers") in series.drifted(rows)


def test_orders_that_lose_some_lines_and_none_wholly_have_fewer_rows_per_number(series: History) -> None:
    usual = lines(35)
    first = [at == 0 or usual["order"][at - 1] != order for at, order in enumerate(usual["order"])]
    assert ("volume", "order", "rows per number") in series.drifted(only(usual, lambda at: first[at]))


def test_a_customer_who_orders_more_lines_is_no_loss(series: History) -> None:
    usual = lines(35)
    more = {name: values + values for name, values in usual.items()}
    assert ("volume", "order", "rows per number") not in series.drifted(more)


def test_a_region_that_is_lost_leaves_its_numbers_open(series: History) -> None:
    usual = lines(35)
    (found,) = [f for f in series.findings(only(usual, lambda at: usual["region"][at] != "west")) if f.column == "order"
                and f.signal == "volume"]  # fmt: skip
    assert (found.verdict, found.statistic) == ("drifted", "share of numbers")
    assert "numbers are missing" in found.detail


def test_one_number_that_nobody_has_is_no_drift(series: History) -> None:
    first = lines(35, away=(4,))
    few = only(first, lambda at: first["order"][at] < f"SO{3515:07}")
    assert [f for f in series.drifted(few) if f[1] == "order"] == []


def test_a_series_that_always_lacks_some_may_lack_some_more(tmp_path: Path) -> None:
    def gaps(day: int, share: float = 0.2) -> Rows:
        away = np.flatnonzero(np.random.default_rng([3, day]).random(80) < share)
        return lines(day, away=tuple(away[away > 0].tolist()))

    history = History(tmp_path, gaps)
    assert history.drifted(gaps(35, 0.25)) == []
    assert ("volume", "order", "share of numbers") in history.drifted(gaps(35, 0.6))


def test_a_series_that_lacks_a_part_every_third_night_may_do_so(tmp_path: Path) -> None:
    def parts(day: int) -> Rows:
        numbers = [at for at in range(40) if day % 3 or not 3 <= at < 18]
        return {"order": [f"SO{day * 100 + at:07}" for at in numbers]}

    found = History(tmp_path, parts, nights=36).findings()
    assert [f.verdict for f in found if (f.signal, f.column) == ("volume", "order")] == ["steady"]


def test_rows_without_a_number_are_none_of_the_series(tmp_path: Path) -> None:
    def holes(day: int, away: tuple[int, ...] = ()) -> Rows:
        rows = lines(day, away=away)
        return {"order": [*only(rows, lambda at: rows["order"][at] < f"SO{day * 100 + 15:07}")["order"], None]}

    history = History(tmp_path, holes)
    (found,) = [f for f in history.findings(holes(35, away=(3, 8))) if (f.signal, f.column) == ("volume", "order")]
    assert (found.verdict, found.detail) == ("drifted", "2 of 15 numbers are missing")


def test_a_cut_night_says_nothing_about_its_series(series: History) -> None:
    found = series.findings(kept(lines(35), 0.6), limited=True)
    assert [f.verdict for f in found if f.signal == "volume"] == ["could not run"]


def of_column(history: History, name: str) -> list[str]:
    return [f.verdict for f in history.findings() if (f.signal, f.column) == ("volume", name)]


def test_numbers_that_come_again_every_night_are_no_series(series: History) -> None:
    assert of_column(series, "order") == ["steady"]
    assert of_column(series, "clerk") == []


def test_numbers_far_apart_say_nothing(tmp_path: Path) -> None:
    def sparse(day: int) -> Rows:
        random = np.random.default_rng([5, day])
        return {"order": [f"T{number:07}" for number in random.integers(0, 10**6, 60) + day * 10**5]}

    assert of_column(History(tmp_path, sparse), "order") == ["no history"]


def test_a_series_of_some_nights_only_is_none(tmp_path: Path) -> None:
    def mixed(day: int) -> Rows:
        rows = lines(day)
        return rows | {"order": [*rows["order"][:-1], "credit"]} if day % 5 == 0 else rows

    history = History(tmp_path, mixed, nights=36)
    assert of_column(history, "order") == []


def test_a_series_needs_some_nights(tmp_path: Path) -> None:
    assert of_column(History(tmp_path, lines, nights=9), "order") == []
    assert of_column(History(tmp_path, lines, nights=10), "order") == ["steady"]


def test_lost_lines_of_orders_without_a_series_show_beside_the_rows(tmp_path: Path) -> None:
    def hashed(day: int) -> Rows:
        random = np.random.default_rng([9, day])
        orders = np.repeat(random.integers(10**8, 10**9, int(random.normal(60, 4))), 3)
        return {"order": [f"{number:x}" for number in orders.tolist()]}

    history, usual = History(tmp_path, hashed), hashed(35)
    assert history.drifted() == []
    found = history.findings(kept(usual, 0.82, seed=4))
    (volume,) = [f for f in found if f.signal == "volume"]
    assert (volume.verdict, volume.detail) == ("drifted", "fewer rows per value of order, too")


def test_as_many_rows_of_more_orders_are_no_loss(tmp_path: Path) -> None:
    def hashed(day: int, each: int = 3, rows: int = 0) -> Rows:
        random = np.random.default_rng([9, day])
        orders = np.repeat(random.integers(10**8, 10**9, rows or int(random.normal(60, 4))), each)
        return {"order": [f"{number:x}" for number in orders.tolist()]}

    found = History(tmp_path, hashed).findings(hashed(35, each=1, rows=190))
    assert [f.verdict for f in found if f.signal == "volume"] == ["steady"]


def test_a_night_without_rows_is_drift_where_no_night_was_empty_however_they_vary(tmp_path: Path) -> None:
    def wild(day: int) -> Rows:
        return {"order": ["x"] * int(np.random.default_rng([10, day]).choice([1, 2, 900, 30]))}

    assert ("volume", "", "rows") in History(tmp_path, wild).drifted({"order": []})


@pytest.mark.parametrize(
    ("chunks", "span"),
    [
        ([["SO0007", "SO0009", None], ["SO0003"]], 7),
        ([["17"]], 1),
        ([["A9", "A9"]], 1),
        ([["998", "999"], ["1000"]], None),
        ([["A1", "B7"]], None),
        ([["1A", "2A"]], None),
        ([["A1", "A٣"]], None),
        ([["x" * 40 + "1", "x" * 40 + "2"]], None),
        ([["a", "b"], ["1", "2"]], None),
    ],
)
def test_a_series_goes_from_its_lowest_to_its_highest_number(chunks: list[list[str | None]], span: int | None) -> None:
    numbering = Numbering()
    for chunk in chunks:
        lengths = [len(text) for text in chunk if text is not None]
        numbering.add(pa.array(chunk), min(lengths), max(lengths))
    assert numbering.span() == span
