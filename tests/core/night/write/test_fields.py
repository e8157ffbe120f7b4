"""Answers in HubSpot's text forms, and when nothing needs to be written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.night.write.fields import properties
from include.spec.use_case import load
from include.systems.hubspot.forms import as_texts, same, to_text
from tests.core.night.gate.answers import answer

SINK = load("crm_lead_scoring").sinks[0]


def test_an_answer_becomes_the_declared_properties_and_no_time() -> None:
    row = {"output": json.dumps(answer(confidence=0.876)), "origin": "model"}
    assert as_texts(properties(SINK, row)) == {
        "nl_lead_score": "80",
        "nl_lead_tier": "hot",
        "nl_lead_summary": "Asked for a quote.",
        "nl_next_action": "call",
        "nl_lead_confidence": "0.88",
        "nl_score_origin": "model",
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (7, "7"),
        (7.0, "7"),
        (0.1, "0.1"),
        (1234567.891, "1234567.891"),
        (1e-7, "0.0000001"),
        (1e22, "10000000000000000000000"),
        (True, "true"),
        (False, "false"),
        (["a", "é"], '["a", "é"]'),
        ("text", "text"),
    ],
)
def test_values_in_text_form(value: Any, text: str) -> None:
    assert to_text(value) == text


@pytest.mark.parametrize(
    ("current", "intended", "equal"),
    [
        ("7", 7, True),
        ("7.0", 7, True),
        ("7", 7.0, True),
        ("07", 7, True),
        ("0.90", 0.9, True),
        ("7.01", 7, False),
        ("seven", 7, False),
        ("", 0, False),
        (None, 0, False),
        (None, None, True),
        ("", None, True),
        (None, "", True),
        ("hot", "hot", True),
        ("Hot", "hot", False),
        ("true", True, True),
        ("1", True, False),
        ("007", "7", False),
    ],
)
def test_what_counts_as_unchanged(current: str | None, intended: Any, equal: bool) -> None:
    assert same({"p": current}, {"p": intended}) is equal


def test_one_difference_is_enough_and_an_unread_property_is_empty() -> None:
    assert not same({"a": "1", "b": "2"}, {"a": 1, "b": 3})
    assert not same({"a": "1"}, {"a": 1, "b": 3})
    assert same({"a": "1"}, {"a": 1, "b": None})
