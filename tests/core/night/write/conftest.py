"""The sandbox CRM, an empty warehouse, and nights whose answers have passed the gate."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from sqlalchemy import text
from sqlalchemy.engine import make_url

from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.faults import NO_FAULTS
from include.demo.sandbox.process import running_sandbox
from include.models import Manifest, Mode, Record, RunOptions
from include.night.gate.gate import gate
from include.run import Night
from include.settings import ROOT
from include.spec.use_case import load
from include.systems import http as rest
from tests.core.conftest import Postgres
from tests.core.night.gate.answers import stage_enriched

WAREHOUSE = "AIRFLOW_CONN_WAREHOUSE_DEFAULT"
SINK = load("crm_lead_scoring").sinks[0]
MISSING = "99999999999"
WRITTEN = {
    "nl_lead_score": "80",
    "nl_lead_tier": "hot",
    "nl_lead_summary": "Asked for a quote.",
    "nl_next_action": "call",
    "nl_lead_confidence": "0.9",
    "nl_score_origin": "model",
}
"""What `answer()` looks like in the CRM."""


@dataclass
class Crm:
    """The CRM as someone else sees it, with contacts that no test has touched yet."""

    endpoints: Endpoints
    unused: Iterator[str]

    def ids(self, count: int) -> list[str]:
        """That many contacts for one test alone."""
        return [next(self.unused) for _ in range(count)]

    def read(self, number: str) -> dict[str, str | None]:
        """What the sink's properties hold."""
        names = ",".join(SINK.fields.values())
        answer = requests.get(self._url(f"contacts/{number}?properties={names}"), headers=self._head, timeout=20)
        properties = answer.json()["properties"]
        return {name: properties[name] for name in SINK.fields.values()}

    def edit(self, number: str, **properties: str) -> None:
        """A person changes a contact."""
        body = {"properties": properties}
        requests.patch(self._url(f"contacts/{number}"), json=body, headers=self._head, timeout=20).raise_for_status()

    def seen(self) -> Record:
        """What the CRM has counted: requests by route, records written."""
        counted: Record = requests.get(f"{self.endpoints.crm_url}/sandbox/crm/requests", timeout=5).json()
        return counted

    def fail(self, **plan: Any) -> None:
        """Let requests fail from now on."""
        url = f"{self.endpoints.crm_url}/sandbox/crm/faults"
        requests.post(url, json=plan, timeout=5).raise_for_status()

    @property
    def _head(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.endpoints.crm_token}"}

    def _url(self, path: str) -> str:
        return f"{self.endpoints.crm_url}/crm/v3/objects/{path}"


@pytest.fixture(scope="session")
def shared_crm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crm]:
    config = SandboxConfig(
        tmp_path_factory.mktemp("sandbox"),
        anchor=datetime(2026, 11, 20, 2, tzinfo=UTC),
        leads_per_day=1_200,
        days=1,
        crm_latency_ms=0,
        crm_requests_per_10s=1_000_000,
    )
    with running_sandbox(config) as endpoints:
        yield Crm(endpoints, _contacts(endpoints))


def _contacts(endpoints: Endpoints) -> Iterator[str]:
    head, after = {"Authorization": f"Bearer {endpoints.crm_token}"}, "0"
    while after:
        url = f"{endpoints.crm_url}/crm/v3/objects/contacts?limit=100&after={after}"
        page = requests.get(url, headers=head, timeout=20).json()
        yield from (result["id"] for result in page["results"])
        after = page.get("paging", {}).get("next", {}).get("after", "")


@pytest.fixture
def crm(shared_crm: Crm) -> Iterator[Crm]:
    """The sandbox's CRM, without faults before and after."""
    yield shared_crm
    shared_crm.fail(**NO_FAULTS.to_json())


@pytest.fixture
def small_batches(tmp_path: Path) -> Path:
    """A registry whose CRM takes ten records at a time."""
    registry, file = (ROOT / "include" / "systems.toml").read_text(), tmp_path / "systems.toml"
    assert "batch_rows = 100" in registry
    file.write_text(registry.replace("batch_rows = 100", "batch_rows = 10"))
    return file


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The retry ladder without its waiting."""
    monkeypatch.setattr(rest, "wait_seconds", lambda attempt, asked: 0.0)


@dataclass
class Warehouse:
    """The warehouse as someone else sees it."""

    url: str
    connection: str

    def rows(self, table: str = "crm_lead_score") -> list[Record]:
        """All rows, by lead."""
        with psycopg.connect(self.dsn, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(f"SELECT * FROM {table} ORDER BY lead_id").fetchall()

    def execute(self, statement: str) -> None:
        """One statement as superuser."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement)

    @property
    def dsn(self) -> str:
        """The URL as psycopg wants it."""
        return make_url(self.url).set(drivername="postgresql").render_as_string(False)


@pytest.fixture
def warehouse(warehouse_url: str, postgres: Postgres) -> Warehouse:
    url = make_url(warehouse_url)
    connection = {"host": postgres.socket, "login": url.username, "schema": url.database}
    return Warehouse(warehouse_url, json.dumps(connection))


Begin = Callable[..., Night]


@pytest.fixture
def begin(make_night: Callable[..., Night], crm: Crm, warehouse: Warehouse) -> Begin:
    """Open a night that reaches CRM and warehouse, in mode auto; `fields` replaces what is written where."""

    def open_night(
        *,
        token: str | None = None,
        variables: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Night:
        reach = {"host": crm.endpoints.crm_url, "password": token or crm.endpoints.crm_token}
        known = {"AIRFLOW_CONN_CRM_DEFAULT": json.dumps(reach), WAREHOUSE: warehouse.connection}
        sink = replace(SINK, fields=fields or SINK.fields)
        more = {"options": RunOptions(mode=Mode.AUTO), "confidence_threshold": 0.5, **more}
        return make_night(connections={**known, **(variables or {})}, sinks=(sink,), **more)

    return open_night


def approve(night: Night, outputs: Mapping[str, Record]) -> Manifest:
    """Let answers, by contact, through the gate."""
    approved = gate(night, stage_enriched(night, outputs))
    assert approved.rows == len(outputs)
    return approved


def rows_in(night: Night, table: str) -> dict[str, Record]:
    """This run's rows of a table or view by row key; there must be at most one each."""
    query = text(f"SELECT * FROM nightledger.{table} WHERE run_id = :run")
    with night.ledger.connect() as connection:
        rows = [dict(r) for r in connection.execute(query, {"run": night.run_id}).mappings()]
    found = {row["row_key"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def outbox_of(night: Night) -> dict[str, Record]:
    """The outbox of this run, by contact."""
    return rows_in(night, "outbox")


def outcomes_of(night: Night) -> dict[str, tuple[str, str | None]]:
    """Outcome and reason, by contact."""
    return {key: (row["outcome"], row["reason"]) for key, row in rows_in(night, "outcome").items()}


def counts(result: dict[str, Any]) -> dict[str, int]:
    """What became of the rows, from a result of `write`."""
    return {name: result[name] for name in ("written", "sent", "unchanged", "failed")}


def nights_events(night: Night, kind: str) -> list[Any]:
    """Details of one type of event in a run's stream."""
    with night.ledger.connect() as connection:
        query = text("SELECT details FROM event WHERE stream = :run AND type = :kind ORDER BY seq")
        return list(connection.execute(query, {"run": night.run_id, "kind": kind}).scalars())
