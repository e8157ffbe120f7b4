"""Answers in HubSpot's text forms, and when nothing needs to be written."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from include.errors import ContractBroken
from include.night.addressing import addressed, properties
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


@dataclass(frozen=True)
class Place:
    system: str
    object: str


SOURCES: Any = (Place("crm", "tickets"), Place("sftp", "drop"), Place("sftp", "drop/late"))


@pytest.mark.parametrize(
    ("only_from", "row_id", "meant"),
    [
        ("sftp/drop", "sftp/drop/t.csv#1", True),
        ("sftp/drop", "crm/tickets/1", False),
        ("sftp/drop", "sftp/drop/late/t.csv#1", False),
        ("sftp/drop/late", "sftp/drop/late/t.csv#1", True),
        (None, "sftp/drop/late/t.csv#1", True),
    ],
)
def test_a_sink_may_be_for_the_rows_of_one_source(only_from: str | None, row_id: str, meant: bool) -> None:
    row = {"row_id": row_id, "row_key": "1", "output": json.dumps(answer()), "origin": "model"}
    found = list(addressed(replace(SINK, only_from=only_from), SOURCES, row))
    assert [name for name, _ in found] == ["1"] * meant


def test_a_row_of_no_source_is_written_nowhere_by_its_id() -> None:
    row = {"row_id": "erp/Orders/1", "row_key": "1", "output": json.dumps(answer()), "origin": "model"}
    with pytest.raises(ContractBroken, match="names none of the sources"):
        list(addressed(replace(SINK, target="id"), SOURCES, row))


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
