"""Limits, faults and bills of the stand-in model endpoint."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from openai import APIConnectionError, AsyncOpenAI, InternalServerError, OpenAI, RateLimitError

from include.demo.sandbox.config import Endpoints
from include.demo.sandbox.faults import FaultPlan
from include.demo.sandbox.model.shapes import duration
from tests.core.demo.sandbox.conftest import Start
from tests.core.demo.sandbox.test_model_answers import LEAD, Answer, prompt

SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "strict": True, "schema": Answer.model_json_schema()},
}
Content = Callable[[str | None], bool]


def ask(endpoints: Endpoints, number: int = 0, **options: Any) -> Any:
    client = OpenAI(api_key=endpoints.model_key, base_url=endpoints.model_url, max_retries=0)
    messages: Any = [{"role": "user", "content": prompt({**LEAD, "number": number})}]
    return client.chat.completions.create(
        **{"model": "sandbox-small", "messages": messages, "response_format": SCHEMA, **options}
    )


def faulty(endpoints: Endpoints, **plan: Any) -> None:
    requests.post(f"{endpoints.model_root}/sandbox/faults", json=plan, timeout=5).raise_for_status()


def billed(endpoints: Endpoints, *, detail: bool = False) -> Any:
    return requests.get(f"{endpoints.model_root}/sandbox/billed?detail={int(detail)}", timeout=5).json()


def test_requests_per_minute_are_limited(start: Start) -> None:
    endpoints = start(rpm=3)
    for number in range(3):
        ask(endpoints, number)
    with pytest.raises(RateLimitError) as refused:
        ask(endpoints, 4)
    body, headers = refused.value.body, refused.value.response.headers
    assert isinstance(body, dict)
    assert (body["code"], body["type"]) == ("rate_limit_exceeded", "requests")
    assert "requests per min (RPM): Limit 3, Used 3, Requested 1" in body["message"]
    assert 15 <= int(headers["retry-after"]) <= 20
    assert 15_000 <= int(headers["retry-after-ms"]) <= 20_000
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"].endswith("s")


def test_tokens_per_minute_are_limited(start: Start) -> None:
    endpoints = start(tpm=1_000)
    ask(endpoints, 1, max_tokens=900)
    with pytest.raises(RateLimitError) as refused:
        ask(endpoints, 2, max_tokens=900)
    assert refused.value.type == "tokens"
    assert int(refused.value.response.headers["retry-after-ms"]) > 40_000
    with pytest.raises(RateLimitError, match="Request too large") as too_large:
        ask(endpoints, 3, max_tokens=1_001)
    assert "retry-after" not in too_large.value.response.headers


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.02, "20ms"), (0.0004, "1ms"), (7.66, "7.66s"), (59.9999, "1m0s"), (60, "1m0s"), (372.5, "6m12.5s")],
)
def test_durations_are_written_as_the_vendor_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("fault", "error"), [("http_500", 500), ("http_503", 503)])
def test_server_errors(endpoints: Endpoints, fault: str, error: int) -> None:
    faulty(endpoints, rates={fault: 1.0}, first_asks=1)
    with pytest.raises(InternalServerError) as failed:
        ask(endpoints, 10)
    assert failed.value.status_code == error
    assert ask(endpoints, 10).choices[0].message.content


def test_a_drawn_rate_limit_looks_like_a_real_one(endpoints: Endpoints) -> None:
    faulty(endpoints, rates={"rate_limited": 1.0})
    with pytest.raises(RateLimitError) as refused:
        ask(endpoints, 11)
    assert refused.value.response.headers["retry-after-ms"] == "1000"


def test_a_reset_breaks_the_connection_after_billing(endpoints: Endpoints) -> None:
    faulty(endpoints, rates={"reset": 1.0})
    before = billed(endpoints)["billed_calls"]
    with pytest.raises(APIConnectionError):
        ask(endpoints, 12)
    assert billed(endpoints)["billed_calls"] == before + 1


def test_a_timeout_holds_the_answer_and_bills_it(endpoints: Endpoints) -> None:
    faulty(endpoints, rates={"timeout": 1.0}, hold_seconds=0.4)
    before, began = billed(endpoints)["billed_calls"], time.monotonic()
    with pytest.raises(APIConnectionError):
        ask(endpoints, 13, timeout=0.2)
    assert ask(endpoints, 14).choices[0].message.content
    assert time.monotonic() - began >= 0.4
    assert billed(endpoints)["billed_calls"] == before + 2


def is_no_json(content: str | None) -> bool:
    try:
        json.loads(content or "")
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(
    ("fault", "holds"),
    [
        ("prose", is_no_json),
        ("fenced", lambda content: is_no_json(content) and "```json" in content),
        ("empty", lambda content: content == ""),
        ("truncated", is_no_json),
        ("wrong_enum", lambda content: json.loads(content)["tier"] == "lukewarm"),
        ("refusal", lambda content: content is None),
    ],
)
def test_answers_that_are_wrong_on_purpose(endpoints: Endpoints, fault: str, holds: Content) -> None:
    faulty(endpoints, rates={fault: 1.0})
    choice = ask(endpoints, 15).choices[0]
    assert holds(choice.message.content)
    assert choice.finish_reason == ("length" if fault == "truncated" else "stop")
    assert bool(choice.message.refusal) == (fault == "refusal")


def test_faults_do_not_depend_on_the_order_of_requests() -> None:
    plan = FaultPlan(seed=3, rates={"http_500": 0.1, "prose": 0.2})
    drawn = {
        (message, ordinal): plan.draw(message, ordinal) for message in map(str, range(2_000)) for ordinal in (1, 2)
    }
    assert drawn == {key: plan.draw(*key) for key in reversed(list(drawn))}
    share = list(drawn.values()).count("prose") / len(drawn)
    assert 0.17 < share < 0.23
    assert drawn != {key: FaultPlan(seed=4, rates=plan.rates).draw(*key) for key in drawn}


def test_the_same_plan_fails_the_same_messages_under_concurrency(start: Start) -> None:
    endpoints = start()
    client_options: dict[str, Any] = {"api_key": endpoints.model_key, "base_url": endpoints.model_url, "max_retries": 0}

    async def one(client: AsyncOpenAI, number: int) -> str:
        messages: Any = [{"role": "user", "content": prompt({**LEAD, "number": number})}]
        try:
            found = await client.chat.completions.create(model="sandbox-small", messages=messages)
        except InternalServerError:
            return "http_500"
        return "prose" if is_no_json(found.choices[0].message.content) else "ok"

    async def every(numbers: list[int]) -> dict[int, str]:
        async with AsyncOpenAI(**client_options) as client:
            return dict(zip(numbers, await asyncio.gather(*(one(client, at) for at in numbers)), strict=True))

    plan: dict[str, Any] = {"seed": 2, "rates": {"http_500": 0.2, "prose": 0.2}}
    rounds = []
    for numbers in (list(range(60)), list(reversed(range(60)))):
        faulty(endpoints, **plan)
        rounds.append(asyncio.run(every(numbers)))
    assert rounds[0] == rounds[1]
    assert set(rounds[0].values()) == {"ok", "http_500", "prose"}


def test_a_plan_that_makes_no_sense_is_refused(endpoints: Endpoints) -> None:
    plans: list[Any] = [{"rates": {"nosuch": 0.1}}, {"rates": {"prose": 0.6, "empty": 0.6}}, []]
    for plan in plans:
        assert requests.post(f"{endpoints.model_root}/sandbox/faults", json=plan, timeout=5).status_code == 400


def test_the_bill_names_every_call_and_what_was_paid_twice(start: Start) -> None:
    endpoints = start()
    ask(endpoints, 1)
    ask(endpoints, 2)
    assert billed(endpoints)["billed_again"] == 0
    usage = ask(endpoints, 1).usage
    faulty(endpoints, rates={"http_500": 1.0})
    with pytest.raises(InternalServerError):
        ask(endpoints, 3)
    bill = billed(endpoints, detail=True)
    assert (bill["calls"], bill["billed_calls"], bill["billed_again"]) == (4, 3, 1)
    assert bill["statuses"] == {"200": 3, "500": 1}
    assert bill["total_tokens"] == 3 * usage.total_tokens
    key = f"...{endpoints.model_key[-4:]}"
    assert bill["keys"][key]["calls"] == 4
    sent = prompt({**LEAD, "number": 1})
    assert bill["requests"][0]["message"] == hashlib.sha256(sent.encode()).hexdigest()
    assert [each["status"] for each in bill["requests"]] == [200, 200, 200, 500]
    assert all(each["request_id"].startswith("req_") for each in bill["requests"])


def test_the_bill_survives_a_restart(start: Start, tmp_path: Any) -> None:
    from include.demo.sandbox.model.bills import Bills, Call

    path = tmp_path / "bills.jsonl"
    first = Bills(path)
    first.add(Call("req_1", "...abcd", "m", 1.0, 200, True, None, 10, 5, 0))
    first.close()
    again = Bills(path)
    assert again.summary()["billed_calls"] == 1
    assert again.asked["m"] == 1
    again.close()


def test_a_prompt_that_is_no_json_is_400_and_not_counted(endpoints: Endpoints) -> None:
    before = billed(endpoints)["calls"]
    headers = {"Authorization": f"Bearer {endpoints.model_key}"}
    url = f"{endpoints.model_url}/chat/completions"
    assert requests.post(url, data=b"{", headers=headers, timeout=5).status_code == 400
    assert billed(endpoints)["calls"] == before
