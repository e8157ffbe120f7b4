"""`suggest`: the first expectations of a use case, from the rows that its last night staged."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pytest

from include.cli import main
from include.ledger.record import record_manifest
from include.models import Manifest
from include.operations.check_file.suite_file import load_suite
from include.quality.examine import examine
from include.quality.usual import History
from include.run import Night
from include.staging import StagedWriter
from tests.core.commands.test_cli import CASE, connection
from tests.core.conftest import Ledger, MakeNight

SCHEMA = pa.schema([("row_id", pa.string()), ("row_key", pa.string()), ("lineage", pa.string()),
                    ("zip", pa.string()), ("city", pa.string()), ("visits", pa.int64())])  # fmt: skip


@pytest.fixture(autouse=True)
def _environment(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", connection(ledger.urls.service))
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path))


def staged(night: Night, rows: int = 200) -> Manifest:
    """Rows of which every fiftieth has another city than its zip."""
    cities = ["Berlin", "Munich", "Hamburg", "Cologne"]
    with StagedWriter(night.path("raw.parquet"), SCHEMA) as writer:
        writer.extend(
            {
                "row_id": f"crm/{at}",
                "row_key": str(at),
                "lineage": "{}",
                "zip": f"zip {at % 4}",
                "city": cities[at % 4 if at % 50 else (at + 1) % 4],
                "visits": at * 7 % 60,
            }
            for at in range(rows)
        )
    made = writer.manifest(night.run_id, "raw", {"input_rows": rows})
    record_manifest(night.ledger, made)
    return made


def test_what_a_night_staged_suggests_expectations_that_find_its_wrong_rows(
    make_night: MakeNight, tmp_path: Path
) -> None:
    night = make_night()
    raw, into, out = staged(night), tmp_path / "first.py", io.StringIO()
    assert main(["suggest", CASE, str(into)], out) == 0
    text = into.read_text()
    assert f"{into}: " in out.getvalue()
    assert "from 200 rows" in out.getvalue()
    assert f"run {night.run_id}" in text
    assert "in conflict e.g. row_id crm/0, crm/50, crm/100" in text
    assert "COLUMNS" not in text
    assert '"lineage"' not in text
    findings = examine(raw, load_suite(str(into)).expectations, History(night.interval), ours=())
    assert [one.expectation.id for one in findings if one.could_not_run] == []
    found = {one.expectation.id: one.failing for one in findings if not one.success}
    assert list(found["city_zip_depends"]) == [0, 50, 100, 150]
    assert main(["suggest", CASE, str(tmp_path / "again.py"), "--run", night.run_id], out) == 0
    assert (tmp_path / "again.py").read_text() == text


def test_a_use_case_that_has_not_staged_anything_says_so(
    make_night: MakeNight, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["suggest", CASE, str(tmp_path / "first.py")], io.StringIO()) == 2
    assert "Run stage `extract` first" in capsys.readouterr().err
    staged(make_night(), rows=0)
    assert main(["suggest", CASE, str(tmp_path / "first.py")], io.StringIO()) == 2
    assert "has no rows to learn rules from" in capsys.readouterr().err
    assert not (tmp_path / "first.py").exists()
