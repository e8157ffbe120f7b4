"""Invoices as suppliers send them, a dozen a day: e-invoices, PDFs, both in one, and each day two that are amiss."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.odata.erp import Erp
from include.demo.sandbox.seed.bill_pages import bill_page, scanned_page
from include.demo.sandbox.seed.bill_xml import cii, ubl
from include.demo.sandbox.seed.bills import SUPPLIERS, Bill, BillLine
from include.demo.sandbox.seed.days import Seeded
from include.demo.sandbox.seed.pages import locked

FOLDER = "invoices"
FORMS = ("ubl", "cii", "ubl_credit_note", "hybrid", "en", "de", "cii_discounted", "de", "en_credit_note", "en_prepaid")
"""What a sound document of a day is, by its number."""
MESS = ("duplicate", "wrong_sum", "unknown_order", "image_only", "encrypted", "broken_xml")
"""What is amiss with the two others; three days in a row have all of it."""
UNKNOWN_ORDER = 4_599_999_999
_RATES = {"DE": Decimal(19)}
_REDUCED = Decimal(7)


def seed_invoices(config: SandboxConfig, end: datetime) -> Seeded:
    """The documents that arrived on the day before `end`, by their path on the SFTP server; the same for the same day.

    Each is about an order of the ERP, mostly the whole of it.
    """
    day = (end - timedelta(days=1)).date()
    ordinal, chance = day.toordinal(), random.Random(f"{config.seed}:invoices:{day}")
    erp = Erp(config.seed, config.erp_products, end).rows()
    orders, products = list(erp["PurchaseOrders"]), {one["ProductId"]: one["Name"] for one in erp["Products"]}
    count = len(FORMS) + 2
    chosen = [orders[(ordinal * count + at) % len(orders)] for at in range(count)]
    bills = [_bill(chance, day, at, order, str(products[order["ProductId"]])) for at, order in enumerate(chosen)]
    files = dict(_sound(form, bill) for form, bill in zip(FORMS, bills, strict=False))
    for at, bill in enumerate(bills[len(FORMS) :]):
        name, content = _amiss(MESS[(2 * ordinal + at) % len(MESS)], bill, bills, ordinal)
        files[name] = content
    return Seeded(files={f"{FOLDER}/{name}": content for name, content in files.items()})


def _bill(chance: random.Random, day: date, at: int, order: dict[str, Any], product: str) -> Bill:
    supplier = SUPPLIERS[order["Supplier"]]
    quantity, amount = int(order["Quantity"]), Decimal(order["Amount"])
    rate = _RATES.get(supplier.country, Decimal(0))
    first = chance.randint(1, quantity) if chance.random() < 0.6 else quantity
    parts = [one for one in (first, quantity - first) if one]
    lines = tuple(BillLine(product, one, amount / quantity, rate) for one in parts)
    issued = day - timedelta(days=chance.randint(0, 3))
    due = issued + timedelta(days=chance.choice((14, 30)))
    return Bill(f"{supplier.short}-{day:%y%m%d}-{at + 1:02}", issued, due, supplier, order["OrderNumber"], lines)


def _sound(form: str, bill: Bill) -> tuple[str, bytes]:
    if form == "ubl":
        return f"{bill.number}.xml", ubl(bill)
    if form == "cii":
        return f"{bill.number}.xml", cii(bill)
    if form == "ubl_credit_note":
        return f"{bill.number}.xml", ubl(_credit(bill))
    if form == "hybrid":
        return f"{bill.number}.pdf", bill_page(bill, "de", ("factur-x.xml", cii(bill)))
    if form == "cii_discounted":
        return f"{bill.number}.xml", cii(_discounted(bill))
    if form == "en_credit_note":
        return f"{bill.number}.pdf", bill_page(_credit(bill), "en")
    if form == "en_prepaid":
        return f"{bill.number}.pdf", bill_page(replace(bill, prepaid=Decimal("100.00")), "en")
    return f"{bill.number}.pdf", bill_page(bill, form)


def _credit(bill: Bill) -> Bill:
    """One of the pieces came back."""
    return replace(bill, kind="credit_note", lines=(bill.lines[0]._replace(quantity=1),), due=None)


def _discounted(bill: Bill) -> Bill:
    """Two rates, and three per cent off."""
    last = bill.lines[-1]
    rates = (*bill.lines[:-1], last._replace(rate=min(last.rate, _REDUCED)))
    off = (bill.lines[0].net * 3 / 100).quantize(Decimal("0.01"))
    return replace(bill, lines=rates, allowance=off)


def _amiss(kind: str, bill: Bill, others: Sequence[Bill], ordinal: int) -> tuple[str, bytes]:
    name = f"{bill.number}.pdf"
    if kind == "duplicate":
        return f"Copy of {others[4].number}.pdf", bill_page(others[4], "en")
    if kind == "wrong_sum":
        return name, bill_page(replace(bill, misprint=Decimal("90.00")), "de")
    if kind == "unknown_order":
        return f"{bill.number}.xml", ubl(replace(bill, order=UNKNOWN_ORDER))
    if kind == "image_only":
        return name, scanned_page(ordinal)
    if kind == "encrypted":
        return name, locked()
    return f"{bill.number}.xml", cii(bill)[:900]
