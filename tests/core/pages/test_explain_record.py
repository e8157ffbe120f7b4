"""A record's fields as their page shows them, each to whom its use case belongs."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from sqlalchemy import text

from include.database import transaction
from include.errors import ConfigurationError
from include.ledger.record import record_manifest
from include.models import Outcome, RunOptions
from include.pages import explain_record
from include.pages.explain_record import RecordPage, look_at_write, places, show_record
from include.run import Night
from include.settings import Settings
from include.spec.use_case import load
from include.staging import StagedWriter
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import end_rows, reject_rows
from tests.core.ledger.test_explain_record import AUTO, RECORD, ROW, SCORE, call, decided, put

CASE, OTHER = "crm_lead_scoring", "crm_enrichment"
SETTINGS = Settings.read({"NIGHTLEDGER_TOKEN_SECRET": "test secret"})


def page(
    ledger: Ledger, field: str = SCORE, readable: tuple[str, ...] = (CASE, OTHER), number: int | None = None
) -> RecordPage:
    return show_record(ledger.service, RECORD, field, readable, SETTINGS, number=number)


def test_a_field_is_told_with_the_write_that_set_it(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(options=AUTO)
    call(night, "rate_limited")
    first = put(night, "80", "12", decision=decided(night, call(night, "ok", "retry", 2)))
    put(make_night(day=1, options=AUTO), "99", "80", "failed", "rejected_by_destination: no")
    found = page(ledger)
    (story,) = found.stories
    assert [(one.step, one.before, one.after) for one in story.steps] == [
        ("written", "12", "80"),
        ("not taken", "80", "80"),
    ]
    assert (story.last, story.now) == (story.steps[0], None)
    assert found.write is not None
    assert (found.write.number, found.write.output) == (first, {"score": "80"})
    assert [one.facts["outcome"] for one in found.write.calls] == ["rate_limited", "ok"]
    assert [one.asked for one in found.write.calls] == [(), ()]
    assert found.write.staged.problem == "the row is in no dataset that this run has staged"
    assert page(ledger, number=first + 1).write != found.write


def test_who_may_not_see_a_use_case_is_told_that_it_wrote_and_not_what(ledger: Ledger, make_night: MakeNight) -> None:
    put(make_night(options=AUTO), "80", "12")
    secret = put(make_night(case=load(OTHER), options=AUTO), "the other's", "80")
    put(make_night(day=1, options=AUTO), "81", "7")
    found = page(ledger, readable=(CASE,))
    (story,) = found.stories
    assert [(one.after, one.by) for one in story.steps] == [
        ("80", "gate"),
        ("[hidden]", "a use case that is not yours to see"),
        ("7", "somebody else"),
        ("81", "gate"),
    ]
    assert found.others == 1
    assert "the other's" not in str(found)
    with pytest.raises(ConfigurationError, match="no such write"):
        page(ledger, readable=(CASE,), number=secret)
    assert page(ledger, readable=("support_triage",)) == replace(found, stories=(), write=None, others=0, known=())


def test_people_are_hidden_until_it_is_on_record_who_looks(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(options=AUTO)
    number = put(night, "write to ada@leak.example", "bob@leak.example", decision=decided(night, call(night, "ok")))
    assert "leak.example" not in str(page(ledger))
    looks = "SELECT actor, stream, details ->> 'row_key' FROM event WHERE type = 'personal.viewed'"
    seen = look_at_write(ledger.service, RECORD, SCORE, (CASE,), SETTINGS, number, "kim")
    assert seen.write is not None
    assert [one.asked for one in seen.write.calls] == [(("user", "ask 1"),)]
    assert seen.stories[0].steps[0].after == "write to ada@leak.example"
    with transaction(ledger.service) as connection:
        assert [tuple(row) for row in connection.execute(text(looks))] == [("kim", f"personal/{CASE}", "1")]
    with pytest.raises(ConfigurationError):
        look_at_write(ledger.service, RECORD, SCORE, (OTHER,), SETTINGS, number, "eve")


def test_texts_of_a_use_case_with_tokens_are_shown_without_people(
    ledger: Ledger, make_night: MakeNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = replace(load(CASE), tokenise=("job_title",))
    monkeypatch.setattr("include.operations.explain.load", lambda name: free if name == CASE else load(name))
    put(make_night(options=AUTO), "My name is [PERSON_0123abcd], call me", "My name is Ada Lovelace, call me")
    put(make_night(day=1, options=AUTO), "Done", "My name is Ada Lovelace, call me")
    (story,) = page(ledger).stories
    assert [one.step for one in story.steps] == ["written", "written"]
    assert "Lovelace" not in str(story)
    assert story.steps[0].after == "My name is [PERSON_0123abcd], call me"


def stage(night: Night, dataset: str, *titles: str) -> None:
    schema = pa.schema([(name, pa.string()) for name in ("row_id", "row_key", "job_title", "email")])
    with StagedWriter(night.path(f"{dataset}.parquet"), schema) as writer:
        for at, title in enumerate(titles, 1):
            writer.append(
                {"row_id": f"crm/contacts/{at}", "row_key": str(at), "job_title": title, "email": "a@b.example"}
            )
    record_manifest(night.ledger, writer.manifest(night.run_id, dataset))


def test_the_row_is_shown_as_it_was_staged_or_why_it_cannot_be(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(options=AUTO)
    stage(night, "raw", "as read", "another's")
    put(night, "80", "12")
    assert (found := page(ledger).write)
    assert (found.staged.dataset, found.staged.values["job_title"]) == ("raw", "as read")
    assert "a@b.example" not in str(found.staged)
    stage(night, "good", "as asked", "another's")
    assert (found := page(ledger).write)
    assert (found.staged.dataset, found.staged.values["job_title"]) == ("good", "as asked")
    night.path("good.parquet").unlink()
    assert (found := page(ledger).write)
    assert (found.staged.values, found.staged.problem) == (
        {},
        "the row cannot be shown any more: the staged file is gone",
    )
    bare = show_record(ledger.service, RECORD, SCORE, (CASE,), Settings.read({}))
    assert bare.write
    assert "NIGHTLEDGER_TOKEN_SECRET" in bare.write.staged.problem


def test_a_record_without_a_write_leads_to_the_nights_that_met_its_row(ledger: Ledger, make_night: MakeNight) -> None:
    end_rows(make_night(options=RunOptions()), {ROW: Outcome.SHADOWED}, stage="gate")
    reject_rows(make_night(day=1), "check", {ROW: "country is missing"})
    found = page(ledger)
    assert (found.stories, found.write) == ((), None)
    assert [(one.ended, one.why) for one in found.nights] == [("quarantined", "country is missing"), ("shadowed", "")]
    assert page(ledger, readable=(OTHER,)).nights == ()


def test_a_field_that_was_never_written_names_those_that_were(ledger: Ledger, make_night: MakeNight) -> None:
    put(make_night(options=AUTO), "80", "12")
    found = page(ledger, field="email")
    assert (found.stories, found.write, found.known) == ((), None, (SCORE,))


def test_destinations_are_those_of_the_use_cases_that_may_be_seen() -> None:
    assert places((CASE,)) == [("crm", "contacts")]
    assert places(("nobody",)) == []
    assert explain_record.places(frozenset(("support_triage",)))[0] == ("crm", "tickets")
