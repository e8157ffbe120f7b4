"""Demand is forecast from the sandbox's ERP and its shop, proposed to the ERP, and left alone when nothing is new."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from include.cli import main
from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.models import Record
from tests.core.commands.test_cli import connection
from tests.core.conftest import Ledger

NAME = "erp_demand_forecast"
END = "2026-11-20T02:00"
INTERVAL = ("--from", "2026-11-19T02:00", "--to", END)
PRODUCTS = 8


@pytest.fixture
def sandbox(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoints]:
    anchor = datetime.fromisoformat(END).replace(tzinfo=UTC)
    config = SandboxConfig(
        state=tmp_path / "sandbox", days=1, leads_per_day=1, erp_products=PRODUCTS, anchor=anchor, erp_latency_ms=0
    )
    with running_sandbox(config) as endpoints:
        login = {"login": endpoints.erp_login, "password": endpoints.erp_password}
        extra = {"sqlalchemy_scheme": "sqlite"}
        variables = {
            "NIGHTLEDGER_HOME": str(tmp_path / "home"),
            "NIGHTLEDGER_TOKEN_SECRET": "test secret",
            "AIRFLOW_CONN_NIGHTLEDGER_DB": connection(ledger.urls.service),
            "AIRFLOW_CONN_ERP_DEFAULT": json.dumps({"conn_type": "http", "host": endpoints.erp_url, **login}),
            "AIRFLOW_CONN_SHOP_DEFAULT": json.dumps({"host": endpoints.shop_database, "extra": extra}),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield endpoints


def run(*arguments: str) -> dict[str, Record]:
    out = io.StringIO()
    assert main(("run", "all", NAME, *INTERVAL, *arguments), out) == 0, out.getvalue()
    return {name: done for line in out.getvalue().splitlines() for name, done in json.loads(line).items()}


def proposals(endpoints: Endpoints) -> dict[tuple[str, str, int], Record]:
    reply = requests.get(
        f"{endpoints.erp_url}/ForecastProposals",
        params={"$top": "5000"},
        auth=(endpoints.erp_login, endpoints.erp_password),
        headers={"Prefer": "odata.maxpagesize=5000"},
        timeout=10,
    )
    rows = reply.json()["value"]
    return {(row["ProductId"], row["Plant"], row["Ahead"]): row for row in rows}


def test_a_night_proposes_and_a_second_one_writes_nothing(sandbox: Endpoints) -> None:
    steps = run("--mode", "auto")
    print(json.dumps(steps, indent=1)[:6000])
    found = proposals(sandbox)
    print(len(found), list(found.items())[:3])
    again = run("--mode", "auto")
    print(again)
    assert 0, steps["extract"]
