"""Write-back against the sandbox CRM, with the ledger as the service role."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from include.database import transaction
from include.errors import AccessDenied, ContractBroken
from include.ledger.explain import explain
from include.night.write import outbox
from include.night.write import write as write_module
from include.night.write.write import write
from include.systems.hubspot import writing as crm_module
from tests.core.conftest import Ledger
from tests.core.night.gate.answers import answer
from tests.core.night.write.conftest import (
    MISSING,
    WRITTEN,
    Begin,
    Crm,
    approve,
    counts,
    nights_events,
    outbox_of,
    outcomes_of,
    rows_in,
)


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
    assert row["decision_id"] == rows_in(night, "decision")[one]["decision_id"]
    assert outcomes_of(night) == {one: ("written", None), other: ("written", None)}
    assert counts(result) == {"written": 2, "sent": 2, "unchanged": 0, "failed": 0}
    assert (result["calls"], result["retries"]) == (2, 0)


def test_outcome_keeps_lineage_and_the_ledger_can_explain_the_value(begin: Begin, crm: Crm) -> None:
    (one,) = crm.ids(1)
    night = begin()
    write(night, approve(night, {one: answer()}))
    row = rows_in(night, "outcome")[one]
    assert (row["lineage"]["page"], row["stage"]) == (2, "write")
    (found,) = explain(night.ledger, night.case.name, one)
    assert (found.kind, found.facts["verdict"], found.facts["after"]["nl_lead_score"]) == ("write", "write", "80")


def test_what_a_record_holds_afterwards_is_kept_as_what_differs_or_as_a_whole(begin: Begin, crm: Crm) -> None:
    ids = crm.ids(2)
    night = begin()
    write(night, approve(night, {one: answer() for one in ids}))
    sent = outbox_of(night)
    less = {name: value for name, value in sent[ids[1]]["after"].items() if name != "nl_lead_tier"}
    with transaction(night.ledger) as connection:
        outbox.conclude(connection, night, night.case.sinks[0], [outbox.Result(ids[1], "written", less)])
        kept = connection.execute(text("SELECT after, differs FROM nightledger.outbox_result ORDER BY attempts")).all()
    assert [(after, differs and set(differs)) for after, differs in kept] == [(None, {"updatedAt"}), (less, None)]
    assert (outbox_of(night)[ids[1]]["after"], outbox_of(night)[ids[1]]["attempts"]) == (less, 2)


def test_the_intent_is_committed_before_the_write_leaves(
    begin: Begin, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = crm.ids(1)
    night = begin()
    seen: list[Any] = []
    send = crm_module.HubSpotWriter.send

    def look_then_send(self: Any, intended: Any) -> Any:
        seen.append((outbox_of(night)[one]["status"], outbox_of(night)[one]["before"], crm.read(one)))
        return send(self, intended)

    monkeypatch.setattr(crm_module.HubSpotWriter, "send", look_then_send)
    write(night, approve(night, {one: answer()}))
    assert seen == [("intended", dict.fromkeys(WRITTEN), dict.fromkeys(WRITTEN))]


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
    row, letter = outbox_of(night)[MISSING], rows_in(night, "dead_letter")[MISSING]
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
    ((key, letter),) = rows_in(night, "dead_letter").items()
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
    assert rows_in(night, "dead_letter") == {}
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
    assert counts(write(night, approved)) == {"written": 1, "sent": 1, "unchanged": 0, "failed": 1}
    assert crm.read(ids[0]) == dict.fromkeys(WRITTEN)
    assert outcomes_of(night)[ids[0]][0] == "dead_letter"
    assert set(outbox_of(night)) == {ids[1]}


def test_an_empty_night_calls_nobody_and_still_says_so(begin: Begin) -> None:
    night = begin()
    result = write(night, approve(night, {}))
    assert counts(result) == {"written": 0, "sent": 0, "unchanged": 0, "failed": 0}
    assert result["calls"] == 0
    assert nights_events(night, "write.completed") == [{k: v for k, v in result.items() if k != "run_id"}]


def test_four_batches_are_in_the_air_while_the_next_group_is_read(
    begin: Begin, crm: Crm, small_batches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, further, send = threading.Barrier(4), threading.Event(), crm_module.HubSpotWriter.send

    def send_with_others(self: Any, intended: Any) -> Any:
        together.wait(20)
        assert further.wait(20)
        return send(self, intended)

    monkeypatch.setattr(crm_module.HubSpotWriter, "send", send_with_others)
    ids = crm.ids(80)
    night = begin(settings={"systems_file": small_batches})
    approved = approve(night, {one: answer(score=at) for at, one in enumerate(ids)})
    delivery = write_module._Delivery
    monkeypatch.setattr(delivery, "_next_group", count_and_release(delivery._next_group, further))
    assert counts(write(night, approved)) == {"written": 80, "sent": 80, "unchanged": 0, "failed": 0}
    assert [outbox_of(night)[one]["after"]["nl_lead_score"] for one in ids] == [str(at) for at in range(80)]


def count_and_release(next_group: Any, further: threading.Event) -> Any:
    """Let writes go on once the group after theirs was begun, or there is none."""

    def begin_next(*arguments: Any) -> Any:
        found = next_group(*arguments)
        further.set()
        return found

    return begin_next


def test_two_rows_for_one_record_are_refused_also_across_groups() -> None:
    seen = set[str]()
    write_module._require_own_records([{}, {}], {"1", "2"}, seen)
    with pytest.raises(ContractBroken, match="2 approved writes name 1 records of their own"):
        write_module._require_own_records([{}, {}], {"2", "3"}, seen)
