"""The gate on a real ledger, as the service role: what it records, and that doing it again records nothing more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Table, func, select, text, update
from sqlalchemy.exc import ProgrammingError

from include.canonical import digest
from include.ledger import tables
from include.ledger.record import find_manifest
from include.ledger.verify import verify
from include.models import Mode, RunOptions
from include.night.datasets import APPROVED
from include.night.gate import gate as gate_module
from include.night.gate.gate import gate
from include.run import Night
from include.staging import read_rows, read_schema
from tests.core.conftest import Ledger
from tests.core.night.gate.answers import answer, stage_enriched

MakeNight = Callable[..., Night]


def in_mode(make_night: MakeNight, mode: Mode, **more: Any) -> Night:
    return make_night(options=RunOptions(mode=mode), confidence_threshold=0.75, **more)


def rows_in(night: Night, table: Table) -> list[Any]:
    with night.ledger.connect() as connection:
        return list(connection.execute(select(table)).mappings())


def outcomes(night: Night) -> dict[str, tuple[str, str]]:
    return {r["row_key"]: (r["outcome"], r["reason"]) for r in rows_in(night, tables.outcome)}


def test_every_row_gets_a_decision_and_only_certain_ones_are_approved(make_night: MakeNight) -> None:
    night = in_mode(make_night, Mode.AUTO)
    approved = gate(night, stage_enriched(night, [answer(), answer(confidence=0.5), answer(score=200)]))
    assert {r["row_key"]: r["verdict"] for r in rows_in(night, tables.decision)} == {
        "1": "write",
        "2": "review",
        "3": "reject",
    }
    assert outcomes(night) == {
        "2": ("in_review", "confidence below 0.75 (0.5 < 0.75)"),
        "3": ("rejected", "no longer fits the output model: score"),
    }
    (row,) = read_rows(approved)
    decision = next(r for r in rows_in(night, tables.decision) if r["row_key"] == "1")
    assert (row["row_key"], row["decision_id"]) == ("1", str(decision["decision_id"]))
    assert read_schema(approved).equals(APPROVED)
    assert find_manifest(night.ledger, night.run_id, "approved") == approved


def test_counts_per_verdict_and_rule_are_in_the_manifest_and_in_one_event(make_night: MakeNight) -> None:
    night = in_mode(make_night, Mode.AUTO)
    approved = gate(night, stage_enriched(night, [answer(), answer(confidence=0.5), answer(confidence=0.6)]))
    assert approved.facts == {
        "verdicts": {"write": 1, "review": 2},
        "rules": {"mode auto: confidence at least 0.75": 1, "confidence below 0.75": 2},
    }
    said = [r["details"] for r in rows_in(night, tables.event) if r["type"] == "gate.completed"]
    assert said == [approved.facts]


@pytest.mark.parametrize(("mode", "outcome"), [(Mode.SHADOW, "shadowed"), (Mode.GATED, "in_review")])
def test_nothing_is_approved_unless_the_mode_is_auto(make_night: MakeNight, mode: Mode, outcome: str) -> None:
    night = in_mode(make_night, mode)
    assert gate(night, stage_enriched(night, [answer(), answer(confidence=0.1)])).rows == 0
    assert {o for o, _ in outcomes(night).values()} == {outcome}
    waiting = rows_in(night, tables.review_item)
    assert len(waiting) == (2 if mode is Mode.GATED else 0)


def test_a_reviewer_is_shown_what_the_model_saw_and_proposed_under_a_digest(make_night: MakeNight) -> None:
    night = in_mode(make_night, Mode.GATED)
    gate(night, stage_enriched(night, [answer()]))
    (item,) = rows_in(night, tables.review_item)
    (decision,) = rows_in(night, tables.decision)
    assert item["shown"] == {"input": {"job_title": "buyer"}, "origin": "model"}
    assert item["shown_sha256"] == decision["shown_sha256"] == digest({**item["shown"], "proposed": answer()})
    assert (item["proposed"], item["status"]) == (answer(), "waiting")
    assert (item["interval_start"], item["interval_end"]) == (night.interval.start, night.interval.end)


def test_outcomes_carry_lineage(make_night: MakeNight) -> None:
    night = in_mode(make_night, Mode.SHADOW)
    gate(night, stage_enriched(night, [answer()]))
    (row,) = rows_in(night, tables.outcome)
    assert (row["lineage"]["page"], row["lineage"]["index"]) == (2, 7)


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.GATED])
def test_a_retry_of_the_task_adds_no_decision_and_no_review_item(make_night: MakeNight, mode: Mode) -> None:
    night = in_mode(make_night, mode)
    enriched = stage_enriched(night, [answer(), answer(confidence=0.5)])
    first, before = gate(night, enriched), [rows_in(night, t) for t in (tables.decision, tables.review_item)]
    second = gate(night, enriched)
    assert [rows_in(night, t) for t in (tables.decision, tables.review_item)] == before
    assert (list(read_rows(second)), second.sha256) == (list(read_rows(first)), first.sha256)


def test_a_retry_after_a_crash_midway_completes_what_is_missing(
    make_night: MakeNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "ROWS_PER_COMMIT", 2)
    night = in_mode(make_night, Mode.GATED)
    enriched = stage_enriched(night, [answer(score=at) for at in range(5)])
    queue, calls = gate_module._queue_reviews, Counter[str]()

    def crash_at_second(*arguments: Any) -> None:
        calls["queue"] += 1
        if calls["queue"] == 2:
            raise KeyboardInterrupt
        queue(*arguments)

    monkeypatch.setattr(gate_module, "_queue_reviews", crash_at_second)
    with pytest.raises(KeyboardInterrupt):
        gate(night, enriched)
    assert len(rows_in(night, tables.decision)) == len(rows_in(night, tables.review_item)) == 2
    gate(night, enriched)
    assert len(rows_in(night, tables.decision)) == len(rows_in(night, tables.review_item)) == 5


def test_a_second_run_of_the_interval_asks_no_person_twice_but_has_its_own_decisions(make_night: MakeNight) -> None:
    runs = [in_mode(make_night, Mode.GATED, external_ref=ref) for ref in ("first", "second")]
    for night in runs:
        gate(night, stage_enriched(night, [answer()]))
    assert runs[0].run_id != runs[1].run_id
    assert [r["run_id"] for r in rows_in(runs[0], tables.review_item)] == [runs[0].run_id]
    assert {r["run_id"] for r in rows_in(runs[0], tables.decision)} == {night.run_id for night in runs}


def test_another_proposal_for_the_same_row_and_interval_is_shown_again(make_night: MakeNight) -> None:
    for score in (80, 81):
        night = in_mode(make_night, Mode.GATED, external_ref=str(score))
        gate(night, stage_enriched(night, [answer(score=score)]))
    assert sorted(r["proposed"]["score"] for r in rows_in(night, tables.review_item)) == [80, 81]


def test_decisions_cannot_be_changed_by_the_service_and_their_chain_verifies(
    make_night: MakeNight, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "ROWS_PER_COMMIT", 2)
    night = in_mode(make_night, Mode.SHADOW)
    gate(night, stage_enriched(night, [answer() for _ in range(5)]))
    assert verify(ledger.service).holds
    for statement in (update(tables.decision).values(verdict="write"), tables.decision.delete()):
        with ledger.service.connect() as connection, pytest.raises(ProgrammingError, match="denied"):
            connection.execute(statement)
    with ledger.owner.begin() as connection:
        connection.execute(text("ALTER TABLE nightledger.decision DISABLE TRIGGER keep"))
        connection.execute(update(tables.decision).where(tables.decision.c.row_key == "3").values(verdict="write"))
    assert not verify(ledger.service).holds


def test_each_group_of_rows_is_one_transaction_and_one_sealed_batch(
    make_night: MakeNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "ROWS_PER_COMMIT", 2)
    night = in_mode(make_night, Mode.SHADOW)
    gate(night, stage_enriched(night, [answer() for _ in range(5)]))
    with night.ledger.connect() as connection:
        sizes = connection.execute(select(func.count()).select_from(tables.decision).group_by(tables.decision.c.batch))
        assert sorted(sizes.scalars()) == [1, 2, 2]
    seals = [r["details"] for r in rows_in(night, tables.event) if r["type"] == "audit.sealed"]
    assert sorted(seal["rows"] for seal in seals if seal["table"] == "decision") == [1, 2, 2]


def test_an_empty_dataset_gives_an_empty_one_and_still_an_event(make_night: MakeNight) -> None:
    night = in_mode(make_night, Mode.AUTO)
    approved = gate(night, stage_enriched(night, []))
    assert (approved.rows, approved.facts) == (0, {"verdicts": {}, "rules": {}})
    assert "gate.completed" in {r["type"] for r in rows_in(night, tables.event)}


def test_text_that_postgresql_refuses_does_not_stop_the_night(make_night: MakeNight) -> None:
    night = in_mode(make_night, Mode.GATED)
    gate(night, stage_enriched(night, [answer(summary="a\x00b"), answer(summary="half a pair: \ud83d")]))
    assert {key: outcome for key, (outcome, _) in outcomes(night).items()} == {"1": "in_review", "2": "rejected"}
    assert rows_in(night, tables.review_item)[0]["proposed"]["summary"] == "a\ufffdb"
