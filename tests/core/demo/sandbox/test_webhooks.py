"""The receiver of webhooks: whom it believes, and that it takes a message once."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import requests
from aiohttp.test_utils import TestClient, TestServer

from include.demo.sandbox import webhooks
from include.demo.sandbox.config import Endpoints
from include.demo.sandbox.faults import NO_FAULTS
from include.demo.sandbox.webhooks import WebhookApi
from include.systems.messages.signing import signed
from tests.core.demo.sandbox.conftest import Start

# The example of the specification's reference libraries: https://github.com/standard-webhooks/standard-webhooks
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EXAMPLE = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
BODY = b'{"test": 2432232314}'


def post(endpoints: Endpoints, number: str, body: bytes = b"{}", age: int = 0, **headers: str) -> requests.Response:
    key = base64.b64decode(endpoints.webhook_secret.removeprefix("whsec_"))
    given = {**signed(key, number, int(time.time()) - age, body), **headers}
    return requests.post(f"{endpoints.webhook_url}/hooks/here", data=body, headers=given, timeout=10)


def seen(endpoints: Endpoints) -> Any:
    return requests.get(f"{endpoints.webhook_url}/sandbox/webhooks", timeout=10).json()


@pytest.mark.parametrize(
    ("changes", "at", "status"),
    [
        ({}, 1_614_265_330, 200),
        ({"webhook-signature": f"v1,AAAA {EXAMPLE['webhook-signature']}"}, 1_614_265_330, 200),
        ({"webhook-signature": "v1,g0hM9SsE"}, 1_614_265_330, 401),
        ({"webhook-signature": EXAMPLE["webhook-signature"].replace("v1", "v2")}, 1_614_265_330, 401),
        ({"webhook-id": "msg_another"}, 1_614_265_330, 401),
        ({"webhook-timestamp": "1614265331"}, 1_614_265_330, 401),
        ({"webhook-timestamp": "now"}, 1_614_265_330, 401),
        ({}, 1_614_265_330 + 301, 401),
        ({}, 1_614_265_330 - 301, 401),
    ],
)
def test_the_example_of_the_specification_is_believed_and_nothing_else(
    changes: dict[str, str], at: int, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "time", SimpleNamespace(time=lambda: at))
    api = WebhookApi(SECRET, tmp_path / "taken.jsonl", NO_FAULTS)

    async def ask() -> int:
        async with TestClient(TestServer(api.application())) as client:
            return (await client.post("/hooks/x", data=BODY, headers={**EXAMPLE, **changes})).status

    assert asyncio.run(ask()) == status
    assert len(api.taken) == (status == 200)
    api.close()


def test_a_message_that_comes_again_is_taken_once_also_after_a_restart(start: Start, tmp_path: Path) -> None:
    endpoints = start()
    assert post(endpoints, "msg_1", b'{"a": 1}').status_code == 200
    assert post(endpoints, "msg_1", b'{"a": 1}').status_code == 200
    assert seen(endpoints)["taken"] == [{"id": "msg_1", "hook": "here", "body": {"a": 1}}]
    assert seen(endpoints)["repeats"] == {"msg_1": 1}
    later = WebhookApi(endpoints.webhook_secret, tmp_path / "state" / "webhook" / "taken.jsonl", NO_FAULTS)
    assert list(later.taken) == ["msg_1"]
    later.close()


def test_what_is_wrong_is_told(endpoints: Endpoints) -> None:
    number = f"msg_{uuid4().hex}"
    assert post(endpoints, number, b"{").status_code == 400
    assert post(endpoints, number, age=400).status_code == 401
    refused = requests.post(f"{endpoints.webhook_url}/hooks/here", data=b"{}", timeout=10)
    assert (refused.status_code, refused.headers["Server"]) == (401, "nightledger-sandbox")
    assert number not in {one["id"] for one in seen(endpoints)["taken"]}
    plan = requests.post(f"{endpoints.webhook_url}/sandbox/webhooks/faults", json={"rates": {"no": 1}}, timeout=10)
    assert plan.status_code == 400


@pytest.mark.parametrize(
    ("fault", "status", "taken"), [("http_500", 500, 0), ("rate_limited", 429, 0), ("reset", None, 1)]
)
def test_faults_lose_the_message_or_its_answer(
    endpoints: Endpoints, fault: str, status: int | None, taken: int
) -> None:
    number, control = f"msg_{uuid4().hex}", f"{endpoints.webhook_url}/sandbox/webhooks/faults"
    requests.post(control, json={"rates": {fault: 1.0}, "first_asks": 1}, timeout=10).raise_for_status()
    try:
        if status is None:
            with pytest.raises(requests.exceptions.RequestException):
                post(endpoints, number)
        else:
            assert post(endpoints, number).status_code == status
        assert [one["id"] for one in seen(endpoints)["taken"]].count(number) == taken
        assert post(endpoints, number).status_code == 200
        assert [one["id"] for one in seen(endpoints)["taken"]].count(number) == 1
    finally:
        requests.post(control, json=NO_FAULTS.to_json(), timeout=10).raise_for_status()


def test_the_secret_shows_in_no_representation(endpoints: Endpoints) -> None:
    assert endpoints.webhook_secret not in repr(endpoints)
    assert endpoints.webhook_secret in json.dumps(endpoints.to_json())
