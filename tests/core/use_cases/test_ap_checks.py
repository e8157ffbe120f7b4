"""What invoices are held against: each rule seen to hold and to fail."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from include.models import Interval, Record
from include.quality.expectation import Expectation
from include.quality.gx import judge, prepare
from include.quality.usual import History
from include.use_cases.ap_invoices import sums
from include.use_cases.ap_invoices.expectations import ANSWER_EXPECTATIONS, EXPECTATIONS, LONGEST

INTERVAL = Interval(datetime(2026, 11, 20, 2, tzinfo=UTC), datetime(2026, 11, 21, 2, tzinfo=UTC))
NIGHTS = History(INTERVAL, ())
SOUND: Record = {
    "row_id": "invoices/invoices/1.pdf",
    "ending": "answered",
    "number": "RE-1",
    "kind": "invoice",
    "issue_date": "2026-11-19",
    "due_date": "2026-12-19",
    "seller_name": "Nordmetall  GmbH",
    "seller_vat_id": "DE256446233",
    "currency": "EUR",
    "order_number": "4500000012",
    "allowances": "10.00",
    "charges": "5.00",
    "net": "295.00",
    "tax": "56.05",
    "gross": "351.05",
    "prepaid": "51.05",
    "rounding": "0.00",
    "payable": "300.00",
    "taxes": json.dumps([{"rate": "19", "net": "295.00", "tax": "56.05"}]),
    "lines": json.dumps([{"line_net": "100.10"}, {"line_net": "199.90"}]),
    "order_candidate": 4500000012.0,
    "po_found": True,
    "document": "Gesamt 351,05 EUR",
    "po_amount": 295.0,
    "po_supplier": "NORDMETALL GmbH",
    "po_currency": "EUR",
}
BY_ID = {one.id: one for one in (*EXPECTATIONS, *ANSWER_EXPECTATIONS)}
TAXES = [{"rate": "19", "net": "295.00", "tax": "56.05"}]


def failing(expectation: Expectation, *rows: Mapping[str, Any]) -> list[int]:
    found = judge(prepare(expectation, NIGHTS), pd.DataFrame(list(rows)), NIGHTS)
    assert found.could_not_run is None, found.could_not_run
    return [int(at) for at in found.positions]


@pytest.mark.parametrize(
    ("rule", "spoilt"),
    [
        ("lines_add_up", {"net": "294.98"}),
        ("lines_add_up", {"allowances": "0.00"}),
        ("lines_add_up", {"charges": "0.00"}),
        ("lines_add_up", {"lines": "[]"}),
        ("taxes_add_up", {"tax": "56.03"}),
        ("taxes_add_up", {"taxes": json.dumps([TAXES[0] | {"rate": "7"}])}),
        ("taxes_add_up", {"taxes": json.dumps([TAXES[0] | {"net": "200.00", "tax": "38.00"}]), "tax": "38.00"}),
        ("taxes_add_up", {"taxes": "[]"}),
        ("gross_adds_up", {"gross": "351.07"}),
        ("payable_adds_up", {"prepaid": "0.00"}),
        ("payable_adds_up", {"rounding": "0.05"}),
        ("sign_fits", {"gross": "-351.05"}),
        ("dates_plausible", {"issue_date": "2024-11-19"}),
        ("dates_plausible", {"issue_date": "2027-01-19", "due_date": None}),
        ("dates_plausible", {"due_date": "2026-11-18"}),
        ("currency_known", {"currency": "EUX"}),
        ("vat_id_sound", {"seller_vat_id": "DE256446234"}),
        ("vat_id_sound", {"seller_vat_id": "256446233"}),
        ("order_known", {"po_found": False}),
        ("order_agrees", {"order_number": "4500000013"}),
        ("order_agrees", {"order_candidate": None}),
        ("within_order", {"po_amount": 294.98}),
        ("orders_supplier", {"po_supplier": "Hansa Ventile"}),
        ("orders_currency", {"po_currency": "USD"}),
        ("total_on_pages", {"document": "Gesamt 3.510,50 EUR, 351.5"}),
        ("documents_read", {"ending": "refused"}),
    ],
)
def test_each_check_finds_what_it_is_for_and_nothing_else(rule: str, spoilt: Record) -> None:
    assert failing(BY_ID[rule], SOUND, SOUND | spoilt, SOUND) == [1]


@pytest.mark.parametrize(
    "other",
    [
        dict.fromkeys((*SOUND.keys() - {"row_id", "ending"},), None) | {"ending": "answered"},
        {"due_date": None, "seller_vat_id": None, "order_number": None, "order_candidate": None, "po_found": False}
        | dict.fromkeys(("po_amount", "po_supplier", "po_currency")),
        {"seller_vat_id": "CHE-107.787.577 IVA", "number": "2"},
        {"seller_vat_id": "US12", "number": "3"},
        {"net": "295.01", "tax": "56.05", "number": "4"},
        {"kind": "credit_note", "gross": "-351.05", "prepaid": "-651.05", "number": "5", "po_amount": 1.0},
        {"order_number": "Bestellung Meier", "number": "6"},
        {"document": None, "number": "7"},
        {"document": "Total 351.05", "number": "8"},
    ],
)
def test_what_is_missing_or_within_a_cent_passes_the_checks_that_it_is_not_about(other: Record) -> None:
    skipped = {"gross_adds_up"} if other.get("kind") == "credit_note" else set()
    for expectation in ANSWER_EXPECTATIONS:
        if expectation.id not in skipped:
            assert failing(expectation, SOUND, SOUND | other) == [], expectation.id


def test_the_same_number_of_the_same_seller_is_found_in_whatever_order() -> None:
    again = SOUND | {"number": "re-1", "row_id": "invoices/invoices/2.pdf"}
    named = SOUND | {"seller_vat_id": None}
    rule = BY_ID["comes_once"]
    assert failing(rule, SOUND, SOUND | {"number": "RE-2"}, again) == [0, 2]
    assert failing(rule, named, SOUND | {"seller_vat_id": "ATU72982347"}, named) == [0, 2]
    assert failing(rule, SOUND | {"number": None}, SOUND | {"number": None}) == []


def document(**changes: Any) -> Record:
    sound = {"name": "1.pdf", "problem": None, "document": "Invoice", "media_type": "application/pdf", "form": None}
    return {**sound, "order_candidate": 4500000012.0, **changes}


@pytest.mark.parametrize(
    ("rule", "spoilt"),
    [
        ("has_words", {"problem": "no_text", "document": None}),
        ("is_whole", {"problem": "pages_unread"}),
        ("is_short", {"document": "x" * (LONGEST + 1)}),
        ("is_einvoice", {"media_type": "application/xml"}),
        ("orders_named", {"order_candidate": None}),
    ],
)
def test_documents_are_set_aside_before_anybody_reads_them(rule: str, spoilt: Record) -> None:
    fine = document(media_type="application/xml", form="cii", document=None)
    assert failing(BY_ID[rule], document(), document(**spoilt), fine) == [1]
    set_aside = {one.id for one in EXPECTATIONS if one.rows == "quarantine"}
    assert set_aside == {"has_words", "is_whole", "is_short"}


def test_every_failed_check_but_the_share_of_the_read_goes_to_a_person() -> None:
    assert [one.id for one in ANSWER_EXPECTATIONS if one.rows == "keep"] == ["documents_read", "answers_refused"]
    assert [one.id for one in ANSWER_EXPECTATIONS if one.severity != "warning"] == ["answers_refused"]


@pytest.mark.parametrize(
    "shown", ["12'400.50", "12 400,50", "12.400,50", "12,400.50", "12400.50", "\u20ac12\u202f400,50"]
)
def test_a_total_is_found_on_pages_in_every_notation(shown: str) -> None:
    assert sums.pages_show({"gross": "12400.50"}, f"Total {shown} EUR 3 pcs")
    assert not sums.pages_show({"gross": "12400.05"}, f"Total {shown} EUR 3 pcs")
    assert sums.pages_show({"gross": "0.05"}, "0,05")


@pytest.mark.parametrize("rule", [sums.lines_add_up, sums.taxes_add_up])
def test_cents_are_exact_where_binary_fractions_are_not(rule: Callable[[Mapping[str, Any]], bool]) -> None:
    many = {"lines": [{"line_net": "0.10"}] * 3_000, "taxes": [{"rate": "0", "net": "0.10", "tax": "0.00"}] * 3_000}
    answer = {**many, "net": "300.00", "tax": "0.00", "allowances": "0.00", "charges": "0.00"}
    assert rule(answer)
    assert not rule({**answer, "net": "300.02"})
