"""What pages show, from nights as the stages leave them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import text

from include.database import open_database, transaction
from include.errors import AccessDenied, ConfigurationError, LedgerUnavailable
from include.ledger.backfill_plans import ask_plan, find_plan, list_plans
from include.ledger.failures import failures_on_record
from include.ledger.record import RowOutcome, note_progress, record_manifest, record_outcomes
from include.models import Interval, Mode, Outcome, RunOptions
from include.operations.backfill_plan import work_out
from include.pages.backfill import nights_on_record
from include.pages.dead_letters import list_letters
from include.pages.nights import find_nights
from include.pages.personal import view_values
from include.pages.quality import show_quality
from include.pages.reading import reading
from include.pages.run import find_run_of, find_use_case, show_run
from include.pages.systems import show_systems
from include.run import Night
from include.settings import ROOT, Settings
from include.stages import close
from include.staging import StagedWriter
from include.systems.connections import EnvironmentConnections
from include.systems.limits.quota import Quota
from include.systems.limits.turns import Ask
from include.systems.registry import Window
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import end_rows, reject_rows, rows_of, say, stage_raw

CASE = "crm_lead_scoring"


def close_with(ledger: Ledger, night: Night, **sums: object) -> None:
    counts = "SELECT outcome, count(*) FROM nightledger.outcome WHERE run_id = :run GROUP BY 1"
    change = """UPDATE nightledger.run SET status = 'succeeded', counts = CAST(:counts AS jsonb), finished_at = now(),
                totals = CAST(:sums AS jsonb) WHERE run_id = :run"""
    with transaction(ledger.service) as connection:
        found = dict(map(tuple, connection.execute(text(counts), {"run": night.run_id})))
        connection.execute(text(change), {"run": night.run_id, "counts": json.dumps(found), "sums": json.dumps(sums)})


def expect(
    ledger: Ledger, night: Night, name: str, failing: int, *, success: bool = True, column: str = "email"
) -> None:
    insert = """INSERT INTO nightledger.quality_result (run_id, expectation, type, columns, severity, meaning, success,
                rows_checked, unexpected_count, handling)
                VALUES (:run, :name, 'x', ARRAY[:column], 'warning', 'It holds', :success, 100, :failing,
                        'quarantine')"""
    values = {"run": night.run_id, "name": name, "column": column, "success": success, "failing": failing}
    with transaction(ledger.service) as connection:
        connection.execute(text(insert), values)


def test_a_calendar_shows_every_day_and_the_newest_attempt(ledger: Ledger, make_night: MakeNight) -> None:
    first = make_night(day=-3)
    end_rows(first, dict.fromkeys(rows_of(4), Outcome.WRITTEN))
    close_with(ledger, first, rows_in=4, seconds=12.5, cost_usd="0.021", failed_expectations=1)
    again = make_night(day=-3)
    newest = make_night(day=0)
    calendar = find_nights(ledger.service, [CASE], days=3)
    assert calendar.days == (date(2026, 11, 20), date(2026, 11, 19), date(2026, 11, 18))
    assert [night.run_id for night in calendar.nights] == [newest.run_id]
    assert (calendar.newest, calendar.older) == (True, date(2026, 11, 18))
    older = find_nights(ledger.service, [CASE], before=calendar.older, days=3)
    assert [(night.run_id, night.attempt) for night in older.nights] == [(again.run_id, 2)]
    assert (older.newest, older.older) == (False, None)


def test_sums_of_a_night_are_those_of_its_closing_and_a_dash_where_there_are_none(
    ledger: Ledger, make_night: MakeNight
) -> None:
    night = make_night()
    end_rows(night, dict.fromkeys(rows_of(4), Outcome.WRITTEN))
    close_with(ledger, night, rows_in=4, seconds=12.5, cost_usd="0.021")
    running = make_night(day=1)
    found = {one.run_id: one for one in find_nights(ledger.service, [CASE]).nights}
    assert found[night.run_id].cost_usd == Decimal("0.021")
    assert (found[night.run_id].rows_in, found[night.run_id].seconds) == (4, 12.5)
    assert found[running.run_id].rows_in is None
    assert found[running.run_id].cost_usd is None


@pytest.mark.parametrize("before", [date.min, date.max])
def test_absurd_dates_give_a_page_and_no_error(ledger: Ledger, make_night: MakeNight, before: date) -> None:
    make_night()
    assert find_nights(ledger.service, [CASE], before=before).use_cases == (CASE,)
    assert show_quality(ledger.service, CASE, before).use_case == CASE


def test_a_trial_stands_for_no_night_that_was_run_in_full(ledger: Ledger, make_night: MakeNight) -> None:
    full = make_night(options=RunOptions(mode=Mode.AUTO))
    end_rows(full, dict.fromkeys(rows_of(240), Outcome.WRITTEN))
    close_with(ledger, full, rows_in=240, cost_usd="0.022")
    expect(ledger, full, "email_format", 4)
    trial = make_night(options=RunOptions(mode=Mode.SHADOW, limit=20))
    end_rows(trial, dict.fromkeys(rows_of(20), Outcome.SHADOWED))
    close_with(ledger, trial, rows_in=20, cost_usd="0.002")
    expect(ledger, trial, "email_format", 1)
    (shown,) = find_nights(ledger.service, [CASE]).nights
    assert (shown.run_id, shown.mode, shown.rows_in, shown.trial) == (full.run_id, "auto", 240, False)
    assert (shown.attempts, shown.trials, shown.cost_of_all) == (2, 1, Decimal("0.024"))
    page = show_run(ledger.service, trial.run_id)
    assert (page.night.trial, page.night.limit, page.night.cost_of_all) == (True, 20, Decimal("0.024"))
    assert [point.failing for point in show_quality(ledger.service, CASE).trends[0].points] == [4]
    alone = make_night(day=1, options=RunOptions(mode=Mode.SHADOW, limit=20))
    assert [one.run_id for one in find_nights(ledger.service, [CASE]).nights] == [alone.run_id, full.run_id]


def test_a_night_whose_rows_were_deferred_is_not_plainly_green(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night()
    stage_raw(night, rows_of(5))
    end_rows(night, dict.fromkeys(rows_of(5)[:2], Outcome.WRITTEN))
    reason = "the budget day/crm_lead_scoring/2026-11-20 of 5 USD is used up"
    with transaction(night.ledger) as connection:
        later = [RowOutcome(row, row, Outcome.DEFERRED, "enrich", reason, {}) for row in rows_of(5)[2:]]
        record_outcomes(connection, night.run_id, later)
    close_with(ledger, night, rows_in=5)
    page = show_run(ledger.service, night.run_id)
    assert page.night.deferred_share == pytest.approx(0.6)
    assert [(one.rows, one.reason) for one in page.deferred] == [(3, reason)]
    assert page.deferred[0].until.startswith("until 2026-11-21 00:00 UTC")


def test_a_failed_night_says_why_on_its_page_and_in_the_calendar(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(external_ref=f"{CASE}/manual__1")
    stage_raw(night, rows_of(5))
    denied = AccessDenied("the key is wrong or expired (401)", system="model", action="Renew the key")
    with pytest.raises(AccessDenied), failures_on_record(night, "enrich"):
        raise denied
    running = show_run(ledger.service, night.run_id)
    assert running.tried_again is not None
    assert running.tried_again.title == "Access was denied"
    close(night, failed={"enrich": "failed", "gate": "upstream_failed"})
    shown = find_nights(ledger.service, [CASE]).nights[0]
    page = show_run(ledger.service, night.run_id)
    for cause in (shown.cause, page.night.cause):
        assert cause is not None
        assert cause.sentence == "model: the key is wrong or expired (401)"
        assert cause.rows.startswith("5 rows came in, 5 have no outcome yet")
        assert (cause.retry_from, cause.system_page) == ("enrich", "/nightledger/systems#system-model")
    assert page.steps[-1].sentence.startswith("Closed as failed, 5 rows in")


def test_a_running_night_says_how_far_it_is(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night()
    stage_raw(night, rows_of(240))
    reject_rows(night, "check", dict.fromkeys(rows_of(20), "odd"))
    say(night, "check.completed", rows_in=240, quarantined=20)
    assert find_nights(ledger.service, [CASE]).nights[0].progress.step == "plan"  # type: ignore[union-attr]
    say(night, "enrich.planned", rows=220)
    facts = {"rows": 110, "calls_per_minute": 48, "spent_usd": "0.006"}
    note_progress(ledger.service, night.run_id, "enrich", {**facts, "done": 80, "seconds_left": 60})
    note_progress(ledger.service, night.run_id, "enrich/1", {**facts, "done": 40, "seconds_left": 125})
    shown = find_nights(ledger.service, [CASE]).nights[0]
    assert shown.progress is not None
    told = "Step enrich: 120 of 220 rows, 96 calls a minute, $0.012, about 2 min 5 s left, running for "
    assert shown.progress.in_words.startswith(told)
    assert (shown.rows_in, shown.counts) == (240, {"quarantined": 20})
    assert show_run(ledger.service, night.run_id).night.progress is not None


def test_a_ledger_without_runs_gives_empty_pages(ledger: Ledger) -> None:
    assert find_nights(ledger.service, [CASE]).days == ()
    assert find_nights(ledger.service, []).nights == []
    assert show_quality(ledger.service, CASE).trends == ()
    assert list_letters(ledger.service, CASE) == []
    assert find_use_case(ledger.service, "nothing") is None
    with pytest.raises(ConfigurationError, match="no such run"):
        show_run(ledger.service, "nothing")


def test_a_run_adds_up_and_names_its_steps_and_its_airflow_run(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(external_ref=f"{CASE}/manual__2026")
    rows = rows_of(5)
    stage_raw(night, rows)
    reject_rows(night, "check", {rows[0]: "odd"})
    end_rows(night, dict.fromkeys(rows[1:], Outcome.WRITTEN))
    say(night, "check.completed", rows_in=5)
    expect(ledger, night, "email_format", 3)
    expect(ledger, night, "all_fine", 0)
    page = show_run(ledger.service, night.run_id)
    assert page.rows.add_up
    assert page.rows.rows_in == 5
    assert page.dag_run == (CASE, "manual__2026")
    replayed = show_run(ledger.service, make_night(external_ref=f"quarantine/{night.interval.slug}").run_id)
    assert replayed.dag_run is None
    assert [one.attempt for one in replayed.attempts] == [2, 1]
    assert find_run_of(ledger.service, f"{CASE}/manual__2026") == night.run_id
    assert [step.name for step in page.steps] == ["run.opened", "check.completed"]
    assert [(one.expectation, one.failing) for one in page.failing] == [("email_format", 3)]
    assert (page.expectations, page.quarantine) == (2, {"open": 1})


def test_a_trend_has_one_point_a_night_and_the_worst_column_first(ledger: Ledger, make_night: MakeNight) -> None:
    for day, failing in enumerate((2, 4, 30)):
        night = make_night(day=day)
        expect(ledger, night, "email_format", failing, success=failing < 10)
        expect(ledger, night, "country_known", 1, column="country")
    page = show_quality(ledger.service, CASE)
    assert [trend.expectation for trend in page.trends] == ["email_format", "country_known"]
    worst = page.trends[0]
    assert [point.failing for point in worst.points] == [2, 4, 30]
    assert worst.mean == pytest.approx(0.03)
    assert [(one.name, one.latest, one.total) for one in page.worst] == [("email", 30, 36), ("country", 1, 3)]
    reject_rows(night, "check", dict.fromkeys(rows_of(3), "odd"))
    assert show_quality(ledger.service, CASE).owners == {"": 3}


def test_dead_letters_are_paged_by_number(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night()
    insert = """INSERT INTO nightledger.dead_letter (run_id, use_case, interval_start, interval_end, row_id, row_key,
                stage, cause, detail, record, tries)
                SELECT :run, :case, :start, :end, 'r' || s, 'r' || s, 'enrich', 'refused', 'd', '{}', 5
                FROM generate_series(1, 5) AS s"""
    when = {"start": night.interval.start, "end": night.interval.end}
    with transaction(ledger.service) as connection:
        connection.execute(text(insert), {"run": night.run_id, "case": CASE, **when})
    first = list_letters(ledger.service, CASE, limit=3)
    rest = list_letters(ledger.service, CASE, limit=3, after=first[-1].dead_letter_id)
    assert [one.row_key for one in (*first, *rest)] == ["r5", "r4", "r3", "r2", "r1"]
    assert list_letters(ledger.service, CASE, cause="no_result") == []
    assert list_letters(ledger.service, "another") == []


def test_who_looks_at_personal_values_is_on_record_also_when_there_are_none(
    ledger: Ledger, make_night: MakeNight, tmp_path: Path
) -> None:
    night = make_night()
    schema = pa.schema([("row_id", pa.string()), ("email", pa.string()), ("phone", pa.string())])
    with StagedWriter(night.path("raw.parquet"), schema) as writer:
        writer.extend([{"row_id": "a", "email": "ann@example.org"}, {"row_id": "b", "email": None}])
    record_manifest(ledger.service, writer.manifest(night.run_id, "raw"))
    seen = view_values(ledger.service, CASE, night.run_id, "a", "ann")
    assert seen == {"email": "ann@example.org", "phone": None}
    with pytest.raises(ConfigurationError, match="never staged"):
        view_values(ledger.service, CASE, night.run_id, "z", "ann")
    Path(writer.manifest(night.run_id, "raw").uri).unlink()
    with pytest.raises(ConfigurationError, match="gone"):
        view_values(ledger.service, CASE, night.run_id, "a", "bob")
    with transaction(ledger.service) as connection:
        said = "SELECT actor, details ->> 'row_id' FROM nightledger.event WHERE type = 'personal.viewed' ORDER BY seq"
        assert [tuple(row) for row in connection.execute(text(said))] == [("ann", "a"), ("ann", "z"), ("bob", "a")]


def test_a_page_ends_a_query_that_takes_too_long_and_cannot_write(ledger: Ledger) -> None:
    with pytest.raises(LedgerUnavailable, match="nights go on"), reading(ledger.service) as connection:
        connection.execute(text("SET LOCAL statement_timeout = '50ms'; SELECT pg_sleep(5)"))
    with pytest.raises(Exception, match="read-only"), reading(ledger.service) as connection:
        connection.execute(text("INSERT INTO nightledger.budget (scope, ceiling) VALUES ('x', 1)"))
    with pytest.raises(LedgerUnavailable), reading(open_database("postgresql+psycopg://nobody@/x?host=/nowhere")):
        pass


def test_levels_say_what_is_left_of_each_limit() -> None:
    windows = [Window(60, requests=100, tokens=1000, refills=True), Window(86400, requests=500)]
    quota = Quota(windows)
    quota.turn(Ask("me", waiting=[10] * 20, heard=True), 1000.0)
    left = {(kind, limit): rest for _, kind, limit, rest in quota.levels(1000.0)}
    assert left["requests", 500] == pytest.approx(480, abs=20)
    assert left["tokens", 1000] < 1000
    assert all(0 <= rest <= limit for (_, limit), rest in left.items())


def test_systems_show_the_registry_with_budgets_and_the_last_run(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night()
    today = datetime.now(UTC)
    with transaction(ledger.owner) as connection:
        for scope in (f"day/{CASE}/{today:%Y-%m-%d}", "day/another/2026-11-20", f"backfill/{CASE}/november"):
            connection.execute(text("INSERT INTO nightledger.budget VALUES (:scope, 20, 3, 1)"), {"scope": scope})
    page = show_systems(ledger.service, ROOT / "include" / "systems.toml", [CASE])
    assert [one.scope for one in page.budgets] == [f"backfill/{CASE}/november", f"day/{CASE}/{today:%Y-%m-%d}"]
    by_name = {card.system.name: card for card in page.cards}
    assert {one.role for one in by_name["crm"].health} == {"read", "write"}
    assert by_name["model"].health[0].run_id == night.run_id
    assert show_systems(ledger.service, ROOT / "include" / "systems.toml", []).cards[0].health == ()


def test_a_plan_that_cannot_be_worked_out_says_why_for_each_night(ledger: Ledger, make_night: MakeNight) -> None:
    make_night()
    span = Interval(datetime(2026, 11, 18, 2, tzinfo=UTC), datetime(2026, 11, 20, 2, tzinfo=UTC))
    variables = {"AIRFLOW_CONN_NIGHTLEDGER_DB": '{"conn_type": "postgres"}'}
    plan_id = ask_plan(ledger.service, CASE, span, {"mode": "auto"}, "ann")
    connections = OneLedger(ledger.urls.service, variables)
    sums = work_out(plan_id, connections, Settings.read({"NIGHTLEDGER_TOKEN_SECRET": "x"}))
    plan = find_plan(ledger.service, plan_id)
    assert (plan.status, plan.actor, len(plan.nights)) == ("done", "ann", 2)
    assert all("no such connection" in night["problem"] for night in plan.nights)
    assert len([problem for problem in sums["problems"] if "would stop" in problem]) == 2
    assert plan.last_night == date(2026, 11, 19)
    assert [one.plan_id for one in list_plans(ledger.service, CASE)] == [plan_id]
    assert work_out(plan_id, connections, Settings.read({}))["problems"] == sums["problems"]


class OneLedger(EnvironmentConnections):
    """No system but the ledger."""

    def __init__(self, url: str, variables: dict[str, str]) -> None:
        super().__init__(variables)
        self._url = url

    def find(self, kind: str, conn_id: str) -> str | None:
        return self._url if conn_id == "nightledger_db" else None


def test_a_plan_with_options_that_cannot_be_ends_as_failed(ledger: Ledger) -> None:
    span = Interval(datetime(2026, 11, 18, 2, tzinfo=UTC), datetime(2026, 11, 19, 2, tzinfo=UTC))
    plan_id = ask_plan(ledger.service, CASE, span, {"mode": "wild"}, "ann")
    with pytest.raises(ConfigurationError, match="not valid"):
        work_out(plan_id, OneLedger(ledger.urls.service, {}), Settings.read({}))
    assert find_plan(ledger.service, plan_id).status == "failed"


def test_nights_of_a_range_are_found_by_their_start(ledger: Ledger, make_night: MakeNight) -> None:
    inside, _ = make_night(day=0), make_night(day=3)
    span = Interval(inside.interval.start, inside.interval.start + timedelta(days=2))
    found = nights_on_record(ledger.service, CASE, span)
    assert [(one.night.run_id, one.external_ref) for one in found] == [(inside.run_id, "cli")]
