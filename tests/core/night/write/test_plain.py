"""Text of a model leaves without what is not seen, and is no formula where people open it in a spreadsheet."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.night.addressing import properties
from include.night.write.write import write
from include.plain import defused, visible, visible_all
from include.spec.use_case import load
from include.systems.hubspot.forms import as_texts
from tests.core.night.gate.answers import answer
from tests.core.night.write.conftest import Begin, Crm, Warehouse, approve, counts, outbox_of

FORMULA = "=cmd|' /C calc'!A0"
HOSTILE = f"{FORMULA}\r\nX-Injected: 1\u202e\u200b\x1b[2J<script>alert(1)</script>\U000e0041"
PLAIN = f"{FORMULA}\nX-Injected: 1\ufffd[2J<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\r\nb\rc\u2028d\x0be", "a\nb\nc\nd\ne"),
        ("a\x00\x07\x1b\x7f\x9fb", "a" + "\ufffd" * 5 + "b"),
        ("\u202egnp.exe\u202c \u2066x\u2069 \u200e\u200f\u061c", "gnp.exe x "),
        ("ze\u200bro\ufeff \U000e0068\U000e0069", "zero "),
        ("half \ud800 pair", "half \ufffd pair"),
        (
            "caf\u00e9\tna\u00efve \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f469\u200d\U0001f680",
            "caf\u00e9\tna\u00efve \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f469\u200d\U0001f680",
        ),
    ],
)
def test_only_what_is_seen_stays(text: str, seen: str) -> None:
    assert visible(text) == seen
    assert visible(seen) == seen
    assert visible_all({text: [text, 1, None]}) == {seen: [seen, 1, None]}


@pytest.mark.parametrize(
    "text",
    [FORMULA, "=1+1", " =A1", "\uff1dA1", "+cmd|'/C calc'!A0", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", '=HYPERLINK("x")'],
)
def test_a_formula_becomes_a_text(text: str) -> None:
    assert defused(text) == f"'{text}"
    assert defused(defused(text)) == f"'{text}"


@pytest.mark.parametrize("value", ["", "a=b", "- call them", "+49 30 123", "@ada", "-5", -5, 0.5, None, ["=1"]])
def test_prose_numbers_and_lists_stay(value: Any) -> None:
    assert defused(value) == value


def test_numbers_below_zero_are_written_as_numbers() -> None:
    row = {"output": json.dumps({"score": -5, "confidence": -0.5}), "origin": "model"}
    sent = as_texts(properties(load("crm_lead_scoring").sinks[0], row))
    assert (sent["nl_lead_score"], sent["nl_lead_confidence"]) == ("-5", "-0.5")


def test_a_hostile_text_arrives_plain_and_a_second_night_writes_nothing(
    begin: Begin, crm: Crm, warehouse: Warehouse
) -> None:
    (one,) = crm.ids(1)
    first, outputs = begin(), {one: answer(summary=HOSTILE, reasons=["\u202eright", "ok\x07"])}
    assert counts(write(first, approve(first, outputs)))["sent"] == 1
    assert crm.read(one)["nl_lead_summary"] == f"'{PLAIN}"
    row = outbox_of(first)[one]
    assert row["fields"]["nl_lead_summary"] == row["after"]["nl_lead_summary"] == f"'{PLAIN}"
    (loaded,) = warehouse.rows()
    assert (loaded["summary"], loaded["reasons"]) == (PLAIN, ["right", "ok\ufffd"])

    assert counts(write(first, approve(first, outputs)))["sent"] == 0
    second = begin(day=1)
    again = write(second, approve(second, outputs))
    assert counts(again) == {"written": 0, "sent": 0, "unchanged": 1, "failed": 0}
    assert outbox_of(second)[one]["before"]["nl_lead_summary"] == f"'{PLAIN}"
    assert again["warehouse"]["unchanged"] == 1
