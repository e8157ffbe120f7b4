"""Whatever a caller sends, the stand-ins refuse it in the vendor's way and never break themselves."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import requests

from include.demo.sandbox.config import Endpoints
from tests.core.demo.sandbox.conftest import Crm

JUNK: tuple[Any, ...] = (None, True, 7, -1, 1.5, "x", [], [[]], [None], [{}], {}, {"a": []}, "\ud83d", 10**30)
SEARCH_KEYS = ("filterGroups", "sorts", "properties", "limit", "after")
FILTER_KEYS = ("propertyName", "operator", "value", "values", "highValue")
MODEL_KEYS = ("model", "messages", "response_format", "max_tokens", "max_completion_tokens", "n", "temperature")


def is_refused_or_answered(answer: requests.Response) -> bool:
    return answer.status_code < 500 and isinstance(answer.json(), dict)


@pytest.mark.parametrize("key", SEARCH_KEYS)
def test_searches(crm: Crm, key: str) -> None:
    for junk in JUNK:
        answer = crm.call("POST", "/crm/v3/objects/contacts/search", {key: junk})
        assert is_refused_or_answered(answer), junk


@pytest.mark.parametrize("operator", ["EQ", "IN", "BETWEEN", "HAS_PROPERTY", 5])
def test_filters(crm: Crm, operator: Any) -> None:
    for key, junk, name in itertools.product(FILTER_KEYS, JUNK, ("email", "hs_object_id", "lastmodifieddate")):
        wanted = {"propertyName": name, "operator": operator, "value": "1", "values": ["1"], key: junk}
        body = {"filterGroups": [{"filters": [wanted]}], "limit": 1}
        assert is_refused_or_answered(crm.call("POST", "/crm/v3/objects/contacts/search", body)), wanted


@pytest.mark.parametrize("path", ["batch/read", "batch/update"])
def test_batches(crm: Crm, path: str) -> None:
    for junk in JUNK:
        for body in (junk, {"inputs": junk}, {"inputs": [{"id": junk, "properties": junk}], "properties": junk}):
            answer = crm.call("POST", f"/crm/v3/objects/deals/{path}", body)
            assert is_refused_or_answered(answer), body


def test_values(crm: Crm) -> None:
    number = crm.first()
    for junk in JUNK:
        for name in ("nl_lead_summary", "nl_lead_score", "nl_scored_at", "nl_lead_tier"):
            answer = crm.call("PATCH", f"/crm/v3/objects/contacts/{number}", {"properties": {name: junk}})
            assert is_refused_or_answered(answer), (name, junk)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "after=x", "after=-1", "limit=", "properties=", "properties=,,"]
)
def test_lists(crm: Crm, query: str) -> None:
    assert is_refused_or_answered(crm.call("GET", f"/crm/v3/objects/contacts?{query}"))


@pytest.mark.parametrize("key", MODEL_KEYS)
def test_prompts(endpoints: Endpoints, key: str) -> None:
    headers = {"Authorization": f"Bearer {endpoints.model_key}"}
    good = {"model": "sandbox-small", "messages": [{"role": "user", "content": "hello"}]}
    for junk in JUNK:
        body = {**good, key: junk}
        answer = requests.post(f"{endpoints.model_url}/chat/completions", json=body, headers=headers, timeout=10)
        assert is_refused_or_answered(answer), junk


@pytest.mark.parametrize(
    "key", ["type", "properties", "required", "enum", "items", "$ref", "anyOf", "minimum", "maxItems"]
)
def test_schemas(endpoints: Endpoints, key: str) -> None:
    headers = {"Authorization": f"Bearer {endpoints.model_key}"}
    for junk in JUNK:
        schema = {"type": "object", "properties": {"a": {key: junk}}, key: junk}
        wanted = {"type": "json_schema", "json_schema": {"name": "odd", "schema": schema}}
        body = {
            "model": "sandbox-small",
            "messages": [{"role": "user", "content": "hello"}],
            "response_format": wanted,
        }
        answer = requests.post(f"{endpoints.model_url}/chat/completions", json=body, headers=headers, timeout=10)
        assert is_refused_or_answered(answer), schema
