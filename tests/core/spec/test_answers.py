"""The answers of one use case are the rows of another, night for night."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from include.database import transaction
from include.errors import ConfigurationError, ContractBroken, SystemUnavailable
from include.ledger.closing import close_run
from include.ledger.record import RowOutcome, record_outcomes
from include.models import Column, Mode, Outcome, Record, RunOptions
from include.night.gate.gate import gate
from include.run import Night
from include.settings import ROOT
from include.spec import chains
from include.spec.answers import AnswerReader, Answers
from include.spec.chains import in_order, reads_from
from include.spec.join import Join
from include.spec.use_case import UseCase, load
from tests.core.conftest import Ledger
from tests.core.night.gate.answers import answer, stage_enriched

LEAD = load("crm_lead_scoring")
ANSWERS = Answers(
    object="crm_lead_scoring",
    columns=(Column("score", "score", "integer"), Column("tier", "tier")),
    key=Column("row_key", "lead_id"),
)


@pytest.fixture
def night_of(make_night: Callable[..., Night]) -> Callable[..., Night]:
    """A night of three leads that has reached its end: one written, one unchanged, one for a person."""

    def make(ref: str = "cli", status: str = "succeeded", **more: Any) -> Night:
        night = make_night(external_ref=ref, options=RunOptions(mode=Mode.AUTO), confidence_threshold=0.75, **more)
        gate(night, stage_enriched(night, [answer(score=81), answer(score=12), answer(confidence=0.5)]))
        ends = [("1", Outcome.WRITTEN), ("2", Outcome.UNCHANGED)]
        with transaction(night.ledger) as connection:
            found = connection.execute(text("SELECT row_key, row_id FROM nightledger.decision"))
            ids = {row.row_key: row.row_id for row in found}
            rows = [RowOutcome(ids[key], key, outcome, "write", "", {}) for key, outcome in ends]
            record_outcomes(connection, night.run_id, rows)
            close_run(connection, night.run_id, status, {}, rows_in=3)
        return night

    return make


def reader(night: Night, ledger: Ledger, **changes: Any) -> AnswerReader:
    return AnswerReader(replace(ANSWERS, **changes), ledger.service, night.interval)  # type: ignore[arg-type]


def rows_of(found: AnswerReader, night: Night, limit: int | None = None) -> list[Record]:
    return [row for page in found.read(night.interval, limit) for row in page.rows]


def test_what_went_out_comes_in_with_its_fields_and_where_it_is_on_record(
    night_of: Callable[..., Night], ledger: Ledger
) -> None:
    night = night_of()
    found = reader(night, ledger)
    found.check_contract()
    rows = {row["lead_id"]: row for row in rows_of(found, night)}
    assert {key: row["score"] for key, row in rows.items()} == {"1": 81, "2": 12}
    assert rows["1"]["row_id"] == "ledger/crm_lead_scoring/1"
    assert rows["1"]["lineage"]["ledger"].startswith(night.run_id)
    assert (found.rows, found.facts) == (2, {"answers_of": [night.run_id]})
    assert [row["lead_id"] for row in rows_of(reader(night, ledger), night, limit=1)] in (["1"], ["2"])


def test_rows_of_another_outcome_come_where_they_are_asked_for(night_of: Callable[..., Night], ledger: Ledger) -> None:
    night = night_of()
    found = rows_of(reader(night, ledger, outcomes=(Outcome.IN_REVIEW,)), night)
    assert [row["lead_id"] for row in found] == ["3"]


def test_pages_are_read_one_after_the_other(
    night_of: Callable[..., Night], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = night_of()
    monkeypatch.setattr("include.spec.answers.PAGE_ROWS", 1)
    found = reader(night, ledger)
    assert sorted(row["lead_id"] for row in rows_of(found, night)) == ["1", "2"]
    assert found.pages == 2


def test_the_newest_night_that_succeeded_counts(night_of: Callable[..., Night], ledger: Ledger) -> None:
    first = night_of()
    night_of("again", status="failed")
    found = reader(first, ledger)
    rows_of(found, first)
    assert found.facts["answers_of"] == [first.run_id]
    third = night_of("once more")
    later = reader(first, ledger)
    rows_of(later, first)
    assert later.facts["answers_of"] == [third.run_id]


def test_a_night_that_has_not_succeeded_is_waited_for(night_of: Callable[..., Night], ledger: Ledger) -> None:
    night = night_of(status="failed")
    with pytest.raises(SystemUnavailable, match="has not succeeded"):
        rows_of(reader(night, ledger), night)


def test_single_answers_are_read_by_the_keys_of_their_rows(night_of: Callable[..., Night], ledger: Ledger) -> None:
    night = night_of()
    found = [row["lead_id"] for page in reader(night, ledger).read_ids(["2", "9"]) for row in page.rows]
    assert found == ["2"]


def test_a_field_that_the_answer_does_not_have_breaks_the_contract(
    night_of: Callable[..., Night], ledger: Ledger
) -> None:
    with pytest.raises(ContractBroken, match=r"scor.*score"):
        reader(night_of(), ledger, columns=(Column("scor", "score"),)).check_contract()


def test_a_field_of_another_kind_sets_the_row_aside(night_of: Callable[..., Night], ledger: Ledger) -> None:
    night = night_of()
    (page,) = reader(night, ledger, columns=(Column("tier", "tier", "integer"),)).read(night.interval)
    assert (len(page.rows), len(page.rejected)) == (0, 2)
    assert page.rejected[0].reasons[0].startswith("tier: expected integer")


def test_use_cases_run_after_those_whose_answers_they_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(name: str, *before: str, joined: str = "") -> UseCase:
        steps = (Join(source=Answers(object=joined, columns=()), on="x", prefix="y_"),) if joined else ()
        sources = tuple(Answers(object=one, columns=()) for one in before) or LEAD.sources
        return replace(LEAD, name=name, sources=sources, transforms=steps)

    cases = {one.name: one for one in (made("a", "c"), made("b"), made("c", joined="b"))}
    monkeypatch.setattr(chains, "load", cases.__getitem__)
    assert reads_from(cases["c"]) == ["b"]
    assert in_order(list(cases)) == ["b", "c", "a"]
    assert in_order(["a", "c"]) == ["c", "a"]
    cases["b"] = made("b", "a")
    with pytest.raises(ConfigurationError, match="wait for each other"):
        in_order(list(cases))


def test_a_list_comes_as_its_json_text(night_of: Callable[..., Night], ledger: Ledger) -> None:
    night = night_of()
    rows = rows_of(reader(night, ledger, columns=(Column("reasons", "reasons"),)), night)
    assert all(isinstance(json.loads(row["reasons"]), list) for row in rows)


def test_the_ledger_is_reached_where_nothing_else_has_opened_a_database() -> None:
    """As in a task that reads answers alone: whoever is tested beside others has what they have imported."""
    opens = "from include.spec import answers; from include.systems.connections import OPENERS; assert OPENERS['sql']"
    subprocess.run([sys.executable, "-W", "ignore", "-c", opens], cwd=ROOT, check=True)
