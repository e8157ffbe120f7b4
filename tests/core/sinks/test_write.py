"""Write-back against the sandbox CRM, with the ledger as the service role."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from include.errors import AccessDenied, ContractBroken, SystemUnavailable
from include.ledger import tables
from include.ledger.explain import explain
from include.night import Night
from include.sinks import crm as crm_module
from include.sinks import write as write_module
from include.sinks.write import ARRIVED, SUPERSEDED, write
from tests.core.conftest import Ledger
from tests.core.gate.answers import answer
from tests.core.sinks.conftest import Begin, Crm, approve, outbox_of, outcomes_of, rows_in

MISSING = "99999999999"
WRITTEN = {
    "nl_lead_score": "80",
    "nl_lead_tier": "hot",
    "nl_lead_summary": "Asked for a quote.",
    "nl_next_action": "call",
    "nl_lead_confidence": "0.9",
    "nl_score_origin": "model",
}


def counts(result: dict[str, Any]) -> dict[str, int]:
    return {name: result[name] for name in ("written", "sent", "unchanged", "failed")}


def nights_events(night: Night, kind: str) -> list[Any]:
    with night.ledger.connect() as connection:
        query = text("SELECT details FROM event WHERE stream = :run AND type = :kind ORDER BY seq")
        return list(connection.execute(query, {"run": night.run_id, "kind": kind}).scalars())


def crash_before_confirming(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*arguments: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(write_module, "_confirm", crash)


def test_answers_arrive_with_before_and_after_on_record(begin: Begin, crm: Crm) -> None:
    one, other = crm.ids(2)
    crm.edit(one, nl_lead_score="12", nl_lead_tier="cold")
    night = begin()
    result = write(night, approve(night, {one: answer(), other: answer(score=41, tier="warm")}))
    assert crm.read(one) == WRITTEN
    assert crm.read(other)["nl_lead_score"] == "41"
    row = outbox_of(night)[one]
    assert (row["status"], row["attempts"], row["fields"]) == ("written", 1, WRITTEN)
    assert row["before"] == {**dict.fromkeys(WRITTEN), "nl_lead_score": "12", "nl_lead_tier": "cold"}
    assert WRITTEN.items() <= row["after"].items()
    assert row["after"]["updatedAt"]
    assert row["decision_id"] == rows_in(night, tables.decision)[one]["decision_id"]
    assert outcomes_of(night) == {one: ("written", None), other: ("written", None)}
    assert counts(result) == {"written": 2, "sent": 2, "unchanged": 0, "failed": 0}
    assert (result["calls"], result["retries"]) == (2, 0)


def test_outcome_keeps_lineage_and_the_ledger_can_explain_the_value(begin: Begin, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = begin()
    write(night, approve(night, {one: answer()}))
    row = rows_in(night, tables.outcome)[one]
    assert (row["lineage"]["page"], row["inference_key"], row["stage"]) == (2, f"key-{one}", "write")
    (found,) = explain(night.ledger, night.case.name, one)
    assert (found.kind, found.facts["verdict"], found.facts["after"]["nl_lead_score"]) == ("write", "write", "80")


def test_the_intent_is_committed_before_the_write_leaves(
    begin: Begin, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = crm.ids(1)
    night = begin()
    seen: list[Any] = []
    send = crm_module.Crm.send

    def look_then_send(self: Any, intended: Any) -> Any:
        seen.append((outbox_of(night)[one]["status"], outbox_of(night)[one]["before"], crm.read(one)))
        return send(self, intended)

    monkeypatch.setattr(crm_module.Crm, "send", look_then_send)
    write(night, approve(night, {one: answer()}))
    assert seen == [("intended", dict.fromkeys(WRITTEN), dict.fromkeys(WRITTEN))]


def test_a_retry_of_the_task_sends_nothing_and_asks_nothing(begin: Begin, crm: Crm) -> None:
    ids = crm.ids(3)
    night = begin()
    approved = approve(night, {one: answer() for one in ids})
    write(night, approved)
    before, outbox = crm.seen(), outbox_of(night)
    crm.edit(ids[0], nl_lead_score="1")
    result = write(night, approved)
    assert counts(result) == {"written": 3, "sent": 0, "unchanged": 0, "failed": 0}
    assert result["calls"] == 0
    assert crm.seen()["records_written"] == before["records_written"] + 1  # by the person, whose word stays
    assert crm.read(ids[0])["nl_lead_score"] == "1"
    assert outbox_of(night) == outbox


def test_a_second_run_of_the_interval_writes_nothing(begin: Begin, crm: Crm) -> None:
    ids = crm.ids(3)
    first, second = begin(external_ref="first"), begin(external_ref="second")
    write(first, approve(first, {one: answer() for one in ids}))
    written = crm.seen()["records_written"]
    result = write(second, approve(second, {one: answer() for one in ids}))
    assert counts(result) == {"written": 0, "sent": 0, "unchanged": 3, "failed": 0}
    assert crm.seen()["records_written"] == written
    assert {row["status"] for row in outbox_of(second).values()} == {"unchanged"}
    assert outbox_of(second)[ids[0]]["before"] == WRITTEN
    assert outcomes_of(second) == dict.fromkeys(ids, ("unchanged", None))


def test_equal_values_in_another_text_form_are_unchanged(begin: Begin, crm: Crm) -> None:
    (one,) = crm.ids(1)
    crm.edit(one, **{**WRITTEN, "nl_lead_score": "80.0", "nl_lead_confidence": "0.90"})
    written = crm.seen()["records_written"]
    night = begin()
    result = write(night, approve(night, {one: answer(confidence=0.9049)}))
    assert counts(result)["unchanged"] == 1
    assert crm.seen()["records_written"] == written


def test_a_record_that_is_gone_becomes_a_dead_letter_and_the_rest_goes_on(begin: Begin, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = begin()
    result = write(night, approve(night, {MISSING: answer(), one: answer()}))
    assert counts(result) == {"written": 1, "sent": 1, "unchanged": 0, "failed": 1}
    row, letter = outbox_of(night)[MISSING], rows_in(night, tables.dead_letter)[MISSING]
    assert (row["status"], row["error"], row["before"]) == ("failed", "record_missing", None)
    assert (letter["stage"], letter["cause"], letter["record"]["fields"]) == ("write", "record_missing", WRITTEN)
    assert {key: outcome for key, (outcome, _) in outcomes_of(night).items()} == {
        MISSING: "dead_letter",
        one: "written",
    }


def test_no_before_image_is_null_to_sql_too(begin: Begin) -> None:
    night = begin()
    write(night, approve(night, {MISSING: answer()}))
    with night.ledger.connect() as connection:
        query = text("SELECT count(*) FROM outbox WHERE before IS NULL AND after IS NULL")
        assert connection.scalar(query) == 1


@pytest.mark.parametrize("bad_at", [0, 37, 99])
def test_a_refused_batch_is_halved_until_exactly_the_bad_record_is_alone(begin: Begin, crm: Crm, bad_at: int) -> None:
    ids = crm.ids(100)
    night = begin(fields={"score": "nl_lead_score", "summary": "nl_lead_tier"})
    outputs = {one: answer(summary="hot") for one in ids}
    outputs[ids[bad_at]] = answer(summary="Ask for Anna Ødegård")
    before = crm.seen()["route"].get("batch/update", 0)
    result = write(night, approve(night, outputs))
    assert counts(result) == {"written": 99, "sent": 99, "unchanged": 0, "failed": 1}
    assert crm.seen()["route"]["batch/update"] - before <= 1 + 2 * 7
    ((key, letter),) = rows_in(night, tables.dead_letter).items()
    assert (key, letter["cause"]) == (ids[bad_at], "rejected_by_destination")
    assert letter["detail"] == "INVALID_OPTION on nl_lead_tier"
    states = {row["row_key"]: row["status"] for row in outbox_of(night).values()}
    assert states == {one: "failed" if one == ids[bad_at] else "written" for one in ids}


@pytest.mark.parametrize(("name", "said"), [("nl_renamed", "does not exist"), ("createdate", "is read-only")])
def test_a_property_that_cannot_be_written_stops_the_stage_at_the_first_call(
    begin: Begin, crm: Crm, name: str, said: str
) -> None:
    night = begin(fields={"score": name})
    before = crm.seen()["route"].get("batch/update", 0)
    with pytest.raises(ContractBroken, match=f"crm contacts: property `{name}` {said}"):
        write(night, approve(night, {one: answer() for one in crm.ids(4)}))
    assert crm.seen()["route"]["batch/update"] - before == 1
    assert rows_in(night, tables.dead_letter) == {}
    assert {row["status"] for row in outbox_of(night).values()} == {"intended"}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", ["http_500", "http_503", "rate_limited", "reset"])
def test_a_passing_fault_is_retried_and_every_record_written_once(begin: Begin, crm: Crm, fault: str) -> None:
    ids = crm.ids(2)
    night, written = begin(), crm.seen()["records_written"]
    crm.fail(rates={fault: 1.0}, first_asks=1)
    result = write(night, approve(night, {one: answer() for one in ids}))
    assert counts(result) == {"written": 2, "sent": 2, "unchanged": 0, "failed": 0}
    assert (result["calls"], result["retries"]) == (4, 2)
    assert crm.seen()["records_written"] == written + 2


@pytest.mark.usefixtures("impatient")
def test_an_outage_leaves_intents_and_the_retry_completes_them(begin: Begin, crm: Crm) -> None:
    ids = crm.ids(2)
    night = begin()
    approved = approve(night, {one: answer() for one in ids})
    crm.fail(rates={"http_503": 1.0}, only="write")
    with pytest.raises(SystemUnavailable):
        write(night, approved)
    assert {row["status"] for row in outbox_of(night).values()} == {"intended"}
    assert outcomes_of(night) == {}
    crm.fail()
    assert counts(write(night, approved))["sent"] == 2
    assert {row["status"] for row in outbox_of(night).values()} == {"written"}


@pytest.mark.usefixtures("impatient")
def test_an_answer_lost_after_the_write_is_found_by_reading_and_not_sent_again(begin: Begin, crm: Crm) -> None:
    ids = crm.ids(2)
    crm.edit(ids[0], nl_lead_score="12")
    night = begin()
    approved = approve(night, {one: answer() for one in ids})
    crm.fail(rates={"reset": 1.0}, only="write")
    with pytest.raises(SystemUnavailable):
        write(night, approved)
    assert crm.read(ids[0]) == WRITTEN
    crm.fail()
    seen = crm.seen()["route"]["batch/update"]
    result = write(night, approved)
    assert counts(result) == {"written": 2, "sent": 0, "unchanged": 0, "failed": 0}
    assert crm.seen()["route"]["batch/update"] == seen
    assert outcomes_of(night) == dict.fromkeys(ids, ("written", ARRIVED))
    row = outbox_of(night)[ids[0]]
    assert (row["status"], row["before"]["nl_lead_score"], row["after"]) == ("written", "12", WRITTEN)


def test_a_crash_between_write_and_confirm_sends_only_what_had_not_left(
    begin: Begin, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = crm.ids(150)
    night, written = begin(), crm.seen()["records_written"]
    approved = approve(night, {one: answer() for one in ids})
    with monkeypatch.context() as patch:
        crash_before_confirming(patch)
        with pytest.raises(KeyboardInterrupt):
            write(night, approved)
    assert crm.seen()["records_written"] == written + 100
    result = write(night, approved)
    assert counts(result) == {"written": 150, "sent": 50, "unchanged": 0, "failed": 0}
    assert crm.seen()["records_written"] == written + 150
    assert {row["status"] for row in outbox_of(night).values()} == {"written"}


def test_a_write_that_never_left_keeps_its_first_before_image(
    begin: Begin, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = crm.ids(1)
    crm.edit(one, nl_lead_score="12")
    night = begin()
    approved = approve(night, {one: answer()})

    def crash(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(crm_module.Crm, "send", crash)
        with pytest.raises(KeyboardInterrupt):
            write(night, approved)
    assert outbox_of(night)[one]["status"] == "intended"
    assert counts(write(night, approved))["sent"] == 1
    assert outbox_of(night)[one]["before"]["nl_lead_score"] == "12"


def test_another_answer_within_the_run_is_written_and_keeps_what_was_there_first(begin: Begin, crm: Crm) -> None:
    (one,) = crm.ids(1)
    crm.edit(one, nl_lead_score="12")
    night = begin()
    write(night, approve(night, {one: answer()}))
    assert counts(write(night, approve(night, {one: answer(score=95)})))["sent"] == 1
    row = outbox_of(night)[one]
    assert (row["fields"]["nl_lead_score"], row["after"]["nl_lead_score"]) == ("95", "95")
    assert row["before"]["nl_lead_score"] == "12"
    assert (crm.read(one)["nl_lead_score"], row["attempts"]) == ("95", 2)


def test_a_letter_is_no_longer_open_once_a_retry_gets_through(
    begin: Begin, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = crm.ids(1)
    night = begin()
    approved = approve(night, {one: answer()})
    with monkeypatch.context() as patch:
        patch.setattr(crm_module.Crm, "read", lambda self, ids: {})  # as if the record were deleted for a while
        write(night, approved)
    assert rows_in(night, tables.dead_letter)[one]["status"] == "open"
    write(night, approved)
    assert rows_in(night, tables.dead_letter)[one]["status"] == "replayed"
    assert outcomes_of(night) == {one: ("written", None)}
    assert outbox_of(night)[one]["before"] == dict.fromkeys(WRITTEN)


def test_an_older_interval_never_overwrites_what_a_newer_one_wrote(begin: Begin, crm: Crm) -> None:
    (one,) = crm.ids(1)
    newer, older = begin(day=1), begin(day=0)
    write(newer, approve(newer, {one: answer(score=90)}))
    result = write(older, approve(older, {one: answer(score=10)}))
    assert counts(result) == {"written": 0, "sent": 0, "unchanged": 1, "failed": 0}
    assert crm.read(one)["nl_lead_score"] == "90"
    assert outcomes_of(older) == {one: ("unchanged", SUPERSEDED)}
    row = outbox_of(older)[one]
    assert (row["status"], row["error"]) == ("unchanged", SUPERSEDED)


def test_an_older_interval_never_overwrites_what_a_newer_one_found_to_be_right(begin: Begin, crm: Crm) -> None:
    (one,) = crm.ids(1)
    first, newer, again = begin(day=0), begin(day=1), begin(day=0, external_ref="again")
    for night in (first, newer):
        write(night, approve(night, {one: answer(score=90)}))
    assert outbox_of(newer)[one]["status"] == "unchanged"
    write(again, approve(again, {one: answer(score=10)}))
    assert crm.read(one)["nl_lead_score"] == "90"
    assert outcomes_of(again) == {one: ("unchanged", SUPERSEDED)}


def test_a_newer_interval_overwrites_an_older_one(begin: Begin, crm: Crm) -> None:
    (one,) = crm.ids(1)
    for day, score in ((0, 10), (1, 90)):
        night = begin(day=day)
        assert counts(write(night, approve(night, {one: answer(score=score)})))["sent"] == 1
    assert crm.read(one)["nl_lead_score"] == "90"


def test_a_token_without_the_write_scope_is_refused_by_name(begin: Begin, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = begin(token=crm.endpoints.readonly_token)
    with pytest.raises(AccessDenied, match=r"`crm_default` the scope crm\.objects\.contacts\.write"):
        write(night, approve(night, {one: answer()}))
    assert outbox_of(night)[one]["status"] == "intended"


def test_an_expired_token_is_refused_before_anything_is_intended(begin: Begin, crm: Crm) -> None:
    night = begin(token=crm.endpoints.expired_token)
    with pytest.raises(AccessDenied, match="`crm_default`"):
        write(night, approve(night, {one: answer() for one in crm.ids(1)}))
    assert outbox_of(night) == {}


def test_nothing_is_written_without_a_decision_on_record(begin: Begin, crm: Crm, ledger: Ledger) -> None:
    ids = crm.ids(2)
    night = begin()
    approved = approve(night, {one: answer() for one in ids})
    with ledger.owner.begin() as connection:
        connection.execute(text("ALTER TABLE nightledger.decision DISABLE TRIGGER keep"))
        connection.execute(text("DELETE FROM nightledger.decision WHERE row_key = :key"), {"key": ids[0]})
    with pytest.raises(ContractBroken, match="1 approved rows have no decision on record"):
        write(night, approved)
    assert crm.read(ids[1]) == dict.fromkeys(WRITTEN)
    assert outbox_of(night) == {}


def test_an_empty_night_calls_nobody_and_still_says_so(begin: Begin) -> None:
    night = begin()
    result = write(night, approve(night, {}))
    assert counts(result) == {"written": 0, "sent": 0, "unchanged": 0, "failed": 0}
    assert result["calls"] == 0
    assert nights_events(night, "write.completed") == [{k: v for k, v in result.items() if k != "run_id"}]
