"""Answers as the destination's properties, and when two property values are the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from include.models import Record
from include.use_case import CrmSink

CONFIDENCE_DIGITS = 2


def properties(sink: CrmSink, row: Record) -> dict[str, str]:
    """The properties to write for one approved row, in the CRM's own form: every value is text.

    No time of scoring is written: it would differ on each run, so no re-run could be free of writes.
    """
    values: Record = {**json.loads(row["output"]), "origin": row["origin"]}
    return {name: to_text(values.get(field)) for field, name in sink.fields.items()}


def to_text(value: Any) -> str:
    """A value as the CRM shows it: nothing as empty text, fractions rounded to two digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{round(value, CONFIDENCE_DIGITS):g}"
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def same(current: Mapping[str, Any], intended: Mapping[str, str]) -> bool:
    """Whether the record already holds what would be written; `7` and `7.0` are one number, absent is empty."""
    return all(_equal(to_text(current.get(name)), value) for name, value in intended.items())


def _equal(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return Decimal(one) == Decimal(other)
    except InvalidOperation:
        return False
