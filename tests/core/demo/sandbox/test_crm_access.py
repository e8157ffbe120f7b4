"""Tokens, limits and faults of the stand-in CRM."""

from __future__ import annotations

import time

import pytest
import requests

from include.demo.sandbox.config import Endpoints
from include.demo.sandbox.windows import Bucket, SlidingWindow
from tests.core.demo.sandbox.conftest import Crm, Start

LIST = "/crm/v3/objects/contacts?limit=1"


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic {token}", "{token}"])
def test_without_a_valid_token_it_is_401(endpoints: Endpoints, header: str | None) -> None:
    headers = {"Authorization": header.format(token=endpoints.crm_token)} if header else {}
    answer = requests.get(f"{endpoints.crm_url}{LIST}", headers=headers, timeout=5)
    assert answer.status_code == 401
    assert answer.json()["category"] == "INVALID_AUTHENTICATION"
    assert answer.json()["correlationId"] == answer.headers["X-HubSpot-Correlation-Id"]


def test_an_expired_token_says_so(crm: Crm) -> None:
    answer = crm.call("GET", LIST, token=crm.endpoints.expired_token)
    assert (answer.status_code, answer.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")


def test_a_token_without_the_write_scope_reads_but_does_not_write(crm: Crm) -> None:
    token = crm.endpoints.readonly_token
    assert crm.call("GET", LIST, token=token).status_code == 200
    answer = crm.call("POST", "/crm/v3/objects/contacts/batch/update", {"inputs": []}, token=token)
    assert (answer.status_code, answer.json()["category"]) == (403, "MISSING_SCOPES")
    assert answer.json()["errors"][0]["context"]["requiredGranularScopes"] == ["crm.objects.contacts.write"]


def test_every_answer_is_labelled_as_a_stand_in(crm: Crm) -> None:
    for path in (LIST, "/crm/v3/objects/contacts/1", "/nowhere"):
        assert crm.call("GET", path).headers["Server"] == "nightledger-sandbox"


def test_the_hundred_and_first_request_in_ten_seconds_is_429(start: Start) -> None:
    crm = Crm(start(crm_requests_per_10s=100))
    answers = [crm.call("GET", LIST) for _ in range(101)]
    assert [each.status_code for each in answers] == [200] * 100 + [429]
    headers = answers[99].headers
    assert headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    assert headers["X-HubSpot-RateLimit-Max"] == "100"
    assert headers["X-HubSpot-RateLimit-Remaining"] == "0"
    assert headers["X-HubSpot-RateLimit-Daily-Remaining"] == "249900"
    body = answers[100].json()
    assert body["message"] == "You have reached your ten_secondly_rolling limit."
    assert (body["errorType"], body["policyName"]) == ("RATE_LIMIT", "TEN_SECONDLY_ROLLING")


def test_the_daily_limit_names_its_policy(start: Start) -> None:
    crm = Crm(start(crm_requests_per_day=2))
    answers = [crm.call("GET", LIST) for _ in range(3)]
    assert answers[2].status_code == 429
    assert answers[2].json()["policyName"] == "DAILY"


def test_searches_have_no_limit_headers_and_may_have_a_limit_of_their_own(start: Start) -> None:
    crm = Crm(start(crm_search_per_second=5))
    answers = [crm.call("POST", "/crm/v3/objects/contacts/search", {}) for _ in range(6)]
    assert [each.status_code for each in answers] == [200] * 5 + [429]
    assert answers[5].json()["message"] == "You have reached your secondly limit."
    assert not [name for name in answers[0].headers if name.startswith("X-HubSpot-RateLimit")]


def faulty(crm: Crm, **plan: object) -> None:
    requests.post(f"{crm.endpoints.crm_url}/sandbox/crm/faults", json=plan, timeout=5).raise_for_status()


@pytest.mark.parametrize(("fault", "status"), [("http_500", 500), ("http_503", 503), ("rate_limited", 429)])
def test_faults_with_a_status(crm: Crm, fault: str, status: int) -> None:
    faulty(crm, rates={fault: 1.0}, first_asks=1)
    assert [crm.call("GET", LIST).status_code for _ in range(2)] == [status, 200]


def test_a_reset_breaks_the_connection_halfway(crm: Crm) -> None:
    faulty(crm, rates={"reset": 1.0})
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        crm.call("GET", LIST)


def test_a_timeout_holds_the_answer(crm: Crm) -> None:
    faulty(crm, rates={"timeout": 1.0}, hold_seconds=0.3)
    before = time.monotonic()
    assert crm.call("GET", LIST).status_code == 200
    assert time.monotonic() - before >= 0.3


def test_faults_can_spare_reads(crm: Crm) -> None:
    faulty(crm, rates={"http_500": 1.0}, only="write")
    number = crm.first()
    answer = crm.call("PATCH", f"/crm/v3/objects/contacts/{number}", {"properties": {"nl_lead_score": 1}})
    assert answer.status_code == 500


def test_the_same_seed_fails_the_same_requests(crm: Crm) -> None:
    rounds = []
    for _ in range(2):
        faulty(crm, seed=5, rates={"http_500": 0.3})
        rounds.append([crm.call("GET", f"{LIST}&after={at}").status_code for at in range(40)])
    assert rounds[0] == rounds[1]
    assert 3 <= rounds[0].count(500) <= 22


@pytest.mark.parametrize("plan", [{"rates": {"prose": 0.1}}, {"rates": {"reset": 2}}, {"only": "some"}, {"x": 1}, [1]])
def test_a_plan_that_makes_no_sense_is_refused(endpoints: Endpoints, plan: object) -> None:
    assert requests.post(f"{endpoints.crm_url}/sandbox/crm/faults", json=plan, timeout=5).status_code == 400


def test_a_sliding_window_never_lets_more_through_in_any_span() -> None:
    window = SlidingWindow(3, 10.0)
    taken = [at for at in range(40) if window.take(float(at))]
    assert all(sum(start <= at < start + 10 for at in taken) <= 3 for start in range(40))


def test_a_bucket_refills_evenly() -> None:
    bucket = Bucket(60)
    bucket.take(60, 0.0)
    assert bucket.wait_for(1, 0.0) == pytest.approx(1.0)
    assert bucket.wait_for(1, 1.0) == 0
    assert bucket.until_full(30.0) == pytest.approx(30.0)
    assert bucket.wait_for(61, 0.0) == float("inf")
