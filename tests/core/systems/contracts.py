"""What every source and every sink has to do, whatever its kind; each kind brings a world that the tests act on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.errors import ContractBroken
from include.models import Interval, Record
from include.systems.port import VERSION, Destination, Outgoing, Page, Reader

START = datetime(2026, 11, 18, 2, tzinfo=UTC)
NIGHT = Interval(START, START + timedelta(days=1))
MANY = 23
"""Rows of a night; a world has pages of at most `PAGE`."""
PAGE = 5


class SourceWorld(ABC):
    """A system of one kind with an object of columns `name` (text) and `amount` (a number)."""

    reads_anew = True
    """Whether rows can be read by their ids."""
    dated_by_source = True
    """Whether the watermark is of the time that decides the interval; an answer is given after its night."""

    @abstractmethod
    def put(self, number: int, changed: datetime, name: str = "Ann", amount: Any = "1.5") -> None:
        """Add the record of that number, or change it; `changed` is the time by which the interval is decided."""

    @abstractmethod
    def remove(self, number: int) -> None:
        """Delete a record."""

    @abstractmethod
    def rename_column(self, old: str, new: str) -> None:
        """The system now calls a column otherwise."""

    @abstractmethod
    def id_of(self, number: int) -> str:
        """The id in row ids of the record of that number."""

    @abstractmethod
    def open(self) -> Reader:
        """A fresh reader of the declared source."""


class SourceContract:
    """Inherit, and give a fixture `world`."""

    @pytest.fixture
    def world(self) -> Iterator[SourceWorld]:
        raise NotImplementedError

    def fill(self, world: SourceWorld) -> None:
        for number in range(1, MANY + 1):
            world.put(number, NIGHT.start + timedelta(minutes=number * 37 % 1440), name=f"name {number}", amount=number)
        world.put(900, NIGHT.start - timedelta(seconds=1))
        world.put(901, NIGHT.end)

    def test_every_row_of_the_interval_comes_once_in_bounded_pages(self, world: SourceWorld) -> None:
        self.fill(world)
        reader = world.open()
        reader.check_contract()
        pages = list(reader.read(NIGHT))
        rows = rows_of(pages)
        assert sorted(r["name"] for r in rows) == sorted(f"name {n}" for n in range(1, MANY + 1))
        assert {r["row_id"].rpartition("/")[2] for r in rows} == {world.id_of(n) for n in range(1, MANY + 1)}
        assert all(type(r["amount"]) is float and f"name {r['amount']:.0f}" == r["name"] for r in rows)
        assert not any(page.rejected for page in pages)
        assert [page.number for page in pages] == list(range(1, len(pages) + 1))
        assert len(pages) == reader.pages > 1
        assert reader.rows == MANY
        assert reader.watermark is not None
        assert NIGHT.start <= reader.watermark
        assert reader.watermark < NIGHT.end or not world.dated_by_source

    def test_reading_again_gives_the_same_rows_under_the_same_ids(self, world: SourceWorld) -> None:
        self.fill(world)
        first, second = ({r["row_id"]: without_lineage(r) for r in rows_of(world.open().read(NIGHT))} for _ in range(2))
        assert first == second

    def test_a_limit_is_kept(self, world: SourceWorld) -> None:
        self.fill(world)
        assert len(rows_of(world.open().read(NIGHT, limit=7))) == 7

    def test_every_row_says_where_and_when_it_was_found(self, world: SourceWorld) -> None:
        self.fill(world)
        for row in rows_of(world.open().read(NIGHT)):
            place = {name: text for name, text in row["lineage"].items() if name not in ("retrieved_at", VERSION)}
            assert all(place.values())
            assert place
            assert datetime.fromisoformat(row["lineage"]["retrieved_at"]).tzinfo

    def test_rows_that_move_while_it_reads_hide_no_other(self, world: SourceWorld) -> None:
        self.fill(world)
        reading = world.open().read(NIGHT)
        first = next(reading)
        taken = {r["name"] for r in first.rows}
        for number in range(1, 4):
            world.put(number, NIGHT.end + timedelta(minutes=5), name=f"name {number}", amount=number)
        left = {r["name"] for r in rows_of(reading)}
        still = {f"name {n}" for n in range(4, MANY + 1)}
        assert still <= taken | left
        assert not taken & left

    def test_a_value_that_cannot_be_read_sets_only_its_row_aside(self, world: SourceWorld) -> None:
        self.fill(world)
        world.put(2, NIGHT.start + timedelta(hours=1), amount="no number")
        pages = list(world.open().read(NIGHT))
        (rejected,) = [one for page in pages for one in page.rejected]
        assert rejected.row_id.endswith(world.id_of(2))
        assert "amount" in rejected.reasons[0]
        assert len(rows_of(pages)) == MANY - 1

    def test_a_renamed_column_stops_before_a_row_is_read_and_names_the_likely_one(self, world: SourceWorld) -> None:
        self.fill(world)
        world.rename_column("amount", "amounts")
        with pytest.raises(ContractBroken, match=r"amount.*amounts"):
            world.open().check_contract()

    def test_rows_are_read_anew_by_their_ids_or_the_kind_says_that_it_cannot(self, world: SourceWorld) -> None:
        self.fill(world)
        if not world.reads_anew:
            assert world.open().read_ids([world.id_of(3)]) is None
            return
        world.put(3, NIGHT.end + timedelta(days=2), name="new", amount=3)
        world.remove(5)
        wanted = [world.id_of(n) for n in (3, 4, 5, *range(8, 17))]
        found = world.open().read_ids(wanted)
        assert found is not None
        rows = {r["row_id"].rpartition("/")[2]: r["name"] for r in rows_of(found)}
        assert rows == {world.id_of(3): "new"} | {world.id_of(n): f"name {n}" for n in (4, *range(8, 17))}


class VersionedSourceContract(SourceContract):
    """For kinds that have a version token."""

    def test_a_row_carries_a_token_that_changes_with_it(self, world: SourceWorld) -> None:
        self.fill(world)
        before = versions(world)
        world.put(4, NIGHT.start + timedelta(hours=9, seconds=1), name="name 4", amount=44)
        after = versions(world)
        assert all(before.values())
        assert {row for row in before if before[row] != after[row]} == {
            row for row in before if row.rpartition("/")[2] == world.id_of(4)
        }


def versions(world: SourceWorld) -> dict[str, Any]:
    return {r["row_id"]: r["lineage"].get(VERSION) for r in rows_of(world.open().read(NIGHT))}


def rows_of(pages: Any) -> list[Record]:
    found: list[Page] = list(pages)
    return [row for page in found for row in page.rows]


def without_lineage(row: Record) -> Record:
    return {name: value for name, value in row.items() if name != "lineage"}


class SinkWorld(ABC):
    """A system of one kind with records of fields `score` (a number) and `note` (text of at most 40 characters)."""

    creates = False
    """Whether a record that is not there is made."""
    reads_back = True
    """Whether the records can be read through the destination."""
    versioned = False
    """Whether a write can be held against a version token."""
    refused: Mapping[str, str] = {"note": "x" * 41}
    """A value that the system refuses."""
    names: Mapping[str, str] = {"score": "score", "note": "note"}
    """The fields as the system calls them."""

    @abstractmethod
    def put(self, number: int, **values: Any) -> None:
        """Add the record of that number, or change it as somebody else would."""

    @abstractmethod
    def held(self) -> Mapping[str, Record]:
        """What the system itself says it holds, by id."""

    @abstractmethod
    def writes_seen(self) -> int:
        """Changes of records that the system itself has counted."""

    @abstractmethod
    def lose_next_answer(self) -> None:
        """The next write arrives, and its answer does not."""

    @abstractmethod
    def id_of(self, number: int) -> str:
        """The id of the record of that number."""

    @abstractmethod
    def open(self) -> Destination:
        """A fresh destination of the declared sink."""


class SinkContract:
    """Inherit, and give a fixture `world`."""

    @pytest.fixture
    def world(self) -> Iterator[SinkWorld]:
        raise NotImplementedError

    def test_what_is_sent_is_there_and_what_comes_back_says_so(self, world: SinkWorld) -> None:
        for number in range(1, 13):
            world.put(number, score=0, note="")
        there = world.open()
        there.check_contract()
        sent = there.send({world.id_of(n): outgoing(there, n, names=world.names) for n in range(1, 13)})
        assert all(one.after is not None and not one.cause for one in sent.values()), sent
        assert sent.keys() == {world.id_of(n) for n in range(1, 13)}
        assert {i: int(float(world.held()[i]["score"])) for i in sent} == {world.id_of(n): n for n in range(1, 13)}

    def test_one_that_is_refused_keeps_no_other_from_being_written(self, world: SinkWorld) -> None:
        for number in range(1, 9):
            world.put(number, score=0, note="")
        there = world.open()
        writes = {world.id_of(n): outgoing(there, n, names=world.names) for n in range(1, 9)}
        writes[world.id_of(4)] = outgoing(there, 4, names=world.names, **world.refused)
        sent = there.send(writes)
        assert sent[world.id_of(4)].cause == "rejected_by_destination"
        assert {i for i, one in sent.items() if one.after is not None} == writes.keys() - {world.id_of(4)}
        assert not any(value in sent[world.id_of(4)].detail for value in world.refused.values())

    def test_an_unknown_record_is_made_or_named_as_missing(self, world: SinkWorld) -> None:
        there = world.open()
        assert there.creates == world.creates
        (sent,) = there.send({world.id_of(77): outgoing(there, 77, names=world.names)}).values()
        assert (sent.after is not None) == world.creates
        assert sent.cause == ("" if world.creates else "record_missing")

    def test_what_it_reads_is_what_the_system_holds(self, world: SinkWorld) -> None:
        world.put(1, score=5, note="as it was")
        there = world.open()
        found = there.read([world.id_of(1), world.id_of(78)])
        if not world.reads_back:
            assert found is None
            return
        assert found is not None
        assert found.keys() == {world.id_of(1)}
        score, note = world.names["score"], world.names["note"]
        assert there.holds(found[world.id_of(1)], {score: 5, note: "as it was"})
        assert not there.holds(found[world.id_of(1)], {score: 6, note: "as it was"})

    def test_the_same_write_again_is_not_written_twice(self, world: SinkWorld) -> None:
        world.put(1, score=0, note="")
        world.lose_next_answer()
        there = world.open()
        write = outgoing(there, 1, names=world.names)
        (first,) = there.send({world.id_of(1): write}).values()
        if first.after is None:
            assert first.cause in ("unknown_ending", "no_result")
            there.send({world.id_of(1): write})
        assert world.writes_seen() == 1

    def test_a_record_that_changed_since_it_was_read_is_left_alone(self, world: SinkWorld) -> None:
        if not world.versioned:
            pytest.skip("this kind has no version token")
        world.put(1, score=0, note="")
        world.put(2, score=0, note="")
        there = world.open()
        read = there.read([world.id_of(1), world.id_of(2)]) or {}
        world.put(2, score=0, note="a person's")
        ids = {world.id_of(n): n for n in (1, 2)}
        sent = there.send({i: outgoing(there, n, version=read[i][VERSION], names=world.names) for i, n in ids.items()})
        assert sent[world.id_of(1)].after is not None
        assert (sent[world.id_of(2)].after, sent[world.id_of(2)].cause) == (None, "changed_since_read")
        assert world.held()[world.id_of(2)]["note"] == "a person's"


def outgoing(
    there: Destination,
    number: int,
    *,
    note: str = "ours",
    score: Any = None,
    version: str | None = None,
    names: Mapping[str, str] = SinkWorld.names,
) -> Outgoing:
    values = there.form({names["score"]: number if score is None else score, names["note"]: note})
    return Outgoing(values, once=f"run/{number}", version=version)
