"""Two ordinary runs of one date on the command line, at once or one after a kill: each run comes to an end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.ledger.verify import verify
from include.settings import ROOT
from tests.core.conftest import Ledger
from tests.core.test_whole_night import END

pytestmark = pytest.mark.slow
LEADS = 60
NIGHT = ["run", "all", "crm_lead_scoring", "--from", "2026-11-19T02:00Z", "--to", "2026-11-20T02:00Z", "--mode", "auto"]
Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def start(ledger: Ledger, warehouse_url: str, tmp_path: Path) -> Iterator[Start]:
    """Starts the night in a process of its own."""
    config = SandboxConfig(
        state=tmp_path / "sandbox", anchor=END, days=2, leads_per_day=LEADS, crm_latency_ms=0, model_latency_ms=400
    )
    started = list[subprocess.Popen[str]]()
    with running_sandbox(config) as e:
        extra = {"host_key": e.sftp_host_key, "key_file": e.sftp_key_file}
        db, warehouse = make_url(ledger.urls.service), make_url(warehouse_url)
        given: dict[str, dict[str, Any]] = {
            "CRM_DEFAULT": {"host": e.crm_url, "password": e.crm_token},
            "SFTP_DEFAULT": {"host": e.sftp_host, "port": e.sftp_port, "login": e.sftp_login, "extra": extra},
            "OPENAI_DEFAULT": {"host": e.model_url, "password": e.model_key},
            "WAREHOUSE_DEFAULT": {"host": warehouse.query["host"], "schema": warehouse.database, "login": "postgres"},
            "NIGHTLEDGER_DB": {"host": db.query["host"], "schema": db.database, "login": db.username},
        }
        environment = {f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in given.items()}
        environment |= {"NIGHTLEDGER_HOME": str(tmp_path), "NIGHTLEDGER_TOKEN_SECRET": "test secret"}
        environment |= {"NIGHTLEDGER_LEASE_SECONDS": "2", "NIGHTLEDGER_CONCURRENCY": "4"}

        def run() -> subprocess.Popen[str]:
            command = [sys.executable, "-W", "ignore", "-m", "include.cli", *NIGHT]
            started.append(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env={**os.environ, **environment},
                    text=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
            return started[-1]

        yield run
        for process in started:
            process.kill()
            process.communicate()


def runs(ledger: Ledger) -> list[tuple[int, str]]:
    with ledger.owner.connect() as connection:
        found = connection.execute(text("SELECT attempt, status FROM nightledger.run ORDER BY attempt"))
        return [(row.attempt, row.status) for row in found]


def test_two_at_once_both_end_well_and_pay_once(start: Start, ledger: Ledger) -> None:
    both = [start(), start()]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert runs(ledger) == [(1, "succeeded"), (2, "succeeded")]
    with ledger.owner.connect() as connection:
        asked, keys = connection.execute(
            text("SELECT count(*), count(DISTINCT inference_key) FROM nightledger.inference")
        ).one()
    assert asked == keys > 0
    assert verify(ledger.owner).holds


def test_what_was_killed_is_taken_up_by_the_next(start: Start, ledger: Ledger) -> None:
    killed = start()
    with ledger.owner.connect() as connection:
        while not connection.scalar(text("SELECT count(*) FROM nightledger.inference_result")):
            assert killed.poll() is None
            connection.rollback()
            time.sleep(0.05)
    killed.kill()
    again = start()
    out, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert runs(ledger) == [(1, "succeeded")]
    assert sum(json.loads(out.splitlines()[-1])["close"]["counts"].values()) == LEADS
    assert verify(ledger.owner).holds
