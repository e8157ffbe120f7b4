"""The sandbox's CRM, called as its owner would, and clients of it as the adapters have them.

What the sandbox does not answer comes from a server that answers as scripted.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.crm.properties import SITES
from include.demo.sandbox.process import running_sandbox
from include.settings import ROOT
from include.systems.connections import HttpEndpoint
from include.systems.http import RestClient
from include.systems.registry import System, read_systems
from tests.core.demo.sandbox.conftest import QUICK

SYSTEM: System = dataclasses.replace(
    read_systems(ROOT / "include" / "systems.toml")["crm"], limits=(), call_limits={}, page_rows=5, batch_rows=5
)
__all__ = ["SITES"]


@dataclass
class Crm:
    """The sandbox's CRM and what its owner does there."""

    endpoints: Endpoints
    session: requests.Session

    def call(self, method: str, path: str, body: Any = None) -> Any:
        reply = self.session.request(method, f"{self.endpoints.crm_url}{path}", json=body, timeout=10)
        reply.raise_for_status()
        return reply.json()

    def client(self) -> RestClient:
        return RestClient(HttpEndpoint(self.session, self.endpoints.crm_url), SYSTEM, sleep=lambda _: None)

    def make(self, kind: str, **sites: Any) -> list[str]:
        """Records of the custom object by external id; the ids that they got."""
        inputs = [{"id": k, "idProperty": "external_id", "properties": v} for k, v in sites.items()]
        return [
            str(one["id"])
            for one in self.call("POST", f"/crm/v3/objects/{kind}/batch/upsert", {"inputs": inputs})["results"]
        ]

    def change(self, kind: str, number: str, **values: Any) -> None:
        self.call("PATCH", f"/crm/v3/objects/{kind}/{number}", {"properties": values})

    def read(self, kind: str, number: str, *names: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/crm/v3/objects/{kind}/{number}?properties={','.join(names)}")["properties"])

    def ids(self, kind: str, number: int) -> list[str]:
        return [str(one["id"]) for one in self.call("GET", f"/crm/v3/objects/{kind}?limit={number}")["results"]]

    def associate(self, one: tuple[str, str], other: tuple[str, str], *types: int) -> None:
        body = [{"associationCategory": "USER_DEFINED", "associationTypeId": each} for each in types]
        self.call("PUT", f"/crm/v4/objects/{one[0]}/{one[1]}/associations/{other[0]}/{other[1]}", body)

    def seen(self) -> dict[str, Any]:
        return dict(self.call("GET", "/sandbox/crm/requests"))

    def fail(self, **plan: Any) -> None:
        self.call("POST", "/sandbox/crm/faults", {"seed": 3, "rates": {}, **plan})


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    options = {**QUICK, "leads_per_day": 60, "days": 1, "crm_associations_per_page": 2}
    with running_sandbox(SandboxConfig(tmp_path_factory.mktemp("sandbox"), **options)) as found:
        yield found


@pytest.fixture
def crm(endpoints: Endpoints) -> Iterator[Crm]:
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {endpoints.crm_token}"
        yield Crm(endpoints, session)


@dataclass
class Script:
    """Answers to be given in their order, as status and body; `asked` are the bodies that came, with their paths."""

    url: str
    answers: list[tuple[int, Any]] = field(default_factory=list)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def client(self, session: requests.Session) -> RestClient:
        return RestClient(HttpEndpoint(session, self.url), SYSTEM, sleep=lambda _: None)


@pytest.fixture(scope="module")
def server() -> Iterator[Script]:
    script = Script("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            script.asked.append((self.path, json.loads(said) if said else None))
            status, body = script.answers.pop(0)
            payload = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST

        def log_message(self, *arguments: Any) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    script.url = f"http://127.0.0.1:{running.server_address[1]}"
    yield script
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def script(server: Script) -> Script:
    server.answers.clear()
    server.asked.clear()
    return server


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        yield made


def results(*records: Any, errors: Sequence[Any] = ()) -> tuple[int, Any]:
    """An answer with results, and as a 207 with errors."""
    body: dict[str, Any] = {"status": "COMPLETE", "results": list(records)}
    return (207, {**body, "numErrors": len(errors), "errors": list(errors)}) if errors else (200, body)
