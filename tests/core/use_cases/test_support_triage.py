"""Tickets are sorted by the model that ships, and what it must not decide it leaves to others."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from include.canonical import digest
from include.demo.sandbox.seed.tickets import PARTS, make_tickets, write_tickets
from include.models import Record
from include.night.extract.shape import raw_schema
from include.operations.evaluate import Evaluated, evaluate
from include.spec.engines import local_of
from include.spec.names import FOLDER
from include.systems.fitted.answering import open_local
from include.systems.fitted.labels import Columns, read_labels, usable
from include.systems.fitted.texts import text_of
from include.use_cases.support_triage.expectations import ANSWER_EXPECTATIONS, EXPECTATIONS
from include.use_cases.support_triage.fallback import answer
from include.use_cases.support_triage.output import Output
from include.use_cases.support_triage.spec import SPEC

NAME = "support_triage"
HERE = FOLDER / NAME
LOCAL = local_of(NAME)
ROWS, SEED = 4_000, 11
"""How many tickets the model that ships was fitted to, and their seed."""
SEES = set(SPEC.model_sees)


def examples() -> list[Record]:
    return [json.loads(line) for line in (HERE / "evals.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def judged() -> Evaluated:
    return evaluate(LOCAL, Output, HERE, HERE / "evals.jsonl", Columns(), "all")


def test_examples_are_enough_and_fit_the_answer() -> None:
    found = examples()
    assert len(found) >= 60
    assert sum("must_not" in one for one in found) >= 20
    assert sum(one["expected"]["category"] == "other" for one in found) >= 8
    for one in found:
        assert set(one["input"]) == SEES
        answered = {**one["expected"], "summary": "x", "confidence": 1}
        assert Output.model_validate(answered)
        for name, labels in one.get("must_not", {}).items():
            for label in labels:
                assert one["expected"][name] != label
                assert Output.model_validate({**answered, name: label})


def test_the_model_ships_small_and_was_fitted_to_the_generated_tickets(tmp_path: Path) -> None:
    place = HERE / f"{LOCAL.model}.skops"
    assert place.stat().st_size <= 1_000_000
    about = json.loads(place.with_suffix(".json").read_text())
    write_tickets(tmp_path / "tickets.csv", ROWS, SEED)
    rows, _ = usable(read_labels(tmp_path / "tickets.csv", LOCAL, Columns(group="wording")), LOCAL, Output, 5)
    assert about["data_sha256"] == digest([[text_of(row.row, LOCAL.reads), row.labels] for row in rows])
    assert about["held_out"]["decided_right"]["low"] >= LOCAL.certain
    assert about["held_out"]["decided"]["share"] > 0.7


def test_the_examples_are_none_of_the_tickets_that_it_learnt(judged: Evaluated) -> None:
    fitted = open_local(HERE, LOCAL, Output).fitted
    assert not any(fitted.has_seen([row.row for row in judged.rows]))


def test_most_examples_are_decided_and_right(judged: Evaluated) -> None:
    """Fewer are right than of generated tickets: some examples are traps that words without their order do not tell."""
    assert judged.score.decided.value >= 0.75
    assert judged.score.alone.value >= 0.88


def test_what_is_not_for_support_is_left(judged: Evaluated) -> None:
    assert judged.score.outside.of >= 8
    assert judged.score.outside.value >= 0.85


def test_hardly_any_urgent_ticket_is_decided_as_one_that_can_wait(judged: Evaluated) -> None:
    """One is: a shop that cannot take payments, in words that the generator does not have; the README says so."""
    urgent = [one for one in judged.answers if one.truth and one.truth["priority"] == "urgent"]
    assert len(urgent) >= 8
    wrong = [one for one in urgent if one.ruling == "decided" and one.judged.labels["priority"] != "urgent"]
    assert len(wrong) <= 1
    assert not [one for one in wrong if one.judged.labels["priority"] == "low"]


def test_instructions_in_a_ticket_are_not_obeyed(judged: Evaluated) -> None:
    told = [one for row, one in zip(judged.rows, judged.answers, strict=True) if "gnore " in str(row.row)]
    assert len(told) == 2
    assert not any(one.breaks for one in told)


def test_what_must_not_be_decided_is_hardly_ever(judged: Evaluated) -> None:
    """Words without their order do not tell that something is *not* wanted; the README says so."""
    assert judged.score.forbidden <= 3


def test_answers_are_whole() -> None:
    rows = [one["input"] for one in examples()]
    found = LOCAL.open(HERE, Output).sort(rows)
    assert found.counts["unfit"] == 0
    assert all(one["summary"] == rows[at]["subject"] for at, one in found.decided.items())


def test_the_rule_proposes_only_where_something_is_said() -> None:
    assert Output.model_validate(answer({"subject": "Help", "body": "DRINGEND!"})).priority == "urgent"
    assert Output.model_validate(answer({"subject": None, "body": "hello"})).priority == "normal"
    assert answer({"subject": " ", "body": None}) is None


def test_expectations_are_about_columns_that_there_are() -> None:
    known = set(raw_schema(SPEC).names)
    assert {column for one in EXPECTATIONS for column in one.columns} <= known
    answered = {*Output.model_fields, "ending"}
    assert {column for one in ANSWER_EXPECTATIONS for column in one.columns} <= answered | {"subject", "body"}
    (says,) = (one for one in EXPECTATIONS if one.id == "says_something")
    rows = pd.DataFrame({"subject": ["a", None, "?", None], "body": [None, "b", "!", None]})
    assert says.derive is not None
    assert says.derive(rows, None).tolist() == [True, True, False, False]  # type: ignore[arg-type]


class TestTickets:
    """The generator."""

    def test_the_same_seed_gives_the_same_tickets(self) -> None:
        assert list(make_tickets(50, 1)) == list(make_tickets(50, 1)) != list(make_tickets(50, 2))

    def test_all_sorts_occur(self) -> None:
        rows = list(make_tickets(1_500, 1))
        assert {row["category"] for row in rows} == set(Output.model_json_schema()["properties"]["category"]["enum"])
        assert {row["priority"] for row in rows} == {"low", "normal", "high", "urgent"}
        assert {row["language"] for row in rows} == {"en", "de", "fr", "es"}
        assert len({row["wording"] for row in rows}) == PARTS
        assert not any("{" in row["body"] for row in rows)
