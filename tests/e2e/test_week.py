"""A week on a real scheduler: kill, retry, clear, backfill twice, tamper, and take everything down.

One stack for the module, started as a user would start it, in a state folder of its own. The tests follow each other.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import psutil
import pytest

from include.demo.stack.night import last_interval
from tests.e2e.stack import CONCURRENCY, DAG, ENDED, Stack, running_stack, state_folder

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
AGAIN = 3


@pytest.fixture(scope="module")
def week() -> Iterator[Stack]:
    with running_stack(state_folder("week"), {}) as stack:
        yield stack


def backfill(week: Stack, first: date, last: date, behavior: str) -> None:
    """`airflow backfill create`, as a user types it; returns when Airflow has marked it as done, a while later."""
    days = ["--from-date", f"{first}", "--to-date", f"{last}T23:59:59", "--max-active-runs", "1"]
    how = ["--reprocess-behavior", behavior, "--dag-run-conf", '{"mode": "auto"}']
    week.airflow_command("backfill", "create", "--dag-id", DAG, *days, *how)
    while week.airflow.execute("SELECT 1 FROM backfill WHERE completed_at IS NULL").fetchone():
        time.sleep(0.5)


def enrich_process(week: Stack, run_id: str) -> psutil.Process:
    """The process that runs the enrich task now, named by Airflow after the task instance."""
    (instance,) = [task["id"] for task in week.api.tasks(DAG, run_id) if task["task_id"] == "enrich"]
    title = f"airflow worker -- {instance}"
    (found,) = [
        process for process in psutil.process_iter(["cmdline"]) if title in " ".join(process.info["cmdline"] or [])
    ]
    return found


def test_a_killed_enrich_task_is_retried_and_pays_at_most_what_was_in_flight_twice(week: Stack) -> None:
    start, end = last_interval(None)
    run_id = week.api.trigger(DAG, "killed", start, end, start, {"mode": "auto"})
    week.api.pause(DAG, False)
    answered = "SELECT count(*) FROM nightledger.inference_result"
    while week.query(answered)[0][0] < 40:
        assert week.state(run_id) not in ENDED
        time.sleep(0.05)
    enrich_process(week, run_id).kill()
    assert week.wait(run_id) == "success"
    tries = {task["task_id"]: task["try_number"] for task in week.api.tasks(DAG, run_id)}
    assert tries["enrich"] == 2
    lost = "SELECT count(*) FROM nightledger.inference i LEFT JOIN nightledger.inference_result r USING (inference_id) "
    without_result = week.query(lost + "WHERE r.inference_id IS NULL")[0][0]
    assert without_result <= CONCURRENCY
    asked = Counter(call["message"] for call in week.billed())
    assert sum(count - 1 for count in asked.values()) <= without_result
    (counts,) = week.query("SELECT counts FROM nightledger.run WHERE status = 'succeeded'")[0]
    assert sum(counts.values()) == 240
    assert week.cli("ledger", "verify").returncode == 0


def test_a_cleared_run_pays_and_writes_nothing(week: Stack) -> None:
    billed, written = len(week.billed()), week.records_written()
    week.api.call("POST", f"/dags/{DAG}/dagRuns/killed/clear", {"dry_run": False})
    assert week.wait("killed") == "success"
    assert (len(week.billed()), week.records_written()) == (billed, written)


def test_seven_days_are_backfilled_on_the_scheduler(week: Stack) -> None:
    last = last_interval(None)[0].date() - timedelta(days=1)
    backfill(week, last - timedelta(days=6), last, "none")
    intervals = week.query(
        "SELECT interval_start, counts FROM nightledger.run WHERE external_ref LIKE '%backfill%' "
        "ORDER BY interval_start"
    )
    first = datetime(last.year, last.month, last.day, 2, tzinfo=UTC) - timedelta(days=6)
    assert [row[0] for row in intervals] == [first + timedelta(days=n) for n in range(7)]
    for _, counts in intervals:
        assert sum(counts.values()) == 240
        assert counts["written"] > 100


def test_the_same_days_again_make_no_paid_call_and_no_write(week: Stack) -> None:
    """The first days of the week. Each is a night of its own: what one costs again, all seven would."""
    billed, written = len(week.billed()), week.records_written()
    first = last_interval(None)[0].date() - timedelta(days=7)
    backfill(week, first, first + timedelta(days=AGAIN - 1), "completed")
    assert (len(week.billed()), week.records_written()) == (billed, written)
    again = week.query("SELECT counts FROM nightledger.run WHERE attempt = 2 AND external_ref LIKE '%backfill%'")
    assert len(again) == AGAIN
    for (counts,) in again:
        assert sum(counts.values()) == 240
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
