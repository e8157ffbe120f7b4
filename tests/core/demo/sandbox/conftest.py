"""Sandboxes for tests: one shared and quick, and others made to order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.faults import NO_FAULTS
from include.demo.sandbox.process import running_sandbox

ANCHOR = datetime(2026, 11, 20, 2, tzinfo=UTC)
QUICK: dict[str, Any] = {
    "anchor": ANCHOR,
    "leads_per_day": 120,
    "days": 2,
    "model_latency_ms": 0.0,
    "crm_latency_ms": 0.0,
    "crm_requests_per_10s": 1_000_000,
    "rpm": 1_000_000,
    "tpm": 1_000_000_000,
}

Start = Callable[..., Endpoints]


@dataclass
class Crm:
    """A caller of one CRM with one token."""

    endpoints: Endpoints
    token: str | None = None

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> requests.Response:
        """Send one request; the CRM's main token unless another is given."""
        headers = {"Authorization": f"Bearer {token or self.token or self.endpoints.crm_token}"}
        return requests.request(method, f"{self.endpoints.crm_url}{path}", json=body, headers=headers, timeout=20)

    def search(self, kind: str, *filters: dict[str, Any], **more: Any) -> Any:
        """The body of a search with one filter group."""
        body = {"filterGroups": [{"filters": list(filters)}] if filters else [], **more}
        answer = self.call("POST", f"/crm/v3/objects/{kind}/search", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def first(self, kind: str = "contacts") -> str:
        """The id of the first record."""
        return str(self.call("GET", f"/crm/v3/objects/{kind}?limit=1").json()["results"][0]["id"])

    def read(self, number: str, *names: str, kind: str = "contacts") -> dict[str, str | None]:
        """Some properties of one record."""
        answer = self.call("GET", f"/crm/v3/objects/{kind}/{number}?properties={','.join(names)}")
        assert answer.status_code == 200, answer.text
        properties: dict[str, str | None] = answer.json()["properties"]
        return properties


def clear_faults(endpoints: Endpoints) -> None:
    """Stop both HTTP stand-ins from failing."""
    for url in (f"{endpoints.model_root}/sandbox/faults", f"{endpoints.crm_url}/sandbox/crm/faults"):
        requests.post(url, json=NO_FAULTS.to_json(), timeout=5).raise_for_status()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """One sandbox for the tests that leave it as it is, or do not mind."""
    with running_sandbox(SandboxConfig(tmp_path_factory.mktemp("sandbox"), **QUICK)) as endpoints:
        yield endpoints


@pytest.fixture
def endpoints(shared: Endpoints) -> Iterator[Endpoints]:
    """The shared sandbox, without faults before and after."""
    yield shared
    clear_faults(shared)


@pytest.fixture
def crm(endpoints: Endpoints) -> Crm:
    """The shared sandbox's CRM."""
    return Crm(endpoints)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a sandbox of one's own: quick, with little data, and whatever else is asked for."""
    with ExitStack() as stack:

        def begin(**options: Any) -> Endpoints:
            chosen: dict[str, Any] = {**QUICK, "leads_per_day": 12, "days": 1, "state": tmp_path / "state", **options}
            return stack.enter_context(running_sandbox(SandboxConfig(**chosen)))

        yield begin
