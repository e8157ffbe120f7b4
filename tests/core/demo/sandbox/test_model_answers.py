"""The stand-in model endpoint answers the real SDK, with its rule, in the schema asked for."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Literal

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openai import (
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    OpenAI,
)
from pydantic import BaseModel, ConfigDict, Field

from include.demo.sandbox.config import Endpoints
from include.demo.sandbox.model.prompts import find_record
from include.demo.sandbox.model.rule import judge
from include.demo.sandbox.model.schema import instance, strict_problem

LEAD = {
    "job_title": "VP Engineering",
    "lead_source": "REFERRALS",
    "page_views": 25,
    "last_activity_days": 7,
    "industry": "COMPUTER_SOFTWARE",
    "employees": 450,
    "company_name": "Umbrella",
    "country": "Germany",
}


class Answer(BaseModel):
    """A lead's score."""

    model_config = ConfigDict(extra="forbid")

    score: int = Field(ge=0, le=100)
    tier: Literal["hot", "warm", "cold"]
    summary: str
    next_action: Literal["call", "email", "nurture", "research", "discard"]
    confidence: float = Field(ge=0, le=1)
    reasons: list[str] = Field(min_length=1, max_length=5)


def ask(endpoints: Endpoints, text: str, **options: Any) -> Any:
    client = OpenAI(api_key=endpoints.model_key, base_url=endpoints.model_url, max_retries=0)
    messages: Any = options.pop("messages", [{"role": "user", "content": text}])
    return client.chat.completions.create(**{"model": "sandbox-small", "messages": messages, **options})


def prompt(record: dict[str, Any]) -> str:
    return f"Score this lead.\n\n```json\n{json.dumps(record)}\n```"


def test_the_async_sdk_parses_a_structured_answer(endpoints: Endpoints) -> None:
    async def run() -> Answer | None:
        async with AsyncOpenAI(api_key=endpoints.model_key, base_url=endpoints.model_url, max_retries=0) as client:
            found = await client.chat.completions.parse(
                model="sandbox-small",
                messages=[{"role": "system", "content": "Score leads."}, {"role": "user", "content": prompt(LEAD)}],
                response_format=Answer,
            )
        return found.choices[0].message.parsed

    answer = asyncio.run(run())
    assert answer is not None
    assert answer.model_dump() == judge(LEAD).to_json()
    assert (answer.tier, answer.next_action) == ("hot", "call")


def test_an_answer_has_the_vendors_shape_and_headers(endpoints: Endpoints) -> None:
    client = OpenAI(api_key=endpoints.model_key, base_url=endpoints.model_url, max_retries=0)
    messages: Any = [{"role": "user", "content": prompt(LEAD)}]
    raw = client.chat.completions.with_raw_response.create(model="sandbox-small", messages=messages)
    answer = raw.parse()
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["server"] == "nightledger-sandbox"
    for name in ("openai-processing-ms", "x-ratelimit-limit-requests", "x-ratelimit-remaining-tokens"):
        assert raw.headers[name].isdigit()


def test_models_are_listed_and_shown(endpoints: Endpoints) -> None:
    client = OpenAI(api_key=endpoints.model_key, base_url=endpoints.model_url, max_retries=0)
    assert [each.id for each in client.models.list()] == ["sandbox-small", "sandbox-large"]
    assert client.models.retrieve("sandbox-large").object == "model"
    with pytest.raises(NotFoundError):
        client.models.retrieve("gpt-9")


def test_a_wrong_key_is_401(endpoints: Endpoints) -> None:
    client = OpenAI(api_key="sk-wrong-key-000000", base_url=endpoints.model_url, max_retries=0)
    with pytest.raises(AuthenticationError) as refused:
        client.models.list()
    assert refused.value.code == "invalid_api_key"
    assert "sk-wrong-key-000000" not in str(refused.value)


def test_an_unknown_model_is_404(endpoints: Endpoints) -> None:
    with pytest.raises(NotFoundError) as refused:
        ask(endpoints, "hello", model="gpt-9")
    assert refused.value.code == "model_not_found"


def test_a_prompt_above_the_models_context_is_400(endpoints: Endpoints) -> None:
    with pytest.raises(BadRequestError) as refused:
        ask(endpoints, "x" * 70_000)
    assert refused.value.code == "context_length_exceeded"
    assert ask(endpoints, "x" * 70_000, model="sandbox-large").choices[0].message.content


@pytest.mark.parametrize("options", [{"stream": True}, {"n": 2}, {"messages": []}])
def test_what_the_stand_in_does_not_do_is_400(endpoints: Endpoints, options: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError):
        ask(endpoints, "hello", **options)


