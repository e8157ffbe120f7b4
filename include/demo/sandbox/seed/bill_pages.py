"""Generated invoices as people read them: a page in English or German, each notation its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal

from include.demo.sandbox.seed.bills import BUYER, Bill
from include.demo.sandbox.seed.pages import Words, page, scan

_LABELS = {
    "en": {
        "invoice": "INVOICE",
        "credit_note": "CREDIT NOTE",
        "number": "Invoice number",
        "issued": "Invoice date",
        "due": "Due date",
        "order": "Purchase order",
        "vat": "VAT ID",
        "to": "Bill to",
        "head": ("Pos", "Description", "Qty", "Unit", "Unit price", "VAT", "Amount"),
        "unit": "pcs",
        "allowance": "Discount",
        "net": "Net total",
        "tax": "VAT",
        "on": "on",
        "gross": "Total",
        "prepaid": "Already paid",
        "payable": "Amount due",
    },
    "de": {
        "invoice": "RECHNUNG",
        "credit_note": "GUTSCHRIFT",
        "number": "Rechnungsnummer",
        "issued": "Rechnungsdatum",
        "due": "Zahlbar bis",
        "order": "Ihre Bestellung",
        "vat": "USt-IdNr.",
        "to": "Rechnung an",
        "head": ("Pos", "Bezeichnung", "Menge", "Einheit", "Einzelpreis", "USt", "Betrag"),
        "unit": "Stk",
        "allowance": "Rabatt",
        "net": "Summe netto",
        "tax": "USt",
        "on": "auf",
        "gross": "Gesamtbetrag",
        "prepaid": "Bereits bezahlt",
        "payable": "Zu zahlen",
    },
}
_COLUMNS = (50, 80, 270, 320, 370, 440, 490)


def bill_page(bill: Bill, language: str, embedded: tuple[str, bytes] | None = None) -> bytes:
    """The PDF of an invoice."""
    return page(list(_words(bill, language)), embedded)


def scanned_page(seed: int) -> bytes:
    """The PDF of an invoice that was photographed: grey noise, and not one word."""
    return scan(60, 84, bytes((seed * 31 + at * 7) % 256 for at in range(60 * 84)))


def _words(bill: Bill, language: str) -> Iterator[Words]:
    said, supplier = _LABELS[language], bill.supplier
    amount, day = _notation(language)
    yield Words(50, 790, supplier.name, 14)
    yield Words(50, 774, f"{supplier.street}, {supplier.city}")
    yield Words(50, 760, f"{said['vat']}: {supplier.vat_id}")
    yield Words(50, 720, str(said[bill.kind]), 16)
    yield Words(50, 700, f"{said['number']}: {bill.number}")
    yield Words(50, 686, f"{said['issued']}: {day(bill.issued)}")
    if bill.due:
        yield Words(50, 672, f"{said['due']}: {day(bill.due)}")
    yield Words(50, 658, f"{said['order']}: {bill.order}")
    yield Words(50, 630, f"{said['to']}: {BUYER}")
    yield from (Words(x, 600, text) for x, text in zip(_COLUMNS, said["head"], strict=True))
    y = 584
    for at, one in enumerate(bill.lines, 1):
        cells = (str(at), one.description, str(one.quantity), said["unit"], amount(one.price), f"{one.rate} %")
        yield from (Words(x, y, str(text)) for x, text in zip(_COLUMNS, (*cells, amount(one.net)), strict=True))
        y -= 14
    for text in _totals(bill, said, amount):
        y -= 14
        yield Words(320, y, text)


def _totals(bill: Bill, said: Mapping[str, object], amount: Callable[[Decimal], str]) -> Iterator[str]:
    if bill.allowance:
        yield f"{said['allowance']}: -{amount(bill.allowance)} {bill.currency}"
    yield f"{said['net']}: {amount(bill.net)} {bill.currency}"
    for rate, base, tax in bill.taxes:
        yield f"{said['tax']} {rate} % {said['on']} {amount(base)}: {amount(tax)} {bill.currency}"
    yield f"{said['gross']}: {amount(bill.gross)} {bill.currency}"
    if bill.prepaid:
        yield f"{said['prepaid']}: {amount(bill.prepaid)} {bill.currency}"
    yield f"{said['payable']}: {amount(bill.payable)} {bill.currency}"


def _notation(language: str) -> tuple[Callable[[Decimal], str], Callable[[date], str]]:
    def german(value: Decimal) -> str:
        return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))

    if language == "de":
        return german, lambda day: f"{day:%d.%m.%Y}"
    return (lambda value: f"{value:,.2f}"), lambda day: day.isoformat()
