"""Accounts are briefed by night: an agent reads what belongs to each, a person decides, a re-run costs nothing."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import ValidationError
from sqlalchemy import text

from include.cli import main
from include.demo.sandbox.config import Endpoints, SandboxConfig, last_night
from include.demo.sandbox.process import running_sandbox
from include.ledger.verify import verify
from include.models import Interval, Record
from include.spec.use_case import load
from include.use_cases.account_brief.output import Output
from tests.core.commands.test_cli import connection
from tests.core.conftest import Ledger

NAME = "account_brief"
CASE = load(NAME)
END = last_night()
INTERVAL = Interval(END - timedelta(days=1), END)


class Sandbox:
    """The running stand-ins, asked for what they have seen themselves."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints

    def crm(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.endpoints.crm_token}"}
        reply = requests.request(method, f"{self.endpoints.crm_url}{path}", json=body, headers=headers, timeout=10)
        reply.raise_for_status()
        return reply.json()

    def company(self, number: str) -> Record:
        names = "nl_brief,nl_brief_health,nl_brief_sources,nl_brief_origin,customer_number"
        return dict(self.crm("GET", f"/crm/v3/objects/companies/{number}?properties={names}")["properties"])

    def seen(self) -> tuple[int, int]:
        """Calls of the model, and records written to the CRM."""
        billed = requests.get(f"{self.endpoints.model_root}/sandbox/billed", timeout=10).json()["calls"]
        return billed, self.crm("GET", "/sandbox/crm/requests")["records_written"]


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    config = SandboxConfig(
        state=tmp_path_factory.mktemp("sandbox"),
        anchor=END,
        days=1,
        leads_per_day=20,
        crm_latency_ms=0,
        model_latency_ms=0,
        crm_requests_per_10s=10_000,
    )
    with running_sandbox(config) as endpoints:
        yield endpoints


@pytest.fixture
def sandbox(endpoints: Endpoints, tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    for name, value in connections_to(endpoints, ledger).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIGHTLEDGER_TOKEN_SECRET", "test secret")
    return Sandbox(endpoints)


def connections_to(endpoints: Endpoints, ledger: Ledger) -> dict[str, str]:
    login = {"login": endpoints.erp_login, "password": endpoints.erp_password}
    variables = {
        "CRM_DEFAULT": {"host": endpoints.crm_url, "password": endpoints.crm_token},
        "ERP_DEFAULT": {"conn_type": "http", "host": endpoints.erp_url, **login},
        "OPENAI_DEFAULT": {"host": endpoints.model_url, "password": endpoints.model_key},
    }
    given = {f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in variables.items()}
    return given | {"AIRFLOW_CONN_NIGHTLEDGER_DB": connection(ledger.urls.service)}


def command(*arguments: str) -> str:
    out = io.StringIO()
    assert main(arguments, out) == 0, out.getvalue()
    return out.getvalue()


def run_all(mode: str = "auto") -> Record:
    when = ("--from", INTERVAL.start.isoformat(), "--to", INTERVAL.end.isoformat(), "--mode", mode)
    said = command("run", "all", NAME, *when)
    return {name: done for line in said.splitlines() for name, done in json.loads(line).items()}


def rows_of(ledger: Ledger, query: str, **given: Any) -> list[Any]:
    with ledger.service.connect() as connection:
        return list(connection.execute(text(query), given).all())


def test_a_night_reads_for_every_account_leaves_all_to_people_and_another_run_does_nothing(
    sandbox: Sandbox, ledger: Ledger
) -> None:
    done = run_all()
    run_id, counts = done["close"]["run_id"], done["close"]["counts"]
    accounts = sum(counts.values())
    assert accounts > 10
    assert counts == {"in_review": accounts}, "none goes out alone, in mode auto neither"
    calls, written = sandbox.seen()
    kinds = Counter(row[0] for row in rows_of(ledger, "SELECT kind FROM nightledger.inference"))
    assert (kinds["ask"], kinds["tool"], written) == (accounts, 3 * accounts, 0)
    assert calls == kinds["ask"] + kinds["step"] == 4 * accounts
    reads = (
        "SELECT i.row_key, i.messages, r.parsed FROM nightledger.inference i JOIN nightledger.inference_result r "
        "USING (inference_id) WHERE i.kind = 'tool' AND r.outcome = 'ok' ORDER BY i.recorded_at"
    )
    shown: dict[str, set[str]] = {}
    for key, messages, parsed in rows_of(ledger, reads):
        assert (messages[0]["role"], set(messages[0])) == ("tool", {"role", "name", "reads", "arguments"})
        shown.setdefault(key, set()).update(parsed["ids"])
    answers = rows_of(ledger, "SELECT row_key, output FROM nightledger.decided_answer WHERE run_id = :run", run=run_id)
    assert len(answers) == accounts
    for key, output in answers:
        assert output["sources"]
        assert set(output["sources"]) <= shown[key]
    again = run_all()
    assert again["close"]["counts"] == counts
    assert sandbox.seen() == (calls, 0)
    assert Counter(row[0] for row in rows_of(ledger, "SELECT kind FROM nightledger.inference")) == kinds
    assert verify(ledger.owner).findings == ()
