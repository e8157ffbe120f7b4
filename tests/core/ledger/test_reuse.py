"""An answer on record is used again as its sealed result says it, and so is what was decided on it."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from include.database import send, transaction
from include.ledger.audit import Answer, Intent, Result, find_answers, keep_answers, record_intents, record_results
from include.ledger.verify import verify
from include.models import Mode, Origin, Record, ReInfer, RunOptions
from include.run import Night
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import PINS, ask, decide, rows_of
from tests.core.ledger.test_verify import problems, tamper

OUTPUT: Record = {"score": 80, "summary": "NUL \x00 and ü", "confidence": 0.5}


def answered(night: Night, key: str = "k", output: Record = OUTPUT, outcome: str = "ok", said: str = "{}") -> UUID:
    """One question with its result; `said` is what the model answered in its own words."""
    uid, cost = uuid4(), Decimal("0.001")
    intent = Intent(uid, f"row-{key}", key, key, [{"role": "user", "content": "?"}], "ask", 1, 50, cost)
    result = Result(uid, outcome, None, 200, "m", "r", said, output, 4, 1, 0, cost, "2026-01-01", 9, 1)
    with transaction(night.ledger) as connection:
        record_intents(connection, night, PINS, [intent])
        send(connection, [record_results(night, [result])])
    return uid


def by_rule(night: Night, key: str = "k", output: Record = OUTPUT) -> None:
    with transaction(night.ledger) as connection:
        send(connection, [keep_answers(night, PINS, [Answer(key, output, Origin.RULE)])])


def found(night: Night, **options: Any) -> dict[str, Answer]:
    return find_answers(night.ledger, replace(night, options=RunOptions(mode=Mode.SHADOW, **options)), ["k", "other"])


def kept(ledger: Ledger, what: str) -> list[Any]:
    with ledger.owner.connect() as connection:
        return list(connection.scalars(text(f"SELECT {what}")))


def test_a_models_answer_is_its_sealed_result(make_night: MakeNight, ledger: Ledger) -> None:
    night = make_night()
    uid = answered(night)
    answer = found(make_night(day=1))["k"]
    assert (answer.inference_id, answer.origin, answer.output["summary"]) == (uid, Origin.MODEL, "NUL \ufffd and ü")
    assert kept(ledger, "count(*) FROM answer") == [0]


@pytest.mark.parametrize(
    ("said", "output", "twice"),
    [
        ('{"b": "ü",  "a": 0.5, "c": [1, null]}', {"a": 0.5, "b": "ü", "c": [1, None]}, False),
        ('{"a": 1.0}', {"a": 1}, True),
        ('{"a": 1}', {"a": 1.0}, True),
        ('{"a": 0.70000000000000001}', {"a": 0.7}, True),
        ('{"a": " x "}', {"a": "x"}, True),
        ('{"a": 1, "a": 2}', {"a": 2}, False),
        ('```json\n{"a": 1}\n```', {"a": 1}, True),
        ('{"a": 1} as you wished', {"a": 1}, True),
        ('{"a": "\\u0000"}', {"a": "\x00"}, True),
        ("", {"a": 1}, True),
    ],
)
def test_an_answer_is_kept_beside_its_words_only_where_they_say_something_else(
    make_night: MakeNight, ledger: Ledger, said: str, output: Record, twice: bool
) -> None:
    answered(make_night(), output=output, said=said)
    assert kept(ledger, "parsed IS NOT NULL FROM inference_result") == [twice]
    again = found(make_night(day=1))["k"].output
    assert json.dumps(again, sort_keys=True) == json.dumps(output, sort_keys=True).replace("\\u0000", "\\ufffd")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE inference_result SET outcome = 'invalid'",
        "UPDATE inference_result SET parsed = NULL, raw_text = 'no json {'",
        "DELETE FROM inference_result",
        "DELETE FROM inference",
    ],
)
def test_what_has_no_sealed_result_is_asked_again(make_night: MakeNight, ledger: Ledger, change: str) -> None:
    night = make_night()
    for key in ("k", "other"):
        answered(night, key)
    tamper(ledger.owner, f"{change} WHERE inference_id = (SELECT inference_id FROM inference WHERE row_key = 'k')")
    assert found(make_night(day=1)).keys() == {"other"}
    answered(night)  # the row was asked again
    assert found(make_night(day=1))["k"].output["score"] == 80


def test_an_answer_that_an_earlier_version_kept_is_not_believed(make_night: MakeNight, ledger: Ledger) -> None:
    night = make_night()
    columns = "inference_key, input_sha256, output, origin, inference_id, run_id, model"
    with ledger.owner.begin() as connection:
        values = "('k', '', '{\"score\": 100}', 'model', gen_random_uuid(), :run, 'm')"
        connection.execute(text(f"INSERT INTO answer ({columns}) VALUES {values}"), {"run": night.run_id})
    assert found(night) == found(make_night(day=1)) == {}


@pytest.mark.parametrize("statement", ["UPDATE answer SET output = '{}'", "DELETE FROM answer", "TRUNCATE answer"])
def test_the_service_changes_no_answer(make_night: MakeNight, statement: str) -> None:
    night = make_night()
    by_rule(night)
    with night.ledger.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
        connection.execute(text(statement))


def test_a_rules_answer_holds_for_its_interval_and_never_before_a_models(make_night: MakeNight) -> None:
    night = make_night()
    by_rule(night)
    assert found(make_night(external_ref="again"))["k"].output["score"] == 80
    assert found(make_night(day=1)) == {}
    assert found(make_night(external_ref="third"), re_infer=ReInfer.FAILED) == {}
    assert found(night, re_infer=ReInfer.FAILED)["k"].origin is Origin.RULE
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


def test_the_second_answer_of_a_run_to_one_question_changes_nothing(make_night: MakeNight) -> None:
    """Both calls of a hedge may be answered: what was decided on is the first."""
    night = make_night()
    first = answered(night, output={"score": 1})
    answered(night, output={"score": 2})
    assert found(night)["k"].inference_id == found(make_night(day=1))["k"].inference_id == first


def test_a_decision_keeps_an_output_only_if_it_is_not_the_models(make_night: MakeNight, ledger: Ledger) -> None:
    night, rows = make_night(), rows_of(4)
    ids = ask(night, rows)
    decide(night, rows[:2], inferences=ids[:2])
    other, asked_for_nothing = decide(night, rows[2:3], inferences=ids[2:3], tier="cold"), rows[3:]
    by_rule_alone = decide(night, asked_for_nothing)
    holding = "decision_id FROM decision WHERE output IS NOT NULL ORDER BY recorded_at"
    assert kept(ledger, holding) == [*other, *by_rule_alone]
    assert problems(verify(ledger.service)) == {("decision", str(other[0]))}


_NO_OUTPUT = """
INSERT INTO decision (decision_id, origin, inference_id, batch, run_id, use_case, row_id, row_key, inference_key,
       verdict, rule, decided_by, shown_sha256)
SELECT :id, :origin, gen_random_uuid(), batch, run_id, use_case, row_id, row_key, inference_key,
       verdict, rule, decided_by, shown_sha256 FROM decision LIMIT 1"""


def test_a_decision_without_a_result_is_found(make_night: MakeNight, ledger: Ledger) -> None:
    night, rows, silent = make_night(), rows_of(1), uuid4()
    (forged,) = decide(night, rows, inferences=[uuid4()])
    with night.ledger.begin() as connection:
        connection.execute(text(_NO_OUTPUT), {"id": silent, "origin": "model"})
    named = {finding.row for finding in verify(ledger.service).findings if "sealed result" in finding.problem}
    assert named == {str(forged), str(silent)}
    with night.ledger.connect() as connection, pytest.raises(IntegrityError, match="decision_output_check"):
        connection.execute(text(_NO_OUTPUT), {"id": uuid4(), "origin": "rule"})
