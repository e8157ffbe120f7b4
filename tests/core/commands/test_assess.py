"""`assess` on the sandbox: what a night would be told about its rows, and nothing left behind but the reports."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from include.cli import main
from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.models import Record
from include.use_cases.crm_lead_scoring import spec
from tests.core.commands.test_dead_letters import END, environment, run_night
from tests.core.conftest import Ledger
from tests.core.night.enrich.test_enrich import rows
from tests.core.test_whole_night import Sandbox

__all__ = ["environment"]
LEADS = 200
Assess = Callable[..., tuple[int, Record]]


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    config = SandboxConfig(
        state=tmp_path_factory.mktemp("sandbox"),
        anchor=END,
        days=3,
        leads_per_day=LEADS,
        crm_latency_ms=0,
        model_latency_ms=2,
        crm_requests_per_10s=10_000,
        scenarios={"2026-11-17": "mostly_missing_industry"},
    )
    with running_sandbox(config) as endpoints:
        yield Sandbox(endpoints)


@pytest.fixture
def assess(environment: dict[str, str]) -> Assess:
    def run(day: int = 0, *more: str) -> tuple[int, Record]:
        end, out = END + timedelta(days=day), io.StringIO()
        when = ["--from", (end - timedelta(days=1)).isoformat(), "--to", end.isoformat()]
        code = main(["assess", spec.SPEC.name, *when, *more], out)
        return code, json.loads(out.getvalue() or "{}")

    return run


def kept(ledger: Ledger) -> dict[str, int]:
    """Rows of every table that a night writes."""
    tables = (
        "run",
        "manifest",
        "outcome",
        "quality_result",
        "quarantine",
        "column_profile",
        "drift_result",
        "source_file",
    )
    return {name: rows(ledger, f"SELECT count(*) FROM {name}")[0][0] for name in tables}


def test_an_assessment_finds_what_the_night_finds_and_leaves_only_its_reports(
    assess: Assess, ledger: Ledger, sandbox: Sandbox
) -> None:
    code, found = assess()
    assert set(kept(ledger).values()) == {0}
    assert sandbox.billed()["calls"] == 0
    assert (found["rows"], code) == (LEADS, 1 if found["failed"] else 0)
    report, data = (Path(found[name]).read_text(encoding="utf-8") for name in ("report", "data"))
    assert "the rows were only assessed" in report
    assert "/nightledger/" not in report + data
    document = json.loads(data)
    assert document["rows"]["add_up"] is True
    failing = pq.read_table(found["failures"]).to_pylist()
    lists = [Path(place) for files in found["cleanup"].values() for place in files]
    assert len(lists) >= 2
    assert all(place.stat().st_size for place in lists)

    night = run_night()
    assert night["counts"]["quarantined"] == found["quarantined"] > 0
    results = rows(ledger, "SELECT expectation, unexpected_count FROM quality_result WHERE stage = 'check'")
    by_night = {name: count for name, count in results if count}
    by_assessment = {
        name: sum(one["expectation"] == name for one in failing) for name in {o["expectation"] for o in failing}
    }
    assert by_assessment == by_night


def test_rows_that_would_stop_a_night_are_reported_as_such(assess: Assess, ledger: Ledger) -> None:
    code, found = assess(-2)
    assert code == 1
    assert "industry_complete" in found["failed"]
    assert found["verdict"].startswith("Not fit")
    assert set(kept(ledger).values()) == {0}


def test_after_a_night_an_assessment_changes_nothing_and_says_who_asked(assess: Assess, ledger: Ledger) -> None:
    run_night()
    before = kept(ledger)
    for limit in ("20", "30"):
        assert assess(0, "--limit", limit)[1]["rows"] == int(limit)
    assert kept(ledger) == before
    said = rows(
        ledger, "SELECT details ->> 'limit', details ->> 'rows' FROM event WHERE type = 'quality.assessed' ORDER BY seq"
    )
    assert said == [("20", "20"), ("30", "30")]


def test_what_cannot_be_assessed_is_said(assess: Assess, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assess", spec.SPEC.name, "--from", "now", "--to", "then"]) == 2
    assert "ISO 8601" in capsys.readouterr().err
