"""Several sinks of kinds that the night has never heard of: outcomes, lists, routing and guards."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import text

from include.errors import SystemUnavailable
from include.models import Mode, Record, RunOptions
from include.night.gate.gate import gate
from include.night.write.write import DELIVERED, NOT_MEANT, write
from include.run import Night
from include.systems.port import VERSION, Outgoing, Sent, Sink, Surroundings
from include.use_cases.crm_lead_scoring import output
from tests.core.night.gate.answers import stage_enriched
from tests.core.night.write.conftest import approve, outcomes_of

MakeNight = Callable[..., Night]


@dataclass
class Shelf:
    """A system of a kind of its own: records in memory, each with a version that counts its changes."""

    creates: bool = True
    readable: bool = True
    batch_rows: int = 2
    in_air: int = 1
    calls: int = 0
    retries: int = 0
    records: dict[str, Record] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    onces: list[str] = field(default_factory=list)
    crashes: bool = False
    away: bool = False
    tokens: bool = True
    lost: set[str] = field(default_factory=set)

    def put(self, name: str, **values: Any) -> None:
        self.records[name] = {**self.records.get(name, {}), **values}
        self.versions[name] = self.versions.get(name, 0) + 1

    def check_contract(self) -> None:
        pass

    def form(self, values: Record) -> Record:
        return dict(values)

    def holds(self, current: Record, values: Record) -> bool:
        return all(current.get(name) == value for name, value in values.items())

    def read(self, ids: Sequence[str]) -> Mapping[str, Record] | None:
        if not self.readable:
            return None
        held = {one: self.records[one] for one in ids if one in self.records}
        return {one: {**held[one], VERSION: str(self.versions[one])} if self.tokens else held[one] for one in held}

    def send(self, writes: Mapping[str, Outgoing]) -> Mapping[str, Sent]:
        found = {}
        if self.away:
            raise SystemUnavailable("does not answer", system="shelf")
        for name, one in writes.items():
            self.sent.append(name)
            self.onces.append(one.once)
            if name in self.refuses:
                found[name] = Sent(None, "rejected_by_destination", "no")
            else:
                self.put(name, **one.values)
                found[name] = Sent(dict(one.values))
        if self.crashes or self.lost & set(writes):
            raise KeyboardInterrupt
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfSink(Sink):
    shelf: Any

    def open(self, here: Surroundings) -> Shelf:
        found: Shelf = self.shelf
        return found


def sink(shelf: Shelf, name: str = "one", **more: Any) -> ShelfSink:
    return ShelfSink(system="shelf", object=name, fields=more.pop("fields", {"score": "points"}), shelf=shelf, **more)


class Line(BaseModel):
    amount: int


class Said(BaseModel):
    """What these tests' model answers."""

    score: int
    confidence: float
    lines: list[Line] = []


@pytest.fixture
def night_to(make_night: MakeNight, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Night]:
    monkeypatch.setattr(output, "Output", Said)

    def open_night(*sinks: Sink, **more: Any) -> Night:
        options = {"options": RunOptions(mode=Mode.AUTO), "confidence_threshold": 0.5, "mirror": None}
        return make_night(sinks=sinks, **{**options, **more})

    return open_night


def answers(**outputs: Record) -> dict[str, Record]:
    return {name: {"confidence": 0.9, "score": 1, "lines": [], **said} for name, said in outputs.items()}


def letters(night: Night) -> list[tuple[str, str, str]]:
    query = text("SELECT row_key, cause, status FROM dead_letter WHERE run_id = :run ORDER BY 1")
    with night.ledger.connect() as connection:
        return [tuple(row) for row in connection.execute(query, {"run": night.run_id})]


def statuses(night: Night) -> dict[tuple[str, str], str]:
    query = text("SELECT object, external_id, status FROM outbox WHERE run_id = :run")
    with night.ledger.connect() as connection:
        return {(row[0], row[1]): row[2] for row in connection.execute(query, {"run": night.run_id})}


def test_a_row_that_goes_to_two_sinks_ends_as_its_worse_write(night_to: Callable[..., Night]) -> None:
    first, second = Shelf(), Shelf(refuses={"b"})
    second.put("c", points=1)
    first.put("d", points=1)
    second.put("d", points=1)
    night = night_to(sink(first, "one"), sink(second, "two"))
    approved = approve(night, answers(a={}, b={}, c={}, d={}))
    done = write(night, approved)
    assert {key: one[0] for key, one in outcomes_of(night).items()} == {
        "a": "written",
        "b": "dead_letter",
        "c": "written",
        "d": "unchanged",
    }
    assert [one["failed"] for one in done["sinks"]] == [0, 1]
    assert letters(night) == [("b", "rejected_by_destination", "open")]
    second.refuses.clear()
    write(night, approved)
    assert outcomes_of(night)["b"][0] == "written"
    assert letters(night) == [("b", "rejected_by_destination", "replayed")]
    assert (first.sent, second.sent.count("a"), second.sent.count("b")) == (["a", "b", "c"], 1, 2)


