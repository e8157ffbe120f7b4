"""What became of the nights of a backfill, from Airflow's runs and the nights on record; and how long nights take."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from include.database import transaction
from include.intervals import read_span
from include.ledger.backfill_plans import Plan, ask_plan, end_plan, find_plan, find_started, keep_nights, note_start
from include.ledger.record import record_manifest
from include.models import Interval, Manifest, RunOptions
from include.pages.backfill import NEVER_BEGAN, Pace, estimate_seconds, find_pace, watch_nights
from tests.core.conftest import Ledger, MakeNight

CASE = "crm_lead_scoring"
FIRST = datetime(2026, 11, 20, 2, tzinfo=UTC)
NIGHTS = [FIRST + timedelta(days=day) for day in range(4)]
CONF = {"backfill": "november"}


def finish(ledger: Ledger, run_id: str, *, seconds: float, calls: int, cost: str = "0.5", asked: float = 0.0) -> None:
    sums = {"rows_in": 10, "seconds": seconds, "calls": calls, "cost_usd": cost}
    record_manifest(
        ledger.service, Manifest(run_id, "enriched", "file:///none", 10, 100, "0" * 64, {}, {"seconds": asked})
    )
    change = """UPDATE nightledger.run SET status = 'succeeded', counts = '{"written": 10}', finished_at = now(),
                       totals = CAST(:sums AS jsonb) WHERE run_id = :run"""
    with transaction(ledger.owner) as connection:
        connection.execute(text(change), {"run": run_id, "sums": json.dumps(sums)})


def backfill(**fields: Any) -> dict[str, Any]:
    made = {
        "created_at": (datetime.now(UTC) - timedelta(minutes=5)).isoformat(),
        "completed_at": None,
        "dag_run_conf": CONF,
        "max_active_runs": 1,
    }
    return {**made, **fields}


def run_of(start: datetime, state: str, *, queued: timedelta = timedelta(0), **fields: Any) -> dict[str, Any]:
    run = {
        "dag_run_id": f"backfill__{start.isoformat()}",
        "run_type": "backfill",
        "state": state,
        "conf": CONF,
        "logical_date": start.isoformat(),
        "queued_at": (datetime.now(UTC) + queued).isoformat(),
    }
    return {**run, **fields}


def test_nights_are_its_own_left_out_or_not_made_yet(ledger: Ledger, make_night: MakeNight) -> None:
    runs = [
        run_of(NIGHTS[0], "success"),
        run_of(NIGHTS[1], "success", run_type="scheduled", conf={}),
        run_of(NIGHTS[2], "failed"),
    ]
    mine = make_night(day=0, external_ref=f"{CASE}/{runs[0]['dag_run_id']}")
    other = make_night(day=1, external_ref=f"{CASE}/scheduled")
    finish(ledger, mine.run_id, seconds=60, calls=5)
    finish(ledger, other.run_id, seconds=600, calls=5)
    seen = watch_nights(ledger.service, CASE, backfill(), NIGHTS, runs, None)
    assert [one.state for one in seen.nights] == ["success", "skipped: already ran", NEVER_BEGAN, "not made yet"]
    assert [one.mine for one in seen.nights] == [True, False, True, False]
    assert (seen.done, seen.due, seen.rows_in, seen.counts) == (2, 3, 10, {"written": 10})
    assert (seen.cost, seen.budget, seen.expected) == (Decimal("0.5"), None, None)
    assert seen.seconds_left == pytest.approx(60)  # one night is left, and its own took a minute


def test_what_a_run_did_before_it_was_cleared_is_not_the_backfills(ledger: Ledger, make_night: MakeNight) -> None:
    run = run_of(NIGHTS[0], "queued")
    finish(ledger, make_night(external_ref=f"{CASE}/{run['dag_run_id']}").run_id, seconds=60, calls=5)
    later = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    run["queued_at"] = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    seen = watch_nights(ledger.service, CASE, backfill(created_at=later), NIGHTS[:1], [run], None)
    assert (seen.nights[0].mine, seen.nights[0].night, seen.cost) == (True, None, 0)


def test_a_run_with_another_wish_or_from_before_is_another_backfills(ledger: Ledger) -> None:
    runs = [run_of(NIGHTS[0], "success", conf={"backfill": "october"})]
    runs.append(run_of(NIGHTS[1], "running", queued=-timedelta(hours=1)))
    runs.append(run_of(NIGHTS[2], "success", run_type="manual"))  # by hand, with the backfill's name
    seen = watch_nights(ledger.service, CASE, backfill(), NIGHTS[:3], runs, None)
    ran = "skipped: already ran"
    assert [one.state for one in seen.nights] == [ran, "skipped: was running", ran]
    assert (seen.due, seen.seconds_left) == (0, None)


def make_plan(ledger: Ledger) -> Plan:
    span = Interval(NIGHTS[0], NIGHTS[-1] + timedelta(days=1))
    plan_id = ask_plan(ledger.service, CASE, span, {}, "ann")
    nights = [
        {"from": night.isoformat(), "problem": "", "calls": 100, "cost_usd": "0.25", "minutes": {"model ask": 0.5}}
        for night in NIGHTS
    ]
    keep_nights(ledger.service, plan_id, nights)
    end_plan(ledger.service, plan_id, {"total": {}})
    return find_plan(ledger.service, plan_id)


def test_sums_stand_against_the_plan_and_the_budget_of_the_name(ledger: Ledger) -> None:
    plan = make_plan(ledger)
    with transaction(ledger.owner) as connection:
        opened = "INSERT INTO nightledger.budget (scope, ceiling, spent) VALUES (:scope, 3, 1.5)"
        connection.execute(text(opened), {"scope": f"backfill/{CASE}/november"})
    runs = [run_of(NIGHTS[0], "running"), run_of(NIGHTS[1], "success", run_type="scheduled", conf={})]
    seen = watch_nights(ledger.service, CASE, backfill(max_active_runs=2), NIGHTS, runs, plan)
    assert (seen.cost, seen.budget, seen.expected) == (Decimal("1.5"), Decimal(3), Decimal("0.75"))
    assert seen.seconds_left == pytest.approx(3 * 30 / 2)  # by the limits: no night has ended yet


def test_a_plan_knows_what_it_was_started_as(ledger: Ledger) -> None:
    plan = make_plan(ledger)
    assert find_started(ledger.service, CASE, 7, "november") is None
    note_start(ledger.service, plan, 7, "november")
    started = find_started(ledger.service, CASE, 7, "november")
    assert started is not None
    assert (started.plan_id, "total" in started.sums) == (plan.plan_id, True)
    assert find_started(ledger.service, CASE, 7, "of another database of Airflow's") is None


def test_the_pace_is_that_of_full_nights_with_asking_by_the_call(ledger: Ledger, make_night: MakeNight) -> None:
    assert find_pace(ledger.service, CASE) is None
    for day, (seconds, calls, asked) in enumerate([(70, 100, 10), (30, 0, 0), (150, 1_000, 100)]):
        finish(ledger, make_night(day=day).run_id, seconds=seconds, calls=calls, asked=asked)
    trial = make_night(day=5, options=RunOptions(mode=make_night(day=9).options.mode, limit=5))
    finish(ledger, trial.run_id, seconds=9_000, calls=1, asked=9_000)
    pace = find_pace(ledger.service, CASE)
    assert pace == Pace(around=50, per_call=0.1, nights=3)
    assert pace.seconds(2_000, at_limits=0) == 250
    assert pace.seconds(2_000, at_limits=600) == 650
    night = {"problem": "", "calls": 100, "minutes": {"crm read": 0.5, "model ask": 0.5}}
    assert estimate_seconds([night, {**night, "problem": "no rows"}], None) == 60


@pytest.mark.parametrize(
    ("first", "last", "wrong"),
    [
        ("", "2026-11-20", {"first": "The date is missing"}),
        ("2026-11-22", "soon", {"first": "is not over yet", "last": "neither a date"}),
        ("2025-12-31", "2026-11-20", {"first": "before the first night"}),
        ("2026-11-20", "2026-11-19", {"last": "before the first, 2026-11-20"}),
        ("2026-11-01", "2026-11-11", {"last": "At most 10 nights"}),
    ],
)
def test_a_range_that_cannot_be_is_said_by_field(first: str, last: str, wrong: dict[str, str]) -> None:
    span, said = read_span(first, last, datetime(2026, 11, 22, 3, tzinfo=UTC), 10)
    assert span is None
    assert set(said) == set(wrong)
    assert all(words in said[name] for name, words in wrong.items())


def test_the_last_night_that_is_over_may_be_chosen() -> None:
    span, wrong = read_span("2026-11-12", "2026-11-21", datetime(2026, 11, 22, 2, tzinfo=UTC), 10)
    assert (span, wrong) == (Interval(NIGHTS[0] - timedelta(days=8), NIGHTS[2]), {})
