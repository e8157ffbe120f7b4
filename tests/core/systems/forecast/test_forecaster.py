"""Rows are answered of their own history, or left with the reason; nothing ends the night."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from include.errors import ConfigurationError
from include.models import Record
from include.settings import ROOT
from include.systems.forecast import method
from include.systems.forecast.calendar import Calendar, Every
from include.systems.forecast.declared import Forecast, Spread
from include.systems.forecast.history import LONGEST
from tests.core.systems.forecast.series import RUNNING, Output, decide, declared, members, row

STEADY = [50.0, 52.0, 47.0, 51.0, 55.0, 49.0, 50.0, 48.0, 53.0, 50.0, 51.0, 46.0]


def test_the_weeks_after_the_running_one_are_answered() -> None:
    answer, counts = decide(row(members(STEADY)))
    assert counts == {"decided": 1}
    assert answer is not None
    assert [one["period"] for one in answer["horizon"]] == ["2026-11-23", "2026-11-30", "2026-12-07", "2026-12-14"]
    assert all(45 < one["low"] < one["quantity"] < one["high"] < 60 for one in answer["horizon"])
    assert (answer["method"], answer["history_periods"], answer["largest_seen"]) == ("level", 12, 55.0)
    assert answer["confidence"] > 0.9


def test_what_is_known_of_the_running_week_does_not_count() -> None:
    half = members([*STEADY, 3.0], last=RUNNING)
    assert decide(row(half)) == decide(row(half[:-1]))


def test_without_a_running_week_the_answer_begins_after_the_history() -> None:
    answer, _ = decide(row(members(STEADY)), after=None)
    assert answer is not None
    assert answer["horizon"][0]["period"] == RUNNING.isoformat()


def test_order_does_not_matter_and_other_rows_do_not_either() -> None:
    rows = [row(members([one * factor for one in STEADY])) for factor in (1, 3, 0.5)]
    rows.append(row(members(STEADY)[::-1]))
    forecaster = declared().open(None, Output)  # type: ignore[arg-type]
    together = forecaster.sort(rows).decided
    assert [forecaster.sort([one]).decided[0] for one in rows] == [together[at] for at in range(4)]
    assert together[0] == together[3]
    assert together[0] != together[1]


def late(by: int) -> list[Record]:
    return members(STEADY, last=RUNNING - timedelta(weeks=1 + by))


@pytest.mark.parametrize(
    ("history", "left"),
    [
        ("", "unreadable"),
        ("not JSON", "unreadable"),
        ("[" * 100_000, "unreadable"),
        ("7", "unreadable"),
        ("[7]", "unreadable"),
        ('[{"week": "soon", "sold": 1}]', "unreadable"),
        ('[{"sold": 1}]', "unreadable"),
        (members([*STEADY, "12"]), "unreadable"),
        (members([*STEADY, True]), "unreadable"),
        (members([*STEADY, math.nan]), "unreadable"),
        (members([*STEADY, math.inf]), "unreadable"),
        (members([*STEADY, 1e16]), "unreadable"),
        (members([*STEADY, 10**400]), "unreadable"),
        (members([*STEADY, -0.5]), "negative"),
        ([], "short"),
        (members(STEADY[:2]), "short"),
        (members([*STEADY[:7], *[None] * 5]), "short"),
        ([*members(STEADY), *members(STEADY[:1])], "repeats"),
        ([*members(STEADY), {"week": "2026-11-04", "sold": 1}], "irregular"),
        (members(STEADY, last=RUNNING + timedelta(weeks=1)), "future"),
        (members([one for pair in STEADY for one in (pair, None)]), "gaps"),
        (late(4), "stale"),
    ],
)
def test_a_history_that_cannot_be_used_is_left_with_the_reason(history: Any, left: str) -> None:
    assert decide(row(history)) == (None, {"decided": 0, left: 1})


def test_dates_at_the_end_of_time_are_left() -> None:
    assert decide(row(members(STEADY, last=date(9999, 12, 26))), after=None) == (None, {"decided": 0, "unreadable": 1})


def test_a_row_that_is_left_keeps_no_other_from_being_answered() -> None:
    rows = [row("x"), row(members(STEADY)), row([])]
    found = declared().open(None, Output).sort(rows)  # type: ignore[arg-type]
    assert list(found.decided) == [1]
    assert found.counts == {"decided": 1, "unreadable": 1, "short": 1}


@pytest.mark.parametrize("history", [members([0.0] * 30), members([12.5] * 30), late(3), members(STEADY[:8])])
def test_odd_histories_are_answered(history: list[Record]) -> None:
    answer, _ = decide(row(history))
    assert answer is not None
    assert len(answer["horizon"]) == 4
    assert answer["horizon"][0]["period"] == "2026-11-23"


def test_a_few_absent_weeks_lie_between_their_neighbours() -> None:
    holes = [one for at, one in enumerate(members([float(n) for n in range(20, 50)])) if at not in (7, 8)]
    unknown = [{**one, "sold": None} if at in (7, 8) else one for at, one in enumerate(members(range(20, 50)))]
    assert decide(row(holes)) == decide(row(unknown)) == decide(row(members([float(n) for n in range(20, 50)])))


def test_absent_weeks_are_no_demand_where_the_source_has_no_row_for_it() -> None:
    sparse = [one for one in members([8.0 if n % 4 == 0 else 0.0 for n in range(40)]) if one["sold"]]
    answer, _ = decide(row(sparse), fill="zero")
    full, _ = decide(row(members([8.0 if n % 4 == 0 else 0.0 for n in range(40)])))
    assert answer == full
    ended, _ = decide(row(late(10)), fill="zero")
    assert ended is not None
    assert ended["horizon"][0]["quantity"] < 15


def test_ten_thousand_periods_are_cut_to_the_newest() -> None:
    first = date(1999, 7, 2)
    days = [
        {"week": (first + timedelta(days=n)).isoformat(), "sold": 5.0 if n > 9_000 else 900.0} for n in range(10_000)
    ]
    answer, _ = decide(row(days), every="day", after=None)
    assert answer is not None
    assert (answer["history_periods"], answer["largest_seen"]) == (LONGEST, 5.0)


def test_months_follow_months() -> None:
    months = [{"week": f"{2024 + n // 12}-{n % 12 + 1:02}-15", "sold": 10.0 + n % 12} for n in range(30)]
    answer, _ = decide(row(months, date(2026, 7, 31)), every="month", season=12)
    assert answer is not None
    assert [one["period"] for one in answer["horizon"]] == ["2026-08-01", "2026-09-01", "2026-10-01", "2026-11-01"]
    assert answer["method"] == "season_and_drift"


@pytest.mark.parametrize("every", ["day", "week", "month", "quarter"])
def test_periods_are_numbered_without_a_gap(every: Every) -> None:
    calendar = Calendar.of(every, date(2023, 12, 31))
    days = [date(2023, 12, 31) + timedelta(days=n) for n in range(800)]
    numbers = [calendar.number(day) for day in days]
    assert sorted(set(numbers)) == list(range(numbers[0], numbers[-1] + 1))
    for day, number in zip(days, numbers, strict=True):
        assert calendar.begins(number) <= day < calendar.begins(number + 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: replace(one, horizon=5),
        lambda one: replace(one, season=52),
        lambda one: replace(one, fill="zero"),
        lambda one: replace(one, spread=Spread(1.0, 1.0)),
    ],
)
def test_the_name_changes_with_whatever_could_change_an_answer(change: Callable[[Forecast], Forecast]) -> None:
    first, same, other = (one.open(None, Output).name for one in (declared(), declared(), change(declared())))  # type: ignore[arg-type]
    assert first == same != other
    assert first.startswith(f"forecast.v{method.VERSION}-")


@pytest.mark.parametrize(("name", "value"), [("FLAT", Spread(9.0, 9.0)), ("POWER", 0.5), ("KEPT", 1.0), ("SETTLED", 4)])
def test_the_name_changes_with_the_constants(name: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = declared().open(None, Output).name  # type: ignore[arg-type]
    monkeypatch.setattr(method, name, value)
    assert declared().open(None, Output).name != before  # type: ignore[arg-type]


class Reasoned(Output):
    reason: str


class Aimless(BaseModel):
    quantity: float


@pytest.mark.parametrize(("output", "said"), [(Reasoned, "nothing gives reason"), (Aimless, "no field `horizon`")])
def test_an_answer_that_cannot_be_filled_is_refused(output: type[BaseModel], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        declared().open(None, output)  # type: ignore[arg-type]


class Narrow(Output):
    largest_seen: float

    def model_post_init(self, context: Any) -> None:
        if self.largest_seen > 54:
            raise ValueError("too large")


def test_an_answer_that_is_not_valid_is_left() -> None:
    found = declared().open(None, Narrow).sort([row(members(STEADY))])  # type: ignore[arg-type]
    assert (dict(found.decided), dict(found.counts)) == ({}, {"decided": 0, "unfit": 1})


@pytest.mark.parametrize(
    "wrong",
    [
        {"horizon": 0},
        {"season": 1},
        {"least": 3},
        {"most_gaps": 1.0},
        {"late": -1},
        {"spread": Spread(0.0, 1.0)},
    ],
)
def test_a_declaration_that_cannot_be_computed_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        declared(**wrong)


def test_a_declaration_loads_nothing_heavy() -> None:
    code = (
        "import sys, include.use_cases.erp_demand_forecast.spec; print([m for m in sys.argv[1:] if m in sys.modules])"
    )
    heavy = ("numpy", "pandas", "scipy", "statsmodels", "great_expectations")
    done = subprocess.run([sys.executable, "-c", code, *heavy], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []
