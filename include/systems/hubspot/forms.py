"""Values as HubSpot stores them: every property is text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any


def as_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as texts, by property."""
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
