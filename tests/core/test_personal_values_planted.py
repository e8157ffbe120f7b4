"""A night whose tickets hold 200 personal values and secrets: the destination gets them back, nobody else sees one."""

from __future__ import annotations

import io
import json
import logging
import random
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import requests
from sqlalchemy import inspect, text
from stdnum import iban, luhn

from include.cli import main
from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.demo.stack.environment import sandbox_connections
from include.ledger.verify import verify
from include.models import Record
from include.privacy.tokens import tokens_in
from tests.core.commands.test_cli import connection
from tests.core.conftest import Ledger

NAME = "support_triage"
TICKETS, OF_EACH = 25, 8
REFUSED, FOREIGN, TOO_LONG, PLAIN = 3, 4, 5, 6
"""Tickets that the endpoint rejects in their own words, and first answers with a token of its own; one that quarantine
takes, and one that the fitted model decides, which copies the subject."""


def _with_check(body: str) -> str:
    return body + luhn.calc_check_digit(body)


def _iban(number: int) -> str:
    basic = f"37040044{number:010d}"
    return f"DE{iban.calc_check_digits(f'DE00{basic}')}{basic}"


def planted(number: int) -> dict[str, str]:
    """The values of one ticket, by the words that they stand in."""
    random_ = random.Random(number)
    last = ("Okonkwo", "Lindqvist", "Kowalczyk", "Fernandez", "Vanderbilt")[number % 5]
    first = ("Siobhan", "Ngozi", "Matteo", "Katarzyna", "Ingrid")[number // 5 % 5]
    return {
        "My name is {} and": f"{first} {last}",
        "write to {}.": f"{first.lower()}.{last.lower()}{number}@leak.example",
        "Call me at {}.": f"+49 30 5551{number:02d}{random_.randint(1000, 9999)}",
        "My IBAN is {}.": _iban(number * 7919),
        "The card {} was charged.": _with_check(f"4556{random_.randint(10**10, 10**11 - 1)}"),
        "Our api_key={} is public.": f"sk-proj-{random_.getrandbits(96):024x}{number:04d}",
        "My social security number is {}.": f"{500 + number}-{10 + number}-{4000 + number}",
        "I came from {}.": f"203.0.{number}.{100 + number}",
    }


VALUES = [value for number in range(TICKETS) for value in planted(number).values()]


def body_of(number: int) -> str:
    """What such a customer writes; `zxq` is what the fitted model knows nothing of, so that somebody is asked."""
    said = " ".join(words.format(value) for words, value in planted(number).items())
    if number == PLAIN:
        return "I was charged twice for my subscription this month, please correct the invoice"
    if number == TOO_LONG:
        said += " and so on" * 3_000
    return f"Ticket {number:02d} zxq vrrt plomb. {said} quuux wibble frobnicate snorgle"


class Model(ThreadingHTTPServer):
    """An endpoint that repeats what it is told, and remembers every byte that it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sent: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Model

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.sent.append(f"{self.headers}{raw}")
        body = json.loads(raw)
        asked = body["messages"][1]["content"]
        told = json.loads(asked[asked.index("{") : asked.rindex("}") + 1])["body"]
        status, said = 200, self._answer(told, first=len(body["messages"]) == 2, model=body["model"])
        if told.startswith(f"Ticket {REFUSED:02d}"):
            status, said = 400, {"error": {"message": f"Invalid prompt: '{told}'", "code": "bad_value"}}
        content = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, told: str, *, first: bool, model: str) -> Record:
        found = re.findall(r"\[(?:PERSON|EMAIL|PHONE)_[0-9a-f]+\]", told)
        foreign = ["[EMAIL_00000000]"] if first and told.startswith(f"Ticket {FOREIGN:02d}") else []
        answer = {"category": "billing", "priority": "urgent", "language": "en", "confidence": 0.95}
        answer["summary"] = ("Answer " + " ".join([*foreign, *found]))[:160]
        message = {"role": "assistant", "content": json.dumps(answer)}
        usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {"id": "x", "model": model, "choices": [choice], "usage": usage}

    def log_message(self, *args: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def model() -> Iterator[Model]:
    with Model() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def sandbox(
    ledger: Ledger, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Endpoints, list[str]]]:
    """The stand-ins with our tickets in the CRM; their ids there, in order."""
    config = SandboxConfig(
        state=tmp_path / "sandbox",
        anchor=datetime(2026, 11, 20, 2, tzinfo=UTC),
        days=1,
        leads_per_day=1,
        crm_latency_ms=0,
        crm_requests_per_10s=10_000,
    )
    with running_sandbox(config) as endpoints:
        url = f"http://127.0.0.1:{model.server_address[1]}/v1"
        variables = {
            **sandbox_connections(endpoints.to_json()),
            "NIGHTLEDGER_HOME": str(tmp_path / "home"),
            "NIGHTLEDGER_TOKEN_SECRET": "test secret",
            "AIRFLOW_CONN_NIGHTLEDGER_DB": connection(ledger.urls.service),
            "AIRFLOW_CONN_OPENAI_DEFAULT": json.dumps({"conn_type": "openai", "host": url, "password": "a key"}),
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        ids = [one["id"] for one in crm(endpoints, "GET", "tickets?limit=100")["results"]][10 : 10 + TICKETS]
        for number, one in enumerate(ids):
            subject = f"Charged twice, says Mrs {planted(number)['My name is {} and']}"
            said = {"content": body_of(number), "subject": subject}
            crm(endpoints, "PATCH", f"tickets/{one}", {"properties": said})
        yield endpoints, ids


def crm(endpoints: Endpoints, method: str, path: str, body: Record | None = None) -> Record:
    head = {"Authorization": f"Bearer {endpoints.crm_token}"}
    answer = requests.request(method, f"{endpoints.crm_url}/crm/v3/objects/{path}", headers=head, json=body, timeout=20)
    answer.raise_for_status()
    found: Record = answer.json()
    return found


def run(until: str) -> tuple[Record, str]:
    """What each step says, and everything that it printed: the values that go from task to task are among it."""
    out = io.StringIO()
    interval = ("--from", "2026-11-19T02:00", "--to", until)
    assert main(("run", "all", NAME, *interval, "--mode", "auto"), out) == 0, out.getvalue()
    return {n: done for line in out.getvalue().splitlines() for n, done in json.loads(line).items()}, out.getvalue()


def dump(ledger: Ledger) -> dict[str, str]:
    """Every table of the ledger as text."""
    with ledger.owner.connect() as database:
        query = "SELECT coalesce(string_agg(t::text, chr(10)), '') FROM nightledger.{} t"
        tables = inspect(database).get_table_names("nightledger")
        return {name: database.scalar(text(query.format(name))) for name in tables}


def written_forms(value: str) -> set[str]:
    """A value as it may stand somewhere: as it is, within JSON, in parts of a name."""
    return {value, json.dumps(value)[1:-1], *(value.split() if re.fullmatch(r"[A-Z][a-z]+ [A-Z][a-z]+", value) else ())}


def leaks(where: str, content: str) -> list[str]:
    found = {form for value in VALUES for form in written_forms(value) if form in content}
    return [
        f"{where}: {one!r} in {content[max(content.find(one) - 80, 0) : content.find(one) + 40]!r}" for one in found
    ]


def test_two_hundred_planted_values_are_nowhere_but_where_they_belong(
    sandbox: tuple[Endpoints, list[str]],
    model: Model,
    ledger: Ledger,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert len(set(VALUES)) == len(VALUES) == TICKETS * OF_EACH == 200
    caplog.set_level(logging.DEBUG)
    endpoints, ids = sandbox
    until = datetime.now(UTC).isoformat()
    steps, said = run(until)
    counts = steps["close"]["counts"]
    assert counts["written"] > 60
    assert counts["dead_letter"] >= 1

    asked = [one for one in model.sent if "zxq" in one]
    assert len(asked) == TICKETS - 1, "all but two, and one of them again"
    assert not leaks("a request to the model", "\n".join(model.sent))
    assert "[CARD]" in asked[0]
    assert "[KEY]" in asked[0]
    for name, content in dump(ledger).items():
        assert not leaks(name, content)
    assert not leaks("what tasks hand on", said)
    assert not leaks("the log", caplog.text)
    assert not leaks("the terminal", "".join(capfd.readouterr()))
    reports = [p for p in (tmp_path / "home").rglob("*") if p.suffix in (".html", ".txt", ".json", ".csv", ".log")]
    assert len(reports) >= 2
    assert not [leak for place in reports for leak in leaks(place.name, place.read_text(encoding="utf-8"))]

    sent = {
        number: crm(endpoints, "GET", f"tickets/{one}?properties=nl_ticket_summary") for number, one in enumerate(ids)
    }
    summaries = {number: str(one["properties"]["nl_ticket_summary"]) for number, one in sent.items()}
    for number, summary in summaries.items():
        if number == PLAIN:
            assert summary == f"Charged twice, says Mrs {planted(number)['My name is {} and']}"
        elif number not in (REFUSED, TOO_LONG):
            assert not tokens_in(summary), "a token was delivered"
            assert planted(number)["My name is {} and"] in summary
            assert planted(number)["write to {}."] in summary
    with ledger.owner.connect() as database:
        problems = database.scalars(text("SELECT detail FROM nightledger.inference_result WHERE outcome = 'invalid'"))
        assert [one for one in problems if "a token that the question does not have" in one]

    before = len(model.sent)
    again, _ = run(until)
    assert len(model.sent) == before, "a finished night was paid twice"
    assert again["close"]["counts"]["unchanged"] == counts["written"]
    assert again["close"]["counts"].get("written", 0) == 0
    assert verify(ledger.owner).findings == ()
    assert not [leak for name, content in dump(ledger).items() for leak in leaks(name, content)]


def privacy(*arguments: str) -> str:
    out = io.StringIO()
    assert main(("privacy", *arguments), out) == 0, out.getvalue()
    return out.getvalue()


def test_a_person_who_asks_is_told_what_was_sent_and_erased(
    sandbox: tuple[Endpoints, list[str]],
    model: Model,
    ledger: Ledger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB_OWNER", connection(ledger.urls.owner))
    until = datetime.now(UTC).isoformat()
    run(until)
    theirs = planted(10)
    mail, name = theirs["write to {}."], theirs["My name is {} and"]
    lines = json.loads(privacy("sent", mail.upper(), "--form", "json"))
    (call,) = [line for line in lines if line["what"] == "sent"]
    assert re.fullmatch(r"\[EMAIL_[0-9a-f]{8}\]", call["shown"])
    assert (call["system"], call["vendor_keeps"], call["model"]) == ("model", "30 days", "sandbox-small")
    assert "body (tokens)" in call["columns"]
    assert [line["place"].split()[0] for line in lines if line["what"] == "written"]
    assert not leaks("the report", json.dumps(lines))

    key = call["row_key"]
    assert key in privacy("erase", mail)
    assert verify(ledger.owner).gone == ()
    said = privacy("erase", mail, "--reason", "asked by letter", "--yes")
    assert "Not all is done" not in said
    found = verify(ledger.owner)
    assert found.holds, found.as_text()
    assert "asked by letter" in found.as_text()
    assert not leaks("what is said", said)
    tokens = {one for line in lines for one in re.findall(r"\[[A-Z]+_[0-9a-f]+\]", str(line["shown"]))}
    for table, content in dump(ledger).items():
        assert not [token for token in tokens if token in content], table
    staged = "".join(str(pq.read_table(place).to_pylist()) for place in (tmp_path / "home").rglob("*.parquet"))
    assert staged
    assert mail not in staged
    assert name not in staged

    calls = len(model.sent)
    steps, _ = run(until)
    assert len(model.sent) == calls, "the erased row was asked again"
    assert verify(ledger.owner).holds
    assert steps["close"]["counts"].get("written", 0) == 0
    assert "erased True" in privacy("sent", "--use-case", NAME, "--row-key", key)
    assert not [one for one in dump(ledger).values() if any(token in one for token in tokens)]
