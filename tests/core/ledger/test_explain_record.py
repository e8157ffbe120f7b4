"""From system, object, id and field to who set it, through every use case, and to what was asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, text

from include.database import copy_rows, send, transaction
from include.ledger import tables
from include.ledger.audit import Intent, Pins, Result, record_intents, record_results
from include.ledger.evaluations import Evaluation, record_evaluation
from include.ledger.explain_record import (
    Link,
    Target,
    chain,
    evidence,
    fields_of,
    find_writes,
    last_set,
    same_value,
    tries,
)
from include.ledger.record import DeadLetter, RowOutcome, bury, record_outcomes
from include.models import Mode, Outcome, Record, RunOptions
from include.run import Night
from include.spec.use_case import load
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import PINS, ask, decide, reject_rows, stage_raw, write_rows

RECORD = Target("crm", "contacts", "1")
ROW = "crm/contacts/1"
SCORE = "nl_lead_score"
AUTO = RunOptions(mode=Mode.AUTO)


def put(
    night: Night,
    value: Any,
    before: Any,
    status: str = "written",
    error: str | None = None,
    undoes: int | None = None,
    field: str = SCORE,
    decision: UUID | None = None,
) -> int:
    """One write to the record, with a decision of the gate unless one is given; returns its number."""
    decision = decision or decide(night, [ROW], verdict="write")[0]
    row = {
        **{"run_id": night.run_id, "use_case": night.case.name, "row_id": ROW, "row_key": "1"},
        **{"interval_start": night.interval.start, "interval_end": night.interval.end, "decision_id": decision},
        **{"destination": "crm", "object": "contacts", "external_id": "1", "fields": {field: value}},
        **{"before": None if before is None else {field: before}, "undo_of": undoes},
    }
    with transaction(night.ledger) as connection:
        number = connection.scalar(insert(tables.outbox_intent).values(row).returning(tables.outbox_intent.c.outbox_id))
        if status != "intended":
            ended: Record = {"outbox_id": number, "status": status, "error": error}
            connection.execute(
                insert(tables.outbox_result).values(ended | ({"differs": {}} if status == "written" else {}))
            )
    return int(number or 0)


def links(ledger: Ledger, field: str = SCORE) -> list[Link]:
    with transaction(ledger.service) as connection:
        return chain(find_writes(connection, RECORD, field), field)


def told(found: list[Link]) -> list[tuple[str, Any, Any, str]]:
    return [(one.step, one.before, one.after, one.by) for one in found]


def test_a_chain_shows_what_somebody_else_did_between_two_writes(ledger: Ledger, make_night: MakeNight) -> None:
    put(make_night(options=AUTO), "80", "12")
    put(make_night(day=1, options=AUTO), "81", "80")
    put(make_night(day=2, options=AUTO), "90", "7")
    found = links(ledger)
    assert told(found) == [
        ("written", "12", "80", "gate"),
        ("written", "80", "81", "gate"),
        ("changed", "81", "7", "somebody else"),
        ("written", "7", "90", "gate"),
    ]
    changed = found[2]
    assert (changed.since, changed.at) == (found[1].at, found[3].at)
    assert last_set(found) is found[3]


def test_writes_of_every_use_case_are_one_chain(ledger: Ledger, make_night: MakeNight) -> None:
    put(make_night(options=AUTO), "80", "12")
    put(make_night(case=load("crm_enrichment"), options=AUTO), "85", "80")
    found = links(ledger)
    assert [one.write.use_case for one in found] == ["crm_lead_scoring", "crm_enrichment"]
    (last,) = [one for one in [last_set(found)] if one]
    assert (last.write.use_case, last.after) == ("crm_enrichment", "85")


def test_what_was_not_written_is_not_told_as_if_it_had_been(ledger: Ledger, make_night: MakeNight) -> None:
    put(make_night(options=AUTO), "80", "12")
    put(make_night(day=1, options=AUTO), "99", "80", "failed", "rejected_by_destination: no")
    put(make_night(day=2, options=AUTO), "70", "80", "unchanged", "superseded by a later night")
    put(make_night(day=3, options=AUTO), "80", "80", "unchanged")
    put(make_night(day=4, options=AUTO), "55", "80", "intended")
    found = links(ledger)
    assert [one.step for one in found] == ["written", "not taken", "left", "found", "unknown"]
    assert [one.after for one in found] == ["80", "80", "80", "80", "55"]
    (last,) = [one for one in [last_set(found)] if one]
    assert (last.step, last.after) == ("written", "80")


def test_a_write_whose_end_is_unknown_explains_what_is_found_later(ledger: Ledger, make_night: MakeNight) -> None:
    put(make_night(options=AUTO), "80", "12")
    put(make_night(day=1, options=AUTO), "55", "80", "intended")
    put(make_night(day=2, options=AUTO), "60", "55")
    assert [one.step for one in links(ledger)] == ["written", "unknown", "written"]


def test_a_write_that_was_taken_back_says_so_and_who_took_it(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(options=AUTO)
    first = put(night, "80", "12")
    put(make_night(day=1, options=AUTO), "12", "80", undoes=first)
    found = links(ledger)
    assert told(found)[1] == ("written", "80", "12", f"taken back (write {first})")
    assert found[0].write.undone_by == found[1].write.number
    with transaction(ledger.service) as connection:
        undone = "SELECT undone FROM explained_field WHERE outbox_id = :n"
        assert connection.scalar(text(undone), {"n": first}) is True
        assert connection.scalar(text(undone), {"n": found[1].write.number}) is False


def test_only_what_set_the_field_is_told_of_it(ledger: Ledger, make_night: MakeNight) -> None:
    put(make_night(options=AUTO), "80", "12")
    put(make_night(day=1, options=AUTO), "hot", "cold", field="nl_lead_tier")
    assert [one.after for one in links(ledger)] == ["80"]
    assert [one.after for one in links(ledger, "nl_lead_tier")] == ["hot"]
    with transaction(ledger.service) as connection:
        assert fields_of(find_writes(connection, RECORD)) == ["nl_lead_tier", SCORE]
        assert find_writes(connection, RECORD._replace(id="2")) == []
        assert find_writes(connection, RECORD._replace(system="erp")) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ("80", 80, True),
        (None, "", True),
        ("80", "81", False),
        ("0", None, False),
        ("Dear [PERSON_0123abcd], hello.", "Dear Ada, hello.", True),
        ("Dear [PERSON_0123abcd], hello.", "Dear Ada, goodbye.", False),
        ("Dear [PERSON_0123abcd]", "Dear ", False),
    ],
)
def test_a_text_with_tokens_is_the_one_whose_values_they_could_stand_for(ours: Any, theirs: Any, same: bool) -> None:
    assert same_value(ours, theirs) is same


def call(
    night: Night,
    outcome: str,
    kind: str = "ask",
    attempt: int = 1,
    pins: Pins = PINS,
    key: str = f"key-{ROW}",
    **more: Any,
) -> UUID:
    """One call with its result, or with none for outcome `lost`."""
    name = uuid4()
    said = [{"role": "user", "content": f"{kind} {attempt}"}]
    intent = Intent(name, ROW, "1", key, said, kind, attempt, 50, Decimal("0.001"))
    result = Result(
        name, outcome, None, 429 if outcome == "rate_limited" else 200, pins.model, "req", "{}", {}, 40, 10, 0,
        Decimal("0.001"), "2026-01-01", 120, 5
    )  # fmt: skip
    with transaction(night.ledger) as connection:
        record_intents(connection, night, pins, [intent])
        if outcome != "lost":
            send(connection, [record_results(night, [result])])
    return name


def decided(night: Night, inference: UUID, key: str = f"key-{ROW}", by: str = "gate") -> UUID:
    name = uuid4()
    names = [
        "decision_id", "batch", "run_id", "use_case", "row_id", "row_key", "inference_key", "verdict",
        "rule", "decided_by", "origin", "inference_id", "output", "confidence", "shown_sha256",
    ]  # fmt: skip
    row = (name, uuid4(), night.run_id, night.case.name, ROW, "1", key, "write", "rule", by, "model", inference)
    with transaction(night.ledger) as connection:
        copy_rows(connection, tables.decision, names, [(*row, {"score": 80}, Decimal("0.9"), "s" * 64)])
    return name


def all_of(ledger: Ledger, number: int) -> tuple[Record, list[Mapping[str, Any]]]:
    with transaction(ledger.service) as connection:
        facts = evidence(connection, number)
        assert facts is not None
        return facts, [dict(one) for one in tries(connection, facts)]


def test_every_try_of_an_answer_is_told_with_how_it_ended(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(options=AUTO)
    first = Pins("v1", "f" * 64, "model-of-before", {}, "c" * 64)
    call(night, "timeout", pins=first, key="key of the model that gave way")
    call(night, "rate_limited")
    call(night, "lost", "retry", 2)
    call(night, "invalid", "retry", 3)
    call(night, "cancelled", "hedge", 4)
    answered = call(night, "ok", "re-ask", 4)
    number = put(night, "80", "12", decision=decided(night, answered))
    call(night, "ok", "ask", 9)  # after the decision: no try of its answer
    facts, found = all_of(ledger, number)
    assert [(one["model"], one["kind"], one["outcome"]) for one in found] == [
        ("model-of-before", "ask", "timeout"),
        ("sandbox-small", "ask", "rate_limited"),
        ("sandbox-small", "retry", None),
        ("sandbox-small", "retry", "invalid"),
        ("sandbox-small", "hedge", "cancelled"),
        ("sandbox-small", "re-ask", "ok"),
    ]
    assert [one["outcome"] for one in facts["tries"]] == [one["outcome"] for one in found]
    assert not any("messages" in one for one in facts["tries"])
    assert (found[-1]["inference_id"], facts["inference_id"]) == (answered, answered)
    assert facts["messages"] == [{"role": "user", "content": "re-ask 4"}]
    assert (facts["latency_ms"], facts["queue_ms"]) == (120, 5)


def test_an_answer_that_was_used_again_shows_the_calls_of_the_run_that_asked(
    ledger: Ledger, make_night: MakeNight
) -> None:
    before, now = make_night(options=AUTO), make_night(day=1, options=AUTO)
    call(before, "rate_limited")
    answered = call(before, "ok", "retry", 2)
    facts, found = all_of(ledger, put(now, "80", "12", decision=decided(now, answered)))
    assert [one["run_id"] for one in found] == [before.run_id] * 2
    assert (facts["asked_by"], facts["run_id"]) == (before.run_id, now.run_id)


def judge(night: Night, ledger: Ledger, verdict: Any, hours: float, model: str = PINS.model) -> None:
    """An evaluation of the prompt and model, so many hours from now."""
    pins = Pins(PINS.prompt_version, PINS.prompt_hash, model, {}, PINS.contract_hash)
    found = Evaluation(labels_sha256="l", rows=50, correct=47, verdict=verdict, reasons=(), scores={}, cost=Decimal(0))
    with transaction(night.ledger) as connection:
        record_evaluation(connection, night, pins, found, [])
    with ledger.owner.begin() as owner:
        owner.execute(text("SET LOCAL session_replication_role = replica"))
        moved = "UPDATE evaluation SET recorded_at = clock_timestamp() + :by WHERE evaluation_id = :id"
        owner.execute(text(moved), {"by": timedelta(hours=hours), "id": found.evaluation_id})


def test_the_evaluation_is_the_one_that_held_when_it_was_asked(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(options=AUTO)
    number = put(night, "80", "12", decision=decided(night, call(night, "ok")))
    assert all_of(ledger, number)[0]["evaluation_verdict"] is None
    judge(night, ledger, "failed", 1)
    judge(night, ledger, "passed", -3, "another-model")
    judge(night, ledger, "compared", -1)
    assert all_of(ledger, number)[0]["evaluation_verdict"] is None
    judge(night, ledger, "failed", -5)
    judge(night, ledger, "passed", -2)
    facts, (asked,) = all_of(ledger, number)
    assert (facts["evaluation_verdict"], facts["evaluation_rows"], facts["evaluation_correct"]) == ("passed", 50, 47)
    assert (asked["evaluation_verdict"], asked["evaluation_rows"]) == ("passed", 50)


def test_source_run_quality_and_what_went_before_are_told(ledger: Ledger, make_night: MakeNight) -> None:
    failed = make_night(options=AUTO)
    reject_rows(failed, "check", {ROW: "country is missing"})
    with transaction(failed.ledger) as connection:
        bury(connection, failed, "enrich", [DeadLetter(ROW, "1", "refused", "no", None, {}, {}, 5)])
    night = make_night(options=AUTO, external_ref="again")
    stage_raw(night, [ROW])
    with transaction(night.ledger) as connection:
        known = {"run_id": night.run_id, "type": "t", "columns": ["country"], "severity": "warning", "examples": []}
        known |= {"rows_checked": 9, "stage": "check", "handling": "keep", "unit": "rows"}
        checked = [
            {**known, "expectation": name, "meaning": name, "success": rows < 3, "unexpected_count": rows}
            for name, rows in (("fine", 0), ("a few", 2), ("too many", 5))
        ]
        connection.execute(insert(tables.quality_result), checked)
        place = {"crm": "page 3, index 1", "sftp": "customers.csv:7"}
        record_outcomes(connection, night.run_id, [RowOutcome(ROW, "1", Outcome.WRITTEN, "write", None, place)])
    facts, _ = all_of(ledger, put(night, "80", "12"))
    assert facts["lineage"] == place
    assert (facts["expectations"], [one["expectation"] for one in facts["not_met"]]) == (3, ["a few", "too many"])
    assert [one["reasons"] for one in facts["quarantine"]] == [["country is missing"]]
    assert [one["cause"] for one in facts["dead_letters"]] == ["refused"]
    assert facts["input"]["raw"]["uri"].endswith("raw.parquet")
    assert (facts["run_id"], facts["mode"], facts["external_ref"], facts["attempt"]) == (
        night.run_id,
        "auto",
        "again",
        2,
    )
    assert facts["code_version"]


def test_a_persons_decision_stands_beside_the_gates(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(options=AUTO)
    (answered,) = ask(night, [ROW])
    decide(night, [ROW], verdict="review", inferences=[answered])
    facts, _ = all_of(ledger, put(night, "80", "12", decision=decided(night, answered, by="person ada")))
    assert [(one["verdict"], one["by"]) for one in facts["decisions"]] == [("review", "gate"), ("write", "person ada")]
    assert facts["decided_by"] == "person ada"


def test_the_view_answers_from_system_object_id_and_field(ledger: Ledger, make_night: MakeNight) -> None:
    put(make_night(options=AUTO), "80", "12")
    put(make_night(day=1, options=AUTO), "90", "7")
    put(make_night(day=2, options=AUTO), "91", "90", "failed", "rejected_by_destination: no")
    query = """
        SELECT value, before, left_as, before IS DISTINCT FROM left_as AND left_by IS NOT NULL AS by_somebody, wanted
          FROM explained_field
         WHERE (system, object, record_id, field) = ('crm', 'contacts', '1', 'nl_lead_score') ORDER BY written_at"""
    with transaction(ledger.service) as connection:
        assert [tuple(row) for row in connection.execute(text(query))] == [
            ("80", "12", None, False, "80"),
            ("90", "7", "80", True, "90"),
            (None, "90", "90", False, "91"),
        ]


def test_rows_written_by_the_stage_itself_are_found(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(options=AUTO)
    write_rows(night, [ROW], decide(night, [ROW], verdict="write", inferences=ask(night, [ROW])))
    assert told(links(ledger)) == [("written", "12", "80", "gate")]