def test_a_row_that_failed_at_the_first_sink_stays_failed_though_the_second_took_it(
    night_to: Callable[..., Night],
) -> None:
    first, second = Shelf(refuses={"a"}), Shelf()
    night = night_to(sink(first, "one"), sink(second, "two"))
    write(night, approve(night, answers(a={})))
    assert outcomes_of(night)["a"][0] == "dead_letter"
    assert letters(night) == [("a", "rejected_by_destination", "open")]
    assert statuses(night) == {("one", "a"): "failed", ("two", "a"): "written"}


def test_each_element_of_a_list_is_one_write_and_the_row_one_outcome(night_to: Callable[..., Night]) -> None:
    shelf = Shelf(refuses={"b/2"})
    night = night_to(sink(shelf, each="lines", fields={"amount": "amount", "score": "points"}))
    lines = [{"amount": 10}, {"amount": 20}]
    write(night, approve(night, answers(a={"lines": lines}, b={"lines": lines}, c={"lines": []})))
    assert shelf.records["a/1"] == {"amount": 10, "points": 1}
    assert shelf.records["a/2"] == {"amount": 20, "points": 1}
    assert {key: one[0] for key, one in outcomes_of(night).items()} == {
        "a": "written",
        "b": "dead_letter",
        "c": "unchanged",
    }
    assert statuses(night)[("one", "b/1")] == "written"
    assert letters(night) == [("b", "rejected_by_destination", "open")]


def test_a_write_that_has_no_record_fails_its_row_though_the_others_went_through(
    night_to: Callable[..., Night],
) -> None:
    shelf = Shelf(creates=False)
    shelf.put("a/1", amount=0)
    night = night_to(sink(shelf, each="lines", fields={"amount": "amount"}))
    write(night, approve(night, answers(a={"lines": [{"amount": 1}, {"amount": 2}]})))
    assert shelf.sent == ["a/1"]
    assert outcomes_of(night)["a"][0] == "dead_letter"


def test_a_row_has_no_outcome_while_one_of_its_writes_is_unknown(night_to: Callable[..., Night]) -> None:
    shelf = Shelf(lost={"a/3"})
    night = night_to(sink(shelf, each="lines", fields={"amount": "amount"}))
    approved = approve(night, answers(a={"lines": [{"amount": n} for n in (1, 2, 3)]}))
    with pytest.raises(KeyboardInterrupt):
        write(night, approved)
    assert outcomes_of(night) == {}
    shelf.lost.clear()
    write(night, approved)
    assert outcomes_of(night)["a"][0] == "written"
    assert shelf.sent == ["a/1", "a/2", "a/3"]


def test_an_answer_says_whether_a_sink_is_meant(night_to: Callable[..., Night]) -> None:
    all_of_them, urgent = Shelf(), Shelf()
    night = night_to(sink(all_of_them), sink(urgent, "two", when=lambda said: said["score"] > 5))
    write(night, approve(night, answers(a={"score": 9}, b={})))
    assert (sorted(all_of_them.records), sorted(urgent.records)) == (["a", "b"], ["a"])
    nobody = night_to(sink(Shelf(), when=lambda said: False), settings={})
    write(nobody, approve(nobody, answers(a={})))
    assert outcomes_of(nobody)["a"] == ("unchanged", NOT_MEANT)


def test_a_record_that_changed_since_its_row_was_read_is_left_to_a_person(night_to: Callable[..., Night]) -> None:
    shelf = Shelf(creates=False)
    for name in ("a", "b", "c"):
        shelf.put(name, points=0)
    night = night_to(
        ShelfSink(
            system="crm", object="contacts", fields={"score": "points"}, shelf=shelf, guard="unchanged_since_read"
        )
    )
    read = json.dumps({"crm": "contacts page 1 row 1", VERSION: "1"})
    approved = gate(night, stage_enriched(night, answers(a={}, b={}, c={"score": 0}), lineage=read))
    shelf.put("b", note="a person's")
    shelf.put("c", note="a person's")
    write(night, approved)
    assert shelf.sent == ["a"]
    assert {key: one[0] for key, one in outcomes_of(night).items()} == {
        "a": "written",
        "b": "dead_letter",
        "c": "unchanged",
    }
    assert letters(night) == [("b", "changed_since_read", "open")]


