"""A staged file is believed only by its sha256."""

from __future__ import annotations

import hashlib
import math
import os
import random
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from upath import UPath

from include import staging
from include.errors import ContractBroken
from include.models import Manifest
from include.staging import ARROW, StagedWriter, read_chunks, read_rows, read_schema, records_of, table_of

SCHEMA = pa.schema([("row_id", pa.string()), ("score", pa.int64())])


def stage(path: UPath, *, score: int = 1, rows: int = 40) -> Manifest:
    with StagedWriter(path, SCHEMA, rows_per_group=10) as writer:
        writer.extend({"row_id": str(at), "score": score} for at in range(rows))
    return writer.manifest("run-1", "good")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return stage(UPath(tmp_path / "good.parquet"))


def replace_content(manifest: Manifest) -> None:
    """Another file of the same form and size, with the old times: only its content tells."""
    place = Path(manifest.uri)
    before = place.stat()
    other = stage(UPath(place), score=2)
    assert (other.bytes, other.rows) == (manifest.bytes, manifest.rows)
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_changed_file_of_the_same_size_and_time_is_named(manifest: Manifest) -> None:
    assert len(list(read_rows(manifest))) == 40  # proven once: the next read must still see the change
    replace_content(manifest)
    for read in (lambda: list(read_rows(manifest)), lambda: read_schema(manifest)):
        with pytest.raises(ContractBroken, match=r"staging good: .*sha256 differs.*Clear the run from the extract"):
            read()


def test_a_shard_is_not_read_from_a_changed_file(manifest: Manifest) -> None:
    replace_content(manifest)
    shard = replace(manifest, facts={"shard": 1, "of": 2, "first": 20, "count": 20})
    with pytest.raises(ContractBroken, match="sha256 differs"):
        list(read_rows(shard))


def test_a_change_in_the_middle_of_reading_is_named(manifest: Manifest) -> None:
    chunks = read_chunks(manifest, rows=10)
    next(chunks)
    place = Path(manifest.uri)
    with place.open("r+b") as file:  # the same inode, as an editor in place would
        file.seek(0, os.SEEK_END)
        file.write(b"more")
    with pytest.raises(ContractBroken, match="changed while it was read"):
        list(chunks)


def test_a_file_is_hashed_once_and_not_for_each_read(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []

    def counting(file: object, kind: str) -> object:
        hashed.append(kind)
        return real(file, kind)  # type: ignore[arg-type]

    real = hashlib.file_digest
    monkeypatch.setattr(staging.hashlib, "file_digest", counting)
    for first in (0, 20):
        list(read_rows(replace(manifest, facts={"first": first, "count": 20})))
    read_schema(manifest)
    assert len(hashed) == 1
    again = stage(UPath(manifest.uri), score=3)  # a stage that runs again writes its dataset anew
    assert {row["score"] for row in read_rows(again)} == {3}
    assert len(hashed) == 2


def test_an_object_store_is_held_to_the_same(manifest: Manifest) -> None:
    there = stage(UPath("memory://staging/good.parquet"))
    assert len(list(read_rows(there))) == 40
    UPath(there.uri).write_bytes(Path(manifest.uri).read_bytes()[:-1] + b"x")
    with pytest.raises(ContractBroken, match="sha256 differs"):
        list(read_rows(there))


ALL_KINDS = pa.schema(list(ARROW.items()))
EDGES: dict[str, list[Any]] = {
    "text": ["", "null", "\x00", "\ufeffü\n", "x" * 100_000],
    "integer": [0, -1, 2**63 - 1, -(2**63)],
    "number": [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, 3.0, 7],
    "datetime": [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 3, 29, 2, 30, tzinfo=timezone(timedelta(hours=5, minutes=45))),
        datetime(2026, 1, 1),
    ],
    "date": [date(1, 1, 1), date(9999, 12, 31)],
    "boolean": [True, False],
}


def test_values_arrive_as_they_were() -> None:
    chance = random.Random(7)
    rows: list[dict[str, Any]] = [{name: value} for name, values in EDGES.items() for value in values]
    rows += [
        {
            "number": chance.random() * 10.0 ** chance.randint(-300, 300),
            "integer": chance.randint(-(2**63), 2**63 - 1),
            "datetime": datetime.fromtimestamp(chance.randint(-(10**10), 10**10) + chance.random(), UTC),
        }
        for _ in range(2_000)
    ]
    table = table_of(rows, ALL_KINDS)
    assert table.equals(pa.Table.from_pylist(rows, schema=ALL_KINDS))
    assert [row for batch in table.to_batches() for row in records_of(batch)] == table.to_pylist()


@pytest.mark.parametrize(("name", "value"), [("text", 5), ("text", math.nan), ("integer", 2**63), ("boolean", 1)])
def test_a_value_of_another_type_is_no_value(name: str, value: Any) -> None:
    for make in (table_of, pa.Table.from_pylist):
        with pytest.raises((pa.ArrowException, TypeError, OverflowError)):
            make([{name: value}], schema=ALL_KINDS)


def test_rows_go_in_and_come_back_without_pandas() -> None:
    code = """
import sys
from datetime import UTC, date, datetime
import pyarrow as pa
from include.staging import ARROW, records_of, table_of
row = dict(zip(ARROW, ["a", 1, 0.5, datetime.now(UTC), date.today(), True]))
table = table_of([row, {}], pa.schema(list(ARROW.items())))
assert [records_of(batch) for batch in table.to_batches()]
sys.exit("pandas" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
