"""Messages of a folder keep the contract of every source, as files of one message and as mailboxes."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.errors import ContractBroken
from include.models import Record
from include.settings import ROOT
from include.systems.mailbox.declared import Mail
from include.systems.mailbox.mbox import read_mailbox
from tests.core.systems.contracts import MANY, NIGHT, PAGE, VersionedSourceContract, rows_of
from tests.core.systems.documents.here import Here, local
from tests.core.systems.documents.world import FolderWorld

PUBLIC = ROOT.parent / "shared" / "data"


class MailWorld(FolderWorld):
    """A folder of messages, known by their names; each comes from the name that it is put under."""

    def __init__(self, base: Path, here: Here) -> None:
        super().__init__(base, here)
        self.source = Mail(system="drop", folder="in/post", pattern="*", where="local")

    def content(self, number: int, name: str, amount: Any) -> bytes:
        address = f"{number}@example.com"
        return f"From: {name} <{address}>\nMessage-ID: <{address}>\n\nI owe {amount}.\n".encode()

    def id_of(self, number: int) -> str:
        return f"message {number}.eml"


class BoxWorld(MailWorld):
    """One mailbox that is written anew whenever a message is put; a message's number is its place in it."""

    def __init__(self, base: Path, here: Here) -> None:
        super().__init__(base, here)
        self.source = Mail(system="drop", folder="in/post", pattern="*.mbox", where="local", form="mailbox")
        self.held = dict[int, bytes]()
        self.place = dict[int, int]()

    def put(self, number: int, changed: datetime, name: str = "Ann", amount: Any = "1.5") -> None:
        self.place.setdefault(number, len(self.place) + 1)
        start = f"From {number}@example.com {changed:%a %b} {changed.day:>2} {changed:%H:%M:%S %Y}\n"
        self.held[number] = start.encode() + self.content(number, name, amount) + b"\n"
        self.write("in.mbox", b"".join(self.held.values()), NIGHT.end + timedelta(days=1))

    def id_of(self, number: int) -> str:
        return f"in.mbox#{self.place[number]}"


@pytest.fixture(params=[MailWorld, BoxWorld])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> MailWorld:
    """On this machine; that a file server gives the same files is seen with documents."""
    made: MailWorld = request.param(tmp_path, local(tmp_path))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> MailWorld:
    return MailWorld(tmp_path, local(tmp_path))


def from_of(row: Record) -> str:
    return str(row["from"]).partition(" <")[0]


class TestContract(VersionedSourceContract):
    """A message has no columns of its own choice: where the contract speaks of `name`, its truth stands here."""

    @pytest.fixture
    def world(self, world: MailWorld) -> MailWorld:
        return world

    def test_every_row_of_the_interval_comes_once_in_bounded_pages(self, world: MailWorld) -> None:  # type: ignore[override]
        self.fill(world)
        reader = world.open()
        reader.check_contract()
        pages = list(reader.read(NIGHT))
        rows = rows_of(pages)
        assert sorted(map(from_of, rows)) == sorted(f"name {n}" for n in range(1, MANY + 1))
        assert {row["row_id"] for row in rows} == {f"drop/in.post/{world.id_of(n)}" for n in range(1, MANY + 1)}
        assert all(row["text"] == f"I owe {from_of(row).split()[1]}." for row in rows)
        assert {row["row_key"] for row in rows} == {f"<{n}@example.com>" for n in range(1, MANY + 1)}
        columns = {column.name for column in world.source.declared}
        assert all(row.keys() == {"row_id", "row_key", "lineage"} | columns for row in rows)
        assert [page.number for page in pages] == list(range(1, len(pages) + 1))
        assert all(len(page.rows) <= PAGE for page in pages)
        assert len(pages) == reader.pages == 5
        assert reader.rows == reader.facts["usable"] == MANY
        assert reader.watermark == max(row["arrived"] for row in rows)
        assert NIGHT.start <= reader.watermark < NIGHT.end

    def test_a_value_that_cannot_be_read_sets_only_its_row_aside(self, world: MailWorld) -> None:  # type: ignore[override]
        self.fill(world)
        world.source = replace(world.source, most_bytes=200)
        world.put(2, NIGHT.start, amount="x" * 200)
        pages = list(world.open().read(NIGHT))
        (rejected,) = [one for page in pages for one in page.rejected]
        assert (rejected.row_id, rejected.owner) == (f"drop/in.post/{world.id_of(2)}", "scanning")
        assert "bytes, which is more than is read" in rejected.reasons[0]
        assert len(rows_of(pages)) == MANY - 1

    def test_a_renamed_column_stops_before_a_row_is_read_and_names_the_likely_one(self, world: MailWorld) -> None:  # type: ignore[override]
        self.fill(world)
        world.rename_column("", "")
        with pytest.raises(ContractBroken, match=r"'post'.*'posts'"):
            world.open().check_contract()

    def test_rows_that_move_while_it_reads_hide_no_other(self, world: MailWorld) -> None:  # type: ignore[override]
        self.fill(world)
        reading = world.open().read(NIGHT)
        taken = {from_of(row) for row in next(reading).rows}
        for number in range(1, 4):
            world.put(number, NIGHT.end + timedelta(minutes=5), name=f"name {number}", amount=number)
        left = [from_of(row) for row in rows_of(reading)]
        assert {f"name {n}" for n in range(4, MANY + 1)} <= taken | set(left)
        assert not taken & set(left)

    def test_rows_are_read_anew_by_their_ids_or_the_kind_says_that_it_cannot(self, world: MailWorld) -> None:  # type: ignore[override]
        self.fill(world)
        world.put(3, NIGHT.end + timedelta(days=2), name="new", amount=3)
        wanted = [world.id_of(n) for n in (3, 4, *range(8, 17))]
        found = rows_of(world.open().read_ids([*wanted, "gone.eml", "in.mbox#99"]))
        assert {row["row_id"].rpartition("/")[2]: from_of(row) for row in found} == {world.id_of(3): "new"} | {
            world.id_of(n): f"name {n}" for n in (4, *range(8, 17))
        }