@pytest.mark.parametrize("tokens", [True, False])
def test_what_others_change_between_two_tries_of_a_run_is_left_to_a_person(
    night_to: Callable[..., Night], tokens: bool
) -> None:
    shelf = Shelf(tokens=tokens, batch_rows=5, refuses={"b", "d", "e"}, crashes=True)
    for name in ("a", "b", "e"):
        shelf.put(name, points=0)
    night = night_to(sink(shelf, guard="unchanged_since_read"))
    approved = approve(night, answers(a={}, b={}, c={}, d={}, e={}))
    with pytest.raises(KeyboardInterrupt):  # a and c are written, and nobody knows
        write(night, approved)
    shelf.crashes = False
    shelf.refuses.clear()
    for name in "abcd":
        shelf.put(name, points=7)
    for _ in range(2):  # what was left to a person once is not sent by the next try either
        write(night, approved)
        assert {name: one["points"] for name, one in shelf.records.items()} == {**dict.fromkeys("abcd", 7), "e": 1}
        assert letters(night) == [(name, "changed_since_read", "open") for name in "abcd"]
        assert outcomes_of(night)["e"][0] == "written"
    assert Counter(shelf.sent) == {**dict.fromkeys("abcd", 1), "e": 2}


def test_what_cannot_be_read_back_is_never_sent_twice(night_to: Callable[..., Night]) -> None:
    shelf = Shelf(readable=False, crashes=True)
    night = night_to(sink(shelf, guard="append_once"))
    approved = approve(night, answers(a={}, b={}, c={}))
    with pytest.raises(KeyboardInterrupt):
        write(night, approved)
    left = [one for one in "abc" if one not in shelf.sent]
    shelf.crashes = False
    write(night, approved)
    assert sorted(shelf.sent) == ["a", "b", "c"]
    outcomes = {key: one[0] for key, one in outcomes_of(night).items()}
    unknown = [key for key, outcome in outcomes.items() if outcome == "dead_letter"]
    assert unknown
    assert all(outcomes[one] == "written" for one in left if one not in unknown)
    assert {cause for _, cause, _ in letters(night)} == {"unknown_ending"}


class TestAppendOnce:
    """What cannot be read back is told by the record of earlier runs."""

    def shelf_and_nights(self, night_to: Callable[..., Night], **more: Any) -> tuple[Shelf, Callable[[], Night]]:
        shelf = Shelf(readable=False, batch_rows=1)
        runs = count(1)
        return shelf, lambda: night_to(sink(shelf, guard="append_once", **more), external_ref=f"run {next(runs)}")

    def test_no_run_repeats_what_an_earlier_one_has_delivered(self, night_to: Callable[..., Night]) -> None:
        shelf, night = self.shelf_and_nights(night_to)
        first, second, third = night(), night(), night()
        write(first, approve(first, answers(a={}, b={})))
        done = write(second, approve(second, answers(a={}, b={"score": 2})))
        assert (shelf.sent, done["sent"], done["unchanged"]) == (["a", "b", "b"], 1, 1)
        assert outcomes_of(second)["a"] == ("unchanged", DELIVERED)
        write(third, approve(third, answers(a={}, b={})))
        assert shelf.sent == ["a", "b", "b", "b"]

    def test_other_guards_know_their_own_run_only(self, night_to: Callable[..., Night]) -> None:
        shelf = Shelf()
        for night in (night_to(sink(shelf), external_ref="one"), night_to(sink(shelf), external_ref="two")):
            write(night, approve(night, answers(a={})))
            shelf.records.clear()
        assert shelf.sent == ["a", "a"]

    def test_what_another_run_may_have_sent_waits_for_a_person(self, night_to: Callable[..., Night]) -> None:
        shelf, night = self.shelf_and_nights(night_to)
        shelf.lost = {"a"}
        killed, after, replayed = night(), night(), night()
        with pytest.raises(KeyboardInterrupt):
            write(killed, approve(killed, answers(a={})))
        shelf.lost = set()
        write(after, approve(after, answers(a={})))
        assert letters(after) == [("a", "unknown_ending", "open")]
        with after.ledger.begin() as connection:
            connection.execute(text("UPDATE dead_letter SET status = 'replayed'"))
        write(replayed, approve(replayed, answers(a={})))
        assert shelf.sent == ["a", "a"]
        assert len(set(shelf.onces)) == 1

    def test_an_idempotent_destination_is_sent_it_again(self, night_to: Callable[..., Night]) -> None:
        shelf, night = self.shelf_and_nights(night_to, idempotent=True)
        shelf.lost = {"a"}
        killed, after = night(), night()
        approved = approve(killed, answers(a={}))
        for one, rows in ((killed, approved), (killed, approved), (after, approve(after, answers(a={})))):
            with pytest.raises(KeyboardInterrupt):
                write(one, rows)
        shelf.lost = set()
        write(after, approve(after, answers(a={})))
        assert shelf.sent == ["a"] * 4
        assert len(set(shelf.onces)) == 1
        assert outcomes_of(after)["a"][0] == "written"

    def test_what_was_refused_as_a_whole_is_sent_by_the_next_try(self, night_to: Callable[..., Night]) -> None:
        shelf, night = self.shelf_and_nights(night_to)
        shelf.away = True
        only = night()
        approved = approve(only, answers(a={}, b={}))
        with pytest.raises(SystemUnavailable):
            write(only, approved)
        shelf.away = False
        write(only, approved)
        assert (shelf.sent, letters(only)) == (["a", "b"], [])
