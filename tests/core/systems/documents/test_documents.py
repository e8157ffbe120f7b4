"""Documents of a folder keep the contract of every source, from this machine and from a file server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.errors import ConfigurationError, ContractBroken, FileNotReady, SystemUnavailable
from include.models import Record
from include.spec.text.pieces import Chunk, Cut
from include.spec.text.retrieval import Own, Retrieve
from include.systems.documents.arrivals import Arrivals
from include.systems.documents.blob import fetch_blob
from include.systems.documents.declared import Documents
from include.systems.documents.place import Where, open_place, spread
from include.systems.files.folder import Seen
from include.systems.port import VERSION
from tests.core.systems.contracts import MANY, NIGHT, PAGE, VersionedSourceContract, rows_of
from tests.core.systems.documents.here import Here, connections, local, sftp
from tests.core.systems.documents.pdfs import locked, pdf
from tests.core.systems.documents.world import FolderWorld


class DocumentWorld(FolderWorld):
    """A folder of text files; the document of a number is called `name <number>`, whatever name it is put under."""

    def __init__(self, base: Path, here: Here, where: Where = "local") -> None:
        super().__init__(base, here)
        self.source = Documents(system="drop", folder="in/post", pattern="*", where=where)

    def content(self, number: int, name: str, amount: Any) -> bytes:
        return f"{name} owes {amount}".encode()

    def id_of(self, number: int) -> str:
        return f"name {number}"

    def rows(self) -> dict[str, Record]:
        return {row["name"]: row for row in rows_of(self.open().read(NIGHT))}


@pytest.fixture(params=["local", "sftp"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DocumentWorld]:
    if request.param == "local":
        yield DocumentWorld(tmp_path, local(tmp_path), "local")
    else:
        with sftp(tmp_path) as here:
            yield DocumentWorld(tmp_path, here, "sftp")


@pytest.fixture
def folder(tmp_path: Path) -> DocumentWorld:
    return DocumentWorld(tmp_path, local(tmp_path), "local")


class TestContract(VersionedSourceContract):
    """A document has no columns of its own choice: where the contract speaks of `amount`, its truth stands here."""

    @pytest.fixture
    def world(self, world: DocumentWorld) -> DocumentWorld:
        return world

    def test_every_row_of_the_interval_comes_once_in_bounded_pages(self, world: DocumentWorld) -> None:  # type: ignore[override]
        self.fill(world)
        reader = world.open()
        reader.check_contract()
        pages = list(reader.read(NIGHT))
        rows = rows_of(pages)
        assert sorted(row["name"] for row in rows) == sorted(f"name {n}" for n in range(1, MANY + 1))
        assert {row["row_id"] for row in rows} == {f"drop/in.post/{world.id_of(n)}" for n in range(1, MANY + 1)}
        assert all(row["text"] == f"{row['name']} owes {row['name'].split()[1]}" for row in rows)
        assert all(
            row.keys() == {"row_id", "row_key", "lineage"} | {c.name for c in world.source.declared} for row in rows
        )
        assert [page.number for page in pages] == list(range(1, len(pages) + 1))
        assert all(len(page.rows) <= PAGE for page in pages)
        assert len(pages) == reader.pages == 5
        assert reader.rows == reader.facts["usable"] == MANY
        assert reader.watermark == max(row["arrived"] for row in rows)
        assert NIGHT.start <= reader.watermark < NIGHT.end
        assert reader.calls > MANY

    def test_a_value_that_cannot_be_read_sets_only_its_row_aside(self, world: DocumentWorld) -> None:  # type: ignore[override]
        self.fill(world)
        world.write("name 2", locked())
        pages = list(world.open().read(NIGHT))
        (rejected,) = [one for page in pages for one in page.rejected]
        assert (rejected.row_id, rejected.owner) == ("drop/in.post/name 2", "scanning")
        assert rejected.reasons == ("name 2: is encrypted",)
        assert len(rows_of(pages)) == MANY - 1

    def test_a_renamed_column_stops_before_a_row_is_read_and_names_the_likely_one(self, world: DocumentWorld) -> None:  # type: ignore[override]
        self.fill(world)
        world.rename_column("", "")
        with pytest.raises(ContractBroken, match=r"'post'.*'posts'"):
            world.open().check_contract()

    def test_rows_are_read_anew_by_their_ids_or_the_kind_says_that_it_cannot(self, world: DocumentWorld) -> None:  # type: ignore[override]
        self.fill(world)
        world.put(3, NIGHT.end + timedelta(days=2), name="new", amount=3)
        world.remove(5)
        found = rows_of(world.open().read_ids([world.id_of(n) for n in (3, 4, 5, *range(8, 17))]))
        assert {row["name"]: row["text"] for row in found} == {"name 3": "new owes 3"} | {
            f"name {n}": f"name {n} owes {n}" for n in (4, *range(8, 17))
        }


def test_a_row_refers_to_the_very_bytes_of_its_file(world: DocumentWorld, tmp_path: Path) -> None:
    data = pdf("one", "two")
    world.write("a b%.pdf", data)
    row, copy = world.rows()["a b%.pdf"], tmp_path / "copy"
    assert (row["bytes"], row["sha256"], row["pages"]) == (len(data), hashlib.sha256(data).hexdigest(), 2)
    assert row["lineage"][VERSION] == row["sha256"]
    fetch_blob(world.here, row["uri"], row["sha256"], copy)
    assert copy.read_bytes() == data
    world.write("a b%.pdf", data + b"\n")
    with pytest.raises(ContractBroken, match="was changed since it was read"):
        fetch_blob(world.here, row["uri"], row["sha256"], copy)
    assert not copy.exists()
    (world.folder / "a b%.pdf").unlink()
    with pytest.raises(ContractBroken, match="is gone"):
        fetch_blob(world.here, row["uri"], row["sha256"], copy)


def test_every_column_comes_from_the_folder_and_the_time_of_arrival_decides(folder: DocumentWorld) -> None:
    source = folder.source
    assert source.changed in source.declared
    assert source.origins.keys() == {column.name for column in source.declared}
    assert set(source.origins.values()) >= {("drop", "in.post", "text"), ("drop", "in.post", "arrived")}
    assert source.refers == {}


def test_no_reference_to_a_file_is_followed_out_of_its_kind(world: DocumentWorld, tmp_path: Path) -> None:
    for uri in ("file:///etc/passwd", "sftp://drop/in/", "https://host/file"):
        with pytest.raises(ContractBroken, match="no reference"):
            fetch_blob(world.here, uri, "", tmp_path / "copy")


def test_a_document_becomes_pieces_and_the_context_of_a_question(folder: DocumentWorld) -> None:
    folder.write("contract.pdf", pdf("1. Price", "It costs ten euros.", "2. Term", "It ends in May."))
    given = {column.name: column.kind for column in folder.source.declared}
    pieces, retrieve = (
        Chunk("text", size=5, overlap=0),
        Retrieve("question", Own("text", id="name", cut=Cut(6, 0)), k=1),
    )
    assert retrieve.columns({**given, "question": "text"})["context"] == "text"
    (row,) = folder.rows().values()
    (asked,) = retrieve.apply([{**row, "question": "When does it end? May?"}], NIGHT.end)
    (found,) = json.loads(asked["context"])
    assert (found["id"], found["page"]) == ("contract.pdf", 3)
    cut = pieces.apply([row], NIGHT.end)
    assert cut[0].keys() - row.keys() == pieces.columns(given).keys() - given.keys() == {"chunk"}
    assert [(one["lineage"]["page"], one["text"]) for one in cut] == [
        ("1-2", "1. Price\fIt costs ten"),
        ("2-4", "1. Price\neuros.\f2. Term\fIt ends"),
        ("4", "2. Term\nin May"),
    ]


def test_only_files_of_the_pattern_are_read(folder: DocumentWorld) -> None:
    for name in ("a.pdf", "b.PDF", "c.xml", "d.txt", ".e.pdf", "f.pdf.part", "20261118.xml"):
        folder.write(name, b"words")
    folder.source = Documents(system="drop", folder="in/post", pattern="{*.{pdf,PDF},%Y%m%d.xml}", where="local")
    assert list(folder.rows()) == ["20261118.xml", "a.pdf", "b.PDF"]
    assert spread("{a,b}-{c,d}") == ["a-c", "a-d", "b-c", "b-d"]


def test_the_key_is_taken_of_the_name(folder: DocumentWorld) -> None:
    folder.write("INV-7_scan.txt", b"words")
    folder.write("other.txt", b"words")
    folder.write("_nameless.txt", b"words")
    folder.source = Documents(system="drop", folder="in/post", pattern="*", where="local", key_of=r"(INV-\d+|)_.*")
    ((page),) = folder.open().read(NIGHT)
    assert [row["row_key"] for row in page.rows] == ["INV-7"]
    without = "has a name without the declared key"
    assert [one.reasons[0] for one in page.rejected] == [f"_nameless.txt: {without}", f"other.txt: {without}"]


@pytest.mark.parametrize("key_of", ["(", "INV"])
def test_a_key_that_no_name_can_have_is_refused(folder: DocumentWorld, key_of: str) -> None:
    with pytest.raises(ConfigurationError, match="key_of"):
        Documents(system="drop", folder="in/post", pattern="*", key_of=key_of).open(folder.here)


def test_a_file_that_is_too_large_is_named_and_never_copied(folder: DocumentWorld) -> None:
    folder.write("large.txt", b"x" * 101)
    folder.write("fits.txt", b"x" * 100)
    folder.source = Documents(system="drop", folder="in/post", pattern="*", where="local", most_bytes=100)
    (page,) = folder.open().read(NIGHT)
    assert [row["name"] for row in page.rows] == ["fits.txt"]
    assert [one.reasons for one in page.rejected] == [("large.txt: has 101 bytes, at most 100 are read",)]


def test_a_link_leads_nowhere(folder: DocumentWorld, tmp_path: Path) -> None:
    folder.write("a.txt", b"words")
    (tmp_path / "secret.txt").write_text("outside")
    (folder.folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    with open_place(folder.here, "drop", "in/post", "local") as place:
        assert list(place.look("*")) == ["a.txt"]
        assert list(place.look_at(["a.txt", "link.txt"])) == ["a.txt"]
    with pytest.raises(SystemUnavailable), open_place(folder.here, "drop", "in/post", "local") as place:
        place.copy("link.txt", Seen(7, 0), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_file_that_is_taken_away_while_others_are_read_is_told(world: DocumentWorld) -> None:
    for number in range(1, 9):
        world.put(number, NIGHT.start)
    reader = world.open()
    reading = reader.read(NIGHT)
    pages = [next(reading)]
    world.remove(8)
    pages += reading
    assert [row["name"] for page in pages for row in page.rows] == [f"name {n}" for n in range(1, 8)]
    (told,) = [one for page in pages for one in page.rejected]
    assert told.reasons == ("name 8: was taken away before it was read",)
    assert (reader.rows, reader.facts["set_aside"]) == (8, 1)
    assert rows_of(world.open().read_ids([world.id_of(8)])) == []


def test_names_and_texts_can_be_stored(folder: DocumentWorld) -> None:
    folder.write("a\u202etxt.exe\n", b"one\xed\xa0\x80two")
    (row,) = folder.rows().values()
    assert row["name"] == "atxt.exe\n"
    row["text"].encode()


def test_pages_end_before_their_texts_are_too_long(folder: DocumentWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.systems.documents.paging._CHARACTERS", 25)
    for number in range(5):
        folder.write(f"{number}.txt", b"ten signs.")
    assert [len(page.rows) for page in folder.open().read(NIGHT)] == [3, 2]


class Growing:
    """A place whose file is another at every look, so many times."""

    def __init__(self, times: int, path: Path) -> None:
        self.times, self.path, self.calls = times, path, 0

    def look_at(self, names: Any) -> Any:
        self.times -= 1
        return {"a.txt": Seen(1, int(NIGHT.start.timestamp()) + max(self.times, 0))}

    def look(self, pattern: str) -> Any:
        return self.look_at([])

    def copy(self, name: str, seen: Any, into: Path) -> str:
        return f"copy {self.times}"

    def require(self) -> None:
        raise NotImplementedError


def test_a_file_that_changes_while_it_is_copied_is_copied_again_or_waited_for(tmp_path: Path) -> None:
    arrivals = Arrivals("drop", "in", 100)
    (arrival,) = arrivals.within(Growing(2, tmp_path), "*", NIGHT)
    assert arrival.sha256 == "copy 0"
    with pytest.raises(FileNotReady, match=r"a\.txt is still growing"):
        list(arrivals.within(Growing(9, tmp_path), "*", NIGHT))


class Vanishing(Growing):
    """A place whose file is gone as soon as it is wanted."""

    def copy(self, name: str, seen: Any, into: Path) -> str:
        raise FileNotFoundError(name)


def test_a_file_that_vanishes_is_told_by_a_night_and_left_out_where_it_is_read_anew(tmp_path: Path) -> None:
    arrivals = Arrivals("drop", "in", 100)
    (arrival,) = arrivals.within(Vanishing(1, tmp_path), "*", NIGHT)
    assert (arrival.gone, arrival.path) == (True, None)
    assert list(arrivals.named(Vanishing(1, tmp_path), ["a.txt"])) == []


def test_a_connection_to_no_folder_is_refused() -> None:
    for extra in ({}, {"path": "relative"}, {"path": 7}):
        here = Here(connections("fs", extra=extra))
        with pytest.raises(ConfigurationError, match="no absolute path"), open_place(here, "drop", "in", "local"):
            raise AssertionError("it was opened")
