"""Nights that were never run: what the plan says, what it then costs, and that it costs nothing again."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy.engine import make_url

from include.cli import main
from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.models import Interval, Mode, Record, RunOptions
from include.run import Night
from include.spec.prompt import load_prompt
from include.spec.use_case import load
from tests.core.conftest import Ledger
from tests.core.test_whole_night import END, Sandbox, rows, run

NIGHTS, LEADS_A_NIGHT = 8, 45


@pytest.mark.timeout(280)
def test_a_backfill_costs_what_its_plan_says_and_nothing_the_second_time(
    tmp_path_factory: pytest.TempPathFactory,
    make_night: Callable[..., Night],
    warehouse_url: str,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = SandboxConfig(
        state=tmp_path_factory.mktemp("sandbox"),
        anchor=END,
        days=NIGHTS,
        leads_per_day=LEADS_A_NIGHT,
        crm_latency_ms=0,
        model_latency_ms=0,
        crm_requests_per_10s=10_000,
    )
    with running_sandbox(config) as endpoints:
        sandbox, db, own = Sandbox(endpoints), make_url(warehouse_url), make_url(ledger.urls.service)
        extra = {"host_key": endpoints.sftp_host_key, "key_file": endpoints.sftp_key_file}
        given: dict[str, Record] = {
            "CRM_DEFAULT": {"host": endpoints.crm_url, "password": endpoints.crm_token},
            "SFTP_DEFAULT": {
                "host": endpoints.sftp_host,
                "port": endpoints.sftp_port,
                "login": endpoints.sftp_login,
                "extra": extra,
            },
            "OPENAI_DEFAULT": {"host": endpoints.model_url, "password": endpoints.model_key},
            "WAREHOUSE_DEFAULT": {"host": db.query["host"], "schema": db.database, "login": db.username},
            "NIGHTLEDGER_DB": {"host": own.query["host"], "schema": own.database, "login": own.username},
        }
        connections = {f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in given.items()}
        for name, value in {**connections, "NIGHTLEDGER_TOKEN_SECRET": "test secret"}.items():
            monkeypatch.setenv(name, value)
        first = END - timedelta(days=NIGHTS)

        def plan() -> Record:
            out = io.StringIO()
            span = ["--from", first.isoformat(), "--to", END.isoformat(), "--json"]
            main(["plan", "crm_lead_scoring", *span], out)
            found: Record = json.loads(out.getvalue())
            return found

        before = plan()
        assert sandbox.billed()["calls"] == 0
        stopped = {night["from"] for night in before["nights"] if night["problem"]}
        for number in range(NIGHTS):
            start = first + timedelta(days=number)
            night = make_night(
                interval=Interval(start, start + timedelta(days=1)),
                connections=connections,
                options=RunOptions(mode=Mode.SHADOW, backfill="month"),
                prompt=load_prompt(load("crm_lead_scoring")).as_mapping(),
            )
            if start.isoformat() not in stopped:
                run(night)
        (paid, calls) = rows(ledger, "SELECT sum(cost), count(*) FROM inference_result")[0]
        assert len(stopped) < NIGHTS / 3
        assert before["total"]["calls"] == calls == sandbox.billed()["calls"]
        assert abs(Decimal(before["total"]["cost_usd"]) / paid - 1) < Decimal("0.2")
        spent = rows(ledger, "SELECT spent, reserved FROM budget WHERE scope = 'backfill/crm_lead_scoring/month'")
        assert spent == [(paid, 0)]
        again = plan()
        assert (again["total"]["calls"], Decimal(again["total"]["cost_usd"])) == (0, 0)
