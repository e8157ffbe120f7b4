"""The REST client against a real HTTP server that answers as scripted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from include.errors import AccessDenied, ConfigurationError, ContractBroken, SystemUnavailable
from include.systems.connections import HttpEndpoint
from include.systems.http import RestClient
from include.systems.registry import System, Window


@dataclass
class Answer:
    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    drop: bool = False


@dataclass
class Script:
    """Answers in order, the last one for ever; `seen` are the requests that came."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)

    def says(self, *answers: Answer) -> None:
        self.answers = list(answers)


@pytest.fixture(scope="module")
def server() -> Iterator[Script]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer leaves in one piece, or the client waits 40 ms for the second

        def handle_one(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            script.seen.append((self.command, self.path))
            answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            if answer.drop:
                self.close_connection = True
                self.connection.close()
                return
            body = json.dumps(answer.body).encode() if answer.raw is None else answer.raw
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = handle_one

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    script.url = f"http://127.0.0.1:{http.server_port}"
    yield script
    http.shutdown()
    http.server_close()


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def client(server: Script, clock: Clock, *limits: Window, url: str = "") -> RestClient:
    server.seen.clear()
    system = System(
        name="crm",
        purpose="test",
        data="test",
        api="HubSpot CRM API v3",
        connection="crm_default",
        auth="bearer",
        network="loopback",
        scopes=("crm.objects.contacts.read",),
        timeout_seconds=2,
        limits=limits,
    )
    session = requests.Session()
    session.trust_env = False
    return RestClient(HttpEndpoint(session, url or server.url), system, sleep=clock.sleep, clock=clock)


def test_a_reply_carries_status_body_and_headers_in_any_case(server: Script, clock: Clock) -> None:
    server.says(Answer(207, {"results": [1]}, {"X-Trace": "abc"}))
    reply = client(server, clock).call("POST", "/x", {"a": 1}, accept=(200, 207))
    assert (reply.status, reply.body, reply.headers["x-trace"]) == (207, {"results": [1]}, "abc")
    assert server.seen == [("POST", "/x")]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_failure_is_retried(server: Script, clock: Clock, status: int) -> None:
    server.says(Answer(status, {"message": "no"}), Answer(200, {"ok": True}))
    rest = client(server, clock)
    assert rest.call("GET", "/x").body == {"ok": True}
    assert (rest.calls, rest.retries) == (2, 1)
    assert 1 <= clock.slept[0] < 2


def test_retry_after_is_obeyed(server: Script, clock: Clock) -> None:
    server.says(Answer(429, {}, {"Retry-After": "10"}), Answer(200, {}))
    client(server, clock).call("GET", "/x")
    assert 10 <= clock.slept[0] < 11


def test_a_lost_connection_is_retried(server: Script, clock: Clock) -> None:
    server.says(Answer(drop=True), Answer(200, {"ok": True}))
    rest = client(server, clock)
    assert rest.call("GET", "/x").body == {"ok": True}
    assert rest.retries == 1


def test_five_failures_make_the_system_unavailable(server: Script, clock: Clock) -> None:
    server.says(Answer(503, {}))
    rest = client(server, clock)
    with pytest.raises(SystemUnavailable, match=r"crm GET /x: answered 503, 5 times"):
        rest.call("GET", "/x?secret=1")
    assert (rest.calls, len(clock.slept)) == (5, 4)


def test_an_unreachable_host_is_unavailable_and_not_a_crash(server: Script, clock: Clock) -> None:
    with pytest.raises(SystemUnavailable, match="did not answer"):
        client(server, clock, url="http://127.0.0.1:9").call("GET", "/x")


def test_401_names_the_connection_and_is_not_retried(server: Script, clock: Clock) -> None:
    server.says(Answer(401, {"message": "Authentication credentials not found"}))
    rest = client(server, clock)
    with pytest.raises(AccessDenied, match=r"expired or wrong.*crm_default"):
        rest.call("GET", "/x")
    assert rest.calls == 1


def test_403_names_the_scopes_that_the_body_asks_for(server: Script, clock: Clock) -> None:
    context = {"requiredGranularScopes": ["crm.objects.companies.read"]}
    server.says(Answer(403, {"category": "MISSING_SCOPES", "errors": [{"message": "x", "context": context}]}))
    with pytest.raises(AccessDenied, match=r"scope crm\.objects\.companies\.read"):
        client(server, clock).call("GET", "/x")


def test_403_without_detail_names_the_scopes_of_the_registry(server: Script, clock: Clock) -> None:
    server.says(Answer(403, raw=b"forbidden"))
    with pytest.raises(AccessDenied, match=r"crm\.objects\.contacts\.read"):
        client(server, clock).call("GET", "/x")


def test_another_refusal_keeps_the_names_and_drops_the_values(server: Script, clock: Clock) -> None:
    message = (
        'Property "jobtitel" does not exist; anna@example.com and +49 170 1234567 are taken, '
        'Annabelle was not one of the allowed options, "Bernd" neither' + " and so on" * 50
    )
    server.says(Answer(400, {"message": message}))
    body = {"properties": ["jobtitel"], "inputs": [{"properties": {"firstname": "Annabelle"}}]}
    with pytest.raises(ContractBroken) as caught:
        client(server, clock).call("POST", "/x", body)
    text = str(caught.value)
    assert '400 Property "jobtitel" does not exist' in text
    assert not any(value in text for value in ("anna@", "1234567", "Annabelle", "Bernd"))
    assert len(text) < 260


@pytest.mark.parametrize("answer", [Answer(404, {"message": "gone"}), Answer(409, raw=b"<html>")])
def test_other_4xx_break_the_contract_at_once(server: Script, clock: Clock, answer: Answer) -> None:
    server.says(answer)
    rest = client(server, clock)
    with pytest.raises(ContractBroken, match=str(answer.status)):
        rest.call("GET", "/x")
    assert rest.calls == 1


@pytest.mark.parametrize("raw", [b"<html>login</html>", b"", b'{"cut": '])
def test_a_body_that_is_no_json_breaks_the_contract(server: Script, clock: Clock, raw: bytes) -> None:
    server.says(Answer(200, raw=raw))
    with pytest.raises(ContractBroken, match="no JSON"):
        client(server, clock).call("GET", "/x")


def test_a_redirect_is_not_followed_with_the_credential(server: Script, clock: Clock) -> None:
    server.says(Answer(302, headers={"Location": "http://127.0.0.1:9/elsewhere?token=secret"}))
    rest = client(server, clock)
    with pytest.raises(ConfigurationError, match=r"redirects to http://127\.0\.0\.1:9, which is not") as caught:
        rest.call("GET", "/x")
    assert server.url in str(caught.value)
    assert "secret" not in str(caught.value)
    assert rest.calls == 1


def test_an_address_that_is_none_is_a_wrong_connection(server: Script, clock: Clock) -> None:
    with pytest.raises(ConfigurationError, match="crm_default"):
        client(server, clock, url="nonsense").call("GET", "/x")


def test_calls_stay_within_every_sliding_window(server: Script, clock: Clock) -> None:
    server.says(Answer(200, {}))
    rest = client(server, clock, Window(10, requests=3), Window(60, requests=5))
    moments = []
    for _ in range(11):
        rest.call("GET", "/x")
        moments.append(clock.now)
    for start in moments:
        assert sum(start <= moment < start + 10 for moment in moments) <= 3
        assert sum(start <= moment < start + 60 for moment in moments) <= 5
    assert 120 <= clock.now - 1_000 <= 120 + 2 * 60 / 64  # windows are counted in 64 parts


def limited(left: int) -> Answer:
    headers = {
        "X-HubSpot-RateLimit-Max": "100",
        "X-HubSpot-RateLimit-Remaining": str(left),
        "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
    }
    return Answer(200, {}, headers)


def test_it_slows_down_when_others_have_used_up_the_limit(server: Script, clock: Clock) -> None:
    server.says(limited(50), limited(5), limited(0), limited(90))
    rest = client(server, clock, Window(10, requests=100))
    moments = []
    for _ in range(4):
        rest.call("GET", "/x")
        moments.append(clock.now - 1_000)
    assert moments == pytest.approx([0, 0, 10 * 6 / 11, 10 * 6 / 11 + 10])


def test_it_does_not_slow_down_for_its_own_calls(server: Script, clock: Clock) -> None:
    server.says(*(limited(left) for left in range(99, -1, -1)))
    rest = client(server, clock, Window(10, requests=100))
    for _ in range(100):
        rest.call("GET", "/x")
    assert clock.slept == []
