"""What the stand-in says: the rule's verdict in the schema asked for, or an answer that is wrong on purpose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from include.demo.sandbox.faults import ANSWER_FAULTS
from include.demo.sandbox.model import accounts, companies
from include.demo.sandbox.model.accounts import next_call, spoilt_brief
from include.demo.sandbox.model.invoices import MARKS_OF_AN_INVOICE, read_invoice
from include.demo.sandbox.model.prompts import CHARACTERS_PER_TOKEN, Prompt
from include.demo.sandbox.model.replies import FIELDS as REPLY_FIELDS
from include.demo.sandbox.model.replies import draft_reply
from include.demo.sandbox.model.rule import judge
from include.demo.sandbox.model.schema import instance
from include.demo.sandbox.model.shapes import ModelError
from include.demo.sandbox.model.tickets import FIELDS as TICKET_FIELDS
from include.demo.sandbox.model.tickets import sort_ticket

LEAD_FIELDS = frozenset({"score", "tier", "summary", "next_action", "confidence", "reasons"})
_MARKS_OF_A_LEAD = frozenset({"score", "tier"})
_NO_MEMBER = "lukewarm"


def answer(prompt: Prompt, fault: str | None) -> tuple[dict[str, Any], str]:
    """The assistant's message (`content` or `refusal`) and the finish reason; ModelError 400 for a broken schema."""
    if fault == "refusal":
        return {"refusal": "I'm sorry, but I can't help with that request."}, "stop"
    if prompt.tools and (call := next_call(prompt, fault)) is not None:
        return {"content": None, "tool_calls": [call]}, "tool_calls"
    value = spoilt_brief(_value(prompt), fault)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if fault in ANSWER_FAULTS:
        text = _spoilt(fault, text, value, prompt)
    most = prompt.max_output * CHARACTERS_PER_TOKEN if prompt.max_output else len(text)
    if fault == "truncated":
        most = min(most, len(text) // 2)
    return {"content": text[:most]}, "length" if most < len(text) else "stop"


def _value(prompt: Prompt) -> Any:
    if prompt.schema is None:
        if prompt.record is None and not prompt.wants_json:
            return "I am a stand-in for a model: I score leads from a JSON record, and this message holds none."
        return judge(prompt.record or {}).to_json()
    fields = prompt.schema.get("properties")
    names = set(fields) if isinstance(fields, dict) else set()
    if names >= companies.MARKS:
        return {name: value for name, value in companies.judge_company(prompt.record or {}).items() if name in names}
    if names >= MARKS_OF_AN_INVOICE:
        return read_invoice(prompt.record or {})
    if names >= _MARKS_OF_A_LEAD:
        verdict = judge(prompt.record or {}).to_json()
        if names <= LEAD_FIELDS:
            return {name: verdict[name] for name in prompt.schema["properties"]}
        return {**_instance(prompt), **{name: verdict[name] for name in names & LEAD_FIELDS}}
    if names == REPLY_FIELDS:
        return draft_reply(prompt.record or {})
    if names >= accounts.MARKS and prompt.tools:
        return accounts.brief(prompt.given)
    return sort_ticket(prompt.record or {}) if names == TICKET_FIELDS else _instance(prompt)


def _instance(prompt: Prompt) -> Any:
    try:
        return instance(prompt.schema or {}, prompt.message)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        problem = "Invalid schema for response_format: schema is not a valid JSON schema."
        raise ModelError(400, problem, param="response_format") from error


def _spoilt(fault: str, text: str, value: Any, prompt: Prompt) -> str:
    if fault == "prose":
        return "Happy to help! This looks like a promising lead, and I would suggest to give them a call this week."
    if fault == "fenced":
        return f"Here is the assessment you asked for:\n\n```json\n{text}\n```\n\nLet me know if you need more detail."
    if fault == "wrong_enum":
        return json.dumps(_with_no_member(value, prompt.schema or {}), ensure_ascii=False)
    return "" if fault == "empty" else text


def _with_no_member(value: Any, schema: Mapping[str, Any]) -> Any:
    """The value with its first enumerated field set to something outside of it."""
    if not isinstance(value, dict):
        return _NO_MEMBER
    fields = schema.get("properties", {})
    name = next((name for name, inner in fields.items() if "enum" in inner), "tier" if "tier" in value else None)
    return {**value, name: _NO_MEMBER} if name else {**value, "unexpected": _NO_MEMBER}
