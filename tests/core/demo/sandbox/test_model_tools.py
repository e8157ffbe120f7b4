"""The stand-in keeps the vendor's contract for tools, so that an engine which breaks it is refused here, too."""

from __future__ import annotations

from typing import Any

import pytest

from include.demo.sandbox.model.answers import answer
from include.demo.sandbox.model.prompts import read_prompt
from include.demo.sandbox.model.shapes import ModelError

Record = dict[str, Any]
TOOL: Record = {
    "type": "function",
    "function": {
        "name": "list_tickets",
        "strict": True,
        "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    },
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "list_tickets", "arguments": "{}"}}
ASKED: Record = {"role": "assistant", "content": None, "tool_calls": [CALL]}
GIVEN: Record = {"role": "tool", "tool_call_id": "call_1", "content": '```json\n{"records": []}\n```'}


def body(*more: Record, tools: list[Record] | None = None) -> Record:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "{}"}, *more]
    return {"model": "sandbox-small", "messages": messages, "tools": [TOOL] if tools is None else tools}


def without(path: str) -> Record:
    function = {name: value for name, value in TOOL["function"].items() if name != path}
    return {**TOOL, "function": function}


LOOSE = {**TOOL, "function": {**TOOL["function"], "parameters": {"type": "object", "properties": {}}}}
REFUSED = [
    (body(ASKED), "did not have response messages: call_1"),
    (body(ASKED, {"role": "user", "content": "and?"}), "did not have response messages: call_1"),
    (body(GIVEN), "must be a response to a preceding message"),
    (body(ASKED, GIVEN, GIVEN), "must be a response to a preceding message"),
    (body(tools=[]), "Invalid 'tools'"),
    (body(tools=[without("name")]), "function.name"),
    (body(tools=[LOOSE]), "Invalid schema for function 'list_tickets'"),
]


@pytest.mark.parametrize(("request_body", "said"), REFUSED, ids=range(len(REFUSED)))
def test_what_the_vendor_refuses_is_refused(request_body: Record, said: str) -> None:
    with pytest.raises(ModelError) as refused:
        read_prompt(request_body)
    assert refused.value.status == 400
    assert said in str(refused.value)


def test_it_asks_each_tool_once_then_answers_and_says_the_same_each_time() -> None:
    first, reason = answer(read_prompt(body()), None)
    assert (first, reason) == answer(read_prompt(body()), None)
    assert (reason, first["tool_calls"][0]["function"]["name"]) == ("tool_calls", "list_tickets")
    _, reason = answer(read_prompt(body(ASKED, GIVEN)), None)
    assert reason == "stop"


def test_a_request_without_tools_is_asked_none_whatever_the_fault() -> None:
    plain = {**body(), "tools": None}
    assert answer(read_prompt(plain), "circling") == answer(read_prompt(plain), None)
