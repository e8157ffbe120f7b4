"""Days on a real scheduler: backfill, and again, explain, tamper, and take everything down.

One stack for the module, started as a user would start it, in a state folder of its own. The tests follow each other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from tests.e2e.stack import DAG, Stack, running_stack, state_folder
from tests.last_night import last_interval

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
DAYS = 4
AGAIN = 1


@pytest.fixture(scope="module")
def week() -> Iterator[Stack]:
    with running_stack(state_folder("week"), {}) as stack:
        yield stack


def backfill(week: Stack, first: date, last: date, behavior: str) -> None:
    """`airflow backfill create`, as a user types it."""
    days = ["--from-date", f"{first}", "--to-date", f"{last}T23:59:59", "--max-active-runs", "2"]
    how = ["--reprocess-behavior", behavior, "--dag-run-conf", '{"mode": "auto"}']
    week.airflow_command("backfill", "create", "--dag-id", DAG, *days, *how)


def wait_for_backfills(week: Stack) -> None:
    """Until Airflow has marked every backfill as done, which it does a while after the last run's end."""
    while week.airflow.execute("SELECT 1 FROM backfill WHERE completed_at IS NULL").fetchone():
        time.sleep(0.5)


def story(week: Stack) -> str:
    """What the ledger has on record of every run, for a failure that cannot be had again."""
    said = week.query(
        "SELECT r.run_id, e.seq, e.type, e.recorded_at, e.details FROM nightledger.run r "
        "JOIN nightledger.event e ON e.stream = r.run_id WHERE r.interval_start IN ("
        "SELECT interval_start FROM nightledger.run WHERE attempt > 1 OR status <> 'succeeded') ORDER BY e.recorded_at"
    )
    return "\n".join(f"{run} {seq} {at:%H:%M:%S} {kind} {details}" for run, seq, kind, at, details in said)


def test_days_are_backfilled_on_the_scheduler(week: Stack) -> None:
    last = last_interval()[0].date()
    backfill(week, last - timedelta(days=DAYS - 1), last, "none")
    week.api.pause(DAG, False)  # the last night is the backfill's by now, and not the schedule's
    wait_for_backfills(week)
    intervals = week.query(
        "SELECT interval_start, counts FROM nightledger.run WHERE external_ref LIKE '%backfill%' "
        "ORDER BY interval_start"
    )
    assert {status for (status,) in week.query("SELECT status FROM nightledger.run")} == {"succeeded"}, story(week)
    first = datetime(last.year, last.month, last.day, 2, tzinfo=UTC) - timedelta(days=DAYS - 1)
    assert [row[0] for row in intervals] == [first + timedelta(days=n) for n in range(DAYS)]
    for _, counts in intervals:
        assert sum(counts.values()) == 240
        assert counts["written"] > 100


def test_the_same_days_again_make_no_paid_call_and_no_write(week: Stack) -> None:
    """The first of them. Each is a night of its own: what one costs again, all would."""
    billed, written = len(week.billed()), week.records_written()
    first = last_interval()[0].date() - timedelta(days=DAYS - 1)
    backfill(week, first, first + timedelta(days=AGAIN - 1), "completed")
    wait_for_backfills(week)
    assert (len(week.billed()), week.records_written()) == (billed, written)
    again = week.query("SELECT counts FROM nightledger.run WHERE attempt = 2 AND external_ref LIKE '%backfill%'")
    assert len(again) == AGAIN
    for (counts,) in again:
        assert sum(counts.values()) == 240, story(week)
        assert counts.get("written", 0) == 0
        assert counts["unchanged"] > 100


def test_a_written_value_is_explained_back_to_its_source(week: Stack) -> None:
    (lead,) = week.query("SELECT external_id FROM nightledger.outbox WHERE status = 'written' LIMIT 1")[0]
    text = week.cli("explain", DAG, lead).stdout
    for part in ("nl_lead_score", "decision", "prompt", "v1", "contacts page", "firmographics_"):
        assert part in text


def test_a_flipped_byte_is_named(week: Stack) -> None:
    assert week.cli("ledger", "verify").returncode == 0
    with week.superuser() as connection:
        connection.execute("SET session_replication_role = replica")
        (changed,) = connection.execute(
            "UPDATE nightledger.inference_result SET raw_text = overlay(raw_text placing 'X' from 12 for 1) WHERE "
            "inference_id = (SELECT inference_id FROM nightledger.inference_result LIMIT 1) RETURNING inference_id"
        ).fetchone() or (None,)
    found = week.cli("ledger", "verify")
    assert found.returncode == 1
    assert str(changed) in found.stdout


def test_no_personal_value_reached_the_logs_xcom_or_reports(week: Stack) -> None:
    assert week.personal_values_told() == []
