"""Checks after enrichment: what stops a night before the gate, and what is on record of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import select

from include.database import transaction
from include.errors import ConfigurationError, QualityStop
from include.ledger import tables
from include.ledger.record import DeadLetter, RowOutcome, bury, find_manifest, record_manifest, record_outcomes
from include.models import Manifest, Mode, Outcome, Record, RunOptions
from include.night.extract.extract import raw_schema
from include.night.gate.answers import check_answers, failing_answers
from include.night.gate.gate import gate
from include.quality.expectation import Expectation
from include.quality.failures import read_failures
from include.run import Night
from include.stages import close
from include.staging import StagedWriter, read_rows, read_schema
from include.use_cases.crm_lead_scoring import expectations as declared
from tests.core.ledger.nights import stage_raw
from tests.core.night.gate.answers import answer, stage_enriched
from tests.core.quality.suites import expect

MakeNight = Callable[..., Night]
IN_SET = "ExpectColumnValuesToBeInSet"
TRUE = {"column": "derived", "value_set": [True]}
TIERS = ("hot", "warm", "cold")


def varied(count: int, **fixed: Any) -> list[Record]:
    """Answers as a sound night has them."""
    found = []
    for at in range(count):
        score = (20, 55, 85)[at % 3]
        found.append(answer(score=score, tier={20: "cold", 55: "warm", 85: "hot"}[score]) | fixed)
    return found


def results(night: Night) -> dict[str, Any]:
    with night.ledger.connect() as connection:
        return {row["expectation"]: row for row in connection.execute(select(tables.quality_result)).mappings()}


def outcomes(night: Night) -> dict[str, tuple[str, str]]:
    with night.ledger.connect() as connection:
        query = select(tables.outcome).where(tables.outcome.c.run_id == night.run_id)
        return {r["row_key"]: (r["outcome"], r["stage"]) for r in connection.execute(query).mappings()}


def bury_rows(night: Night, keys: Sequence[str], cause: str) -> None:
    letters = [DeadLetter(f"crm/contacts/{key}", key, cause, "as said", f"key-{key}", {}, {}, 1) for key in keys]
    with transaction(night.ledger) as connection:
        bury(connection, night, "enrich", letters)


def with_suite(monkeypatch: pytest.MonkeyPatch, *suite: Expectation, before: tuple[Expectation, ...] = ()) -> None:
    module = SimpleNamespace(EXPECTATIONS=before, ANSWER_EXPECTATIONS=suite)
    monkeypatch.setitem(sys.modules, "include.use_cases.crm_lead_scoring.expectations", module)


def test_a_sound_night_passes_and_every_expectation_is_on_record(make_night: MakeNight) -> None:
    night = make_night()
    shape = raw_schema(night.case)
    with StagedWriter(night.path("good.parquet"), shape) as good:
        for at in range(1, 301):
            good.append({"row_id": f"crm/contacts/{at}", "job_title": "Head of Sales", "employees": 900})
    record_manifest(night.ledger, good.manifest(night.run_id, "good", {}))
    check_answers(night, stage_enriched(night, varied(300)))
    found = results(night)
    assert found.keys() == {expectation.id for expectation in declared.ANSWER_EXPECTATIONS}
    assert {name for name, row in found.items() if not row["success"]} == set()
    assert {row["stage"] for row in found.values()} == {"answers"}
    assert found["tier_balance"]["observed"] == "0.3333333333333333, allowed at most 0.95"
    assert found["tier_balance"]["unit"] == "share of answers"
    assert outcomes(night) == {}


@pytest.mark.parametrize(("other", "stops"), [(15, False), (14, True)])
def test_a_tier_that_takes_all_stops_before_anything_is_decided(make_night: MakeNight, other: int, stops: bool) -> None:
    night = make_night()
    stage_raw(night, [f"crm/contacts/{at}" for at in range(1, 301)])
    hot, cold = answer(score=80, tier="hot"), answer(score=10, tier="cold")
    enriched = stage_enriched(night, [hot] * (300 - other) + [cold] * other)
    if not stops:
        check_answers(night, enriched)
        return
    with pytest.raises(QualityStop, match=r"No tier has more than 95 %.*: found 0\.95.*Nothing was decided or written"):
        check_answers(night, enriched)
    assert set(outcomes(night).values()) == {("deferred", "answers")}
    summary = close(night, failed={"gate": "failed"})
    assert (summary["status"], summary["counts"]) == ("stopped", {"deferred": 300})


def test_few_answers_say_nothing_of_their_distribution(make_night: MakeNight) -> None:
    night = make_night()
    check_answers(night, stage_enriched(night, [answer(score=99)] * 20))
    row = results(night)["tier_balance"]
    assert (row["success"], row["observed"]) == (True, "not judged: 20 rows, fewer than 200")


def test_refusals_and_fallbacks_are_shares_of_all_rows_that_were_to_be_asked(make_night: MakeNight) -> None:
    night = make_night()
    bury_rows(night, [f"r{at}" for at in range(160)], "refused")
    bury_rows(night, [f"i{at}" for at in range(10)], "invalid_output")
    enriched = stage_enriched(night, varied(140), origin="rule")
    with pytest.raises(QualityStop, match=r"did not refuse.*48\.4% of rows pass, 50\.0% needed"):
        check_answers(night, enriched)
    found = results(night)
    counts = {
        name: found[name]["unexpected_count"] for name in ("answers_refused", "answers_usable", "answers_by_model")
    }
    assert counts == {"answers_refused": 160, "answers_usable": 170, "answers_by_model": 140}
    failures = find_manifest(night.ledger, night.run_id, "answer_failures")
    assert failures is not None
    refused = read_failures(failures, "answers_refused", limit=1_000)
    assert {row.row_key for row in refused} == {f"r{at}" for at in range(160)}
    assert outcomes(night)["r0"] == ("dead_letter", "enrich")


def test_nothing_answered_holds_nothing_back(make_night: MakeNight) -> None:
    night = make_night()
    bury_rows(night, [f"r{at}" for at in range(250)], "refused")
    check_answers(night, stage_enriched(night, []))
    assert results(night)["answers_refused"]["success"] is False


def test_a_night_run_again_is_judged_anew_and_its_deferred_rows_go_on(
    make_night: MakeNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = make_night()
    enriched = stage_enriched(night, varied(12))
    with_suite(monkeypatch, expect("mean", "ExpectColumnMeanToBeBetween", "score", max_value=1, severity="critical"))
    with pytest.raises(QualityStop):
        check_answers(night, enriched)
    with_suite(monkeypatch, expect("mean", "ExpectColumnMeanToBeBetween", "score", max_value=90, severity="critical"))
    check_answers(night, enriched)
    gate(night, enriched)
    assert set(outcomes(night).values()) == {("shadowed", "gate")}
    assert results(night)["mean"]["success"] is True


def test_a_replay_is_judged_by_the_rows_that_it_asks(make_night: MakeNight, monkeypatch: pytest.MonkeyPatch) -> None:
    night = make_night()
    bury_rows(night, [f"old{at}" for at in range(50)], "refused")
    enriched = stage_enriched(night, varied(6))
    with StagedWriter(night.path("replayed.parquet"), read_schema(enriched)) as writer:
        writer.extend(read_rows(enriched))
    record_manifest(night.ledger, writer.manifest(night.run_id, "replayed", {"carried_from": "an earlier run"}))
    with_suite(
        monkeypatch,
        expect("refused", "ExpectColumnValuesToNotBeInSet", "ending", value_set=["refused"], severity="critical"),
    )
    check_answers(night, enriched)
    assert (results(night)["refused"]["success"], results(night)["refused"]["rows_checked"]) == (True, 6)


def test_outputs_of_other_types_are_missing_values_and_no_crash(
    make_night: MakeNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = make_night()
    outputs = [
        answer(),
        answer(score="eighty"),
        answer(score=True),
        answer(score=2**70),
        answer(score=None, confidence=1),
        {"tier": ["hot"], "reasons": "مرحبا 😀" * 2_000},
    ]
    with_suite(
        monkeypatch,
        expect("score", "ExpectColumnValuesToNotBeNull", "score"),
        expect("confidence", "ExpectColumnValuesToBeOfType", "confidence", type_="float64"),
        expect("tier", "ExpectColumnValuesToBeInSet", "tier", value_set=["hot"]),
    )
    check_answers(night, stage_enriched(night, outputs))
    found = results(night)
    assert [found[name]["unexpected_count"] for name in ("score", "tier")] == [5, 1]
    assert found["confidence"]["success"]


def test_a_use_case_without_such_expectations_is_left_alone(
    make_night: MakeNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = make_night()
    with_suite(monkeypatch)
    check_answers(night, stage_enriched(night, [answer()]))
    assert results(night) == {}
    assert find_manifest(night.ledger, night.run_id, "answers") is None


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.GATED])
def test_an_answer_that_is_set_aside_goes_to_a_person_who_is_told_why(
    make_night: MakeNight, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    night = make_night(options=RunOptions(mode=mode))
    outputs = [answer(), answer(tier="cold", next_action="email"), answer(tier="cold"), answer(next_action="email")]
    hot = Expectation("hot", IN_SET, ("tier",), "warning", "m", {"column": "tier", "value_set": ["hot"]}, "quarantine")
    call = replace(hot, id="call", columns=("next_action",), arguments={"column": "next_action", "value_set": ["call"]})
    with_suite(monkeypatch, hot, call, expect("kept", IN_SET, "tier", value_set=["warm"]))
    enriched = stage_enriched(night, outputs)
    check_answers(night, enriched)
    rules = gate(night, enriched).facts["rules"]
    assert rules.pop("mode auto: confidence at least 0.7" if mode is Mode.AUTO else "mode gated: a person decides") == 1
    assert rules == {"does not meet call, hot": 1, "does not meet hot": 1, "does not meet call": 1}


def test_expectations_on_answers_may_name_columns_of_the_row(
    make_night: MakeNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    night, seen = make_night(), list[Any]()

    def fits(rows: Any, interval: Any) -> Any:
        seen.extend(rows[["row_id", "employees", "tier"]].values.tolist())
        return rows["employees"] > 100

    rule = Expectation("fits", IN_SET, ("row_id", "employees", "tier"), "warning", "m", TRUE, "quarantine", derive=fits)
    with_suite(monkeypatch, rule)
    shape = pa.schema([("row_id", pa.string()), ("employees", pa.int64()), ("tier", pa.string())])
    with StagedWriter(night.path("good.parquet"), shape) as good:
        for at in (3, 1, 2):
            good.append({"row_id": f"crm/contacts/{at}", "employees": at * 100, "tier": "of the row"})
    record_manifest(night.ledger, good.manifest(night.run_id, "good", {}))
    enriched = stage_enriched(night, [answer(tier="hot"), answer(tier="warm")])
    check_answers(night, enriched)
    assert sorted(seen) == [["crm/contacts/1", 100, "hot"], ["crm/contacts/2", 200, "warm"]]
    assert failing_answers(night) == {"crm/contacts/1": ("fits",)}


def test_one_id_in_both_suites_is_refused(make_night: MakeNight, monkeypatch: pytest.MonkeyPatch) -> None:
    night = make_night()
    same = expect("score", "ExpectColumnValuesToNotBeNull", "score")
    with_suite(monkeypatch, same, before=(same,))
    with pytest.raises(ConfigurationError, match="score is in both suites"):
        check_answers(night, stage_enriched(night, [answer()]))


def test_what_was_deferred_before_the_model_is_no_refusal(make_night: MakeNight) -> None:
    night = make_night()
    with transaction(night.ledger) as connection:
        later = [
            RowOutcome(f"crm/contacts/d{at}", f"d{at}", Outcome.DEFERRED, "enrich", "no budget", {}) for at in range(9)
        ]
        record_outcomes(connection, night.run_id, later)
    check_answers(night, stage_enriched(night, varied(30)))
    staged: Manifest | None = find_manifest(night.ledger, night.run_id, "answers")
    assert staged is not None
    endings = [row["ending"] for row in read_rows(staged)]
    assert (endings.count("answered"), endings.count("deferred")) == (30, 9)
    assert results(night)["answers_usable"]["success"]
