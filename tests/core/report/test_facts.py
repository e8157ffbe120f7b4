"""The report's numbers are those of the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from include.database import transaction
from include.errors import ConfigurationError
from include.ledger import tables
from include.ledger.record import record_event, record_manifest
from include.ledger.sentences import in_words
from include.models import Manifest, Mode, Outcome, RunOptions
from include.report.facts import collect
from include.report.html import as_html
from include.report.sections import Tally
from include.report.text import as_text
from include.report.wording import decided
from include.run import Night
from include.stages import close
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import ask, decide, end_rows, key_of, reject_rows, rows_of, say, stage_raw, write_rows


@pytest.fixture
def night(make_night: MakeNight) -> Night:
    return make_night()


def test_an_empty_run_has_facts(night: Night) -> None:
    facts = collect(night.ledger, night.run_id)
    assert facts.rows.rows_in is None
    assert (facts.model.calls, facts.model.cost, facts.model.latency_p50) == (0, Decimal(0), None)
    assert (facts.sources, facts.expectations, facts.writes, facts.previous) == ((), (), (), None)


def test_an_unknown_run_is_named(ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="no-such-run"):
        collect(ledger.service, "no-such-run")


def test_rows_are_counted_by_outcome(night: Night) -> None:
    stage_raw(night, rows_of(5))
    end_rows(night, dict.fromkeys(rows_of(3), Outcome.WRITTEN))
    rows = collect(night.ledger, night.run_id).rows
    assert (rows.rows_in, rows.counts, rows.not_finished, rows.add_up) == (5, {"written": 3}, 2, False)


def test_calls_tokens_and_cost_are_summed(night: Night) -> None:
    ask(night, rows_of(10), cost="0.1")
    ask(night, rows_of(2), outcome="rate_limited", cost="0")
    ask(night, rows_of(2), kind="retry", cost="0.1")
    ask(night, rows_of(1), kind="re-ask", cost="0.000001", answered=False)
    facts = Manifest(night.run_id, "enriched", "x", 12, 0, "", {}, {"answered_rows": 12, "reused": 3, "fallback": 1})
    record_manifest(night.ledger, facts)
    model = collect(night.ledger, night.run_id).model
    assert (model.calls, model.retries, model.reasks, model.without_result) == (15, 2, 1, 1)
    assert model.outcomes == (Tally("ok", 12), Tally("rate_limited", 2))
    assert (model.tokens_in, model.tokens_out) == (14 * 40, 14 * 10)
    assert model.cost == Decimal("1.2")
    assert isinstance(model.cost, Decimal)
    assert model.cost_per_row == Decimal("0.1")
    assert (model.rows_answered, model.rows_reused, model.rows_by_rule) == (12, 3, 1)


def test_percentiles_are_of_good_answers(night: Night) -> None:
    ask(night, rows_of(101), latencies=range(0, 1010, 10))
    ask(night, rows_of(50), outcome="timeout", latencies=[60_000])
    model = collect(night.ledger, night.run_id).model
    assert (model.latency_p50, model.latency_p95) == (500, 950)


def test_the_month_is_the_mean_night_times_30_4(make_night: MakeNight) -> None:
    for day, cost in enumerate(["1", "2", "6"]):
        night = make_night(day=day)
        ask(night, rows_of(1), cost=cost)
    found = collect(night.ledger, night.run_id).model.projection
    assert (found.nights, found.mean, found.month) == (3, Decimal(3), Decimal("91.2"))
    assert found.formula == "mean cost of the last 3 nights x 30.4"


def test_one_night_is_projected_alone_with_all_its_attempts(make_night: MakeNight, ledger: Ledger) -> None:
    first = make_night(external_ref="one")
    ask(first, rows_of(1), cost="1")
    second = make_night(external_ref="two")
    ask(second, rows_of(1), cost="0.5")
    found = collect(second.ledger, second.run_id).model.projection
    assert (found.nights, found.month) == (1, Decimal("1.5") * Decimal("30.4"))
    assert "this night alone" in found.formula


def test_only_thirty_nights_count(make_night: MakeNight) -> None:
    for day in range(32):
        night = make_night(day=day)
        ask(night, rows_of(1), cost="100" if day < 2 else "1")
    found = collect(night.ledger, night.run_id).model.projection
    assert (found.nights, found.mean) == (30, Decimal(1))


def test_quarantine_is_grouped_by_reason_apart_from_lines_of_files(night: Night) -> None:
    reject_rows(night, "check", dict.fromkeys(rows_of(7), "no country"))
    reject_rows(night, "extract", {"file/9": "ragged"}, counts_as_input=False)
    facts = collect(night.ledger, night.run_id)
    (found,) = facts.quarantine
    assert (found.name, found.count, len(found.examples)) == ("no country", 7, 5)
    assert facts.rejected_lines == (Tally("ragged", 1, ("file/9",)),)


def test_sources_say_what_was_read(night: Night) -> None:
    file = {"system": "sftp", "path": "drop/a.csv", "rows": 9, "rejected": 2, "encoding": "cp1252", "bytes": 99}
    stage_raw(night, rows_of(3), read={"crm": 4}, rejected_input=1, pages=2, files=[file], absent_files=["firm_"])
    crm, drop, absent = collect(night.ledger, night.run_id).sources
    assert (crm.system, crm.rows, crm.rejected, crm.notes[0]) == ("crm", 4, 1, "pages 2")
    assert (drop.what, drop.rows, drop.rejected, drop.notes[0]) == ("drop/a.csv", 9, 2, "cp1252")
    assert "no file came" in absent.what


def test_each_source_says_its_own_numbers(night: Night) -> None:
    said = [
        {"system": "crm", "object": "tickets", "rows": 60, "pages": 1, "calls": 3, "retries": 0, "rejected": 2},
        {"system": "sftp", "object": "drop", "rows": 40, "pages": 2, "calls": 5, "retries": 1, "rejected": 0},
    ]
    stage_raw(night, rows_of(3), read={"crm": 60, "sftp": 40}, rejected_input=2, sources=said)
    crm, sftp = collect(night.ledger, night.run_id).sources
    assert (crm.system, crm.what, crm.rows, crm.rejected, crm.notes[1]) == ("crm", "tickets", 60, 2, "calls 3")
    assert (sftp.what, sftp.rows, sftp.rejected, sftp.notes[2]) == ("drop", 40, 0, "retries 1")


def test_a_column_that_no_night_before_had_is_told(night: Night) -> None:
    stage_raw(night, rows_of(3), read={"crm": 3}, new_columns=["sftp/drop: region"])
    facts = collect(night.ledger, night.run_id)
    assert facts.new_columns == ("sftp/drop: region",)
    assert "new, and not declared: sftp/drop: region" in as_text(facts)
    assert 'nobody declared: <span class="mono">sftp/drop: region' in as_html(facts)


def test_a_reused_snapshot_is_said(night: Night) -> None:
    stage_raw(night, rows_of(3), reused_from="an-earlier-run")
    (source,) = collect(night.ledger, night.run_id).sources
    assert source.what == "snapshot of an-earlier-run"


def test_failed_expectations_come_first_by_severity(night: Night, ledger: Ledger) -> None:
    for name, severity, success in (("a", "info", False), ("b", "critical", True), ("c", "critical", False)):
        values = {"run_id": night.run_id, "expectation": name, "type": "t", "columns": ["x"], "severity": severity}
        more = {"meaning": name, "success": success, "rows_checked": 200, "unexpected_count": 5, "examples": rows_of(9)}
        with ledger.service.begin() as connection:
            connection.execute(tables.quality_result.insert().values(**values, **more))
    found = collect(night.ledger, night.run_id).expectations
    assert [check.name for check in found] == ["c", "a", "b"]
    assert found[0].share == 0.025
    assert len(found[0].examples) == 5


def test_writes_verdicts_and_warehouse_are_counted(night: Night) -> None:
    rows = rows_of(5)
    decisions = decide(night, rows, verdict="write")
    write_rows(night, rows[:4], decisions[:4])
    write_rows(night, rows[4:], decisions[4:], status="failed")
    say(night, "warehouse.upserted", table="scores", inserted=3, updated=1, unchanged=0)
    facts = collect(night.ledger, night.run_id)
    assert [(w.destination, w.counts) for w in facts.writes] == [
        ("crm contacts", {"written": 4, "failed": 1}),
        ("warehouse scores", {"inserted": 3, "updated": 1}),
    ]
    assert [(v.verdict, v.rows) for v in facts.verdicts] == [("write", 5)]


def test_reviews_wait_here_and_everywhere(make_night: MakeNight, ledger: Ledger) -> None:
    nights = [make_night(day=day) for day in (0, 1)]
    now = datetime.now(UTC)
    for night, count in zip(nights, (2, 3), strict=True):
        for row in rows_of(count):
            values = {
                "run_id": night.run_id,
                "use_case": night.case.name,
                "interval_start": night.interval.start,
                "interval_end": night.interval.end,
                "row_id": row,
                "row_key": key_of(row),
                "inference_key": "k",
                "shown": {},
                "shown_sha256": row,
                "proposed": {},
                "reason": "confidence is low",
            }
            with ledger.service.begin() as connection:
                connection.execute(tables.review_item.insert().values(values))
    with ledger.service.begin() as connection:
        connection.execute(text("UPDATE review_item SET status = 'approved' WHERE row_id = 'crm/contacts/1'"))
    review = collect(ledger.service, nights[1].run_id).review
    assert (review.here, review.everywhere) == (2, 3)
    assert review.oldest is not None
    assert abs(review.oldest - now) < timedelta(minutes=5)
    assert review.reasons == (Tally("confidence is low", 2),)


def test_the_run_before_is_compared(make_night: MakeNight) -> None:
    first = make_night()
    stage_raw(first, rows_of(4))
    end_rows(first, dict.fromkeys(rows_of(4), Outcome.WRITTEN))
    ask(first, rows_of(4), cost="0.5")
    close(first)
    second = make_night(day=1)
    previous = collect(second.ledger, second.run_id).previous
    assert previous is not None
    assert (previous.run_id, previous.rows, previous.cost) == (first.run_id, 4, Decimal(2))


def test_a_trial_is_no_run_before_and_no_night_of_the_month(make_night: MakeNight) -> None:
    first = make_night(day=-1)
    stage_raw(first, rows_of(4))
    end_rows(first, dict.fromkeys(rows_of(4), Outcome.SHADOWED))
    ask(first, rows_of(4), cost="0.5")
    close(first)
    trial = make_night(day=-2, options=RunOptions(mode=Mode.SHADOW, limit=1))
    stage_raw(trial, rows_of(1))
    end_rows(trial, {rows_of(1)[0]: Outcome.SHADOWED})
    close(trial)
    second = make_night()
    facts = collect(second.ledger, second.run_id)
    assert facts.previous is not None
    assert facts.previous.run_id == first.run_id
    assert (facts.model.projection.nights, facts.model.projection.mean) == (2, Decimal(1))


def test_tiers_are_held_against_the_truth(night: Night) -> None:
    rows = rows_of(8)
    decide(night, rows[:5], inferences=ask(night, rows[:5], tier="cold"), tier="cold")
    decide(night, rows[5:], inferences=ask(night, rows[5:], tier="hot"), tier="hot")
    truth = {key_of(row): "Won" if at in (0, 5, 6) else "Lost" for at, row in enumerate(rows[:7])}
    agreement = collect(night.ledger, night.run_id, truth).agreement
    assert agreement is not None
    assert agreement.table == {"hot": {"Won": 2}, "cold": {"Won": 1, "Lost": 4}}
    assert list(agreement.table) == ["hot", "cold"]
    assert (agreement.compared, agreement.share_won("hot"), agreement.share_won("cold")) == (7, 1.0, 0.2)


def test_second_calls_say_what_they_cost_and_saved(night: Night) -> None:
    third, fourth = rows_of(4)[2:]
    ask(night, rows_of(2), outcome="cancelled", cost="0.3", latencies=(2_000, 3_000))
    ask(night, rows_of(2), kind="hedge", cost="0.1")
    ask(night, [third], cost="0.1")
    ask(night, [third], kind="hedge", cost="0.2", outcome="cancelled")
    assert collect(night.ledger, night.run_id).model.second.saved is None  # nothing to estimate it by
    ask(night, [fourth], cost="0.1", latencies=(9_000,))
    facts = collect(night.ledger, night.run_id)
    second = facts.model.second
    assert (second.calls, second.won, second.cost, second.saved) == (3, 2, Decimal("0.8"), 7.0 + 6.0)
    said = "3 calls for slow questions, 2 came first, $0.80 more, about 13 s of waiting saved"
    assert said in " ".join(as_text(facts).split())
    assert said in " ".join(as_html(facts).split())


def test_what_an_engine_left_is_told_by_its_own_reasons(night: Night) -> None:
    for shard in ({"decided": 20, "stale": 2, "reused": 1}, {"decided": 10, "gaps": 1, "stale": 1, "reused": 0}):
        with transaction(night.ledger) as connection:
            record_event(connection, night.run_id, "enrich.decided", {"model": "forecast.v1-ab", **shard})
    facts = collect(night.ledger, night.run_id)
    (found,) = facts.model.local
    assert (found.decided, found.reused, found.left) == (30, 1, {"gaps": 1, "stale": 3})
    assert found.share == 30 / 34
    assert decided(found).startswith("forecast.v1-ab decided 30 (88.2 %), each a call saved; sent on: 1 gaps, 3 stale;")
    said = in_words("enrich.decided", {"model": "forecast.v1-ab", "decided": 20, "stale": 2, "gaps": 0, "reused": 1})
    assert said == "Decided 20 questions in the process by forecast.v1-ab, left 2 (stale)"
