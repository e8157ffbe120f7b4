"""Invoices of the sandbox: what a day holds, that both syntaxes say the same, and what the stand-in reads."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.model.invoices import MARKS_OF_AN_INVOICE, read_invoice
from include.demo.sandbox.odata.erp import Erp
from include.demo.sandbox.seed.bill_pages import bill_page
from include.demo.sandbox.seed.bill_xml import cii, ubl
from include.demo.sandbox.seed.bills import BUYER_VAT_ID, SUPPLIERS, Bill, BillLine
from include.demo.sandbox.seed.invoices import FORMS, MESS, UNKNOWN_ORDER, seed_invoices
from include.demo.sandbox.seed.prepare import prepare
from include.models import Record
from include.systems.documents.content import Content, Unreadable, read_content
from include.systems.documents.pdf import PdfLimits, PdfReader
from include.use_cases.ap_invoices import sums
from include.use_cases.ap_invoices.einvoice import read_fields
from include.use_cases.ap_invoices.output import Output
from include.use_cases.ap_invoices.rows import order_of

END = datetime(2026, 11, 22, 2, tzinfo=UTC)
BILL = Bill(
    "HV-1",
    date(2026, 11, 3),
    date(2026, 12, 3),
    SUPPLIERS["Hansa Ventile"],
    4500000012,
    (
        BillLine("Gear pump B67 (long)", 1_200, Decimal("12.05"), Decimal(19)),
        BillLine("O-ring set A10", 3, Decimal("4.10"), Decimal(7)),
    ),
)
BILLS = {
    "plain": BILL,
    "credit note": replace(BILL, kind="credit_note", due=None),
    "discount": replace(BILL, allowance=Decimal("144.60")),
    "prepaid": replace(BILL, prepaid=Decimal("100.00"), currency="CHF"),
    "untaxed": replace(BILL, lines=(BILL.lines[0]._replace(rate=Decimal(0)),), supplier=SUPPLIERS["D'Arc Industries"]),
    "cheap": replace(BILL, lines=(BillLine("Gasket", 1, Decimal("0.05"), Decimal(19)),)),
}


@pytest.fixture(scope="module")
def pdfs() -> Iterator[PdfReader]:
    with PdfReader(PdfLimits()) as reader:
        yield reader


@pytest.fixture
def config(tmp_path: Path) -> SandboxConfig:
    return SandboxConfig(state=tmp_path / "state", anchor=END, days=2, leads_per_day=1)


def opened(data: bytes, place: Path, pdfs: PdfReader) -> Content:
    place.write_bytes(data)
    return read_content(place, pdfs)


def as_json(found: Record) -> Record:
    """Fields of an e-invoice as an answer has them; the unit is left out, which has a code there."""
    answer: Record = Output.model_validate({**found, "confidence": 1.0}).model_dump(mode="json")
    lines = [{**line, "unit": None, "unit_price": Decimal(line["unit_price"])} for line in answer["lines"]]
    return {**answer, "lines": lines, "confidence": None}


@pytest.mark.parametrize("bill", BILLS.values(), ids=BILLS)
def test_both_syntaxes_say_the_same_and_add_up(bill: Bill) -> None:
    found = read_fields(ubl(bill).decode())
    assert found == read_fields(cii(bill).decode())
    assert (found["number"], found["kind"], found["payable"]) == (bill.number, bill.kind, f"{bill.payable:.2f}")
    rules = (sums.lines_add_up, sums.taxes_add_up, sums.gross_adds_up, sums.payable_adds_up, sums.sign_fits)
    assert [rule(found) for rule in rules] == [True] * 5


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("bill", BILLS.values(), ids=BILLS)
def test_the_stand_in_reads_the_pages_as_the_xml_has_it(
    bill: Bill, language: str, tmp_path: Path, pdfs: PdfReader
) -> None:
    text = opened(bill_page(bill, language), tmp_path / "one.pdf", pdfs).text
    answer = read_invoice({"document": text, "einvoice": None})
    assert as_json({**answer, "confidence": 1.0}) == as_json(read_fields(cii(bill).decode()))
    assert answer["confidence"] == 0.95


@pytest.mark.parametrize("record", [{}, {"document": None}, {"document": "hello 1,2 \f \x00"}, {"document": 7}])
def test_the_stand_in_fits_the_schema_whatever_it_is_given(record: dict[str, Any]) -> None:
    answer = read_invoice(record)
    assert Output.model_validate(answer).confidence < 0.5
    assert set(answer) >= MARKS_OF_AN_INVOICE


def test_every_vat_id_has_its_checksum() -> None:
    assert all(sums.vat_id_fits(one) for one in (BUYER_VAT_ID, *(each.vat_id for each in SUPPLIERS.values())))


def test_a_day_is_the_same_each_time_and_quick(config: SandboxConfig) -> None:
    seed_invoices(config, END)
    began = time.perf_counter()
    files = seed_invoices(config, END).files
    assert time.perf_counter() - began < 0.3
    assert files == seed_invoices(config, END).files
    assert len(files) == len(FORMS) + 2
    assert not files.keys() & seed_invoices(config, END - timedelta(days=1)).files.keys()
    assert files != seed_invoices(replace(config, seed=8), END).files


def test_three_days_have_every_kind_of_trouble_and_orders_that_are_there(
    config: SandboxConfig, tmp_path: Path, pdfs: PdfReader
) -> None:
    orders = {row["OrderNumber"]: row for row in Erp(config.seed, config.erp_products, END).rows()["PurchaseOrders"]}
    troubles, texts = list[str](), list[str]()
    named: dict[int, int] = {}
    for back in range(3):
        for name, data in seed_invoices(config, END - timedelta(days=back)).files.items():
            try:
                content = opened(data, tmp_path / "one", pdfs)
            except Unreadable as error:
                troubles.append("encrypted" if "encrypted" in str(error) else "broken_xml")
                continue
            if content.text in texts:
                troubles.append("duplicate")
            texts.append(content.text or "")
            order = order_of(content.text, content.xml)
            if content.problem == "no_text":
                troubles.append("image_only")
            elif order == UNKNOWN_ORDER:
                troubles.append("unknown_order")
            else:
                assert order is not None, name
                fields = read_fields(content.xml) if content.xml else read_invoice({"document": content.text})
                if not sums.lines_add_up(fields):
                    troubles.append("wrong_sum")
                assert fields["seller_name"] == orders[order]["Supplier"]
                named[order] = named.get(order, 0) + 1
                if fields["kind"] == "invoice" and sums.lines_add_up(fields):
                    assert sums.within_order(fields, float(orders[order]["Amount"]))
    assert sorted(troubles) == sorted(MESS)
    assert len(named) > 20


def test_a_folder_is_given_the_documents_of_each_day_at_the_time_that_they_arrived(config: SandboxConfig) -> None:
    prepare(config)
    found = {path.name: path.stat().st_mtime for path in (config.state / "sftp" / "invoices").iterdir()}
    assert len(found) == 2 * (len(FORMS) + 2)
    days = {round((END.timestamp() - arrived) // 86_400) for arrived in found.values()}
    assert days == {0, 1}
    place = config.state / "sftp" / "invoices" / min(found)
    os.utime(place, (0, 0))
    prepare(config)
    assert place.stat().st_mtime == 0
