"""The real openai SDK against the stand-in endpoint: answers, refusals and failures as the engine sees them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.errors import AccessDenied, ConfigurationError
from include.systems.connections import ModelEndpoint
from include.systems.model.client import ModelClient, Reply

KEY_THAT_IS_WRONG = "sk-wrong-0123456789abcdef"


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    state = tmp_path_factory.mktemp("sandbox")
    config = SandboxConfig(state=state, days=1, leads_per_day=1, model_latency_ms=0, model_jitter_ms=0)
    with running_sandbox(config) as endpoints:
        yield endpoints


@pytest.fixture(autouse=True)
def _no_faults_left(endpoints: Endpoints) -> Iterator[None]:
    yield
    fail(endpoints)


def fail(endpoints: Endpoints, *, hold: float = 1.0, **rates: float) -> None:
    plan = {"rates": rates, "hold_seconds": hold}
    requests.post(f"{endpoints.model_root}/sandbox/faults", json=plan, timeout=5).raise_for_status()


def ask(endpoints: Endpoints, *, key: str = "", url: str = "", timeout: float = 5, **body: Any) -> Reply:
    async def run() -> Reply:
        endpoint = ModelEndpoint(url or endpoints.model_url, key or endpoints.model_key)
        async with ModelClient(endpoint, timeout=timeout, connections=2) as client:
            message = {"role": "user", "content": 'Score this. {"job_title": "CEO"}'}
            wanted = {"type": "json_object"}
            return await client.ask({"model": "sandbox-small", "messages": [message], "response_format": wanted} | body)

    return asyncio.run(run())


def bills(endpoints: Endpoints) -> list[dict[str, Any]]:
    found = requests.get(f"{endpoints.model_root}/sandbox/billed?detail=1", timeout=5).json()
    return list(found["requests"])


def test_an_answer_comes_with_its_usage_and_the_vendors_request_id(endpoints: Endpoints) -> None:
    reply = ask(endpoints)
    assert (reply.outcome, reply.status, reply.finish_reason) == ("answered", 200, "stop")
    assert "score" in json.loads(reply.text or "")
    billed = bills(endpoints)[-1]
    assert reply.request_id == billed["request_id"]
    assert (reply.tokens_in, reply.tokens_out, reply.tokens_cached) == (
        billed["prompt"],
        billed["completion"],
        billed["cached"],
    )
    assert reply.tokens_in > 0
    assert reply.tokens_out > 0
    assert reply.model == "sandbox-small"
    assert reply.headers["x-ratelimit-limit-requests"] == "3000"
    assert reply.latency > 0


def test_what_the_vendor_had_cached_is_counted_apart(endpoints: Endpoints) -> None:
    messages = [{"role": "system", "content": "Be fair. " * 600}, {"role": "user", "content": "Score this."}]
    first, second = (ask(endpoints, messages=messages) for _ in range(2))
    assert first.tokens_cached == 0
    assert 1_024 <= second.tokens_cached < second.tokens_in


def test_a_wrong_key_is_denied_without_being_quoted(endpoints: Endpoints) -> None:
    before = len(bills(endpoints))
    with pytest.raises(AccessDenied, match="401") as caught:
        ask(endpoints, key=KEY_THAT_IS_WRONG)
    assert KEY_THAT_IS_WRONG not in str(caught.value)
    assert KEY_THAT_IS_WRONG[-8:] not in str(caught.value)
    assert caught.value.__suppress_context__
    assert len(bills(endpoints)) == before


def test_a_model_nobody_has_is_a_setting_to_correct(endpoints: Endpoints) -> None:
    with pytest.raises(ConfigurationError, match="sandbox-huge"):
        ask(endpoints, model="sandbox-huge")


def test_a_limit_says_how_long_to_wait(endpoints: Endpoints) -> None:
    fail(endpoints, rate_limited=1.0)
    reply = ask(endpoints)
    assert (reply.outcome, reply.status, reply.retryable) == ("rate_limited", 429, True)
    assert reply.retry_after == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_may_be_tried_again(endpoints: Endpoints, status: int) -> None:
    fail(endpoints, **{f"http_{status}": 1.0})
    before = len(bills(endpoints))
    reply = ask(endpoints)
    assert (reply.outcome, reply.status, reply.retryable) == ("http_error", status, True)
    assert reply.detail.startswith(str(status))
    assert len(bills(endpoints)) == before + 1, "the SDK must not retry by itself"


def test_a_connection_that_breaks_may_be_tried_again(endpoints: Endpoints) -> None:
    fail(endpoints, reset=1.0)
    reply = ask(endpoints)
    assert (reply.outcome, reply.status, reply.retryable) == ("http_error", None, True)
    assert reply.detail.startswith("connection failed")


def test_nobody_listening_is_no_time_out(endpoints: Endpoints) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed_at_once:
        port = closed_at_once.getsockname()[1]
    reply = ask(endpoints, url=f"http://127.0.0.1:{port}/v1")
    assert (reply.outcome, reply.retryable) == ("http_error", True)
    assert reply.detail.startswith("connection failed")


def test_an_answer_that_does_not_come_is_a_time_out(endpoints: Endpoints) -> None:
    fail(endpoints, hold=1.5, timeout=1.0)
    reply = ask(endpoints, timeout=0.3)
    assert (reply.outcome, reply.retryable) == ("timeout", True)
    assert 0.25 < reply.latency < 1.4


def test_a_request_that_is_wrong_is_not_tried_again(endpoints: Endpoints) -> None:
    reply = ask(endpoints, max_completion_tokens=-1)
    assert (reply.outcome, reply.status, reply.retryable) == ("http_error", 400, False)


def test_a_refusal_comes_through(endpoints: Endpoints) -> None:
    fail(endpoints, refusal=1.0)
    reply = ask(endpoints)
    assert reply.outcome == "answered"
    assert "can't help" in (reply.refusal or "")
    assert reply.text is None


def test_an_empty_text_comes_through(endpoints: Endpoints) -> None:
    fail(endpoints, empty=1.0)
    reply = ask(endpoints)
    assert (reply.outcome, reply.text, reply.refusal) == ("answered", "", None)


def test_a_cut_text_comes_through_with_its_reason(endpoints: Endpoints) -> None:
    fail(endpoints, truncated=1.0)
    reply = ask(endpoints)
    assert (reply.outcome, reply.finish_reason) == ("answered", "length")
    with pytest.raises(ValueError, match="line 1"):
        json.loads(reply.text or "")


def test_calls_can_be_forbidden(endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTLEDGER_FORBID_MODEL_CALLS", "1")
    before = len(bills(endpoints))
    with pytest.raises(ConfigurationError, match="forbidden"):
        ask(endpoints)
    assert len(bills(endpoints)) == before


def test_no_representation_shows_the_key() -> None:
    assert "sk-secret" not in repr(ModelEndpoint("http://127.0.0.1/v1", "sk-secret"))
