"""The provider's batch API on the real SDK: half the price, partial results, crashes, and everything on record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from include.database import transaction
from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.errors import ConfigurationError, QuotaUsedUp, SystemUnavailable
from include.ledger.claims import hold_for_job
from include.ledger.verify import verify
from include.models import Manifest
from include.night.enrich.enrich import begin, enrich
from include.night.enrich.parse import CUT_OFF
from include.privacy.tokens import tokens_in
from include.run import Night
from include.settings import ROOT
from include.systems.connections import ModelEndpoint
from include.systems.model.batch_client import BatchClient, BatchItem, BatchState, read_item
from tests.core.conftest import Ledger
from tests.core.night.enrich.test_enrich import (
    LEADS,
    connection_to,
    count,
    ended,
    every_row_ended_once,
    lead,
    rows,
    stage,
)
from tests.core.night.enrich.test_enrich import PROMPT as PROMPT_OF_CASE
from tests.core.test_whole_night import Sandbox


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    state = tmp_path_factory.mktemp("sandbox")
    config = SandboxConfig(state=state, days=1, leads_per_day=1, model_latency_ms=0, batch_seconds=0.3)
    with running_sandbox(config) as endpoints:
        yield Sandbox(endpoints)


BatchOf = Callable[..., Night]


@pytest.fixture
def batch_of(sandbox: Sandbox, make_night: Callable[..., Night], tmp_path: Path) -> BatchOf:
    def make(registry: str = "", **parts: Any) -> Night:
        file = tmp_path / "systems.toml"
        text = (ROOT / "include" / "systems.toml").read_text(encoding="utf-8")
        text = text.replace(
            "batch_queue_tokens = 2000000\nbatch_poll_seconds = 60", f"batch_poll_seconds = 0.1\n{registry}"
        )
        file.write_text(text, encoding="utf-8")
        given = {"connections": connection_to(sandbox), "prompt": PROMPT_OF_CASE, "settings": {"systems_file": file}}
        return make_night(**{**given, "asking": "batch", **parts})

    return make


def spoil(sandbox: Sandbox, **faults: Any) -> None:
    requests.post(f"{sandbox.endpoints.model_root}/sandbox/batch-faults", json=faults, timeout=10).raise_for_status()


def asked(night: Night) -> Manifest:
    return enrich(night, stage(night))


def jobs(ledger: Ledger) -> list[Any]:
    return rows(ledger, "SELECT status, round, chunk, requests FROM batch_job ORDER BY round, chunk")


def test_every_row_is_answered_at_half_the_price(batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger) -> None:
    night = batch_of()
    enriched = asked(night)
    every_row_ended_once(ledger, night, enriched)
    assert (enriched.rows, enriched.facts["reused"]) == (LEADS, 0)
    assert sandbox.billed()["billed_calls"] == LEADS == count(ledger, "inference_result")
    assert jobs(ledger) == [("landed", 0, 0, LEADS)]
    (tokens_in, tokens_out, cost, dated) = rows(
        ledger, "SELECT sum(tokens_in), sum(tokens_out), sum(cost), min(price_dated) FROM inference_result"
    )[0]
    assert cost == (tokens_in * Decimal("0.15") + tokens_out * Decimal("0.60")) / 2_000_000
    assert dated.endswith("batch")
    assert rows(ledger, "SELECT reserved, spent FROM budget WHERE scope LIKE 'run/%'") == [(0, cost)]
    assert count(ledger, "claim") == 0
    assert verify(ledger.owner).holds


def test_answers_are_shared_with_live_calls(batch_of: BatchOf, sandbox: Sandbox) -> None:
    asked(batch_of())
    again = asked(batch_of(day=1, asking="live"))
    assert (again.rows, again.facts["reused"]) == (LEADS, LEADS)
    assert sandbox.billed()["billed_calls"] == LEADS


def test_only_failed_items_are_asked_again_and_both_answers_stay(
    batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger
) -> None:
    sandbox.fail("model", prose=0.2, http_500=0.2)
    night = batch_of()
    enriched = asked(night)
    every_row_ended_once(ledger, night, enriched)
    kinds = dict(map(tuple, rows(ledger, "SELECT kind, count(*) FROM inference GROUP BY 1")))
    assert kinds["ask"] == LEADS
    assert kinds["re-ask"] > 5
    assert kinds["retry"] > 5
    firsts = rows(ledger, "SELECT requests FROM batch_job WHERE round = 1")
    results = "inference_result r JOIN inference i USING (inference_id)"
    bad = f"SELECT count(*) FROM {results} WHERE attempt = 1 AND outcome <> 'ok'"
    assert [one[0] for one in firsts] == [rows(ledger, bad)[0][0]]


def test_items_in_no_file_twice_or_unknown_are_on_record_and_none_is_lost(
    batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger
) -> None:
    spoil(sandbox, missing=0.2, duplicate=0.3, unknown=True)
    night = batch_of()
    enriched = asked(night)
    every_row_ended_once(ledger, night, enriched)
    lost = (
        "SELECT count(*), min(cost_basis), bool_and(cost > 0) FROM inference_result WHERE detail LIKE '%do not name it'"
    )
    (missing, basis, paid) = rows(ledger, lost)[0]
    assert missing > 5
    assert (basis, paid) == ("estimated", True)
    counted = rows(ledger, "SELECT sum((counts ->> 'twice')::int), sum((counts ->> 'unknown')::int) FROM batch_job")[0]
    assert counted[0] > 5
    assert counted[1] >= 1


def test_what_an_expired_batch_answered_is_kept(batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger) -> None:
    spoil(sandbox, expired=0.3)
    night = batch_of()
    work = begin(night, stage(night))
    asyncio.run(work.batching().advance())
    while not rows(ledger, "SELECT 1 FROM batch_job WHERE status = 'landed'"):
        asyncio.run(work.batching().advance())
    kept = rows(ledger, "SELECT outcome, count(*) FROM inference_result GROUP BY 1")
    assert dict(map(tuple, kept))["ok"] > LEADS / 2
    spoil(sandbox)
    assert asked_again(night, work).rows == LEADS


def asked_again(night: Night, work: Any) -> Manifest:
    return enrich(night, work.good)


def test_a_batch_is_found_again_when_its_creation_was_not_answered(
    batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.systems.model.batch_client._SECONDS", 0.5)
    spoil(sandbox, hang_up=True)
    assert asked(batch_of()).rows == LEADS
    assert sandbox.billed()["billed_calls"] == LEADS
    assert len(jobs(ledger)) == 1


def test_a_crash_before_or_after_submission_submits_nothing_twice(
    batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = batch_of()
    good = stage(night)

    class Killed(BaseException):
        pass

    async def killed(*_: Any) -> None:
        raise Killed

    real = BatchClient.upload
    for place in ("upload", "create"):
        monkeypatch.setattr(BatchClient, place, killed)
        with pytest.raises(BaseException):  # noqa: B017, PT011 - as if the process were gone
            enrich(night, good)
        monkeypatch.undo()
    assert BatchClient.upload is real
    assert jobs(ledger) == [("intended", 0, 0, LEADS)]
    again = begin(night, good).batching()
    assert asyncio.run(again.advance())
    assert asyncio.run(begin(night, good).batching().advance())  # another process, the same batch
    assert enrich(night, good).rows == LEADS
    assert sandbox.billed()["billed_calls"] == LEADS == count(ledger, "inference")


def test_chunks_keep_the_providers_limits_and_a_full_queue_is_waited_for(
    batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger
) -> None:
    night = batch_of("batch_max_requests = 25\nbatch_queue_tokens = 60000")
    assert asked(night).rows == LEADS
    found = jobs(ledger)
    assert all(requests <= 25 for _, _, _, requests in found)
    assert len({number for _, number, _, _ in found}) > 1
    assert sum(requests for _, _, _, requests in found) == LEADS == sandbox.billed()["billed_calls"]


def test_a_batch_that_is_not_accepted_is_tried_again(batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger) -> None:
    spoil(sandbox, fail=True)
    assert asked(batch_of()).rows == LEADS
    assert [status for status, *_ in jobs(ledger)] == ["failed", "landed"]
    assert sandbox.billed()["billed_calls"] == LEADS
    refused = "SELECT DISTINCT cost, cost_basis FROM inference_result WHERE detail LIKE '%not accepted%'"
    assert rows(ledger, refused) == [(0, "none")]


def test_a_ceiling_covers_batches_and_the_rest_is_deferred(batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger) -> None:
    night = batch_of(cost_ceiling_usd=Decimal("0.003"))
    enriched = asked(night)
    every_row_ended_once(ledger, night, enriched)
    assert 0 < enriched.rows < LEADS
    assert set(ended(ledger, night).values()) == {"deferred"}
    (paid,) = rows(ledger, "SELECT sum(cost) FROM inference_result")[0]
    assert paid <= Decimal("0.003")


def test_a_cancelled_batch_keeps_what_it_answered(batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger) -> None:
    night = batch_of()
    good = stage(night)
    work = begin(night, good)
    assert asyncio.run(work.batching().advance())
    assert asyncio.run(work.batching().cancel()) == 1
    assert enrich(night, good).rows == LEADS
    assert "cancelled" in [status for status, *_ in jobs(ledger)]
    assert sandbox.billed()["billed_calls"] == LEADS


def test_settings_of_the_model_hold_in_a_batch_too(batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger) -> None:
    night = batch_of('request.structured_output = "json_object"\nrequest.token_limit = "max_tokens"')
    asked(night)
    parameters = {"structured_output": "json_object", "token_limit": "max_tokens", "max_output_tokens": 400}
    (found,) = rows(ledger, "SELECT DISTINCT parameters FROM inference")
    assert {name: found[0][name] for name in parameters} == parameters
    (file,) = rows(ledger, "SELECT input_file_id FROM batch_job WHERE round = 0")
    sent = requests.get(
        f"{sandbox.endpoints.model_url}/files/{file[0]}/content",
        headers={"Authorization": f"Bearer {sandbox.endpoints.model_key}"},
        timeout=10,
    ).text
    body = json.loads(sent.splitlines()[0])["body"]
    assert (body["max_tokens"], body["response_format"]) == (400, {"type": "json_object"})
    assert "JSON Schema" in body["messages"][0]["content"]


def test_a_batch_whose_form_is_refused_ends_with_the_form_named(
    batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.night.enrich.request.response_format", lambda *_: {"type": "json_schema"})
    with pytest.raises(ConfigurationError, match="refuses structured output by json_schema"):
        asked(batch_of())
    assert [status for status, *_ in jobs(ledger)] == ["landed"]
    assert sandbox.billed()["billed_calls"] == 0


def no_credit(line: bytes | str) -> BatchItem:
    """The line, but what failed at the provider failed for want of credit."""
    item = json.loads(line)
    if item["response"]["status_code"] == 500:
        said = {"code": "insufficient_quota", "message": "You exceeded your current quota"}
        item["response"] = {"status_code": 429, "body": {"error": said}}
    return read_item(json.dumps(item))


def test_a_quota_that_is_used_up_ends_the_run_at_once_and_keeps_what_is_paid(
    batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.fail("model", http_500=0.3)
    night = batch_of()
    good = stage(night)
    monkeypatch.setattr("include.systems.model.batch_client.read_item", no_credit)
    monkeypatch.setattr("include.night.enrich.batch.MAX_ATTEMPTS", 1)
    with pytest.raises(QuotaUsedUp, match=r"quota of the vendor's account is used up \(429 insufficient_quota\)"):
        enrich(night, good)
    said = dict(map(tuple, rows(ledger, "SELECT outcome, count(*) FROM inference_result GROUP BY 1")))
    assert said["ok"] + said["http_error"] == LEADS
    assert said["http_error"] > 5
    assert jobs(ledger) == [("landed", 0, 0, LEADS)], "nothing more was submitted"
    assert rows(ledger, "SELECT reserved FROM budget WHERE scope LIKE 'run/%'") == [(0,)]
    (claimed,) = rows(ledger, "SELECT count(*) FROM claim")[0]
    assert claimed == 0, "any other run may ask what was not answered"
    monkeypatch.setattr("include.systems.model.batch_client.read_item", read_item)
    sandbox.fail("model")
    enriched = enrich(night, good)
    every_row_ended_once(ledger, night, enriched)
    assert enriched.rows == LEADS, "and to find no credit was no try of the question"
    assert [requests for *_, requests in jobs(ledger)] == [LEADS, said["http_error"]]


def test_a_batch_that_is_not_accepted_for_want_of_credit_ends_the_run(
    batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(sandbox, fail=True)
    retrieve = BatchClient.retrieve

    async def said(client: BatchClient, batch_id: str) -> BatchState:
        state = await retrieve(client, batch_id)
        return replace(state, problems=("billing_hard_limit_reached: ...",)) if state.status == "failed" else state

    monkeypatch.setattr(BatchClient, "retrieve", said)
    with pytest.raises(QuotaUsedUp, match="billing_hard_limit_reached"):
        asked(batch_of())
    assert [status for status, *_ in jobs(ledger)] == ["failed"]


async def ended_all(endpoint: ModelEndpoint, batches: list[str]) -> None:
    async with asyncio.timeout(30), BatchClient(endpoint) as client:
        for batch in batches:
            while not (await client.retrieve(batch)).ended:
                await asyncio.sleep(0.05)


def test_batches_that_ended_beside_one_without_credit_are_on_record_too(
    batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.fail("model", http_500=0.3)
    night = batch_of("batch_max_requests = 25")
    work = begin(night, stage(night))
    batches = asyncio.run(work.batching().advance())
    assert len(batches) > 1
    monkeypatch.setattr("include.systems.model.batch_client.read_item", no_credit)
    asyncio.run(ended_all(work.answering.endpoint, batches))
    with pytest.raises(QuotaUsedUp):
        asyncio.run(work.batching().advance())
    assert {status for status, *_ in jobs(ledger)} == {"landed"}
    assert count(ledger, "inference_result") == LEADS


def test_what_another_run_asks_after_a_quota_was_used_up_is_not_asked_twice(
    batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.fail("model", http_500=0.3)
    night, other = batch_of(), batch_of(day=1)
    good = stage(night)
    monkeypatch.setattr("include.systems.model.batch_client.read_item", no_credit)
    with pytest.raises(QuotaUsedUp):
        enrich(night, good)
    monkeypatch.setattr("include.systems.model.batch_client.read_item", read_item)
    sandbox.fail("model")
    unanswered = "SELECT inference_key FROM inference JOIN inference_result USING (inference_id) WHERE outcome <> 'ok'"
    keys = {key for (key,) in rows(ledger, unanswered)}
    with transaction(night.ledger) as connection:
        assert hold_for_job(connection, {min(keys)}, other.run_id) == {min(keys)}
    enrich(night, good)
    assert [requests for *_, requests in jobs(ledger)] == [LEADS, len(keys) - 1]


@pytest.mark.parametrize(
    ("line", "quota"),
    [
        ({"response": {"status_code": 402, "body": None}}, "402"),
        (
            {"response": {"status_code": 429, "body": {"error": {"type": "insufficient_quota"}}}},
            "429 insufficient_quota",
        ),
        ({"response": None, "error": {"code": "insufficient_quota"}}, "insufficient_quota"),
        ({"response": {"status_code": 429, "body": {"error": {"code": "rate_limit_exceeded"}}}}, ""),
        ({"response": None, "error": {"code": "batch_expired"}}, ""),
    ],
)
def test_an_item_without_credit_is_told_from_one_that_may_be_asked_again(line: dict[str, Any], quota: str) -> None:
    item = read_item(json.dumps({"custom_id": "a", **line}))
    assert (item.quota, item.reply.retryable) == (quota, not quota)


def test_a_cut_off_answer_is_not_asked_for_again(batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger) -> None:
    sandbox.fail("model", truncated=0.3)
    night = batch_of()
    enriched = asked(night)
    every_row_ended_once(ledger, night, enriched)
    cut = rows(ledger, "SELECT r.detail, r.cost > 0 FROM inference_result r WHERE outcome <> 'ok'")
    assert len(cut) > 5
    assert set(cut) == {(CUT_OFF, True)}
    assert jobs(ledger) == [("landed", 0, 0, LEADS)], "the same question at the same limit would be paid for nothing"
    assert (enriched.rows, list(ended(ledger, night).values())) == (LEADS - len(cut), ["dead_letter"] * len(cut))
    assert sandbox.billed()["billed_calls"] == LEADS


def sent_by_batch(sandbox: Sandbox, ledger: Ledger, number: int) -> list[list[Any]]:
    (file,) = rows(ledger, f"SELECT input_file_id FROM batch_job WHERE round = {number}")
    text = requests.get(
        f"{sandbox.endpoints.model_url}/files/{file[0]}/content",
        headers={"Authorization": f"Bearer {sandbox.endpoints.model_key}"},
        timeout=10,
    ).text
    return [json.loads(line)["body"]["messages"] for line in text.splitlines()]


def test_a_batch_asks_what_a_live_call_would_and_the_ledger_keeps_tokens(
    batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger
) -> None:
    sandbox.fail("model", prose=0.2)
    night = batch_of()
    title = "reach me at jane.doe@acme-corp.com"
    good = stage(night, [lead(number, job_title=title) for number in range(LEADS)])
    enrich(night, good)
    first, again = sent_by_batch(sandbox, ledger, 0), sent_by_batch(sandbox, ledger, 1)
    assert len(first) == LEADS
    assert all("jane.doe@acme-corp.com" in messages[1]["content"] for messages in [*first, *again])
    assert again
    assert {len(messages) for messages in again} == {4}, "what was answered, and what was wrong with it"
    assert rows(ledger, "SELECT count(*) FROM inference WHERE messages::text LIKE '%jane.doe%'") == [(0,)]
    (tokens,) = rows(ledger, "SELECT count(*) FROM inference WHERE messages::text LIKE '%token:%'")[0]
    assert tokens == count(ledger, "inference")


def test_a_batch_is_sent_the_tokens_that_a_live_call_is(batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger) -> None:
    night = batch_of(tokenise=("job_title",))
    titles = [f"Buyer, reach me at jane{number}@acme-corp.com" for number in range(LEADS)]
    enrich(night, stage(night, [lead(number, job_title=title) for number, title in enumerate(titles)]))
    sent = sent_by_batch(sandbox, ledger, 0)
    assert len(sent) == LEADS
    assert all(tokens_in(messages[1]["content"]) for messages in sent)
    assert "acme-corp.com" not in str(sent)
    kept = rows(ledger, "SELECT messages #>> '{0,content}' FROM inference")
    assert {messages[1]["content"] for messages in sent} == {one for (one,) in kept}


def test_a_batch_with_a_token_of_its_own_is_asked_again(
    batch_of: BatchOf, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = batch_of(tokenise=("job_title",))
    monkeypatch.setattr("include.night.enrich.parse.tokens_in", lambda answer: {"email_00000000"})
    enrich(night, stage(night, [lead(0)]))
    told = rows(ledger, "SELECT outcome, detail FROM inference_result")
    assert len(told) == 1 + night.case.asked.reasks
    assert all(outcome == "invalid" and "a token that the question" in detail for outcome, detail in told)


@pytest.mark.parametrize("line", ["", "nonsense", "[]", "{}", '{"custom_id": 7}', "[" * 100_000])
def test_a_line_that_is_no_item_says_so(line: str) -> None:
    item = read_item(line or "null")
    assert item.custom_id is None
    assert "provider's file" in item.reply.detail


@pytest.mark.parametrize(
    "line",
    [
        '{"custom_id": "a", "error": "lost"}',
        '{"custom_id": "a", "response": 7, "error": [1]}',
        '{"custom_id": "a", "response": {"status_code": "many", "body": []}}',
        '{"custom_id": "a", "response": {"status_code": 500, "body": {"error": "broken"}}}',
        '{"custom_id": "a", "response": {"status_code": 200, "body": {"choices": [{"message": []}]}}}',
    ],
)
def test_an_item_with_nonsense_inside_is_a_failed_item(line: str) -> None:
    item = read_item(line)
    assert item.custom_id == "a"
    assert item.reply.outcome == "http_error"


def test_names_that_are_no_text_are_left_out() -> None:
    answer = {"id": 1, "model": [], "choices": [{"message": {"content": "x", "refusal": {}}, "finish_reason": 3}]}
    line = {"custom_id": "a", "response": {"status_code": 200, "request_id": 5, "body": answer}}
    reply = read_item(json.dumps(line)).reply
    assert (reply.outcome, reply.text) == ("answered", "x")
    assert (reply.refusal, reply.finish_reason, reply.model, reply.request_id) == (None, None, None, None)


def test_a_line_ends_at_a_line_feed_and_at_nothing_else(sandbox: Sandbox, tmp_path: Path) -> None:
    odd = "a\u2028b\u0085c\x0bd\u2029e"
    file = tmp_path / "lines.jsonl"
    first = json.dumps({"custom_id": odd, "error": {"code": "x" * 200_000}}, ensure_ascii=False)
    file.write_bytes(first.encode() + b'\r\n\n{"custom_id": "last"}')

    async def main() -> list[str | None]:
        async with BatchClient(ModelEndpoint(sandbox.endpoints.model_url, sandbox.endpoints.model_key)) as client:
            return [item.custom_id async for item in client.lines(await client.upload(file))]

    assert asyncio.run(main()) == [odd, "last"]


def test_a_file_that_breaks_off_is_fetched_again_later() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{"custom_id": "a"}\n{"cust')
        await writer.drain()
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with BatchClient(ModelEndpoint(f"http://127.0.0.1:{port}/v1", "k")) as client:
                async for item in client.lines("file-1"):
                    assert item.custom_id == "a"

    with pytest.raises(SystemUnavailable, match="broke off"):
        asyncio.run(main())


def test_an_endpoint_without_batches_is_named(sandbox: Sandbox) -> None:
    async def main(url: str) -> None:
        async with BatchClient(ModelEndpoint(url, sandbox.endpoints.model_key)) as client:
            await client.retrieve("batch_unknown")

    with pytest.raises(ConfigurationError, match="rejected"):
        asyncio.run(main(sandbox.endpoints.model_url))


def test_a_provider_that_is_away_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.systems.model.batch_client.wait_seconds", lambda *_: 0.0)

    async def main() -> None:
        async with BatchClient(ModelEndpoint("http://127.0.0.1:9/v1", "k")) as client:
            await client.retrieve("batch_1")

    with pytest.raises(SystemUnavailable):
        asyncio.run(main())
