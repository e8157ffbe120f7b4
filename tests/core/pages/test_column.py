"""The page of a column: what it held night by night, the expectations on it, and the rows that fail most of them."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from include.database import transaction
from include.errors import ConfigurationError
from include.models import Mode, RunOptions
from include.night.check.drift import keep_profiles
from include.pages.column import show_column
from include.quality.profile import ColumnProfile
from include.run import Night
from tests.core.conftest import Ledger, MakeNight
from tests.core.pages.test_failing import keep_failures
from tests.core.pages.test_pages import CASE, expect


def keep_profile(night: Night, name: str = "amount", rows: int = 100, nulls: int = 0, **held: Any) -> None:
    with transaction(night.ledger) as connection:
        keep_profiles(connection, night.run_id, [ColumnProfile(name, "int64", rows, nulls, {"kind": "number", **held})])


def test_a_columns_nights_are_in_order_and_a_trial_is_none(ledger: Ledger, make_night: MakeNight) -> None:
    first, second = make_night(day=-1), make_night()
    trial = make_night(external_ref="by hand", options=RunOptions(mode=Mode.SHADOW, limit=5))
    for night, mean in ((first, 10.0), (second, 12.5), (trial, 999.0)):
        keep_profile(night, nulls=4, mean=mean, min=1, max=30)
    page = show_column(ledger.service, CASE, "amount")
    assert [(one.day, one.run_id, one.null_share) for one in page.nights] == [
        (date(2026, 11, 19), first.run_id, 0.04),
        (date(2026, 11, 20), second.run_id, 0.04),
    ]
    assert (page.newest.profile["mean"], page.type, page.kind) == (12.5, "int64", "number")
    assert page.figures == (("mean", "mean"), ("min", "smallest"), ("max", "largest"))
    assert show_column(ledger.service, CASE, "amount", date(2026, 11, 20)).newest.run_id == first.run_id


def test_only_the_newest_attempt_of_a_night_counts(ledger: Ledger, make_night: MakeNight) -> None:
    for attempt, mean in (("first", 1.0), ("second", 2.0)):
        keep_profile(make_night(external_ref=attempt), mean=mean)
    assert [one.profile["mean"] for one in show_column(ledger.service, CASE, "amount").nights] == [2.0]


@pytest.mark.parametrize(
    ("held", "bars"),
    [
        ({"edges": [1, 5], "counts": [10, 0, 70]}, [("up to 1", 10, 0.125), ("above 5", 70, 0.875)]),
        ({"kind": "time", "edges": [0, 7], "counts": [0, 80, 0]}, [("above 0 to 7 days old", 80, 1.0)]),
        (
            {"kind": "category", "values": [["a", 60], ["b", 15]], "others": 5},
            [("a", 60, 0.75), ("b", 15, 0.1875), ("all others", 5, 0.0625)],
        ),
        ({"kind": "text", "personal": True, "mean_length": 9.5}, []),
        ({}, []),
    ],
)
def test_what_it_held_is_shares_of_the_rows_with_a_value(
    ledger: Ledger, make_night: MakeNight, held: dict[str, Any], bars: list[tuple[str, int, float]]
) -> None:
    keep_profile(make_night(), rows=100, nulls=20, **held)
    page = show_column(ledger.service, CASE, "amount")
    assert [(bar.label, bar.rows, bar.share) for bar in page.bars] == bars
    assert page.personal == bool(held.get("personal"))


def test_its_expectations_and_the_rows_that_fail_most_of_them_are_named(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night()
    keep_profile(night, "email")
    for name, failing in (("form", 30), ("unique", 2), ("present", 0)):
        expect(ledger, night, name, failing)
    expect(ledger, night, "elsewhere", 3, column="phone")
    keep_failures(night, {"form": 30, "unique": 2, "elsewhere": 3})
    page = show_column(ledger.service, CASE, "email")
    assert {trend.expectation for trend in page.trends} == {"form", "unique", "present"}
    assert [(row.row_key, sorted(row.expectations)) for row in page.worst[:3]] == [
        ("0", ["form", "unique"]),
        ("1", ["form", "unique"]),
        ("2", ["form"]),
    ]
    assert len(page.worst) == 20


def test_failing_rows_that_are_gone_are_none_and_no_error(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night()
    keep_profile(night, "email")
    expect(ledger, night, "form", 3)
    keep_failures(night, {"form": 3}).unlink()
    assert show_column(ledger.service, CASE, "email").worst == ()


def test_a_column_that_no_night_has_is_no_such_column(ledger: Ledger, make_night: MakeNight) -> None:
    make_night()
    with pytest.raises(ConfigurationError, match="no such column in these nights"):
        show_column(ledger.service, CASE, "emial")
