"""Answers as the destination's properties, and when two property values are the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from include.models import Record
from include.plain import defused, visible_all
from include.spec.use_case import CrmSink

CONFIDENCE_DIGITS = 2


def properties(sink: CrmSink, row: Record) -> Record:
    """The values to write for one approved row, by property; the confidence is rounded, text is made plain.

    Text has no control, bidi or invisible characters, and is no formula: people export a CRM's lists to spreadsheets.
    Markup stays, since it is text; whoever shows it escapes it. What is compared, sent and kept is this form.

    No time of scoring is among them: it would differ on each run, so no re-run could be free of writes. When a record
    was written is in the outbox.
    """
    values: Record = {**json.loads(row["output"]), "origin": row["origin"]}
    if isinstance(values.get("confidence"), float):
        values["confidence"] = round(values["confidence"], CONFIDENCE_DIGITS)
    return {name: defused(visible_all(values.get(field))) for field, name in sink.fields.items()}


def as_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Values in the CRM's own form, where every property is text."""
    return {name: to_text(value) for name, value in values.items()}


def to_text(value: Any) -> str:
    """A value as HubSpot stores it: nothing as empty text, whole numbers without a fraction, never an exponent."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = format(Decimal(str(value)), "f")
        return text.removesuffix(".0")
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def same(current: Mapping[str, Any], intended: Mapping[str, Any]) -> bool:
    """Whether the record already holds what would be written: `7` and `7.0` are one number, absent is empty."""
    return all(_equal(to_text(current.get(name)), value) for name, value in intended.items())


def _equal(current: str, intended: Any) -> bool:
    if current == to_text(intended):
        return True
    if isinstance(intended, bool) or not isinstance(intended, (int, float)):
        return False
    try:
        return Decimal(current) == Decimal(str(intended))
    except InvalidOperation:
        return False
