"""Tools in a chat request, checked as the vendor checks them: https://platform.openai.com/docs/guides/function-calling."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from include.demo.sandbox.model.schema import strict_problem
from include.demo.sandbox.model.shapes import ModelError

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MOST = 128

Given = tuple[Mapping[str, Any], str]
"""A call, `name` and `arguments`, and what it gave."""


def read_tools(body: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The functions offered; raises ModelError 400 for what the vendor refuses."""
    tools = body.get("tools")
    if tools is None:
        return ()
    if not isinstance(tools, list) or not 1 <= len(tools) <= _MOST:
        raise ModelError(400, f"Invalid 'tools': expected an array of 1 to {_MOST} objects.", param="tools")
    return tuple(_function(at, tool) for at, tool in enumerate(tools))


def _function(at: int, tool: Any) -> Mapping[str, Any]:
    where = f"tools[{at}].function"
    function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
    if not isinstance(function, dict) or not _NAME.fullmatch(str(function.get("name") or "")):
        raise ModelError(400, f"Invalid '{where}.name': expected a name of {_NAME.pattern}.", param=f"{where}.name")
    if function.get("strict"):
        problem = strict_problem(function.get("parameters") or {})
        if problem:
            message = f"Invalid schema for function '{function['name']}': {problem}"
            raise ModelError(400, message, param=f"{where}.parameters", code="invalid_function_parameters")
    return function


def answered_calls(messages: Sequence[Mapping[str, Any]]) -> tuple[Given, ...]:
    """Every call that was made, with its answer; raises ModelError 400 where one has none, or one answers no call."""
    found, waiting = list[Given](), dict[str, Mapping[str, Any]]()
    for at, message in enumerate(messages):
        if message.get("role") == "tool":
            call = waiting.pop(str(message.get("tool_call_id")), None)
            if call is None:
                raise ModelError(
                    400,
                    f"Invalid parameter: messages[{at}] with role 'tool' must be a response to a preceding message "
                    "with 'tool_calls'.",
                    param=f"messages.[{at}].role",
                )
            found.append((call, str(message.get("content") or "")))
            continue
        _refuse_unanswered(waiting)
        for call in message.get("tool_calls") or ():
            waiting[str(call["id"])] = call["function"]
    _refuse_unanswered(waiting)
    return tuple(found)


def _refuse_unanswered(waiting: Mapping[str, Any]) -> None:
    if waiting:
        raise ModelError(
            400,
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}",
            param="messages",
        )
