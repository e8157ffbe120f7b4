"""Retries, second runs and crashes: nothing is sent twice, nothing newer is overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.errors import SystemUnavailable
from include.night.write import write as write_module
from include.night.write.write import ARRIVED, SUPERSEDED, write
from include.systems.hubspot import writing as crm_module
from tests.core.night.gate.answers import answer
from tests.core.night.write.conftest import (
    WRITTEN,
    Begin,
    Crm,
    approve,
    counts,
    outbox_of,
    outcomes_of,
    rows_in,
)


def crash_before_confirming(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*arguments: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(write_module._Delivery, "_confirm", crash)


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
    begin: Begin, crm: Crm, small_batches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = crm.ids(50)
    night, written = begin(settings={"systems_file": small_batches}), crm.seen()["records_written"]
    approved = approve(night, {one: answer() for one in ids})
    with monkeypatch.context() as patch:
        crash_before_confirming(patch)
        with pytest.raises(KeyboardInterrupt):
            write(night, approved)
    assert crm.seen()["records_written"] == written + 40
    result = write(night, approved)
    assert counts(result) == {"written": 50, "sent": 10, "unchanged": 0, "failed": 0}
    assert crm.seen()["records_written"] == written + 50
    assert {row["status"] for row in outbox_of(night).values()} == {"written"}


@pytest.mark.parametrize("arrived", [True, False])
def test_a_batch_lost_among_others_in_the_air_keeps_their_results_and_is_found_again(
    begin: Begin, crm: Crm, small_batches: Path, monkeypatch: pytest.MonkeyPatch, arrived: bool
) -> None:
    ids = crm.ids(40)
    night, written = begin(settings={"systems_file": small_batches}), crm.seen()["records_written"]
    approved = approve(night, {one: answer() for one in ids})
    send = crm_module.HubSpotWriter.send

    def lose_the_second(self: Any, intended: Any) -> Any:
        lost = ids[10] in intended
        sent = send(self, intended) if arrived or not lost else {}
        if lost:
            raise KeyboardInterrupt
        return sent

    with monkeypatch.context() as patch:
        patch.setattr(crm_module.HubSpotWriter, "send", lose_the_second)
        with pytest.raises(KeyboardInterrupt):
            write(night, approved)
    left = {one for one, row in outbox_of(night).items() if row["status"] == "intended"}
    assert len(left) == 10
    assert ids[10] in left
    result = write(night, approved)
    assert counts(result) == {"written": 40, "sent": 0 if arrived else 10, "unchanged": 0, "failed": 0}
    assert crm.seen()["records_written"] == written + 40
    assert {one for one, (_, reason) in outcomes_of(night).items() if reason == ARRIVED} == (left if arrived else set())


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
        patch.setattr(crm_module.HubSpotWriter, "send", crash)
        with pytest.raises(KeyboardInterrupt):
            write(night, approved)
    assert outbox_of(night)[one]["status"] == "intended"
    crm.edit(one, nl_lead_score="13")
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
        patch.setattr(crm_module.HubSpotWriter, "read", lambda self, ids: {})  # it is gone for a while
        write(night, approved)
    assert rows_in(night, "dead_letter")[one]["status"] == "open"
    write(night, approved)
    assert rows_in(night, "dead_letter")[one]["status"] == "replayed"
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
