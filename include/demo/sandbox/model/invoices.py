"""The rule by which the stand-in reads an invoice: labels in English and German, as the generated pages have them.

It is no model: what stands under another label it does not find. What it cannot find is empty or zero, and its
confidence says how much it found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MARKS_OF_AN_INVOICE = frozenset({"number", "issue_date", "seller_name", "payable", "lines"})
_AMOUNT = r"(-?[0-9][0-9.,']*)"
_LABELS: Mapping[str, str] = {
    "number": r"(?:invoice|credit note|rechnungs)\s*(?:number|nummer|no\.?)",
    "issue_date": r"(?:invoice date|rechnungsdatum|date of issue)",
    "due_date": r"(?:due date|zahlbar bis|payable by)",
    "order_number": r"(?:purchase order|ihre bestellung|order number|bestellnummer)",
    "seller_vat_id": r"(?:vat id|ust-idnr\.?|tva)",
    "buyer_name": r"(?:bill to|rechnung an)",
}
_AMOUNTS: Mapping[str, str] = {
    "allowances": r"(?:discount|rabatt)",
    "charges": r"(?:freight|fracht)",
    "net": r"(?:net total|summe netto|subtotal)",
    "gross": r"(?:total|gesamtbetrag)",
    "prepaid": r"(?:already paid|bereits bezahlt)",
    "payable": r"(?:amount due|zu zahlen)",
}
_CREDIT = re.compile(r"^\s*(?:credit note|gutschrift)", re.IGNORECASE | re.MULTILINE)
_TAX = re.compile(rf"^\s*(?:VAT|USt)\s+([0-9.]+) ?% (?:on|auf) {_AMOUNT}: {_AMOUNT}", re.MULTILINE)
_LINE = re.compile(rf"^\s*([0-9]+) (.+?) ([0-9]+) (\S+) {_AMOUNT} ([0-9.]+) ?% {_AMOUNT}\s*$", re.MULTILINE)
_CURRENCY = re.compile(rf"{_AMOUNT} ([A-Z]{{3}})\b")
_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})|([0-9]{2})\.([0-9]{2})\.([0-9]{4})")


def read_invoice(record: Mapping[str, Any]) -> dict[str, Any]:
    """The answer for a document's words; always one that fits the schema."""
    text = str(record.get("document") or "")
    said = {name: _labelled(text, label) for name, label in _LABELS.items()}
    found = {name: _labelled(text, label) for name, label in _AMOUNTS.items()}
    amounts = {name: _amount(value or "0") for name, value in found.items()}
    taxes = [{"rate": rate, "net": _amount(net), "tax": _amount(tax)} for rate, net, tax in _TAX.findall(text)]
    currency = _CURRENCY.search(text)
    known = sum(one is not None for one in (said["number"], said["issue_date"], found["net"], found["payable"]))
    return {
        "number": said["number"] or "unknown",
        "kind": "credit_note" if _CREDIT.search(text) else "invoice",
        "issue_date": _day(said["issue_date"]) or "1970-01-01",
        "due_date": _day(said["due_date"]),
        "seller_name": next((line.strip() for line in text.splitlines() if line.strip()), "unknown")[:200],
        "seller_vat_id": said["seller_vat_id"],
        "buyer_name": said["buyer_name"] or "unknown",
        "currency": currency[2] if currency else "EUR",
        "order_number": said["order_number"],
        **{name: amounts[name].removeprefix("-") if name == "allowances" else amounts[name] for name in amounts},
        "tax": _sum(one["tax"] for one in taxes),
        "rounding": "0.00",
        "taxes": taxes,
        "lines": [_line(*one) for one in _LINE.findall(text)],
        "confidence": round(0.15 + 0.2 * known, 2),
    }


def _labelled(text: str, label: str) -> str | None:
    """What follows a label at the beginning of a line."""
    found = re.search(rf"^\s*{label}:\s*(.+?)\s*$", text, re.IGNORECASE | re.MULTILINE)
    return found[1] if found else None


def _amount(text: str) -> str:
    """Digits with a point and two decimals: the last mark before two digits is the decimal one."""
    found = re.match(_AMOUNT, text)
    digits = found[1] if found else "0"
    whole, part = (digits[:-3], digits[-2:]) if re.search(r"[.,][0-9]{2}$", digits) else (digits, "00")
    return f"{re.sub(r'[^0-9-]', '', whole) or '0'}.{part}"


def _sum(amounts: Iterable[str]) -> str:
    cents = sum(int(one.replace(".", "")) for one in amounts)
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"


def _day(text: str | None) -> str | None:
    found = _DAY.search(text or "")
    if found is None:
        return None
    year, month, day, *german = found.groups()
    return "-".join(reversed(german)) if german[0] else f"{year}-{month}-{day}"


def _line(number: str, description: str, quantity: str, unit: str, price: str, rate: str, net: str) -> dict[str, Any]:
    return {
        "number": number,
        "description": description,
        "quantity": quantity,
        "unit": unit,
        "unit_price": _amount(price),
        "price_base": "1",
        "line_net": _amount(net),
        "tax_rate": rate,
    }
