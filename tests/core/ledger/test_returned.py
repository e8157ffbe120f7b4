"""What a use case returned is counted from the ledger: each row once a night, people's verdicts as they gave them."""

from __future__ import annotations

import io
from argparse import Namespace
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, text

from include.commands import report
from include.database import transaction
from include.ledger import door, tables
from include.ledger.returned import Returned, count_returned
from include.models import Outcome
from include.report.returned import returned_in_words
from include.run import Night
from include.spec.use_case import Baseline
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import ask, decide, end_rows, key_of, rows_of, write_rows

BASELINE = Baseline("minutes to qualify a lead", 6.0, "minutes per lead", "a study")
NOTHING = Returned(0, 0, 0, 0, Decimal(0), 0, 0)


def succeed(night: Night, status: str = "succeeded") -> None:
    with transaction(night.ledger) as connection:
        connection.execute(text("UPDATE nightledger.run SET status = :status WHERE run_id = :run"), {
            "status": status, "run": night.run_id
        })  # fmt: skip


def put_before_people(night: Night, verdicts: dict[str, str]) -> None:
    """Review items by row id, each with its status."""
    when = {"interval_start": night.interval.start, "interval_end": night.interval.end}
    rows = [
        {
            **when, "run_id": night.run_id, "use_case": night.case.name, "row_id": row, "row_key": key_of(row),
            "inference_key": f"key-{row}", "shown": {}, "shown_sha256": f"{at:064}", "proposed": {"score": 1},
            "reason": "unsure", "risk": 0.5, "status": status,
        }
        for at, (row, status) in enumerate(verdicts.items())
    ]  # fmt: skip
    with transaction(night.ledger) as connection:
        connection.execute(insert(tables.review_item), rows)


def test_a_use_case_that_has_not_run_has_returned_nothing(ledger: Ledger) -> None:
    found = count_returned(ledger.service, "crm_lead_scoring")
    assert found == NOTHING
    assert (found.cost_per_row, found.error_rate, found.saved(6.0)) == (None, None, 0)


def test_rows_count_once_a_night_and_calls_every_time(make_night: MakeNight) -> None:
    first, again, other = make_night(), make_night(external_ref="again"), make_night(day=1)
    for night in (first, again, other):
        ask(night, rows_of(4), cost="0.25")
        ended = dict.fromkeys(rows_of(4), Outcome.SHADOWED)
        end_rows(night, {**ended, "crm/contacts/5": Outcome.DEAD_LETTER, "crm/contacts/6": Outcome.QUARANTINED})
    succeed(first)
    succeed(again)
    succeed(other, "failed")
    found = count_returned(first.ledger, first.case.name)
    assert (found.nights, found.answered, found.cost) == (1, 4, Decimal("3.00"))
    assert found.cost_per_row == Decimal("0.75")
    assert count_returned(first.ledger, "support_triage") == NOTHING


def test_rows_that_a_person_wrote_or_that_were_put_back_save_nothing(make_night: MakeNight) -> None:
    night, again, rows = make_night(), make_night(external_ref="again"), rows_of(7)
    by_gate = decide(night, rows[:5], verdict="write")
    write_rows(night, rows[:3], by_gate[:3])
    write_rows(night, rows[3:4], by_gate[3:4], status="unchanged")
    write_rows(night, rows[4:5], by_gate[4:], status="failed")
    write_rows(night, rows[5:], decide_by(night, rows[5:], "person ada"))
    write_rows(again, rows[:1], decide(again, rows[:1], verdict="write"))
    assert count_returned(night.ledger, night.case.name).alone == 3
    put_back(again, rows[2])
    found = count_returned(night.ledger, night.case.name)
    assert found.alone == 2
    assert found.saved(6.0) == 12


def decide_by(night: Night, rows: list[str], who: str) -> list[UUID]:
    """Decisions to write, by somebody."""
    ids, batch = [uuid4() for _ in rows], uuid4()
    values = [
        {
            "decision_id": uid, "batch": batch, "run_id": night.run_id, "use_case": night.case.name, "row_id": row,
            "row_key": key_of(row), "inference_key": f"key-{row}", "verdict": "write", "rule": "approved by a person",
            "decided_by": who, "origin": "model", "output": {"score": 1}, "confidence": 0.9, "shown_sha256": "s" * 64,
        }
        for uid, row in zip(ids, rows, strict=True)
    ]  # fmt: skip
    with transaction(night.ledger) as connection:
        connection.execute(insert(tables.decision), values)
    return ids


def put_back(night: Night, row: str) -> None:
    """A write that undoes the one of a row, under another run."""
    with transaction(night.ledger) as connection:
        kept = connection.execute(text("SELECT * FROM nightledger.outbox_intent WHERE row_id = :row"), {"row": row})
        was = dict(kept.mappings().one())
        number = was.pop("outbox_id")
        del was["recorded_at"]
        again = {**was, "run_id": night.run_id, "fields": was["before"], "before": was["fields"], "undo_of": number}
        put = insert(tables.outbox_intent).values(again).returning(tables.outbox_intent.c.outbox_id)
        result = {"outbox_id": connection.scalar(put), "status": "written", "differs": {}}
        connection.execute(insert(tables.outbox_result), [result])


def test_the_error_rate_is_of_what_people_decided(make_night: MakeNight) -> None:
    night, rows = make_night(), rows_of(7)
    said = ("approved", "approved", "edited", "rejected", "expired", "waiting", "superseded")
    put_before_people(night, dict(zip(rows, said, strict=True)))
    found = count_returned(night.ledger, night.case.name)
    assert (found.looked_at, found.decided, found.overruled, found.error_rate) == (7, 4, 2, 0.5)
    assert count_returned(night.ledger, "support_triage").looked_at == 0


def test_the_words_state_the_formula() -> None:
    said = returned_in_words(BASELINE, Returned(3, 100, 8, 50, Decimal("0.5"), 4, 1))
    assert "300 minutes = 50 rows written without a person x 6 minutes" in said
    assert "25.0% = 1 edited or rejected / 4 decided by people" in said
    assert "0.005000 USD" in said


def test_words_for_nothing_divide_by_nothing() -> None:
    said = returned_in_words(BASELINE, NOTHING)
    assert "no row was answered" in said
    assert "nobody has decided yet = 0 edited" in said


def test_the_command_reports_what_was_returned(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "open_ledger", lambda _: ledger.service)
    out = io.StringIO()
    assert report.run(Namespace(use_case="crm_lead_scoring", returned=True, run=None), out) == 0
    assert "0 rows written without a person x 6 minutes" in out.getvalue()
