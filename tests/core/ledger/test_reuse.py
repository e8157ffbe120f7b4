"""An answer on record is used again only as the sealed result says that it came from."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from include.ledger.audit import Answer, Intent, Result, find_answers, keep_answers, record_intents, record_results
from include.ledger.database import send, transaction
from include.models import Mode, Origin, Record, ReInfer, RunOptions
from include.night import Night
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import PINS
from tests.core.ledger.test_verify import tamper

OUTPUT: Record = {"score": 80, "summary": "NUL \x00 and ü", "confidence": 0.5}


def answered(night: Night, key: str = "k", output: Record = OUTPUT, outcome: str = "ok") -> UUID:
    """One question with its result and, as accepted, its answer."""
    uid, cost = uuid4(), Decimal("0.001")
    intent = Intent(uid, f"row-{key}", key, key, [{"role": "user", "content": "?"}], "ask", 1, 50, cost)
    result = Result(uid, outcome, None, 200, "m", "r", "{}", output, 4, 1, 0, cost, "2026-01-01", 9, 1)
    with transaction(night.ledger) as connection:
        record_intents(connection, night, PINS, [intent])
        send(connection, [record_results(night, [result])])
        send(connection, [keep_answers(night, PINS, [Answer(key, "i" * 64, output, Origin.MODEL, uid)])])
    return uid


def by_rule(night: Night, key: str = "k", output: Record = OUTPUT) -> None:
    with transaction(night.ledger) as connection:
        send(connection, [keep_answers(night, PINS, [Answer(key, "i" * 64, output, Origin.RULE, None)])])


def found(night: Night, **options: Any) -> dict[str, Answer]:
    return find_answers(night.ledger, replace(night, options=RunOptions(mode=Mode.SHADOW, **options)), ["k", "other"])


def events(ledger: Ledger) -> list[Any]:
    with ledger.owner.connect() as connection:
        return list(connection.scalars(text("SELECT details FROM event WHERE type = 'answer.refused'")))


def test_a_models_answer_is_its_sealed_result(make_night: MakeNight) -> None:
    night = make_night()
    uid = answered(night)
    answer = found(make_night(day=1))["k"]
    assert (answer.inference_id, answer.origin, answer.output["summary"]) == (uid, Origin.MODEL, "NUL \ufffd and ü")
    with night.ledger.connect() as connection:
        assert connection.scalar(text("SELECT count(output) FROM answer")) == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE answer SET output = '{\"score\": 100}'",
        "UPDATE answer SET inference_id = (SELECT inference_id FROM inference WHERE inference_key = 'other') "
        "WHERE inference_key = 'k'",
        "UPDATE answer SET inference_id = NULL",
        "UPDATE inference_result SET outcome = 'invalid'",
        "DELETE FROM inference_result",
    ],
)
def test_an_answer_that_is_not_its_result_is_refused_said_and_asked_again(
    make_night: MakeNight, ledger: Ledger, change: str
) -> None:
    night = make_night()
    for key in ("k", "other"):
        answered(night, key)
    tamper(ledger.owner, change)
    assert "k" not in found(make_night(day=1))
    assert "k" in events(ledger)[0]["keys"]
    answered(night)  # the row was asked again
    assert found(make_night(day=1))["k"].output["score"] == 80


@pytest.mark.parametrize("statement", ["UPDATE answer SET output = '{}'", "DELETE FROM answer", "TRUNCATE answer"])
def test_the_service_changes_no_answer(make_night: MakeNight, statement: str) -> None:
    night = make_night()
    answered(night)
    with night.ledger.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
        connection.execute(text(statement))


def test_a_rules_answer_holds_for_its_interval_and_never_before_a_models(make_night: MakeNight) -> None:
    night = make_night()
    by_rule(night)
    assert found(make_night(external_ref="again"))["k"].output["score"] == 80
    assert found(make_night(day=1)) == {}
    assert found(make_night(external_ref="third"), re_infer=ReInfer.FAILED) == {}
    answered(night, output={"score": 7})
    by_rule(night, output={"score": 9})
    assert found(make_night(external_ref="fourth"))["k"].output == {"score": 7}


def test_only_what_a_run_asked_itself_counts_when_all_are_asked_again(make_night: MakeNight) -> None:
    first, second = make_night(), make_night(external_ref="again")
    answered(first, output={"score": 1})
    assert found(second, re_infer=ReInfer.ALL) == {}
    answered(second, output={"score": 2})
    assert [found(n, re_infer=ReInfer.ALL)["k"].output["score"] for n in (first, second)] == [1, 2]
    assert found(make_night(day=2))["k"].output["score"] == 2
