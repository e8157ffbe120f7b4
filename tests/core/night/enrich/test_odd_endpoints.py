"""The real SDK against endpoints that redirect, lie or answer what is no completion."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from include.errors import ConfigurationError, QuotaUsedUp
from include.systems.connections import ModelEndpoint
from include.systems.model.batch_client import BatchClient
from include.systems.model.client import ModelClient, Reply
from tests.core.odd_server import Answer, completion, odd_server, refusal

PROMPT = "the whole prompt"


def ask_at(url: str, **endpoint: Any) -> Reply:
    async def run() -> Reply:
        async with ModelClient(ModelEndpoint(url, "sk-1", **endpoint), timeout=5, connections=2) as client:
            return await client.ask({"model": "m", "messages": [{"role": "user", "content": PROMPT}]})

    return asyncio.run(run())


def ask(answer: Answer, **endpoint: Any) -> Reply:
    with odd_server(answer) as server:
        return ask_at(f"{server.url}/v1", **endpoint)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_prompt_follows_a_redirect_and_the_error_names_both_places(status: int) -> None:
    with odd_server(lambda _: completion("{}")) as elsewhere:
        moved = {"Location": f"{elsewhere.url}/v1/chat/completions?token=secret"}
        with odd_server(lambda _: web.Response(status=status, headers=moved)) as server:
            with pytest.raises(ConfigurationError) as caught:
                ask_at(f"{server.url}/v1")
            assert server.url in str(caught.value)
        assert elsewhere.url in str(caught.value)
        assert "secret" not in str(caught.value)
        assert elsewhere.seen == []


def test_no_file_of_questions_follows_a_redirect(tmp_path: Any) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text(PROMPT)
    with odd_server(lambda _: web.json_response({"id": "file-1", "data": [], "object": "list"})) as elsewhere:
        moved = {"Location": f"{elsewhere.url}/v1/files"}
        with odd_server(lambda _: web.Response(status=307, headers=moved)) as server:

            async def run(what: str) -> None:
                async with BatchClient(ModelEndpoint(f"{server.url}/v1", "sk-1")) as client:
                    if what == "upload":
                        await client.upload(file)
                    elif what == "lines":
                        _ = [line async for line in client.lines("file-1")]
                    else:
                        await client.create("file-1", "ours")

            for what in ("upload", "create", "lines"):
                with pytest.raises(ConfigurationError) as caught:
                    asyncio.run(run(what))
                assert server.url in str(caught.value)
                assert elsewhere.url in str(caught.value)
        assert elsewhere.seen == []


@pytest.mark.parametrize(
    "error",
    [{"status": 429, "code": "insufficient_quota"}, {"status": 429, "type": "insufficient_quota"}, {"status": 402}],
)
def test_a_quota_that_is_used_up_is_said_at_once(error: dict[str, Any]) -> None:
    with pytest.raises(QuotaUsedUp, match="quota"):
        ask(lambda _: refusal(message="You exceeded your current quota", **error))
    with odd_server(lambda _: refusal(message="You exceeded your current quota", **error)) as server:

        async def retrieve() -> None:
            async with BatchClient(ModelEndpoint(f"{server.url}/v1", "sk-1")) as client:
                await client.retrieve("batch-1")

        with pytest.raises(QuotaUsedUp, match="quota"):
            asyncio.run(retrieve())
        assert len(server.seen) == 1


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_a_page_is_named_as_such_and_costs_nothing(kind: str) -> None:
    page = "\n<!DOCTYPE html><html><body>Log in</body></html>"
    reply = ask(lambda _: web.Response(text=page, content_type=kind))
    assert (reply.outcome, reply.status, reply.retryable, reply.maybe_billed) == ("http_error", 200, True, False)
    assert "HTML page" in reply.detail
    gateway = ask(lambda _: web.Response(status=502, text=page, content_type=kind))
    assert gateway.detail == "502 an HTML page"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": '{"a":'}, {"type": "text", "text": " 1}"}], '{"a": 1}'),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "{}"}]}, {"type": "text", "text": "x"}], "x"),
        (["a", "b"], "ab"),
        ([], ""),
    ],
)
def test_an_answer_in_parts_is_joined(content: Any, text: str) -> None:
    reply = ask(lambda _: completion(content))
    assert (reply.outcome, reply.text) == ("answered", text)


def test_a_refusal_in_parts_is_one() -> None:
    assert ask(lambda _: completion([{"type": "refusal", "refusal": "no"}])).refusal == "no"


@pytest.mark.parametrize("content", [[1], [{"type": "text", "text": 1}], {"text": "x"}, 7])
def test_parts_that_are_none_are_no_completion(content: Any) -> None:
    assert ask(lambda _: completion(content)).outcome == "http_error"