def test_a_strict_schema_must_be_closed(endpoints: Endpoints) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "open", "strict": True, "schema": schema}}
    with pytest.raises(BadRequestError, match="additionalProperties"):
        ask(endpoints, "hello", response_format=wanted)
    assert strict_problem({**schema, "additionalProperties": False}) is None
    assert "Missing 'b'" in str(
        strict_problem({**schema, "properties": {"a": {}, "b": {}}, "additionalProperties": False})
    )


def test_max_tokens_cuts_the_answer(endpoints: Endpoints) -> None:
    choice = ask(endpoints, prompt(LEAD), max_completion_tokens=5).choices[0]
    assert choice.finish_reason == "length"
    assert len(choice.message.content) == 20


def test_a_long_prefix_is_cached_the_second_time(endpoints: Endpoints) -> None:
    messages = [{"role": "system", "content": "rule " * 1_100}, {"role": "user", "content": prompt(LEAD)}]
    usages = [ask(endpoints, "", messages=messages).usage for _ in range(2)]
    assert [each.prompt_tokens_details.cached_tokens for each in usages] == [0, 1_280]


SCHEMAS: list[dict[str, Any]] = [
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["kind", "amount", "lines", "due", "note", "flag", "parent"],
        "properties": {
            "kind": {"enum": ["invoice", "credit"]},
            "amount": {"type": "number", "minimum": 0.5, "maximum": 0.9},
            "lines": {"type": "array", "minItems": 1, "maxItems": 4, "items": {"$ref": "#/$defs/line"}},
            "due": {"type": "string", "format": "date"},
            "note": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]},
            "flag": {"type": "boolean"},
            "parent": {"type": ["string", "null"]},
        },
        "$defs": {
            "line": {
                "type": "object",
                "additionalProperties": False,
                "required": ["number", "unit"],
                "properties": {"number": {"type": "integer", "exclusiveMinimum": 3}, "unit": {"const": "piece"}},
            }
        },
    },
    {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "required": ["children"],
                "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            }
        },
    },
    {"type": "object", "properties": {"share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}}},
    {"type": "object", "properties": {"step": {"type": "integer", "minimum": 4, "multipleOf": 5}}},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_any_other_schema_gets_a_valid_instance(schema: dict[str, Any]) -> None:
    for seed in range(50):
        value = instance(schema, str(seed))
        Draft202012Validator(schema).validate(value)
        assert value == instance(schema, str(seed))


def test_another_schema_is_answered_over_the_wire(endpoints: Endpoints) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "other", "strict": True, "schema": SCHEMAS[0]}}
    answers = {ask(endpoints, "any", response_format=wanted).choices[0].message.content for _ in range(3)}
    assert len(answers) == 1
    Draft202012Validator(SCHEMAS[0]).validate(json.loads(answers.pop()))


def test_an_extended_lead_schema_keeps_the_rules_fields(endpoints: Endpoints) -> None:
    schema = Answer.model_json_schema()
    schema["properties"]["language"] = {"enum": ["en", "de"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "lead", "schema": schema}}
    answer = json.loads(ask(endpoints, prompt(LEAD), response_format=wanted).choices[0].message.content)
    assert answer["score"] == judge(LEAD).score
    assert answer["language"] in ("en", "de")


def test_a_reask_in_a_second_user_message_still_finds_the_record(endpoints: Endpoints) -> None:
    messages = [
        {"role": "user", "content": prompt(LEAD)},
        {"role": "assistant", "content": "no JSON"},
        {"role": "user", "content": "Answer with JSON only."},
    ]
    answer = ask(endpoints, "", messages=messages, response_format={"type": "json_object"})
    assert json.loads(answer.choices[0].message.content)["score"] == judge(LEAD).score


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('```json\n{"a": 1}\n```\nthen\n```json\n{"a": 2}\n```', {"a": 2}),
        ('```json\n{"a": 1}\n```\nthen\n```json\n{"a": \n```', {"a": 1}),
        ('```json\n{"a": "x``` ```json {\\"a\\": 9}```"}\n```', {"a": 'x``` ```json {"a": 9}```'}),
        ("```\n{}\n```", {}),
        ('Lead: {"a": {"b": 3}} please', {"a": {"b": 3}}),
        ("{not json}", None),
        ("nothing", None),
    ],
)
def test_the_record_is_the_last_fenced_object(text: str, found: dict[str, Any] | None) -> None:
    assert find_record(text) == found
