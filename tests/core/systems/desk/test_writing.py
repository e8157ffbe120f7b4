"""Drafts at a service desk: the contract of sinks, private comments alone, and nothing on a ticket that is over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.desk import LOGIN, MARK_FIELD
from include.demo.sandbox.process import running_sandbox
from include.errors import AccessDenied, ConfigurationError, ContractBroken
from include.models import Record
from include.settings import ROOT
from include.systems.connections import StoredConnection, open_http
from include.systems.desk.declared import DeskReply
from include.systems.desk.writing import DRAFT, DeskDrafts
from include.systems.http import RestClient
from include.systems.port import VERSION, Outgoing, Sent
from include.systems.registry import read_systems
from tests.core.systems.contracts import SinkContract, SinkWorld

SINK = DeskReply(
    system="desk",
    object="tickets",
    mark=MARK_FIELD,
    prefix="T-",
    links=("https://help.example.com/returns",),
    fields={"score": "subject", "note": "body"},
    longest=40,
)
FIRST = 500
SYSTEM = read_systems(ROOT / "include" / "systems.toml")["desk"]
UNPACED = replace(SYSTEM, limits=())


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    state = tmp_path_factory.mktemp("desk")
    config = SandboxConfig(
        state=state, anchor=datetime(2026, 11, 20, 2, tzinfo=UTC), days=1, leads_per_day=1, erp_latency_ms=0
    )
    with running_sandbox(config) as endpoints:
        lines = [f"HD-{FIRST + n},2026-11-19T09:00:00+00:00,Subject {n},Body {n}" for n in range(200)]
        file = state / "sftp" / "drop" / "tickets_2026-01-01.csv"
        file.write_text("\n".join(["ticket_id,created_at,subject,body", *lines]), encoding="utf-8")
        yield endpoints


def opened(desk: Endpoints, sink: DeskReply = SINK, token: str = "") -> DeskDrafts:
    stored = StoredConnection("desk_default", host=desk.desk_url, login=LOGIN, password=token or desk.desk_token)
    client = RestClient(open_http(stored), UNPACED, sleep=lambda seconds: None)
    here: Any = SimpleNamespace(client=lambda name: client, system=lambda name: UNPACED)
    return sink.open(here)


class Desk:
    """The stand-in as an agent sees it."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints

    def call(self, method: str, path: str, body: Any = None) -> Any:
        login = (LOGIN, self.endpoints.desk_token)
        reply = requests.request(method, f"{self.endpoints.desk_url}{path}", json=body, auth=login, timeout=10)
        reply.raise_for_status()
        return reply.json()

    def work_on(self, number: int, **ticket: Any) -> None:
        self.call("PUT", f"/api/v2/tickets/{number}.json", {"ticket": ticket})

    def comments(self, number: int) -> list[Record]:
        return list(self.call("GET", f"/api/v2/tickets/{number}/comments.json")["comments"])

    def changes(self) -> list[Record]:
        return list(self.call("GET", "/sandbox/desk")["changes"])

    def fail(self, **plan: Any) -> None:
        self.call("POST", "/sandbox/desk/faults", plan)


@pytest.fixture
def agent(desk: Endpoints) -> Iterator[Desk]:
    made = Desk(desk)
    yield made
    made.fail(rates={})


class DeskWorld(SinkWorld):
    """Tickets of one test are its own: numbers go on from test to test."""

    creates = False
    versioned = True
    names: Mapping[str, str] = {"score": "subject", "note": "body"}
    used = 0

    def __init__(self, desk: Endpoints, agent: Desk) -> None:
        self.desk, self.agent = desk, agent
        DeskWorld.used += 14
        self.first = FIRST + DeskWorld.used
        self.before = len(agent.changes())
        self.others = 0

    def put(self, number: int, **values: Any) -> None:
        mark = opened(self.desk).form({self.names[name]: value for name, value in values.items()})[DRAFT]
        self.agent.work_on(self.first + number, custom_fields=[{"id": MARK_FIELD, "value": mark}])
        self.others += 1

    def held(self) -> Mapping[str, Record]:
        found: dict[str, Record] = {}
        for change in self.agent.changes()[self.before :]:
            said = change.get("comment", {}).get("body", "")
            subject, _, body = said.removeprefix("Subject: ").partition("\n\n")
            kept = {"score": subject or "0", "note": body}
            found[f"T-{change['id']}"] = kept if said else {"score": "0", "note": "a person's"}
        return found

    def writes_seen(self) -> int:
        return len(self.agent.changes()) - self.before - self.others

    def lose_next_answer(self) -> None:
        self.agent.fail(rates={"reset": 1.0}, first_asks=1)

    def id_of(self, number: int) -> str:
        return f"T-{self.first + number if number < 14 else 10**9 + number}"

    def open(self) -> DeskDrafts:
        return opened(self.desk)


