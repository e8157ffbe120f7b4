"""How the stand-in reads with tools and writes a brief of an account: every tool once, then what it has found.

It is no model. It asks each tool once; one that wants a value is given the id of the newest record that another tool
has shown. A brief counts open tickets and overdue invoices, and cites what it was shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from include.demo.sandbox.model.prompts import Prompt, find_record
from include.demo.sandbox.model.tools import Given

MARKS = frozenset({"note", "health", "sources"})
_MOST_CITED = 8
_IN_BRACKETS = re.compile(r"\[[A-Z]+_[0-9a-f]+\]")
_LONGEST = 600
_AT_RISK = 2


def next_call(prompt: Prompt, fault: str | None) -> dict[str, Any] | None:
    """The tool that is asked for next, or None where it is time to answer; `fault` is how it goes wrong."""
    if fault == "hasty" or (fault == "invented_source" and prompt.given):
        return None
    if fault == "unknown_tool":
        return _call(prompt, "send_email", {"to": "x@evil.example"})
    first = prompt.tools[0]
    if fault == "wrong_arguments":
        return _call(prompt, str(first["name"]), {"account": "70000002", "url": "https://evil.example"})
    if fault == "same_call" and prompt.given:
        return _call(prompt, prompt.given[0][0]["name"], json.loads(prompt.given[0][0]["arguments"]))
    if fault == "circling":
        tool = prompt.tools[len(prompt.given) % min(len(prompt.tools), 2)]
        return _call(prompt, str(tool["name"]), _arguments(prompt, tool) or {})
    had = {call["name"] for call, _ in prompt.given}
    for tool in prompt.tools:
        if tool["name"] not in had and (arguments := _arguments(prompt, tool)) is not None:
            return _call(prompt, str(tool["name"]), arguments)
    return None


def brief(given: Sequence[Given]) -> dict[str, Any]:
    """What the records that were shown come to."""
    shown = list(_records(given))
    tickets = {one["id"]: one for one in shown if "/tickets/" in str(one.get("id"))}
    invoices = {one["id"]: one for one in shown if "Invoices/" in str(one.get("id"))}
    overdue = [one for one in invoices.values() if one.get("status") == "overdue"]
    health = "unknown" if not shown else "at_risk" if len(overdue) >= _AT_RISK else "watch" if overdue else "good"
    subjects = [_IN_BRACKETS.sub("somebody", str(one["subject"])) for one in tickets.values() if one.get("subject")]
    parts = [f"{len(tickets)} tickets and {len(invoices)} invoices were read, {len(overdue)} of them overdue."]
    parts += [f"Newest ticket: {subjects[0]}."] if subjects else []
    return {
        "note": " ".join(parts)[:_LONGEST],
        "health": health,
        "sources": [*tickets, *invoices][:_MOST_CITED] or [one["id"] for one in shown][:_MOST_CITED],
        "confidence": 0.8 if tickets and invoices else 0.5,
    }


def spoilt_brief(value: Any, fault: str | None) -> Any:
    """The answer with a source that nobody has shown, where that is the fault."""
    if fault == "invented_source" and isinstance(value, dict) and "sources" in value:
        return {**value, "sources": [*value["sources"], "crm/tickets/1"]}
    return value


def _records(given: Sequence[Given]) -> Iterator[Mapping[str, Any]]:
    for _, text in given:
        yield from (find_record(text) or {}).get("records", ())


def _arguments(prompt: Prompt, tool: Mapping[str, Any]) -> dict[str, Any] | None:
    """Null for what may be null; an id that was shown for what must be a text; None where there is none yet."""
    arguments: dict[str, Any] = {}
    for name, schema in (tool.get("parameters") or {}).get("properties", {}).items():
        if any(one.get("type") == "null" for one in schema.get("anyOf", ())):
            arguments[name] = None
            continue
        found = next((str(one[name]) for one in _records(prompt.given) if one.get(name)), None)
        if found is None:
            return None
        arguments[name] = found
    return arguments


def _call(prompt: Prompt, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"call_{prompt.message[:16]}_{len(prompt.given)}", "type": "function", "function": function}
