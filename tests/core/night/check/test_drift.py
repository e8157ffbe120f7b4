"""Drift: a known shift is found where it is and nowhere else, and steady nights raise no alarm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import select, text
from upath import UPath

from include.ledger import tables
from include.models import RunOptions
from include.night.check import signals
from include.night.check.chance import overdispersion, stability_index
from include.night.check.drift import DriftFact, measure, usual_edges, watch_drift
from include.night.check.past_nights import PastNight, read_past_nights, read_profiles
from include.quality.profile import profile
from include.run import Night
from include.spec.use_case import Drift
from include.staging import StagedWriter
from tests.core.conftest import Ledger, MakeNight
from tests.core.quality.seeded import Change, columns_of, finish, stage

MONDAY = datetime(2026, 9, 7, 2, tzinfo=UTC)
FRESH = ("modified_at",)


class Diary:
    """Nights one after the other, profiled as the check stage does, without a ledger."""

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.folder, self.seed, self.past = folder, seed, list[PastNight]()

    def night(self, day: int, change: Change | None = None, rows: int | None = None) -> PastNight:
        start = MONDAY + timedelta(days=day)
        table = columns_of(start, self.seed, rows, change)
        with StagedWriter(UPath(self.folder / "raw.parquet"), table.schema) as writer:
            writer.write_table(table)
        edges = usual_edges(self.past)
        columns = profile(writer.manifest("r", "raw"), start + timedelta(days=1), personal=("email",), edges=edges)
        return PastNight(f"run-{day}", start, table.num_rows, columns)

    def live(self, days: Iterable[int], change: Change | None = None) -> list[list[DriftFact]]:
        """Each of these nights against those before it, and then one of them."""
        found = []
        for day in days:
            tonight = self.night(day, change)
            found.append(measure(tonight, self.past, Drift(), fresh=FRESH))
            self.past.insert(0, tonight)
        return found

    def look(self, day: int, change: Change | None = None, rows: int | None = None) -> list[DriftFact]:
        return measure(self.night(day, change, rows), self.past, Drift(), fresh=FRESH)


def drifted(findings: Iterable[DriftFact]) -> list[tuple[str, str]]:
    return [(f.signal, f.column) for f in findings if f.verdict == "drifted"]


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Diary:
    """Thirty steady nights, the last of them a Tuesday."""
    diary = Diary(tmp_path_factory.mktemp("month"))
    assert not drifted(f for night in diary.live(range(30)) for f in night)
    return diary


@pytest.mark.parametrize("seed", range(2, 6))
def test_steady_nights_with_quiet_weekends_raise_no_alarm(seed: int, tmp_path: Path) -> None:
    found = Diary(tmp_path, seed).live(range(44))
    assert not [(day, f) for day, night in enumerate(found) for f in night if f.verdict == "drifted"]
    assert {f.verdict for f in found[30]} == {"steady"}


def test_a_first_night_has_no_history(tmp_path: Path) -> None:
    (found,) = Diary(tmp_path).live([0])
    assert {f.verdict for f in found} == {"no history"}
    assert {f.signal for f in found} == {
        "schema", "volume", "null_share", "category_share", "values", "distribution", "level", "freshness",
    }  # fmt: skip


def put(name: str, values: Callable[[Any, np.random.Generator, int], Any]) -> Change:
    def change(columns: dict[str, Any], random: np.random.Generator, rows: int) -> None:
        columns[name] = values(columns[name], random, rows)

    return change


def older(hours: float) -> Change:
    return put("modified_at", lambda was, random, rows: [time - timedelta(hours=hours) for time in was])


REVENUE = [("distribution", "annual_revenue"), ("level", "annual_revenue")]
SHIFTS: list[tuple[Change, list[tuple[str, str]]]] = [
    (put("annual_revenue", lambda was, random, rows: [v * 3 for v in was]), REVENUE),
    (put("annual_revenue", lambda was, random, rows: [v / 3 for v in was]), REVENUE),
    (
        put("page_views", lambda was, random, rows: random.poisson(5, rows).tolist()),
        [("distribution", "page_views"), ("level", "page_views")],
    ),
    (
        put("last_activity_at", lambda was, random, rows: [v - timedelta(days=60) for v in was]),
        [("distribution", "last_activity_at"), ("level", "last_activity_at")],
    ),
    (
        put("country", lambda was, random, rows: [None if at % 4 == 0 else v for at, v in enumerate(was)]),
        [("null_share", "country")],
    ),
    (put("country", lambda was, random, rows: [None] * rows), [("null_share", "country")]),
    (
        put("lifecycle_stage", lambda was, random, rows: ["evangelist" if v == "subscriber" else v for v in was]),
        [("category_share", "lifecycle_stage"), ("values", "lifecycle_stage")],
    ),
    (put("opted_in", lambda was, random, rows: (random.random(rows) < 0.5).tolist()), [("category_share", "opted_in")]),
    (
        put("currency", lambda was, random, rows: ["USD" if at % 5 == 0 else v for at, v in enumerate(was)]),
        [("category_share", "currency"), ("values", "currency")],
    ),
    (
        put("lifecycle_stage", lambda was, random, rows: [f"stage {at}" for at in range(rows)]),
        [("category_share", "lifecycle_stage")],
    ),
    (older(30), [("distribution", "modified_at"), ("freshness", "modified_at")]),
]


@pytest.mark.parametrize(("change", "expected"), SHIFTS)
def test_a_shift_is_found_in_its_column_and_nowhere_else(
    month: Diary, change: Change, expected: list[tuple[str, str]]
) -> None:
    assert drifted(month.look(30, change)) == expected


@pytest.mark.parametrize(("change", "expected"), SHIFTS[:1] + SHIFTS[4:8])
def test_a_shift_is_found_while_there_are_few_nights(
    tmp_path: Path, change: Change, expected: list[tuple[str, str]]
) -> None:
    diary = Diary(tmp_path)
    assert not drifted(f for night in diary.live(range(9)) for f in night)
    assert drifted(diary.look(9, change)) == expected


@pytest.mark.parametrize(
    ("rows", "day", "signals"),
    [
        (300, 30, [("volume", "")]),
        (1300, 30, [("volume", "")]),
        (600, 30, [("volume", "")]),
        (720, 30, []),
        (80, 33, []),  # a Saturday
        (800, 33, [("volume", "")]),
        (0, 30, [("volume", "")]),
    ],
)
def test_volume_is_held_against_the_same_weekday(
    month: Diary, rows: int, day: int, signals: list[tuple[str, str]]
) -> None:
    assert drifted(month.look(day, rows=rows)) == signals


def test_an_empty_night_has_nothing_to_measure_but_its_volume(month: Diary) -> None:
    found = {f.signal: f for f in month.look(30, rows=0)}
    assert found["volume"].verdict == "drifted"
    assert found["distribution"] == replace(found["distribution"], verdict="could not run", value=None)
    assert found["null_share"].detail == "the night has no rows"


def test_new_gone_and_retyped_columns(month: Diary) -> None:
    def change(columns: dict[str, Any], random: np.random.Generator, rows: int) -> None:
        del columns["job_title"]
        columns["title"] = ["x"] * rows
        columns["page_views"] = pa.array([str(v) for v in columns["page_views"]])

    found = month.look(30, change)
    schema = {f.column: (f.statistic, f.detail) for f in found if f.signal == "schema" and f.column}
    assert schema == {
        "title": ("added", "is new (string)"),
        "job_title": ("removed", "is gone (was string)"),
        "page_views": ("retyped", "is string (was int64)"),
    }
    assert {f[1] for f in drifted(found)} == set(schema)
    assert {f.verdict for f in found if f.column in ("title", "page_views") and f.signal != "schema"} == {"no history"}


def test_a_column_that_is_all_null_from_the_first_night_is_steady(tmp_path: Path) -> None:
    empty = put("annual_revenue", lambda was, random, rows: [None] * rows)
    diary = Diary(tmp_path)
    found = [f for night in diary.live(range(24), empty) for f in night if f.column == "annual_revenue"]
    assert {(f.signal, f.verdict) for f in found[16:]} == {
        ("null_share", "steady"), ("distribution", "could not run"),
    }  # fmt: skip
    assert ("null_share", "annual_revenue") in drifted(diary.look(24))


def test_a_constant_column_is_steady_until_it_changes(tmp_path: Path) -> None:
    diary = Diary(tmp_path)
    diary.live(range(24), put("page_views", lambda was, random, rows: [7] * rows))
    for value in (6, 8):
        changed = diary.look(24, put("page_views", lambda was, random, rows, value=value: [value] * rows))
        assert drifted(changed)[0] == ("distribution", "page_views")


def test_nan_and_infinity_count_as_missing_and_do_not_disturb(month: Diary) -> None:
    spoiled = put(
        "annual_revenue", lambda was, random, rows: [[math.nan, math.inf, v][at % 3] for at, v in enumerate(was)]
    )
    found = month.look(30, spoiled)
    assert drifted(found) == [("null_share", "annual_revenue")]
    (said,) = [f for f in found if (f.signal, f.column) == ("distribution", "annual_revenue")]
    assert (said.verdict, said.detail) == ("steady", "infinite values came")


def test_the_index_is_that_of_its_formula() -> None:
    now, before = np.array([10, 20, 30, 40]) * 100, np.array([25, 25, 25, 25]) * 100
    p, q = now / now.sum(), before / before.sum()
    value, chance = stability_index(now.tolist(), before.tolist(), 1e-5)
    assert value == pytest.approx(float(((p - q) * np.log(p / q)).sum()), rel=1e-3)
    random = np.random.default_rng(3)
    by_chance = [
        stability_index(
            random.multinomial(100, [0.1] * 10).tolist(), random.multinomial(500, [0.1] * 10).tolist(), 0.05
        )
        for _ in range(2000)
    ]
    assert np.mean([value > limit for value, limit in by_chance]) == pytest.approx(0.05, abs=0.015)
    assert chance < 0.02


def test_independent_rows_are_not_overdispersed_and_clusters_are() -> None:
    random = np.random.default_rng(5)
    alike = random.multinomial(300, [0.1] * 10, 30)
    assert overdispersion([alike[:15].tolist(), alike[15:].tolist()]) == pytest.approx(1, abs=0.35)
    clustered = random.multinomial(30, [0.1] * 10, 30) * 10
    assert overdispersion([clustered.tolist()]) == pytest.approx(10, rel=0.35)
    clustered[3] = [300] + [0] * 9
    assert overdispersion([clustered.tolist()]) == pytest.approx(10, rel=0.35)
    assert overdispersion([[[5, 0]], [[0, 0], [0, 0]], []]) == 1


def clustered(columns: dict[str, Any], random: np.random.Generator, rows: int) -> None:
    """Five rows or so share a company, and with it a country, a revenue, and whether these are known."""
    companies = random.integers(0, max(rows // 5, 1), rows)
    country = [None if random.random() < 0.2 else name for name in random.choice(["DE", "FR", "US", "JP"], rows)]
    revenue = random.lognormal(14, 2, rows)
    columns["country"] = [country[at] for at in companies]
    columns["annual_revenue"] = [float(revenue[at]) for at in companies]


@pytest.mark.parametrize("seed", range(11, 14))
def test_rows_that_come_in_clusters_raise_no_alarm_and_hide_no_shift(seed: int, tmp_path: Path) -> None:
    diary = Diary(tmp_path, seed)
    assert not [f for night in diary.live(range(37), clustered) for f in night if f.verdict == "drifted"]

    def shifted(columns: dict[str, Any], random: np.random.Generator, rows: int) -> None:
        clustered(columns, random, rows)
        columns["annual_revenue"] = [value * 6 for value in columns["annual_revenue"]]

    assert drifted(diary.look(37, shifted)) == [("distribution", "annual_revenue")]


def test_edges_that_no_longer_tell_values_apart_are_renewed(tmp_path: Path) -> None:
    diary = Diary(tmp_path)
    diary.live(range(3))
    assert usual_edges(diary.past)["page_views"] == diary.past[-1].columns["page_views"].profile["edges"]
    diary.live([3], put("page_views", lambda was, random, rows: [10_000 + v for v in was]))
    assert usual_edges(diary.past)["page_views"] == []


def test_what_cannot_be_measured_says_so_and_stops_nothing(month: Diary, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(signals, "stability_index", broken)
    found = month.look(30)
    assert {f.verdict for f in found if f.signal == "distribution"} == {"could not run"}
    assert {f.verdict for f in found if f.signal != "distribution"} == {"steady"}


def lived(
    make_night: MakeNight, day: int, change: Change | None = None, status: str = "succeeded", **given: Any
) -> Night:
    night = make_night(day=day, drift=Drift(min_nights=3), **given)
    watch_drift(night, stage(night, columns_of(night.interval.start, 1, 300, change)))
    finish(night, status)
    return night


def stored(night: Night) -> dict[tuple[str, str], Any]:
    with night.ledger.connect() as connection:
        query = select(tables.drift_result).where(tables.drift_result.c.run_id == night.run_id)
        return {(row.signal, row.column_name): row for row in connection.execute(query)}


def test_nights_are_kept_and_compared_in_the_ledger(make_night: MakeNight) -> None:
    for day in range(4):
        lived(make_night, day)
    night = lived(make_night, 4, put("annual_revenue", lambda was, random, rows: [v * 10 for v in was]))
    rows = stored(night)
    assert [key for key, row in rows.items() if row.verdict == "drifted"] == [("distribution", "annual_revenue")]
    row = rows["distribution", "annual_revenue"]
    assert (row.nights, row.statistic) == (4, "population stability index")
    assert row.value > row.threshold >= 0.2
    with night.ledger.connect() as connection:
        kept = read_profiles(connection, night.run_id)
        everything = connection.scalar(text("SELECT string_agg(profile::text, '') FROM column_profile"))
    assert sum(kept["annual_revenue"].profile["counts"]) == 300
    assert kept["email"].profile["personal"]
    assert "@example.com" not in everything


def test_what_a_model_is_shown_as_tokens_leaves_no_value_either(make_night: MakeNight) -> None:
    night = lived(make_night, 0, tokenise=("country",))
    with night.ledger.connect() as connection:
        profile = read_profiles(connection, night.run_id)["country"].profile
    assert profile["personal"]
    assert not {"counts", "values"} & profile.keys()


def test_only_whole_finished_nights_before_this_one_are_usual(make_night: MakeNight) -> None:
    first = lived(make_night, 0)
    lived(make_night, 1, status="stopped")
    lived(make_night, 2, options=RunOptions(limit=10))
    again = lived(make_night, 0, external_ref="again")
    lived(make_night, 9)
    make_night(day=3)
    tonight = lived(make_night, 4)
    with tonight.ledger.connect() as connection:
        past = read_past_nights(connection, tonight.run_id, 35)
    assert [night.run_id for night in past] == [again.run_id]
    assert again.run_id != first.run_id


def test_a_limited_night_says_nothing_about_volume(make_night: MakeNight) -> None:
    for day in range(4):
        lived(make_night, day)
    row = stored(lived(make_night, 4, options=RunOptions(limit=300)))["volume", ""]
    assert (row.verdict, row.detail) == ("could not run", "the run was limited to some rows")


def test_a_second_check_of_a_run_replaces_the_first(make_night: MakeNight, ledger: Ledger) -> None:
    lived(make_night, 0)
    night = make_night(day=1)

    def more(columns: dict[str, Any], random: np.random.Generator, rows: int) -> None:
        columns["extra"] = ["x"] * rows

    watch_drift(night, stage(night, columns_of(night.interval.start, 1, 100, more)))
    watch_drift(night, stage(night, columns_of(night.interval.start, 1, 100)))
    with ledger.service.connect() as connection:
        assert "extra" not in read_profiles(connection, night.run_id)
