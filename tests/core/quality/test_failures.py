"""The dataset of failing rows: complete, sorted, and read by the page."""

from __future__ import annotations

import json
import subprocess
import sys
from array import array
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from include.errors import ContractBroken
from include.models import Manifest
from include.quality import failures as module
from include.quality.examine import Finding
from include.quality.failures import FailingRow, read_failures, write_failures
from tests.core.quality.suites import expect, stage

ROWS = 1_000


def finding(name: str, failing: range) -> Finding:
    return Finding(expect(name, "ExpectColumnValuesToNotBeNull", "x"), ROWS, array("I", failing))


@pytest.fixture
def data(tmp_path: Path) -> Manifest:
    return stage(tmp_path, [{"x": at} for at in range(ROWS)], {"x": pa.int64()})


@pytest.fixture(params=[10, 400, 10_000], ids="held {}".format)
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_ROWS", request.param)
    monkeypatch.setattr(module, "GROUP_ROWS", 64)
    monkeypatch.setattr(module, "KEY_ROWS", 90)


FOUND = {"b": range(0, ROWS, 3), "a": range(ROWS), "c": range(0), "d": range(990, 1_000), "e": range(1)}


def write(tmp_path: Path, data: Manifest) -> Manifest:
    findings = [finding(name, failing) for name, failing in FOUND.items()]
    return write_failures(UPath(tmp_path) / "failures.parquet", "run", data, findings, "failures")


@pytest.mark.usefixtures("held")
def test_every_failing_row_is_there_sorted_by_expectation_and_position(tmp_path: Path, data: Manifest) -> None:
    manifest = write(tmp_path, data)
    kept = pq.read_table(manifest.uri).to_pylist()
    expected = [(name, at) for name in sorted(FOUND) for at in FOUND[name]]
    assert [(row["expectation"], row["position"]) for row in kept] == expected
    assert all(row["row_key"] == str(row["position"]) for row in kept)
    assert manifest.facts["failing"] == {"a": 1_000, "b": 334, "d": 10, "e": 1}
    file = pq.ParquetFile(manifest.uri)
    for group in range(file.num_row_groups):
        statistics = file.metadata.row_group(group).column(0).statistics
        assert statistics.min == statistics.max


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(("offset", "limit"), [(0, 5), (60, 10), (63, 1), (64, 70), (330, 10), (334, 5), (5_000, 5)])
def test_a_page_is_a_slice(tmp_path: Path, data: Manifest, offset: int, limit: int) -> None:
    manifest = write(tmp_path, data)
    expected = [FailingRow(f"file/{at}", str(at), at) for at in FOUND["b"][offset : offset + limit]]
    assert read_failures(manifest, "b", offset, limit) == expected


def test_nothing_failed(tmp_path: Path, data: Manifest) -> None:
    manifest = write_failures(UPath(tmp_path) / "failures.parquet", "run", data, [finding("a", range(0))], "failures")
    assert manifest.rows == 0
    assert read_failures(manifest, "a") == []
    assert read_failures(write(tmp_path, data), "unknown") == []


def test_a_file_that_is_gone_is_named(tmp_path: Path, data: Manifest) -> None:
    manifest = write(tmp_path, data)
    Path(manifest.uri).unlink()
    with pytest.raises(ContractBroken, match="failures: the staged file is gone"):
        read_failures(manifest, "a")


_GROWTH = """
import json, resource, sys
from array import array
from pathlib import Path
import pyarrow as pa
from upath import UPath
from include.models import Manifest
from include.quality.examine import Finding
from include.quality.failures import read_failures, write_failures
from include.staging import StagedWriter
from tests.core.quality.suites import expect
rows, folder = int(sys.argv[1]), UPath(sys.argv[2])
schema = pa.schema([("row_id", pa.string()), ("row_key", pa.string())])
with StagedWriter(folder / "raw.parquet", schema) as writer:
    for start in range(0, rows, 10_000):
        keys = [str(at) for at in range(start, min(start + 10_000, rows))]
        writer.write_table(pa.table([[f"shop/orders/{key}" for key in keys], keys], schema=schema))
data = writer.manifest("run", "raw")
found = Finding(expect("all", "ExpectColumnValuesToNotBeNull", "x"), rows, array("I", range(rows)))
manifest = write_failures(folder / "failures.parquet", "run", data, [found], "failures")
page = read_failures(manifest, "all", rows - 3, 10)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps([manifest.rows, [row.row_key for row in page], peak]))
"""


def test_a_million_failures_of_one_expectation_cost_no_memory_to_speak_of(tmp_path: Path) -> None:
    peaks = []
    for rows in (1_000, 1_000_000):
        command = [sys.executable, "-W", "ignore", "-c", _GROWTH, str(rows), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        count, page, peak = json.loads(done.stdout)
        assert (count, page) == (rows, [str(rows - 3), str(rows - 2), str(rows - 1)])
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 150, peaks
