"""Invoices from the SFTP server to the tables: read exactly or asked, held against themselves and their orders."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from include.cli import main
from include.database import Database
from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.demo.sandbox.seed.prepare import prepare
from include.demo.stack.environment import sandbox_connections
from tests.core.commands.test_cli import connection
from tests.core.conftest import Ledger

END = datetime(2026, 11, 22, 2, tzinfo=UTC)
NIGHT = ("--from", "2026-11-19T02:00", "--to", "2026-11-22T02:00")
NAME = "ap_invoices"


@pytest.fixture
def house(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoints]:
    config = SandboxConfig(
        state=tmp_path / "sandbox", anchor=END, days=3, leads_per_day=1, model_latency_ms=0, erp_latency_ms=0
    )
    with running_sandbox(config) as endpoints:
        variables = {
            "NIGHTLEDGER_HOME": str(tmp_path / "home"),
            "NIGHTLEDGER_TOKEN_SECRET": "test secret",
            "AIRFLOW_CONN_NIGHTLEDGER_DB": connection(ledger.urls.service),
            "AIRFLOW_CONN_WAREHOUSE_DEFAULT": json.dumps(
                {"host": str(tmp_path / "warehouse.sqlite"), "extra": {"sqlalchemy_scheme": "sqlite"}}
            ),
            **sandbox_connections(endpoints.to_json()),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield endpoints


def run(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    assert main(arguments, out) == 0, out.getvalue()
    return {name: done for line in out.getvalue().splitlines() for name, done in json.loads(line).items()}


def test_x(house: Endpoints, ledger: Ledger) -> None:
    import time

    t = time.time()
    steps = run("run", "all", NAME, *NIGHT, "--mode", "gated")
    print(time.time() - t)
    print(json.dumps(steps, indent=1))
    db = ledger.service
    with db.connect() as c:
        for q in (
            "select expectation, severity, success, unexpected_count, observed from nightledger.quality_result order by stage, 1",
            "select row_key, outcome, stage, reason from nightledger.outcome order by 2,1",
            "select kind, model_asked, outcome, count(*) from nightledger.inference i join nightledger.inference_result r using (inference_id) group by 1,2,3",
        ):
            try:
                for r in c.execute(text(q)):
                    print(tuple(r))
            except Exception as e:
                print(e)
            print()
    steps = run("run", "all", NAME, *NIGHT, "--mode", "gated")
    print(json.dumps(steps["enrich"], indent=1))
    assert 0
