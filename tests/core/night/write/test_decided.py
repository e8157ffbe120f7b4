"""Only what was decided is written: a staged row that says anything else ends as `tampered`, and the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import text

from include.ledger.verify import verify
from include.models import Manifest, Record
from include.night.datasets import APPROVED
from include.night.write.write import write
from include.run import Night
from include.staging import StagedWriter, read_rows
from tests.core.conftest import Ledger
from tests.core.ledger.test_verify import tamper
from tests.core.night.gate.answers import answer
from tests.core.night.write.conftest import (
    WRITTEN,
    Begin,
    Crm,
    Warehouse,
    approve,
    counts,
    outbox_of,
    outcomes_of,
    rows_in,
)

Change = Callable[[Record], Record]


def restage(night: Night, approved: Manifest, change: Callable[[list[Record]], list[Record]]) -> Manifest:
    """What somebody does who can write to staging and knows manifests: other rows, and the sum that belongs to them."""
    rows = change(list(read_rows(approved)))
    with StagedWriter(night.path("approved.parquet"), APPROVED) as writer:
        writer.extend(rows)
    return replace(writer.manifest(night.run_id, "approved"), facts=approved.facts)


@pytest.mark.parametrize(
    "change",
    [
        {"output": json.dumps(answer(score=100))},
        {"output": "no json"},
        {"origin": "rule"},
        {"row_key": "99999999999"},
        {"inference_key": "another"},
        {"decision_id": "00000000-0000-4000-8000-00000000abcd"},
        {"decision_id": "none"},
    ],
    ids=lambda change: "-".join(f"{name} {value:.9}" for name, value in change.items()),
)
def test_a_staged_row_that_was_changed_is_not_written(
    begin: Begin, crm: Crm, warehouse: Warehouse, change: Record
) -> None:
    ids = crm.ids(3)
    night = begin()
    approved = approve(night, {one: answer() for one in ids})
    forged = restage(night, approved, lambda rows: [{**rows[0], **change}, *rows[1:]])
    assert counts(write(night, forged)) == {"written": 2, "sent": 2, "unchanged": 0, "failed": 1}
    assert crm.read(ids[0]) == dict.fromkeys(WRITTEN)
    assert set(outbox_of(night)) == set(ids[1:])
    outcome, reason = outcomes_of(night)[ids[0]]
    assert (outcome, str(reason).partition(":")[0]) == ("dead_letter", "tampered")
    assert {row["lead_id"] for row in warehouse.rows()} == set(ids[1:])
    assert [letter["cause"] for letter in rows_in(night, "dead_letter").values()] == ["tampered"]


def test_a_row_that_is_staged_twice_reaches_no_sink_with_another_answer(
    begin: Begin, crm: Crm, warehouse: Warehouse
) -> None:
    (one,) = crm.ids(1)
    night = begin()
    approved = approve(night, {one: answer()})
    other = {"output": json.dumps(answer(score=100)), "row_key": one}
    write(night, restage(night, approved, lambda rows: [*rows, {**rows[0], **other}]))
    assert crm.read(one) == WRITTEN
    assert [row["score"] for row in warehouse.rows()] == [80]
    assert outcomes_of(night)[one] == ("written", None)


def test_what_may_never_go_out_alone_goes_by_a_persons_decision_only(begin: Begin, crm: Crm, ledger: Ledger) -> None:
    """Whatever mode a run was given, and whoever appended the decision: the gate's and a time-out's are nobody's."""
    ids = crm.ids(3)
    night = begin()
    approved = approve(night, {one: answer() for one in ids})
    for key, who in zip(ids, ("person/ada", "time-out"), strict=False):
        tamper(ledger.owner, "UPDATE decision SET decided_by = :who WHERE row_key = :key", who=who, key=key)
    money = replace(night, case=replace(night.case, never_alone="it is money"))
    assert counts(write(money, approved)) == {"written": 1, "sent": 1, "unchanged": 0, "failed": 2}
    assert [crm.read(one) == WRITTEN for one in ids] == [True, False, False]


def test_a_decision_on_a_forged_answer_is_not_written_and_is_found(begin: Begin, crm: Crm, ledger: Ledger) -> None:
    """The service may append a decision, as the gate does; it cannot change the result that the decision is about."""
    ids = crm.ids(2)
    night = begin()
    approved = approve(night, {one: answer() for one in ids})
    forged, output = str(uuid4()), json.dumps(answer(score=100))
    with night.ledger.begin() as connection:
        columns = (
            "run_id, use_case, row_id, row_key, inference_key, verdict, rule, decided_by, origin, inference_id, "
            "confidence, shown_sha256"
        )
        connection.execute(
            text(
                f"INSERT INTO decision (decision_id, batch, output, {columns}) "
                f"SELECT :id, :id, CAST(:output AS jsonb), {columns} FROM decision WHERE row_key = :key"
            ),
            {"id": forged, "output": output, "key": ids[0]},
        )
    change = {"decision_id": forged, "output": output}
    rows = restage(
        night, approved, lambda rows: [{**row, **(change if row["row_key"] == ids[0] else {})} for row in rows]
    )
    assert counts(write(night, rows))["failed"] == 1
    assert crm.read(ids[0]) == dict.fromkeys(WRITTEN)
    assert [(f.table, f.row) for f in verify(ledger.service).findings] == [("decision", forged)]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE inference_result SET raw_text = replace(raw_text, '80', '100')",
        "UPDATE inference_result SET raw_text = 'no json'",
        "UPDATE inference_result SET outcome = 'invalid'",
        "DELETE FROM inference_result",
    ],
)
def test_a_result_that_was_changed_keeps_its_decision_from_being_written(
    begin: Begin, crm: Crm, ledger: Ledger, change: str
) -> None:
    (one,) = crm.ids(1)
    night = begin()
    approved = approve(night, {one: answer()})
    tamper(ledger.owner, change)
    assert counts(write(night, approved))["failed"] == 1
    assert crm.read(one) == dict.fromkeys(WRITTEN)
