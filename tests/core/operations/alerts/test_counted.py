"""Calls, money, drift and reviews: each tells at its threshold and not just below it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from include.database import transaction
from include.errors import ConfigurationError
from include.ledger import budget
from include.ledger.alerts import clock
from include.models import Mode, RunOptions
from include.run import Night
from include.settings import ROOT
from include.systems.connections import EnvironmentConnections, StoredConnection, open_http
from include.systems.registry import read_systems
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import ask, rows_of
from tests.core.operations.alerts.finding import CASE, SYSTEMS, day, ended, found

ONE = timedelta(seconds=1)


def clock_of(ledger: Ledger) -> datetime:
    with transaction(ledger.service) as connection:
        return clock(connection)


@pytest.fixture
def night(make_night: MakeNight) -> Night:
    return make_night(interval=day(-1))


@pytest.mark.parametrize(("failed", "alerts"), [(2, 0), (3, 1)])
def test_calls_that_fail_are_told_above_two_per_cent(ledger: Ledger, night: Night, failed: int, alerts: int) -> None:
    ask(night, rows_of(100 - failed))
    ask(night, rows_of(failed, "crm/failed"), outcome="http_error")
    all_found = found(ledger.service, "calls_failing")
    assert len(all_found) == alerts
    for one in all_found:
        assert one.severity == "severe"
        assert one.sentence.startswith(
            "3 of 100 calls in 15 minutes failed (3.0%, more than 2.0%), most of them as http"
        )
        assert one.page.endswith(night.run_id.replace("/", "%2F"))


def test_a_handful_of_calls_says_nothing(ledger: Ledger, night: Night) -> None:
    ask(night, rows_of(49), outcome="timeout", latencies=[9_000])
    assert found(ledger.service) == []
    ask(night, rows_of(1, "crm/more"), outcome="timeout", latencies=[9_000])
    assert {one.cause for one in found(ledger.service)} == {"calls_failing", "calls_slow"}


def test_what_is_no_call_or_was_given_up_for_another_answer_is_no_failure(ledger: Ledger, night: Night) -> None:
    ask(night, rows_of(97))
    ask(night, rows_of(2, "crm/failed"), outcome="invalid")
    ask(night, rows_of(20, "crm/second"), outcome="cancelled")
    assert found(ledger.service, "calls_failing", error_rate=0.0201) != []
    assert found(ledger.service, "calls_failing", error_rate=0.0201, least_calls=100) == []


def test_rows_decided_in_the_process_do_not_thin_failures_out(ledger: Ledger, night: Night) -> None:
    ask(night, rows_of(60), outcome="refused")
    decided = ask(night, rows_of(100, "crm/local"), kind="local", answered=False)
    local = """INSERT INTO nightledger.inference_result (inference_id, batch, run_id, outcome, price_dated, latency_ms)
               SELECT i, gen_random_uuid(), :run, 'ok', 'local', 0 FROM unnest(CAST(:ids AS uuid[])) AS i"""
    with transaction(ledger.service) as connection:
        connection.execute(text(local), {"run": night.run_id, "ids": [str(one) for one in decided]})
    (alert,) = found(ledger.service, "calls_failing")
    assert alert.sentence.startswith("60 of 60 calls")


@pytest.mark.parametrize("ended_run", [False, True], ids=["open run", "ended run"])
def test_calls_are_counted_within_the_window_only(ledger: Ledger, night: Night, ended_run: bool) -> None:
    before = clock_of(ledger)
    ask(night, rows_of(50), outcome="timeout", latencies=[9_000])
    if ended_run:
        ended(night, "succeeded", clock_of(ledger))
    after = clock_of(ledger)
    assert len(found(ledger.service, now=before + timedelta(minutes=15))) == 2
    assert found(ledger.service, now=after + timedelta(minutes=15)) == []
    assert len(found(ledger.service, now=after + timedelta(minutes=15), window_minutes=16)) == 2


@pytest.mark.parametrize(("latency", "alerts"), [(5_000, 0), (5_001, 1)])
def test_slow_calls_are_told_above_five_seconds(ledger: Ledger, night: Night, latency: int, alerts: int) -> None:
    ask(night, rows_of(90))
    ask(night, rows_of(10, "crm/slow"), latencies=[latency])
    all_found = found(ledger.service, "calls_slow")
    assert len(all_found) == alerts
    assert all(one.severity == "warning" and "took 5.0 s or more" in one.sentence for one in all_found)


def test_five_per_cent_of_slow_calls_are_not_slow_yet_and_refusals_hide_none(ledger: Ledger, night: Night) -> None:
    ask(night, rows_of(96))
    ask(night, rows_of(4, "crm/slow"), latencies=[9_000])
    assert found(ledger.service, "calls_slow") == []
    ask(night, rows_of(4, "crm/slower"), outcome="timeout", latencies=[60_000])
    ask(night, rows_of(200, "crm/refused"), outcome="rate_limited", latencies=[1])
    assert len(found(ledger.service, "calls_slow")) == 1


def spend(owner_of: Ledger, night: Night, amount: str, on: date) -> None:
    """What the run spent, on the day on which it began to ask."""
    scope = f"run/{night.run_id}"
    budget.open_budgets(owner_of.service, {scope: Decimal(1000)})
    change = "UPDATE nightledger.budget SET spent = :spent, opened_at = :at WHERE scope = :scope"
    began = "UPDATE nightledger.run SET started_at = :at WHERE run_id = :run"
    at = datetime(on.year, on.month, on.day, 23, 59, tzinfo=UTC)
    with transaction(owner_of.owner) as connection:
        connection.execute(text(change), {"spent": Decimal(amount), "at": at, "scope": scope})
        connection.execute(text(began), {"at": at, "run": night.run_id})


def nights_that_spent(ledger: Ledger, make_night: MakeNight, today: date, *amounts: str) -> None:
    for number, amount in enumerate(amounts):
        spend(ledger, make_night(interval=day(-number)), amount, today - timedelta(days=number))


TODAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(("today", "alerts"), [("1.50", 0), ("1.51", 1)])
def test_spend_is_told_above_one_and_a_half_times_the_mean(
    ledger: Ledger, make_night: MakeNight, today: str, alerts: int
) -> None:
    nights_that_spent(ledger, make_night, TODAY, today, "0.5", "1.5", "1", "1", "1", "1", "1")
    all_found = found(ledger.service, "spend_high", now=NOON)
    assert len(all_found) == alerts
    for one in all_found:
        assert one.severity == "warning"
        assert one.sentence == "$1.51 were spent today (UTC), more than 1.5 times the mean of $1.00 on 7 days before."


def test_spend_needs_seven_days_of_history(ledger: Ledger, make_night: MakeNight) -> None:
    nights_that_spent(ledger, make_night, TODAY, "9", *["1"] * 6)
    assert found(ledger.service, "spend_high", now=NOON) == []
    assert len(found(ledger.service, "spend_high", now=NOON, spend_least_days=6)) == 1


def test_spend_is_held_against_thirty_days_and_not_against_older_ones(ledger: Ledger, make_night: MakeNight) -> None:
    spend(ledger, make_night(interval=day(0)), "2", TODAY)
    for number in range(24, 31):
        spend(ledger, make_night(interval=day(-number)), "1", TODAY - timedelta(days=number))
    spend(ledger, make_night(interval=day(-31)), "99", TODAY - timedelta(days=31))
    assert len(found(ledger.service, "spend_high", now=NOON)) == 1
    assert found(ledger.service, "spend_high", now=NOON + timedelta(days=1)) == [], "the day is over"


def test_less_than_a_cent_and_backfills_call_nobody(ledger: Ledger, make_night: MakeNight) -> None:
    nights_that_spent(ledger, make_night, TODAY, "0.009", *["0.001"] * 7)
    assert found(ledger.service, "spend_high", now=NOON) == []
    planned = make_night(interval=day(-40), options=RunOptions(mode=Mode.SHADOW, backfill="november"))
    spend(ledger, planned, "50", TODAY)
    assert found(ledger.service, "spend_high", now=NOON) == []
    assert len(found(ledger.service, "spend_high", now=NOON, spend_least_usd=Decimal("0.009"))) == 1


@pytest.mark.parametrize(
    ("spent", "reserved", "severity"),
    [("7.9", "0.09", None), ("7.9", "0.1", "warning"), ("9.98", "0", "warning"), ("9.99", "0", "severe")],
)
def test_a_budget_is_told_at_eighty_per_cent_and_severe_when_used_up(
    ledger: Ledger, spent: str, reserved: str, severity: str | None
) -> None:
    scopes = [f"day/{CASE}/2026-11-20", f"month/{CASE}/2026-11", "key/model/2026-11"]
    budget.open_budgets(ledger.service, dict.fromkeys(scopes, Decimal(10)) | {f"day/{CASE}/2026-11-19": Decimal(10)})
    with transaction(ledger.owner) as connection:
        change = "UPDATE nightledger.budget SET spent = :spent, reserved = :reserved"
        connection.execute(text(change), {"spent": Decimal(spent), "reserved": Decimal(reserved)})
    all_found = found(ledger.service, "budget_low", now=NOON)
    told = {(one.key, one.use_case, one.severity) for one in all_found}
    assert told == ({(f"budget_low/{s}", "" if s.startswith("key") else CASE, severity) for s in scopes} if severity
                    else set())  # fmt: skip


def drifted(night: Night, *signals: tuple[str, str, str]) -> None:
    put = """INSERT INTO nightledger.drift_result (run_id, signal, column_name, statistic, verdict, nights, detail,
             recorded_at) VALUES (:run, :signal, :column, 'x', :verdict, 9, 'as of ann@example.com', now())
             ON CONFLICT (run_id, signal, column_name) DO UPDATE SET verdict = excluded.verdict, recorded_at = now()"""
    with transaction(night.ledger) as connection:
        for signal, column, verdict in signals:
            values = {"run": night.run_id, "signal": signal, "column": column, "verdict": verdict}
            connection.execute(text(put), values)


def test_a_night_that_drifted_is_told_and_the_same_drift_is_the_same_thing(
    ledger: Ledger, make_night: MakeNight
) -> None:
    first = make_night(interval=day(-2))
    drifted(first, ("volume", "", "steady"))
    assert found(ledger.service, "night_drifted") == []
    drifted(first, ("volume", "", "drifted"), ("null_share", "job_title", "drifted"), ("level", "age", "no history"))
    (alert,) = found(ledger.service)
    assert (alert.cause, alert.severity) == ("night_drifted", "warning")
    assert alert.sentence.endswith("than chance explains: null share of job_title, volume.")
    assert found(ledger.service, drift=False) == []
    second = make_night(interval=day(-1))
    assert [one.key for one in found(ledger.service)] == [alert.key], "the newer night was not checked yet"
    drifted(second, ("volume", "", "drifted"), ("null_share", "job_title", "drifted"))
    assert [one.key for one in found(ledger.service)] == [alert.key]
    drifted(second, ("volume", "", "drifted"))
    assert [one.key for one in found(ledger.service)] not in ([alert.key], [])
    drifted(second, ("volume", "", "steady"))
    assert found(ledger.service) == []


def waiting(ledger: Ledger, night: Night, hours: float, status: str = "waiting") -> None:
    put = """INSERT INTO nightledger.review_item (run_id, use_case, interval_start, interval_end, row_id, row_key,
             inference_key, shown, shown_sha256, proposed, reason, status, recorded_at)
             VALUES (:run, :use_case, :start, :end, :row, :row, 'k', '{"email": "ann@example.com"}', 's', '{}', 'low',
                     :status, CAST(:now AS timestamptz) - make_interval(secs => :seconds))"""
    values = {"run": night.run_id, "use_case": night.case.name, "row": f"row {hours}", "status": status, "now": NOON}
    values |= {"start": night.interval.start, "end": night.interval.end, "seconds": hours * 3600}
    with transaction(ledger.owner) as connection:
        connection.execute(text(put), values)


def test_answers_that_wait_for_a_day_are_told(ledger: Ledger, night: Night) -> None:
    waiting(ledger, night, 1)
    waiting(ledger, night, 99, "approved")
    waiting(ledger, night, 23.99)
    assert found(ledger.service, "review_waiting", now=NOON) == []
    waiting(ledger, night, 24)
    (alert,) = found(ledger.service, "review_waiting", now=NOON)
    assert alert.sentence == "1 of 3 answers have waited for a person for more than 24 hours, the oldest for 24."
    assert (alert.severity, alert.page) == ("warning", f"/nightledger/review?use_case={CASE}")
    assert found(ledger.service, "review_waiting", now=NOON, review_hours=24.1) == []


@pytest.mark.parametrize(("days", "severity"), [(15, None), (14, "warning"), (0, "warning"), (-1, "severe")])
@pytest.mark.parametrize("where", ["registry", "connection"])
def test_a_credential_is_told_fourteen_days_before_its_last(
    ledger: Ledger, days: int, severity: str | None, where: str
) -> None:
    last, far = TODAY + timedelta(days=days), date(2040, 1, 1)
    crm = replace(SYSTEMS["crm"], expires=last if where == "registry" else far)
    stored = {"AIRFLOW_CONN_CRM_DEFAULT": f'{{"host": "https://crm.example", "extra": {{"expires": "{last}"}}}}'}
    connections = EnvironmentConnections(stored if where == "connection" else {})
    all_found = found(ledger.service, now=NOON, systems={"crm": crm, "beside": crm}, connections=connections)
    assert [(one.key, one.use_case, one.severity) for one in all_found] == (
        [("credential_expiring/crm_default", "", severity)] if severity else []
    )
    assert all(str(last) in one.sentence for one in all_found)


def test_a_last_day_that_cannot_be_read_is_told(ledger: Ledger) -> None:
    stored = {"AIRFLOW_CONN_CRM_DEFAULT": '{"host": "https://crm.example", "extra": {"expires": "next spring"}}'}
    connections = EnvironmentConnections(stored)
    (alert,) = found(ledger.service, systems={"crm": SYSTEMS["crm"]}, connections=connections)
    assert (alert.cause, alert.severity) == ("credential_expiring", "warning")
    assert "crm_default" in alert.sentence
    assert "next spring" not in alert.sentence


def test_a_last_day_in_the_registry_is_a_date_and_one_in_a_connection_no_header(tmp_path: Path) -> None:
    registry = (ROOT / "include" / "systems.toml").read_text(encoding="utf-8")
    (tmp_path / "systems.toml").write_text(
        registry.replace("[crm]", "[crm]\nexpires = 2027-01-31", 1), encoding="utf-8"
    )
    assert read_systems(tmp_path / "systems.toml")["crm"].expires == date(2027, 1, 31)
    (tmp_path / "systems.toml").write_text(registry.replace("[crm]", '[crm]\nexpires = "soon"', 1), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="`expires` must be a date"):
        read_systems(tmp_path / "systems.toml")
    stored = StoredConnection("crm_default", host="https://crm.example", extra={"expires": "2027-01-31", "x-team": "a"})
    assert {"expires", "x-team"} & {name.lower() for name in open_http(stored).session.headers} == {"x-team"}
