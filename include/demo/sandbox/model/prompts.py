"""Reading a chat request: its messages, its size in tokens, the record in it, the schema it asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from include.demo.sandbox.model import shapes
from include.demo.sandbox.model.schema import strict_problem
from include.demo.sandbox.model.shapes import ModelError
from include.demo.sandbox.model.tools import answered_calls, read_tools

CONTEXT_TOKENS: Mapping[str, int] = {"sandbox-small": 16_384, "sandbox-large": 128_000}
CHARACTERS_PER_TOKEN = 4
MAX_OUTPUT_TOKENS = 1_000_000
_DECODER = json.JSONDecoder()
_MOST_TRIES = 64


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request as the stand-in sees it; `message` is the sha256 of the last user message, in hex.

    With `tools` it is that of everything said after the system's message. `given` are the calls that were answered so
    far, each with what it gave.
    """

    model: str
    last: str
    message: str
    record: Mapping[str, Any] | None
    schema: Mapping[str, Any] | None
    wants_json: bool
    max_output: int | None
    prefix: str
    prefix_tokens: int
    tokens: int
    tools: tuple[Mapping[str, Any], ...] = ()
    given: tuple[tuple[Mapping[str, Any], str], ...] = ()


def read_prompt(body: Any) -> Prompt:
    """Check a request and read it; raises ModelError 400 or 404 with the vendor's words for what is wrong."""
    if not isinstance(body, dict):
        raise ModelError(400, "We could not parse the JSON body of your request.")
    messages = _messages(body)
    texts = [_text(message) for message in messages]
    offered, given = read_tools(body), answered_calls(messages)
    users = [text for message, text in zip(messages, texts, strict=True) if message.get("role") == "user"]
    last = users[-1] if users else ""
    prefix = "\n".join(texts[:-1])
    schema, wants_json = _format(body.get("response_format"))
    prompt = Prompt(
        model=str(body.get("model") or ""),
        last=last,
        message=_digest("\0".join(texts[1:]) if offered else last),
        record=next((found for text in reversed(users) if (found := find_record(text)) is not None), None),
        schema=schema,
        wants_json=wants_json,
        max_output=_max_output(body),
        prefix=prefix,
        prefix_tokens=tokens_in(prefix),
        tokens=3 + sum(4 + tokens_in(text) for text in texts) + tokens_in(json.dumps(offered) if offered else ""),
        tools=offered,
        given=given,
    )
    if prompt.model not in CONTEXT_TOKENS:
        raise shapes.unknown_model(prompt.model)
    if prompt.tokens > CONTEXT_TOKENS[prompt.model]:
        raise shapes.too_long(CONTEXT_TOKENS[prompt.model], prompt.tokens)
    return prompt


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def tokens_in(text: str) -> int:
    """An estimate: one token per four bytes of UTF-8, rounded up."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // CHARACTERS_PER_TOKEN)


def find_record(text: str) -> dict[str, Any] | None:
    """The last fenced JSON object of a text that can be parsed, else the first JSON object anywhere in it."""
    end = len(text)
    while (fence := text.rfind("```", 0, end)) >= 0:
        start = text.find("{", fence)
        if start >= 0 and text[fence + 3 : start].strip().lower() in ("", "json"):
            found = _object_at(text, start)
            if found is not None:
                return found
        end = fence
    start = -1
    for _ in range(_MOST_TRIES):
        start = text.find("{", start + 1)
        if start < 0:
            return None
        found = _object_at(text, start)
        if found:
            return found
    return None


def _object_at(text: str, start: int) -> dict[str, Any] | None:
    try:
        found, _ = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _messages(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        raise ModelError(
            400, "Missing required parameter: 'messages'.", code="missing_required_parameter", param="messages"
        )
    if body.get("stream"):
        raise ModelError(400, "This stand-in does not stream.", code="unsupported_value", param="stream")
    if body.get("n") not in (None, 1):
        raise ModelError(400, "This stand-in gives one choice.", code="unsupported_value", param="n")
    return messages


def _max_output(body: Mapping[str, Any]) -> int | None:
    name = "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"
    most = body.get(name)
    if most is None:
        return None
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise ModelError(400, f"Invalid value for '{name}': expected a whole number of at least 1.", param=name)
    return min(most, MAX_OUTPUT_TOKENS)


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if message.get("tool_calls"):
        return json.dumps(message["tool_calls"])
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def _format(wanted: Any) -> tuple[Mapping[str, Any] | None, bool]:
    """The JSON schema asked for, and whether JSON is wanted at all."""
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind != "json_schema":
        return None, kind == "json_object"
    described = wanted.get("json_schema")
    if not isinstance(described, dict) or not isinstance(described.get("schema"), dict) or not described.get("name"):
        raise ModelError(400, "Missing required parameter: 'response_format.json_schema'.", param="response_format")
    if described.get("strict"):
        problem = _strict_problem(json.dumps(described["schema"]))
        if problem:
            message = f"Invalid schema for response_format '{described['name']}': {problem}"
            raise ModelError(400, message, param="response_format")
    return described["schema"], True


@lru_cache(maxsize=256)
def _strict_problem(schema: str) -> str | None:
    try:
        return strict_problem(json.loads(schema))
    except (TypeError, ValueError, AttributeError):
        return "schema is not a valid JSON schema."
