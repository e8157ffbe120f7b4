"""A ledger behind PgBouncer: whole nights on the command line, and locks that two cannot hold at once."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from include.cli import main
from include.database import open_database, transaction
from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.ledger import tables
from include.ledger.claims import claimant
from include.ledger.leases import exclusive
from include.ledger.schema import SERVICE_ROLE
from include.models import Record
from include.settings import ROOT
from tests.core.conftest import Ledger, Postgres
from tests.core.pooler import Mode, pgbouncer, through
from tests.core.test_whole_night import END

LEADS = 40
NIGHT = ["run", "all", "crm_lead_scoring", "--from", "2026-11-19T02:00Z", "--to", "2026-11-20T02:00Z", "--mode", "auto"]


@pytest.fixture(params=["session", "transaction"])
def port(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[int]:
    mode: Mode = request.param
    with pgbouncer(postgres, mode) as port:
        yield port


@pytest.fixture
def empty_ledger(empty_database: str, postgres: Postgres) -> str:
    """A database without a schema, in which nothing is found without its schema's name."""
    name = make_url(empty_database).database
    postgres.execute(
        *(f"ALTER ROLE {r} IN DATABASE {name} SET search_path = public" for r in ("postgres", SERVICE_ROLE))
    )
    return empty_database


@pytest.fixture
def environment(
    port: int, empty_ledger: str, warehouse_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Everything that the command line needs, the ledger by way of the pooler."""
    ledger, warehouse = make_url(empty_ledger), make_url(warehouse_url)
    pooled: Record = {"host": "127.0.0.1", "port": port, "schema": ledger.database}
    config = SandboxConfig(
        state=tmp_path / "sandbox", anchor=END, days=2, leads_per_day=LEADS, crm_latency_ms=0, model_latency_ms=2
    )
    with running_sandbox(config) as e:
        extra = {"host_key": e.sftp_host_key, "key_file": e.sftp_key_file}
        given: dict[str, Record] = {
            "CRM_DEFAULT": {"host": e.crm_url, "password": e.crm_token},
            "SFTP_DEFAULT": {"host": e.sftp_host, "port": e.sftp_port, "login": e.sftp_login, "extra": extra},
            "OPENAI_DEFAULT": {"host": e.model_url, "password": e.model_key},
            "WAREHOUSE_DEFAULT": {
                "host": warehouse.query["host"],
                "schema": warehouse.database,
                "login": warehouse.username,
            },
            "NIGHTLEDGER_DB": {**pooled, "login": SERVICE_ROLE},
            "NIGHTLEDGER_DB_OWNER": {**pooled, "login": "postgres"},
        }
        for name, value in given.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(value))
        monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path))
        monkeypatch.setenv("NIGHTLEDGER_TOKEN_SECRET", "test secret")
        yield


def said(*command: str, code: int = 0) -> str:
    out = io.StringIO()
    assert main(command, out) == code
    return out.getvalue()


@pytest.mark.usefixtures("environment")
def test_a_whole_night_runs_behind_a_pooler(empty_ledger: str) -> None:
    assert "at revision" in said("ledger", "upgrade")
    first = json.loads(said(*NIGHT).splitlines()[-1])["close"]
    assert first["status"] == "succeeded"
    assert sum(first["counts"].values()) == LEADS
    again = json.loads(said(*NIGHT).splitlines()[-1])["close"]
    assert again["counts"]["unchanged"] == first["counts"]["written"] > 0
    assert "ALL RIGHT" in said("report", "crm_lead_scoring")
    assert "holds" in said("ledger", "verify")
    assert "set aside again" in said("quarantine", "replay", "--use-case", "crm_lead_scoring", code=1)
    assert "crm_lead_scoring" in said("budget", "show")
    engine = open_database(empty_ledger)
    with transaction(engine) as connection:
        asked, kept = (
            connection.scalar(text(f"SELECT count(*) FROM nightledger.{table}")) for table in ("inference", "claim")
        )
    engine.dispose()
    assert asked > 0
    assert kept == 0


def test_what_one_holds_nobody_else_holds_behind_a_pooler(port: int, ledger: Ledger) -> None:
    engines = [open_database(through(ledger.urls.service, port)) for _ in range(4)]
    inside, alone = threading.Lock(), list[bool]()

    def work(number: int) -> None:
        with exclusive(engines[number], "replay/x", 5.0):
            alone.append(inside.acquire(blocking=False))
            time.sleep(0.2)
            inside.release()

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alone == [True] * 4
    with claimant(engines[0], "one") as one, claimant(engines[1], "two") as two:
        assert (one.claim({"a", "b"}), two.claim({"b", "c"})) == ({"a", "b"}, {"c"})
    for engine in engines:
        engine.dispose()


def test_every_statement_names_the_schema_of_its_tables() -> None:
    names = "|".join(table.name for table in tables.metadata.tables.values())
    unnamed = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE|TABLE) (?:{names})\b(?!\w)")
    found = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for folder in ("include", "plugins", "dags")
        for file in sorted((ROOT / folder).rglob("*.py"))
        for line in file.read_text(encoding="utf-8").splitlines()
        if unnamed.search(line)
    ]
    assert found == []
