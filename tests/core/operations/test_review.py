"""Answers that wait for people: decided once, by whom it is on record, and written as they said."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from include.database import transaction
from include.ledger import reviews
from include.ledger.closing import close_run
from include.ledger.control import change_control, read_control
from include.ledger.reviews import Choice, Decided
from include.ledger.verify import verify
from include.models import Mode, Record, RunOptions
from include.night.gate.gate import gate
from include.night.write.write import write
from include.operations import review
from include.operations.review import apply, decide, faults_of
from include.run import Night
from include.spec.prompt import load_prompt
from include.spec.reviewing import Review
from include.spec.use_case import load
from tests.core.conftest import Ledger, Postgres
from tests.core.night.gate.answers import answer, stage_enriched
from tests.core.night.write.conftest import WRITTEN, Begin, Crm, outbox_of, outcomes_of, rows_in

CASE = load("crm_lead_scoring")
GATED = RunOptions(mode=Mode.GATED)


@pytest.fixture
def waiting(begin: Begin, crm: Crm, ledger: Ledger, postgres: Postgres) -> Callable[..., Night]:
    """A closed night whose answers, by contact, wait for people; its connections reach its own ledger too."""
    url = make_url(ledger.urls.service)
    where = {"host": postgres.socket, "login": url.username, "schema": url.database}

    def make(answers: Mapping[str, Record], **more: Any) -> Night:
        more = {"options": GATED, "variables": {"AIRFLOW_CONN_NIGHTLEDGER_DB": json.dumps(where)}, **more}
        night = begin(**more)
        write(night, gate(night, stage_enriched(night, answers)))
        with transaction(night.ledger) as connection:
            close_run(connection, night.run_id, "succeeded", {"in_review": len(answers)}, rows_in=len(answers))
        return night

    return make


def items(night: Night) -> dict[str, Record]:
    """The queue's items of this night's use case, newest last, by row key."""
    with night.ledger.connect() as connection:
        found = connection.execute(text("SELECT * FROM review_item ORDER BY review_item_id")).mappings()
        return {row["row_key"]: dict(row) for row in found}


def choose(night: Night, keys: Sequence[str], action: Any = "approve", output: Record | None = None) -> list[Choice]:
    held = items(night)
    return [Choice(held[key]["review_item_id"], held[key]["shown_sha256"], action, output) for key in keys]


def say(night: Night, choices: Sequence[Choice], actor: str = "ada", comment: str = "") -> Decided:
    return decide(night.ledger, night.case, actor, choices, comment, night.settings.token_secret)


def apply_all(night: Night, monkeypatch: pytest.MonkeyPatch | None = None) -> list[Record]:
    return apply(night.connections, night.settings, [night.case.name], "the operator")


def holds(night: Night) -> None:
    found = verify(night.ledger)
    assert found.holds, found.as_text()


def test_what_a_person_approves_is_written_and_what_they_reject_is_not(waiting: Any, crm: Crm) -> None:
    good, bad = crm.ids(2)
    night = waiting({good: answer(), bad: answer(score=3, tier="cold")})
    assert say(night, choose(night, [good])) == Decided({"approved": 1})
    assert say(night, choose(night, [bad], "reject"), comment="wrong company") == Decided({"rejected": 1})
    assert crm.read(good) == dict.fromkeys(WRITTEN)
    (done,) = apply_all(night)
    assert {name: done[name] for name in ("written", "rejected", "failed")} == {
        "written": 1,
        "rejected": 1,
        "failed": 0,
    }
    assert crm.read(good) == WRITTEN
    assert crm.read(bad) == dict.fromkeys(WRITTEN)
    assert outcomes_of(night) == {good: ("written", None), bad: ("rejected", "rejected by a person")}
    assert items(night)[bad]["comment"] == "wrong company"
    holds(night)


def test_the_run_is_counted_and_sealed_anew_and_says_who_decided(waiting: Any, crm: Crm) -> None:
    one, other = crm.ids(2)
    night = waiting({one: answer(), other: answer(score=4)})
    say(night, choose(night, [one]))
    apply_all(night)
    with night.ledger.connect() as connection:
        run = connection.execute(text("SELECT status, counts, finished_at FROM run")).one()
        decision = connection.execute(
            text("SELECT decided_by, rule, verdict FROM decision ORDER BY recorded_at DESC LIMIT 1")
        ).one()
    assert (run.status, run.counts) == ("succeeded", {"written": 1, "in_review": 1})
    assert tuple(decision) == ("person ada", "approved by a person", "write")
    holds(night)


def test_applying_again_finds_nothing_to_do(waiting: Any, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = waiting({one: answer()})
    say(night, choose(night, [one]))
    assert len(apply_all(night)) == 1
    before = crm.seen()["written"] if "written" in crm.seen() else crm.seen()
    assert apply_all(night) == []
    assert (crm.seen()["written"] if "written" in crm.seen() else crm.seen()) == before


def test_an_edit_is_written_as_the_person_said_and_says_so(waiting: Any, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = waiting({one: answer()})
    wanted = answer(score=12, tier="cold", summary="Left the company.")
    assert say(night, choose(night, [one], "edit", wanted)) == Decided({"edited": 1})
    apply_all(night)
    held = crm.read(one)
    assert (held["nl_lead_score"], held["nl_lead_tier"], held["nl_score_origin"]) == ("12", "cold", "person")
    row = outbox_of(night)[one]
    assert row["fields"]["nl_lead_summary"] == "Left the company."
    holds(night)


def test_an_edit_that_breaks_the_output_model_is_refused_with_its_fields(waiting: Any, crm: Crm) -> None:
    one, other = crm.ids(2)
    night = waiting({one: answer(), other: answer()})
    broken = choose(night, [one], "edit", answer(score=101, tier="boiling"))
    found = say(night, [*broken, *choose(night, [other])])
    assert found.done == {"approved": 1}
    (words,) = found.refused.values()
    assert "score:" in words
    assert "tier:" in words
    assert "boiling" not in words
    assert items(night)[one]["status"] == "waiting"


def test_an_edit_that_changes_nothing_is_an_approval(waiting: Any, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = waiting({one: answer()})
    assert say(night, choose(night, [one], "edit", answer())).done == {"approved": 1}


def test_whoever_is_second_is_told_who_was_faster(waiting: Any, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = waiting({one: answer()})
    choices = choose(night, [one])
    say(night, choices)
    (words,) = say(night, choose(night, [one], "reject"), actor="bob").refused.values()
    assert words.startswith("was approved by ada at ")
    with night.ledger.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM decision WHERE decided_by <> 'gate'")) == 1


def test_two_who_decide_the_same_rows_at_once_each_get_some(waiting: Any, crm: Crm) -> None:
    ids = crm.ids(40)
    night = waiting({one: answer() for one in ids})
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(say, night, choose(night, ids), "ada")
        second = pool.submit(say, night, choose(night, ids[::-1], "reject"), "bob")
        found = [first.result(), second.result()]
    assert sum(sum(one.done.values()) for one in found) == 40
    assert sum(len(one.refused) for one in found) == 40
    with night.ledger.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM decision WHERE decided_by <> 'gate'")) == 40
    holds(night)


def test_what_was_not_shown_is_not_decided(waiting: Any, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = waiting({one: answer()})
    (choice,) = choose(night, [one])
    (words,) = say(night, [replace(choice, shown_sha256="0" * 64)]).refused.values()
    assert words == "is not what you were shown; open it again"
    (words,) = say(night, [replace(choice, number=10**9)]).refused.values()
    assert words == "there is no such item in this queue"


def test_a_queue_takes_only_its_own_items(waiting: Any, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = waiting({one: answer()})
    found = decide(night.ledger, load("support_triage"), "ada", choose(night, [one]), "", "secret")
    assert found.done == {}
    assert list(found.refused.values()) == ["there is no such item in this queue"]


def test_a_decision_can_be_taken_back_until_it_is_applied(waiting: Any, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = waiting({one: answer()})
    say(night, choose(night, [one]))
    number = items(night)[one]["review_item_id"]
    assert reviews.take_back(night.ledger, night.case.name, "bob", [number]).done == {"waiting": 1}
    assert apply_all(night) == []
    assert crm.read(one) == dict.fromkeys(WRITTEN)
    say(night, choose(night, [one]))
    apply_all(night)
    refused = reviews.take_back(night.ledger, night.case.name, "bob", [number]).refused
    assert refused == {number: "was approved by ada and is applied already"}
    holds(night)


def test_two_people_approve_where_the_use_case_asks_for_it(waiting: Any, crm: Crm) -> None:
    small, large = crm.ids(2)
    careful = Review(four_eyes=lambda output: bool(output["score"] > 50))
    night = waiting({small: answer(score=10), large: answer(score=80)}, review=careful)
    assert say(night, choose(night, [small, large])).done == {"approved": 1, "agreed": 1}
    (words,) = say(night, choose(night, [large])).refused.values()
    assert words == "you have approved it; a second person has to"
    assert say(night, choose(night, [large]), actor="bob").done == {"approved": 1}
    assert items(night)[large]["decided_by"] == "ada and bob"
    apply_all(night)
    assert outcomes_of(night)[large] == ("written", None)
    holds(night)


def test_a_second_person_who_edits_is_a_first_one_again(waiting: Any, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = waiting({one: answer()}, review=Review(four_eyes=lambda _: True))
    say(night, choose(night, [one]))
    assert say(night, choose(night, [one], "edit", answer(score=70)), actor="bob").done == {"agreed": 1}
    assert list(say(night, choose(night, [one]), actor="bob").refused.values()) == [
        "you have approved it; a second person has to"
    ]
    assert say(night, choose(night, [one]), actor="ada").done == {"edited": 1}
    apply_all(night)
    assert crm.read(one)["nl_lead_score"] == "70"


def test_one_person_may_reject_what_two_would_have_to_approve(waiting: Any, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = waiting({one: answer()}, review=Review(four_eyes=lambda _: True))
    assert say(night, choose(night, [one], "reject")).done == {"rejected": 1}


@pytest.mark.parametrize(
    ("default", "status", "written"), [("reject", "rejected", dict.fromkeys(WRITTEN)), ("write", "written", WRITTEN)]
)
def test_what_nobody_decides_in_time_goes_by_the_default_as_a_time_out(
    waiting: Any, crm: Crm, monkeypatch: pytest.MonkeyPatch, default: Any, status: str, written: Record
) -> None:
    (one,) = crm.ids(1)
    late = replace(CASE, review=Review(expires=timedelta(microseconds=1), at_expiry=default))
    monkeypatch.setattr(review, "load", lambda _: late)
    night = waiting({one: answer()}, review=late.review)
    (words,) = say(night, choose(night, [one])).refused.values()
    assert words.startswith("expired at ")
    apply_all(night)
    assert outcomes_of(night)[one] == (status, None if default == "write" else "nobody decided in time: let go")
    assert crm.read(one) == written
    with night.ledger.connect() as connection:
        by = connection.execute(text("SELECT decided_by, rule FROM decision ORDER BY recorded_at DESC LIMIT 1")).one()
    assert by.decided_by == "time-out"
    assert by.rule.startswith("nobody decided in time")
    holds(night)


def test_a_later_answer_for_a_row_supersedes_the_one_that_waits(waiting: Any, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = waiting({one: answer(score=10)})
    old = choose(night, [one])
    later = waiting({one: answer(score=90)}, day=1)
    (words,) = say(night, old).refused.values()
    assert words == "a later night has another answer for this row; decide on that one"
    say(later, choose(later, [one]))
    apply_all(later)
    assert crm.read(one)["nl_lead_score"] == "90"
    assert outcomes_of(night) == {one: ("unchanged", "superseded by a later night")}
    assert outcomes_of(later) == {one: ("written", None)}
    holds(later)


def test_a_later_night_in_shadow_supersedes_nothing(waiting: Any, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = waiting({one: answer(score=10)})
    waiting({one: answer(score=90)}, day=1, options=RunOptions(mode=Mode.SHADOW))
    assert say(night, choose(night, [one])).done == {"approved": 1}


def test_the_night_run_again_asks_nobody_twice(waiting: Any, crm: Crm) -> None:
    yes, no, changed, open_ = crm.ids(4)
    answers = {yes: answer(), no: answer(score=3), changed: answer(score=50), open_: answer(score=60)}
    first = waiting(answers)
    say(first, choose(first, [yes]))
    say(first, choose(first, [no], "reject"))
    say(first, choose(first, [changed], "edit", answer(score=51)))
    again = waiting(answers, external_ref="again")
    assert outcomes_of(again) == {
        yes: ("written", None),
        no: ("rejected", "rejected by a person"),
        changed: ("written", None),
        open_: ("in_review", "mode gated: a person decides"),
    }
    assert crm.read(changed)["nl_lead_score"] == "51"
    decided = {key: row["decided_by"] for key, row in rows_in(again, "decision").items()}
    assert decided == {yes: "person ada", no: "person ada", changed: "person ada", open_: "gate"}
    assert len(items(again)) == 4
    apply_all(again)
    assert say(again, choose(again, [open_])).done == {"approved": 1}
    apply_all(again)
    assert outcomes_of(again)[open_] == ("written", None)
    assert outcomes_of(first)[yes][0] == "unchanged"
    holds(again)


def test_a_decision_that_an_attempt_did_not_see_is_said_again_under_it(waiting: Any, crm: Crm) -> None:
    """As when somebody decides in the very moment in which the gate of another attempt decides."""
    (one,) = crm.ids(1)
    first = waiting({one: answer()})
    again = waiting({one: answer()}, external_ref="again")
    with first.ledger.connect() as connection:
        mine = connection.scalar(text("SELECT decision_id FROM decision WHERE run_id = :run"), {"run": first.run_id})
    say(again, choose(again, [one]))
    with transaction(first.ledger) as connection:
        connection.execute(
            text(
                "INSERT INTO nightledger.decision (decision_id, batch, run_id, use_case, row_id, row_key,"
                " inference_key, verdict, rule, decided_by, origin, inference_id, output, confidence, shown_sha256)"
                " SELECT"
                " gen_random_uuid(), gen_random_uuid(), run_id, use_case, row_id, row_key, inference_key, 'write',"
                " 'approved by a person', 'person ada', origin, inference_id, CAST(:output AS jsonb), confidence,"
                " shown_sha256 FROM nightledger.decision WHERE decision_id = :mine"
            ),
            {"mine": mine, "output": json.dumps(answer())},
        )
        connection.execute(
            text(
                "UPDATE nightledger.review_item SET decision_id = (SELECT decision_id FROM nightledger.decision"
                " WHERE run_id = :run AND decided_by = 'person ada')"
            ),
            {"run": first.run_id},
        )
    (done,) = apply_all(again)
    assert (done["run_id"], done["written"], done["failed"]) == (again.run_id, 1, 0)
    assert crm.read(one) == WRITTEN
    holds(again)


def test_what_fails_on_its_way_is_a_dead_letter_and_the_others_go_on(waiting: Any, crm: Crm) -> None:
    (one,) = crm.ids(1)
    gone = "99999999999"
    night = waiting({one: answer(), gone: answer()})
    say(night, choose(night, [one, gone]))
    (done,) = apply_all(night)
    assert (done["written"], done["failed"]) == (1, 1)
    assert outcomes_of(night)[gone][0] == "dead_letter"
    holds(night)


def test_a_night_that_is_going_on_is_left_alone(waiting: Any, begin: Begin, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = waiting({one: answer()})
    with transaction(night.ledger) as connection:
        connection.execute(text("UPDATE nightledger.run SET finished_at = NULL, status = 'running'"))
    say(night, choose(night, [one]))
    assert apply_all(night) == []


def test_a_process_killed_while_it_applies_is_taken_up(waiting: Any, crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = crm.ids(3)
    night = waiting({one: answer() for one in ids})
    say(night, choose(night, ids))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(review, "close_again", killed)
        with pytest.raises(KeyboardInterrupt):
            apply_all(night)
    assert crm.read(ids[0]) == WRITTEN
    (done,) = apply_all(night)
    assert done["failed"] == 0
    assert {outcome for outcome, _ in outcomes_of(night).values()} == {"written"}
    assert [row["attempts"] for row in outbox_of(night).values()] == [1, 1, 1]
    holds(night)


def test_five_hundred_rows_are_decided_in_one_action_and_applied(waiting: Any, crm: Crm) -> None:
    ids = crm.ids(500)
    night = waiting({one: answer() for one in ids})
    assert say(night, choose(night, ids), comment="the whole fair").done == {"approved": 500}
    (done,) = apply_all(night)
    assert done["written"] == 500
    with night.ledger.connect() as connection:
        said = connection.execute(text("SELECT actor, details FROM event WHERE type = 'review.decided'")).one()
    assert (said.actor, len(said.details["items"]), said.details["comment"]) == ("person ada", 500, "the whole fair")
    holds(night)


def test_a_comment_keeps_personal_values_as_tokens(waiting: Any, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = waiting({one: answer()})
    say(night, choose(night, [one], "reject"), comment="ask jane.doe@example.com")
    assert "jane.doe" not in items(night)[one]["comment"]


def test_items_are_assigned_while_they_wait(waiting: Any, crm: Crm) -> None:
    one, other = crm.ids(2)
    night = waiting({one: answer(), other: answer()})
    say(night, choose(night, [other]))
    numbers = [row["review_item_id"] for row in items(night).values()]
    assert reviews.assign(night.ledger, night.case.name, "ada", numbers, "bob") == 1
    assert items(night)[one]["assigned_to"] == "bob"


def test_the_riskiest_come_first(waiting: Any, crm: Crm) -> None:
    sure, unsure = crm.ids(2)
    night = waiting({sure: answer(confidence=0.95), unsure: answer(confidence=0.2)})
    assert items(night)[sure]["risk"] == pytest.approx(0.05, abs=1e-6)
    assert items(night)[unsure]["risk"] == pytest.approx(0.8, abs=1e-6)


def test_faults_of_an_answer_quote_no_value() -> None:
    words = faults_of(CASE, answer(score="many", secret="jane.doe@example.com"))
    assert "score" in words
    assert "secret" in words
    assert "many" not in words
    assert "jane" not in words


def test_auto_is_taken_back_as_soon_as_what_people_overruled_is_applied(waiting: Any, crm: Crm) -> None:
    ids = crm.ids(20)
    night = waiting({one: answer() for one in ids}, prompt=load_prompt(CASE).as_mapping())
    change_control(night.ledger, night.case, "ada", "a good month", {"mode": Mode.AUTO})
    say(night, choose(night, ids[:15]))
    apply_all(night)
    assert read_control(night.ledger, night.case.name).mode is Mode.AUTO
    say(night, choose(night, ids[15:], "reject"), comment="wrong")
    apply_all(night)
    now = read_control(night.ledger, night.case.name)
    assert (now.mode, now.reason) == (Mode.GATED, "back to gated: people overruled 5 of 20 answers")
    holds(night)


def test_what_people_said_of_an_earlier_prompt_takes_nothing_back(waiting: Any, crm: Crm) -> None:
    ids = crm.ids(20)
    night = waiting({one: answer() for one in ids})
    change_control(night.ledger, night.case, "ada", "a better prompt", {"mode": Mode.AUTO})
    say(night, choose(night, ids, "reject"), comment="wrong")
    apply_all(night)
    assert read_control(night.ledger, night.case.name).mode is Mode.AUTO
