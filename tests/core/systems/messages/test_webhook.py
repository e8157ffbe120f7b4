"""Webhooks over real HTTP to an endpoint that checks signatures as the specification says, and forgets no message."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from include.errors import AccessDenied, ConfigurationError, ContractBroken, SystemUnavailable
from include.models import Record
from include.systems.messages.declared import Message
from include.systems.messages.signing import message_id, signed
from include.systems.messages.webhook import Webhook
from include.systems.port import Outgoing
from tests.core.systems.contracts import SinkContract, SinkWorld
from tests.core.systems.sql.standing import Standing

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
SINK = Message(system="shop", object="hooks/answers", fields={"score": "score", "note": "note"})


@dataclass
class Endpoint:
    """Verifies as https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md asks a
    receiver to: the signature over `id.timestamp.body`, and a time of at most five minutes ago.

    `answers` are statuses given before anything else is done, `lost` counts answers that never leave.
    """

    port: int = 0
    once: bool = False
    lost: int = 0
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    taken: list[tuple[str, Record]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    tries: int = 0

    def take(self, headers: Mapping[str, str], body: bytes) -> int | None:
        """The status; None loses the answer."""
        self.tries += 1
        self.headers.append(dict(headers))
        if self.answers:
            return self.answers.pop(0)[0]
        number, said = headers["webhook-id"], json.loads(body)
        if "data" in said:
            stamp = headers["webhook-timestamp"]
            mac = hmac.new(KEY, f"{number}.{stamp}.".encode() + body, hashlib.sha256).digest()
            right = f"v1,{base64.b64encode(mac).decode()}"
            if headers["webhook-signature"] != right or abs(time.time() - int(stamp)) > 300 or said["id"] != number:
                return 401
        data = said.get("data", said)
        if len(data.get("note", "")) > 40:
            return 422
        if not self.once or number not in [one for one, _ in self.taken]:
            self.taken.append((number, data))
        if self.lost:
            self.lost -= 1
            return None
        return 204


@pytest.fixture(scope="module")
def listening() -> Iterator[tuple[int, dict[str, Endpoint]]]:
    slot: dict[str, Endpoint] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            waiting = slot["here"].answers[:1]
            status = slot["here"].take({name.lower(): value for name, value in self.headers.items()}, body)
            if status is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in waiting[0][1].items() if waiting else ():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server.server_port, slot
    server.shutdown()
    server.server_close()


@pytest.fixture
def endpoint(listening: tuple[int, dict[str, Endpoint]]) -> Endpoint:
    port, slot = listening
    slot["here"] = Endpoint(port)
    return slot["here"]


def standing(port: int, **extra: Any) -> Standing:
    return Standing({"host": "http://127.0.0.1", "port": port, "extra": {"signing_secret": SECRET, **extra}})


def opened(endpoint: Endpoint, sink: Message = SINK) -> Webhook:
    there = sink.open(standing(endpoint.port))
    there.sleep = lambda _: None
    return there


def post(there: Webhook, once: str = "run/1", **values: Any) -> Any:
    (sent,) = there.send({"A/1": Outgoing(there.form(values or {"note": "hi"}), once)}).values()
    return sent


class HookWorld(SinkWorld):
    creates = True
    reads_back = False

    def __init__(self, endpoint: Endpoint, sink: Message) -> None:
        self.endpoint, self.sink = endpoint, sink
        endpoint.once = sink.idempotent

    def put(self, number: int, **values: Any) -> None:
        """Nobody else puts anything into a webhook."""

    def held(self) -> Mapping[str, Record]:
        return {data["id"]: data for _, data in self.endpoint.taken}

    def writes_seen(self) -> int:
        return len(self.endpoint.taken)

    def lose_next_answer(self) -> None:
        self.endpoint.lost = 1

    def id_of(self, number: int) -> str:
        return f"A/{number}"

    def open(self) -> Webhook:
        return opened(self.endpoint, self.sink)


class TestWebhook(SinkContract):
    @pytest.fixture(params=[False, True], ids=["plain", "idempotent"])
    def world(self, endpoint: Endpoint, request: pytest.FixtureRequest) -> HookWorld:
        return HookWorld(endpoint, replace(SINK, idempotent=request.param))


@pytest.mark.parametrize("lost", ["answer", "server error"])
def test_what_may_have_arrived_is_not_sent_again_by_itself(endpoint: Endpoint, lost: str) -> None:
    if lost == "answer":
        endpoint.lost = 1
    else:
        endpoint.answers.append((500, {}))
    there = opened(endpoint)
    for _ in range(2):
        sent = post(there)
        assert (sent.after, sent.cause) == (None, "unknown_ending")
    assert (endpoint.tries, there.calls, there.retries) == (1, 1, 0)
    assert post(there, once="run/2").after == {"note": "hi"}


def test_an_idempotent_endpoint_is_asked_again_under_the_same_id(endpoint: Endpoint) -> None:
    endpoint.once, endpoint.lost = True, 2
    there = opened(endpoint, replace(SINK, idempotent=True))
    assert post(there).after
    assert (endpoint.tries, len(endpoint.taken), there.retries) == (3, 1, 2)
    assert {one["webhook-id"] for one in endpoint.headers} == {message_id("run/1")}
    endpoint.lost = 99
    assert post(there, once="run/2").cause == "unknown_ending"
    assert endpoint.tries == 8


def test_a_message_that_surely_did_not_arrive_is_sent_again(endpoint: Endpoint) -> None:
    endpoint.answers += [(429, {"Retry-After": "0"})] * 2
    there = opened(endpoint)
    there._pace.refuse = lambda *_: None  # type: ignore[method-assign]
    assert post(there).after
    assert (len(endpoint.taken), there.retries) == (1, 2)


def test_an_endpoint_that_is_not_there_is_told_as_away(endpoint: Endpoint) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        there = SINK.open(standing(free.getsockname()[1]))
        there.sleep = lambda _: None
        with pytest.raises(SystemUnavailable, match="5 times"):
            post(there)


@pytest.mark.parametrize(
    ("status", "error"), [(401, AccessDenied), (403, AccessDenied), (404, ContractBroken), (302, ConfigurationError)]
)
def test_a_refusal_about_all_messages_stops_the_stage(endpoint: Endpoint, status: int, error: type[Exception]) -> None:
    endpoint.answers.append((status, {"Location": "http://elsewhere.example/"}))
    with pytest.raises(error):
        post(opened(endpoint))
    assert endpoint.tries == 1


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks: its secret, id, time and body."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_secret_is_in_no_header_and_in_no_representation(endpoint: Endpoint) -> None:
    there = opened(endpoint)
    post(there)
    assert SECRET not in str(endpoint.headers)
    assert not any("secret" in name for name in endpoint.headers[0])
    assert SECRET not in repr(there._sessions.get()) + repr(there)


@pytest.mark.parametrize("secret", [None, "whsec_c2hvcnQ=", "no prefix", "whsec_?"])
def test_a_message_that_cannot_be_signed_is_refused_when_it_is_opened(endpoint: Endpoint, secret: str | None) -> None:
    here = standing(endpoint.port, signing_secret=secret)
    with pytest.raises(ConfigurationError, match="sign"):
        SINK.open(here)


def test_a_chat_gets_the_values_alone_and_visible(endpoint: Endpoint) -> None:
    there = opened(endpoint, replace(SINK, event=None))
    post(there, text="pay \u202enow\x00")
    assert endpoint.taken[0][1] == {"text": "pay now\ufffd"}
    assert "webhook-signature" not in endpoint.headers[0]


def test_one_message_is_sent_at_a_time_so_that_a_crash_leaves_few_unknown(endpoint: Endpoint) -> None:
    there = opened(endpoint)
    assert (there.batch_rows, there.in_air) == (1, Standing({}).entry.calls_at_once)
    assert there.read(["A/1"]) is None
    assert there.holds({"a": 1}, {"a": 1}) is False
