"""Another use case's answers under the contract of every source; what is on record is never changed or removed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from pydantic import create_model
from sqlalchemy import insert

from include.database import transaction
from include.ledger import tables
from include.ledger.closing import close_run
from include.ledger.record import RowOutcome, record_outcomes
from include.models import Column, Interval, Outcome
from include.run import Night
from include.spec.answers import AnswerReader, Answers
from tests.core.conftest import Ledger
from tests.core.systems.contracts import MANY, NIGHT, PAGE, SourceContract, SourceWorld, rows_of

SOURCE = Answers(object="crm_lead_scoring", columns=(Column("name", "name"), Column("amount", "amount", "number")))
A_DAY = timedelta(days=1)


class AnswersWorld(SourceWorld):
    """Nights of the other use case; the newest attempt at each holds what was put into it last."""

    dated_by_source = False

    def __init__(self, ledger: Ledger, make_night: Callable[..., Night], monkeypatch: pytest.MonkeyPatch) -> None:
        self.ledger, self.make_night, self.monkeypatch = ledger, make_night, monkeypatch
        self.answers: dict[int, tuple[datetime, dict[str, Any]]] = {}
        self.fields = {"name": (str, ...), "amount": (float, ...)}
        self.attempts, self.is_new = 0, False

    def put(self, number: int, changed: datetime, name: str = "Ann", amount: Any = "1.5") -> None:
        self.answers[number], self.is_new = (changed, {"name": name, "amount": amount}), True

    def remove(self, number: int) -> None:
        del self.answers[number]
        self.is_new = True

    def rename_column(self, old: str, new: str) -> None:
        self.fields[new] = self.fields.pop(old)

    def id_of(self, number: int) -> str:
        return str(number)

    def open(self) -> AnswerReader:
        output = create_model("Output", **self.fields)  # type: ignore[call-overload]
        module = "include.use_cases.crm_lead_scoring.output"
        self.monkeypatch.setitem(sys.modules, module, SimpleNamespace(Output=output))
        if self.is_new:
            self._run_nights()
        return AnswerReader(SOURCE, self.ledger.service, NIGHT)

    def _run_nights(self) -> None:
        self.attempts, self.is_new = self.attempts + 1, False
        for interval in {Interval(at, at + A_DAY) for at in map(_start, self.answers.values())} | {NIGHT}:
            mine = {n: one[1] for n, one in self.answers.items() if _start(one) == interval.start}
            night = self.make_night(interval=interval, external_ref=f"try {self.attempts}")
            with transaction(night.ledger) as connection:
                if mine:
                    connection.execute(insert(tables.decision), [self._decision(night, n, a) for n, a in mine.items()])
                    ends = [RowOutcome(_row(n), str(n), Outcome.WRITTEN, "write", "", {}) for n in mine]
                    record_outcomes(connection, night.run_id, ends)
                close_run(connection, night.run_id, "succeeded", {}, rows_in=len(mine))

    def _decision(self, night: Night, number: int, answer: dict[str, Any]) -> dict[str, Any]:
        said = {"decision_id": uuid4(), "batch": uuid4(), "run_id": night.run_id, "use_case": night.case.name}
        about = {"row_id": _row(number), "row_key": str(number), "inference_key": f"key-{number}"}
        ruled = {"verdict": "write", "rule": "mode auto", "decided_by": "gate", "origin": "model"}
        return said | about | ruled | {"output": answer, "shown_sha256": "0" * 64}


class TestAnswers(SourceContract):
    @pytest.fixture
    def world(self, ledger: Ledger, make_night: Callable[..., Night], monkeypatch: pytest.MonkeyPatch) -> SourceWorld:
        monkeypatch.setattr("include.spec.answers.PAGE_ROWS", PAGE)
        return AnswersWorld(ledger, make_night, monkeypatch)

    def test_rows_are_read_anew_by_their_ids_or_the_kind_says_that_it_cannot(self, world: SourceWorld) -> None:
        """Of the same night, whatever a later one answered."""
        self.fill(world)
        world.put(903, NIGHT.end + timedelta(hours=1), name="later")
        found = rows_of(world.open().read_ids([world.id_of(n) for n in (3, 4, 903, *range(8, 17))]))
        names = {row["row_id"].rpartition("/")[2]: row["name"] for row in found}
        assert names == {world.id_of(n): f"name {n}" for n in (3, 4, *range(8, 17))}
        assert len(found) < MANY


def _start(answer: tuple[datetime, dict[str, Any]]) -> datetime:
    return NIGHT.start + (answer[0] - NIGHT.start) // A_DAY * A_DAY


def _row(number: int) -> str:
    return f"crm/contacts/{number}"
