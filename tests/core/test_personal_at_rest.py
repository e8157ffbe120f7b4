"""A night whose CRM holds personal values where nobody declared any: none of them rests in clear, none leaves."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url

from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.ledger.verify import verify
from include.models import Interval, Mode, Record, RunOptions
from include.night.check.check import check
from include.night.enrich.enrich import enrich
from include.night.extract.extract import extract
from include.night.gate.answers import check_answers
from include.night.gate.gate import gate
from include.night.write.write import write
from include.run import Night
from include.spec.prompt import load_prompt
from include.spec.use_case import load
from include.stages import close
from tests.core.conftest import Ledger

LEADS = 30
END = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=3)
"""In the future, so that what a person changes in the CRM now lies within the night."""
HIDDEN = ("leak.example", "55512345", "0532013000", "4111111111111111", "sk-proj-abcdefghij")


def title(number: int) -> str:
    """A job title with what people put into one, for four leads of five."""
    values = (
        f"ada.{number}@leak.example",
        f"+49 30 55512345{number:02d}",
        "DE89370400440532013000",
        f"4111111111111111 and sk-proj-abcdefghijklmnop{number:04d}",
        "nothing else",
    )
    return f"Head of Ops, {values[number % 5]}"


class Model(ThreadingHTTPServer):
    """An endpoint that repeats what it was told, refuses the row of title 6, and remembers what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Model

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = body["messages"][-1]["content"]
        self.server.asked.append(asked)
        told = json.loads(asked[asked.index("{") : asked.rindex("}") + 1])["job_title"]
        if told.endswith("06"):
            status, said = 400, {"error": {"message": f"Invalid prompt: '{told}' is not allowed", "code": "bad_value"}}
        else:
            answer = {
                **{"score": 80, "tier": "hot", "summary": f"Talk to {told}", "next_action": "call"},
                **{"confidence": 0.5 if "nothing" in told else 0.9, "reasons": [told[:200]]},
            }
            message = {"role": "assistant", "content": json.dumps(answer)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            status, said = 200, {"id": "x", "model": body["model"], "choices": [choice]}
            said["usage"] = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
        content = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def model() -> Iterator[Model]:
    with Model() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    config = SandboxConfig(
        state=tmp_path_factory.mktemp("sandbox"),
        anchor=END,
        days=1,
        leads_per_day=LEADS,
        crm_latency_ms=0,
        crm_requests_per_10s=10_000,
    )
    with running_sandbox(config) as endpoints:
        yield endpoints


NightOf = Callable[[], Night]


@pytest.fixture
def night_of(
    sandbox: Endpoints,
    model: Model,
    make_night: Callable[..., Night],
    warehouse_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> NightOf:
    monkeypatch.setattr("include.night.extract.extract._refuse_future", lambda night: None)
    rules = load("crm_lead_scoring").module("expectations")
    kept = [
        one for one in rules.EXPECTATIONS if one.id != "industry_complete"
    ]  # too few leads for a share to be sure of
    monkeypatch.setattr(rules, "EXPECTATIONS", kept)

    def make() -> Night:
        e, db = sandbox, make_url(warehouse_url)
        extra = {"host_key": e.sftp_host_key, "key_file": e.sftp_key_file}
        given: dict[str, Record] = {
            "CRM_DEFAULT": {"host": e.crm_url, "password": e.crm_token},
            "SFTP_DEFAULT": {"host": e.sftp_host, "port": e.sftp_port, "login": e.sftp_login, "extra": extra},
            "OPENAI_DEFAULT": {"host": model.url, "password": "a key"},
            "WAREHOUSE_DEFAULT": {"host": db.query["host"], "schema": db.database, "login": db.username},
        }
        return make_night(
            interval=Interval(END - timedelta(days=1), END),
            connections={f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in given.items()},
            options=RunOptions(mode=Mode.AUTO),
            prompt=load_prompt(load("crm_lead_scoring")).as_mapping(),
        )

    return make


def crm(endpoints: Endpoints, method: str, path: str, body: Record | None = None) -> Record:
    head = {"Authorization": f"Bearer {endpoints.crm_token}"}
    answer = requests.request(method, f"{endpoints.crm_url}/crm/v3/objects/{path}", headers=head, json=body, timeout=20)
    answer.raise_for_status()
    found: Record = answer.json()
    return found


def leads_of(endpoints: Endpoints) -> list[Record]:
    names = "jobtitle,email,nl_lead_summary,industry"
    found: list[Record] = crm(endpoints, "GET", f"contacts?limit=100&properties={names}")["results"]
    return found


def run(night: Night) -> Record:
    enriched = enrich(night, check(night, extract(night)))
    check_answers(night, enriched)
    write(night, gate(night, enriched))
    return close(night)


def dump(ledger: Ledger) -> dict[str, str]:
    """Every table of the ledger as text."""
    with ledger.owner.connect() as connection:
        tables = inspect(connection).get_table_names("nightledger")
        query = "SELECT coalesce(string_agg(t::text, chr(10)), '') FROM nightledger.{} t"
        return {name: connection.scalar(text(query.format(name))) for name in tables}


def leaks(where: str, content: str) -> list[str]:
    return [f"{where}: {content[at - 60 : at + 30]!r}" for one in HIDDEN if (at := content.find(one)) >= 0]


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """Folders that are not 0700 and files that are not 0600, below a folder and itself."""
    found = []
    for place in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(place.lstat().st_mode)
        if mode != (0o700 if place.is_dir() else 0o600):
            found.append(f"{mode:o} {place.relative_to(folder.parent)}")
    return found


def test_personal_values_in_columns_that_nobody_declared_never_rest_in_clear(
    night_of: NightOf,
    sandbox: Endpoints,
    model: Model,
    ledger: Ledger,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    for number, lead in enumerate(leads_of(sandbox)):
        crm(sandbox, "PATCH", f"contacts/{lead['id']}", {"properties": {"jobtitle": title(number)}})
    with umask(0):
        done = run(night_of())
    assert {"written", "quarantined", "dead_letter", "in_review"} <= done["counts"].keys()

    assert not open_to_others(tmp_path / "staging"), "another account of the machine can read it"
    tables = dump(ledger)
    found = [leak for name, content in tables.items() for leak in leaks(name, content)]
    assert not found
    for name in ("inference", "inference_result", "dead_letter", "quarantine", "outbox_intent"):
        assert re.search(r"token:[0-9a-f]{12}", tables[name]), f"nothing in {name} says that something was replaced"

    reports = [p for p in tmp_path.rglob("*") if p.suffix in (".html", ".txt", ".json", ".csv")]
    assert len(reports) >= 4
    assert not [leak for place in reports for leak in leaks(place.name, place.read_text(encoding="utf-8"))]
    assert not leaks("the log", caplog.text)
    assert not [leak for lead in leads_of(sandbox) for leak in leaks("CRM", str(lead["properties"]["nl_lead_summary"]))]

    clean = {asked for asked in model.asked if "nothing else" in asked}
    with ledger.owner.connect() as connection:
        kept = set(connection.scalars(text("SELECT messages #>> '{0,content}' FROM nightledger.inference")))
    assert clean
    assert clean <= kept, "a text without personal values was changed"

    calls, written = len(model.asked), done["counts"]["written"]
    again = run(night_of())
    assert len(model.asked) == calls
    assert again["counts"]["unchanged"] == written
    assert verify(ledger.owner).findings == ()