class TestDeskReply(SinkContract):
    @pytest.fixture
    def world(self, desk: Endpoints, agent: Desk) -> DeskWorld:
        return DeskWorld(desk, agent)


def send(there: DeskDrafts, number: int, before: Record | None = None, **values: Any) -> Sent:
    (sent,) = there.send({f"T-{number}": Outgoing(there.form(values), "run/1", before=before)}).values()
    return sent


def test_a_draft_is_a_private_comment_and_the_customer_sees_nothing_of_it(desk: Endpoints, agent: Desk) -> None:
    sent = send(opened(desk), 690, subject="Hello", body="Text")
    assert sent.after is not None
    assert (sent.after["subject"], sent.after["status"]) == ("Hello", "open")
    first, draft = agent.comments(690)
    assert first["public"] is True
    assert (draft["public"], draft["body"]) == (False, "Subject: Hello\n\nText")


def test_the_body_of_the_call_is_what_the_vendor_documents(desk: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    there, asked = opened(desk), list[tuple[Any, ...]]()
    taken = RestClient.call

    def call(self: RestClient, *given: Any, **more: Any) -> Any:
        asked.append(given)
        return taken(self, *given, **more)

    monkeypatch.setattr(RestClient, "call", call)
    before = dict(there.read(["T-691"])["T-691"])
    send(there, 691, before, subject="S", body="B")
    mark = there.form({"subject": "S", "body": "B"})[DRAFT]
    assert asked[-1] == (
        "PUT",
        "/api/v2/tickets/691.json",
        {
            "ticket": {
                "comment": {"body": "Subject: S\n\nB", "public": False},
                "custom_fields": [{"id": MARK_FIELD, "value": mark}],
                "safe_update": True,
                "updated_stamp": before[VERSION],
            }
        },
    )
    assert len(mark) == 32


@pytest.mark.parametrize("status", ["solved", "closed"])
def test_a_ticket_that_is_over_gets_none(desk: Endpoints, agent: Desk, status: str) -> None:
    number = {"solved": 692, "closed": 693}[status]
    agent.work_on(number, status=status)
    there = opened(desk)
    sent = send(there, number, dict(there.read([f"T-{number}"])[f"T-{number}"]), body="Text")
    assert (sent.after, sent.cause) == (None, "changed_since_read")
    assert len(agent.comments(number)) == 1


def test_a_ticket_that_was_closed_unseen_refuses_in_the_desks_word(desk: Endpoints, agent: Desk) -> None:
    agent.work_on(694, status="closed")
    sent = send(opened(desk), 694, body="Text")
    assert (sent.cause, sent.detail) == ("rejected_by_destination", "422 RecordInvalid")


@pytest.mark.parametrize(
    "body",
    [
        "see https://evil.example/claim",
        "see help.example.com.evil.io",
        "https://help.example.com/returns/../x",
        "write to a@evil.example",
        "evil\u200b.example",
        "evil[.]example",
        "javascript:alert(1)",
    ],
)
def test_no_address_leaves_but_those_allowed(desk: Endpoints, agent: Desk, body: str) -> None:
    sent = send(opened(desk), 695, body=body)
    assert sent.cause == "rejected_by_destination"
    assert "evil" not in sent.detail
    assert len(agent.comments(695)) == 1


def test_an_allowed_address_leaves(desk: Endpoints) -> None:
    assert send(opened(desk), 696, body="https://help.example.com/returns").after


@pytest.mark.parametrize("one", ["T-", "T-x", "696", "HD-696", "T-6\u0669", "T-696/../7"])
def test_what_is_no_number_of_a_ticket_is_missing(desk: Endpoints, one: str) -> None:
    there = opened(desk)
    (sent,) = there.send({one: Outgoing(there.form({"body": "Text"}), "run/1")}).values()
    assert sent.cause == "record_missing"
    assert there.read([one]) == {}


def test_the_field_for_marks_must_be_there(desk: Endpoints) -> None:
    opened(desk).check_contract()
    with pytest.raises(ContractBroken, match="ticket field 7 does not exist"):
        opened(desk, replace(SINK, mark=7)).check_contract()


def test_a_wrong_token_is_told_without_it(desk: Endpoints) -> None:
    with pytest.raises(AccessDenied) as error:
        opened(desk, token="wrong-secret").check_contract()
    assert "wrong-secret" not in str(error.value)


@pytest.mark.parametrize("fields", [{"a": "subject"}, {"a": "body", "b": "cc"}])
def test_a_declaration_that_cannot_work_is_refused(desk: Endpoints, fields: Any) -> None:
    with pytest.raises(ConfigurationError):
        opened(desk, replace(SINK, fields=fields))


def test_the_journal_outlives_the_process(desk: Endpoints, agent: Desk) -> None:
    kept = (Path(desk.state) / "desk" / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in kept] == agent.changes()