BOX = b"""From a@example.com Mon Nov 16 09:00:00 2026
From: a@example.com

one
>From here on
>>From there on
From now on it is mine

From b@example.com Tue Nov  7 23:59:59 +0100 2026
From: b@example.com

two
From c@example.com Tue Nov  7 23:59:59 2026

From d@example.com Sun Feb 30 10:00:00 2026
From: d@example.com

three
"""


def test_a_message_that_is_taken_away_while_others_are_read_is_told(folder: MailWorld) -> None:
    for number in range(1, PAGE + 2):
        folder.put(number, NIGHT.start)
    reading = folder.open().read(NIGHT)
    first = next(reading)
    folder.remove(PAGE + 1)
    (last,) = reading
    assert (len(first.rows), last.rows) == (PAGE, [])
    assert "was taken away before it was read" in last.rejected[0].reasons[0]


def test_messages_of_a_mailbox_begin_after_an_empty_line_only(tmp_path: Path) -> None:
    (tmp_path / "box").write_bytes(BOX)
    found = list(read_mailbox(tmp_path / "box", 10_000))
    assert [one.number for one in found] == [1, 2, 3]
    assert [one.delivered for one in found] == [
        datetime(2026, 11, 16, 9, tzinfo=UTC),
        datetime(2026, 11, 7, 22, 59, 59, tzinfo=UTC),
        None,
    ]
    assert found[0].data == b"From: a@example.com\n\none\nFrom here on\n>From there on\nFrom now on it is mine\n\n"
    assert b"c@example.com" in (found[1].data or b"")
    most = found[0].size - 1
    assert [one.data is None for one in read_mailbox(tmp_path / "box", most)] == [one.size > most for one in found]


def test_a_message_that_is_too_long_is_not_held(tmp_path: Path) -> None:
    (tmp_path / "box").write_bytes(b"From a@example.com Mon Nov 16 09:00:00 2026\n" + b"%s\n" % (b"w" * 99) * 30_000)
    tracemalloc.start()
    (one,) = read_mailbox(tmp_path / "box", 10_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (one.size, one.data) == (3_000_000, None)
    assert peak < 1_000_000


def test_what_is_no_mailbox_is_set_aside(tmp_path: Path) -> None:
    world = BoxWorld(tmp_path, local(tmp_path))
    world.write("a.mbox", b"%PDF-1.7")
    world.write("empty.mbox", b"")
    world.write("large.mbox", b"From a Mon Nov 16 09:00:00 2026\n" * 10)
    world.source = replace(world.source, most_mailbox_bytes=100)
    (page,) = world.open().read(NIGHT)
    assert page.rows == []
    assert [one.reasons[0] for one in page.rejected] == [
        "a.mbox: is no mailbox: no message begins in it",
        "large.mbox: has 320 bytes, which is more than is read",
    ]


def test_a_message_without_an_id_is_known_by_its_file(folder: MailWorld) -> None:
    folder.write("a\u202e.eml", b"From: a@example.com\n\nwords")
    ((page),) = folder.open().read(NIGHT)
    assert [(row["row_key"], row["row_id"]) for row in page.rows] == [("a.eml", "drop/in.post/a.eml")]


def test_a_page_of_long_messages_ends_early(folder: MailWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.systems.documents.paging._CHARACTERS", 50)
    for number in range(5):
        folder.write(f"{number}.eml", b"From: a@example.com\n\nten signs.")
    assert [len(page.rows) for page in folder.open().read(NIGHT)] == [3, 2]


@pytest.mark.skipif(not PUBLIC.is_dir(), reason=f"the public sets are not in {PUBLIC}")
def test_every_file_of_the_public_sets_is_a_row_or_set_aside(folder: MailWorld) -> None:
    sets = ("email_mime_edge_cases", "email_replies_signatures", "email_intent_parakweet")
    files = [path for name in sets for path in sorted((PUBLIC / name).rglob("*")) if path.is_file()]
    for number, path in enumerate(files):
        folder.write(f"{number:03d}{path.suffix or '.none'}", path.read_bytes())
    pages = list(folder.open().read(NIGHT))
    rows, rejected = rows_of(pages), [one for page in pages for one in page.rejected]
    assert len(rows) + len(rejected) == len(files) > 90
    assert sum(row["uri"].endswith(".eml") for row in rows) == 58
    assert {one.reasons[0].partition(": ")[2] for one in rejected} == {"is no message: it has no header"}
    for row in rows:
        json.dumps({name: str(value) for name, value in row.items()}, ensure_ascii=False).encode()
