"""Files that answers are written to: what every sink promises, and that nobody sees half of one."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from include.errors import ConfigurationError, ContractBroken, SystemUnavailable
from include.models import Record
from include.systems.files.out.declared import FileOut
from include.systems.files.out.writing import FileDestination
from include.systems.files.stores import PathStore, SftpStore
from include.systems.port import Outgoing
from tests.core.systems.contracts import SinkContract, SinkWorld, outgoing
from tests.core.systems.files.conftest import Shelf

KINDS: Any = {"score": "integer", "note": "text"}
SINK = FileOut(
    system="shop",
    object="out/scores",
    fields={"score": "score", "note": "note"},
    name="scores_%Y-%m-%d_{run}.csv",
    kinds=KINDS,
    longest=40,
)
FILE = "scores_2026-11-18_run-1.csv"


def rows_of(shelf: Shelf, sink: FileOut = SINK) -> list[Record]:
    path = shelf.root / "out" / "scores" / FILE
    if not path.exists():
        return []
    if sink.format == "csv":
        with path.open(encoding="utf-8", newline="") as handle:
            return list(csv.DictReader(handle))
    if sink.format == "jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    found: list[Record] = pq.read_table(path).to_pylist()
    return found


class FileWorld(SinkWorld):
    creates = True

    def __init__(self, shelf: Shelf, sink: FileOut) -> None:
        self.shelf, self.sink = shelf, sink

    def put(self, number: int, **values: Any) -> None:
        there = self.open()
        there.send({self.id_of(number): Outgoing(there.form(values), f"before/{number}")})

    def held(self) -> Mapping[str, Record]:
        return {row["id"]: row for row in rows_of(self.shelf, self.sink)}

    def writes_seen(self) -> int:
        return len(rows_of(self.shelf, self.sink))

    def lose_next_answer(self) -> None:
        """A rename is there or is not; see below for a connection that breaks within it."""

    def id_of(self, number: int) -> str:
        return f"A/{number}"

    def open(self) -> FileDestination:
        return self.sink.open(self.shelf.standing)


class TestFileOut(SinkContract):
    @pytest.fixture(params=["csv local", "jsonl local", "parquet local", "csv sftp"])
    def world(self, request: pytest.FixtureRequest) -> FileWorld:
        form, store = request.param.split()
        shelf: Shelf = request.getfixturevalue(f"{store}_shelf")
        (shelf.root / "out" / "scores" / FILE).unlink(missing_ok=True)
        return FileWorld(shelf, replace(SINK, format=form))

    def test_the_same_write_again_is_not_written_twice(self, world: FileWorld) -> None:
        there = world.open()
        for _ in range(2):
            sent = there.send({world.id_of(1): outgoing(there, 1)})
            assert sent[world.id_of(1)].after is not None
            there = world.open()
        assert world.writes_seen() == 1


def send(shelf: Shelf, writes: dict[str, Record], sink: FileOut = SINK, **here: Any) -> dict[str, Any]:
    there = sink.open(shelf.standing.with_(**here))
    return there.send({one: Outgoing(there.form(values), one) for one, values in writes.items()})


def names(shelf: Shelf) -> list[str]:
    return sorted(path.name for path in (shelf.root / "out" / "scores").iterdir())


def test_the_manifest_says_what_the_file_is_after_each_batch(local_shelf: Shelf) -> None:
    for part in range(3):
        send(local_shelf, {f"{part}-{n}": {"score": n, "note": "x"} for n in range(5)})
        data = (local_shelf.root / "out" / "scores" / FILE).read_bytes()
        manifest = json.loads((local_shelf.root / "out" / "scores" / f"{FILE}.manifest.json").read_text())
        assert (manifest["rows"], manifest["run_id"]) == (5 * (part + 1), "run-1")
        assert manifest["sha256"] == hashlib.sha256(data).hexdigest()
        assert names(local_shelf) == [FILE, f"{FILE}.manifest.json"]
    before = (local_shelf.root / "out" / "scores" / FILE).stat().st_ino
    send(local_shelf, {"0-0": {"score": 0, "note": "x"}})
    assert (local_shelf.root / "out" / "scores" / FILE).stat().st_ino == before


def test_each_run_has_a_file_of_its_own(local_shelf: Shelf) -> None:
    send(local_shelf, {"1": {"score": 1}})
    send(local_shelf, {"1": {"score": 2}}, run_id="../run 2")
    assert names(local_shelf)[0] == "scores_2026-11-18_..-run-2.csv"
    assert rows_of(local_shelf) == [{"id": "1", "score": "1", "note": ""}]


@pytest.mark.parametrize("store", [PathStore, SftpStore])
def test_a_write_that_breaks_off_leaves_the_file_as_it_was_and_is_made_good(
    store: type, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf: Shelf = request.getfixturevalue("local_shelf" if store is PathStore else "sftp_shelf")
    (shelf.root / "out" / "scores" / FILE).unlink(missing_ok=True)
    send(shelf, {"1": {"score": 1}})
    put = store.put

    def fail_in(what: str) -> None:
        def breaking(self: Any, local: Path, path: str) -> None:
            if path.endswith(".manifest.json") == (what == "manifest"):
                raise ConnectionResetError(104, "reset")
            put(self, local, path)

        monkeypatch.setattr(store, "put", breaking)

    for what, expected in (("file", ["1"]), ("manifest", ["1", "2"])):
        fail_in(what)
        with pytest.raises(SystemUnavailable, match="ECONNRESET"):
            send(shelf, {"2": {"score": 2}})
        assert [row["id"] for row in rows_of(shelf)] == expected
        monkeypatch.undo()
    send(shelf, {"2": {"score": 2}})
    manifest = json.loads((shelf.root / "out" / "scores" / f"{FILE}.manifest.json").read_text())
    assert manifest["rows"] == 2


def test_no_half_of_a_file_stands_under_its_name_when_the_disk_fails(
    local_shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(local_shelf, {"1": {"score": 1}})
    monkeypatch.setattr("include.systems.files.stores.sync", lambda _: (_ for _ in ()).throw(OSError(28, "no space")))
    with pytest.raises(SystemUnavailable, match="ENOSPC"):
        send(local_shelf, {"2": {"score": 2}})
    assert [row["id"] for row in rows_of(local_shelf)] == ["1"]


def test_a_formula_runs_in_no_spreadsheet(local_shelf: Shelf) -> None:
    formula = '=HYPERLINK("http://x","y")'
    sent = send(local_shelf, {"=1+1": {"score": 1, "note": formula}})
    assert rows_of(local_shelf) == [{"id": "'=1+1", "score": "1", "note": f"'{formula}"}]
    assert sent["=1+1"].after["note"] == f"'{formula}"
    there = SINK.open(local_shelf.standing)
    assert there.holds(there.read(["=1+1"])["=1+1"], there.form({"note": formula}))
    send(local_shelf, {"a": {"note": formula}}, replace(SINK, format="jsonl"), run_id="2")
    assert "'=" not in (local_shelf.root / "out" / "scores" / "scores_2026-11-18_2.csv").read_text()


def test_values_keep_their_types_in_parquet_and_one_that_has_another_is_refused(local_shelf: Shelf) -> None:
    kinds: Any = {"n": "number", "d": "date", "t": "datetime", "b": "boolean", "x": "text", "i": "integer"}
    sink = replace(SINK, format="parquet", fields={one: one for one in kinds}, kinds=kinds)
    good = {"n": 1, "d": "2026-01-02", "t": "2026-01-02T03:00:00+00:00", "b": True, "x": ["a"], "i": 3.0}
    bad = [{"n": "x"}, {"d": 1}, {"t": "now"}, {"b": 1}, {"i": 1.5}, {"i": True}]
    sent = send(local_shelf, {"1": good} | {f"bad {at}": one for at, one in enumerate(bad)}, sink)
    assert [one.cause for one in sent.values()] == ["", *["rejected_by_destination"] * len(bad)]
    schema = pq.read_schema(local_shelf.root / "out" / "scores" / FILE)
    assert [str(schema.field(one).type) for one in kinds] == [
        "double", "date32[day]", "timestamp[us, tz=UTC]", "bool", "string", "int64"
    ]  # fmt: skip
    found = sink.open(local_shelf.standing).read(["1"])["1"]
    assert found == {**good, "x": '["a"]', "i": 3}


def test_a_file_with_other_columns_is_not_touched(local_shelf: Shelf) -> None:
    send(local_shelf, {"1": {"score": 1}})
    other = replace(SINK, fields={"score": "points"})
    with pytest.raises(ContractBroken, match=f"{FILE}: the run's file has other columns"):
        other.open(local_shelf.standing).check_contract()
    with pytest.raises(ContractBroken):
        send(local_shelf, {"2": {"points": 1}}, other)
    (local_shelf.root / "out" / "scores" / FILE).write_bytes(b'id,score,note\r\n"half')
    with pytest.raises(ContractBroken, match="cannot be read back"):
        SINK.open(local_shelf.standing).check_contract()


@pytest.mark.parametrize(
    "changes",
    [{"name": "a.csv"}, {"name": "a/{run}"}, {"fields": {}}, {"key": "note"}, {"format": "parquet", "kinds": {}}],
)
def test_a_declaration_that_cannot_work_is_refused_when_it_is_opened(local_shelf: Shelf, changes: Any) -> None:
    with pytest.raises(ConfigurationError):
        replace(SINK, **changes).open(local_shelf.standing)
