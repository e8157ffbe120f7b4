"""Invoices and credit notes in UBL 2.1, as EN 16931 and Peppol use it (https://docs.peppol.eu/poacc/billing/3.0)."""

from __future__ import annotations

from datetime import date

from include.models import Record
from include.systems.exact.declared import Left
from include.use_cases.ap_invoices.figures import cents, figure, xml_date
from include.use_cases.ap_invoices.tree import Element, children, first, name, need, text

NAMESPACES = {f"urn:oasis:names:specification:ubl:schema:xsd:{root}-2" for root in ("Invoice", "CreditNote")}

_PAYABLE_BY = "PaymentMeans/PaymentDueDate"
PLACEHOLDERS = frozenset({"NA", "Dummywert"})
"""What stands for no order: in Peppol (https://docs.peppol.eu/poacc/billing/3.0, BT-13), and in KoSIT's test suite."""


def read_ubl(root: Element) -> Record:
    """The fields of the answer but `kind` and `confidence`; raises Left for what a whole answer lacks."""
    currency = need(root, "DocumentCurrencyCode", "currency")
    totals = first(root, "LegalMonetaryTotal")
    if any(one.get("currencyID", currency) != currency for one in totals or ()):
        raise Left("another_currency")
    breakdown = _breakdown(root, currency)
    seller, buyer = first(root, "AccountingSupplierParty/Party"), first(root, "AccountingCustomerParty/Party")
    return {
        "number": need(root, "ID", "number"),
        "type_code": text(root, "InvoiceTypeCode|CreditNoteTypeCode") or ("381" if "Credit" in name(root) else "380"),
        "issue_date": xml_date(need(root, "IssueDate", "date")),
        "due_date": _due_date(root),
        "seller_name": _party(seller, "seller"),
        "seller_vat_id": _vat_id(seller),
        "buyer_name": _party(buyer, "buyer"),
        "currency": currency,
        "order_number": order_of(root),
        "allowances": cents(text(totals, "AllowanceTotalAmount") or "0"),
        "charges": cents(text(totals, "ChargeTotalAmount") or "0"),
        "net": cents(need(totals, "TaxExclusiveAmount", "net")),
        "tax": None if breakdown is None else cents(need(breakdown, "TaxAmount", "tax")),
        "gross": cents(need(totals, "TaxInclusiveAmount", "gross")),
        "prepaid": cents(text(totals, "PrepaidAmount") or "0"),
        "rounding": cents(text(totals, "PayableRoundingAmount") or "0"),
        "payable": cents(need(totals, "PayableAmount", "payable")),
        "taxes": [_tax(one) for one in children(breakdown, "TaxSubtotal")],
        "lines": [_line(one) for one in children(root, "InvoiceLine|CreditNoteLine")],
    }


def _breakdown(root: Element, currency: str) -> Element | None:
    """The tax in the invoice's own currency; a second total may say it in the one in which it is accounted for."""
    for one in children(root, "TaxTotal"):
        amount = first(one, "TaxAmount")
        if amount is not None and amount.get("currencyID", currency) == currency:
            return one
    return None


def _due_date(root: Element) -> date | None:
    """An invoice names the day itself, a credit note with its means of payment."""
    given = {(one.text or "").strip() for one in (*children(root, "DueDate"), *children(root, _PAYABLE_BY))}
    if len(given) > 1:
        raise Left("several_due_dates")
    return xml_date(given.pop()) if given else None


def order_of(root: Element) -> str | None:
    """The buyer's order; UBL wants a word in its place where only the seller's is known."""
    reference = first(root, "OrderReference")
    found = text(reference, "ID")
    return None if found in PLACEHOLDERS and text(reference, "SalesOrderID") else found


def _party(party: Element | None, what: str) -> str:
    return text(party, "PartyLegalEntity/RegistrationName") or need(party, "PartyName/Name", what)


def _vat_id(party: Element | None) -> str | None:
    for one in children(party, "PartyTaxScheme"):
        if text(one, "TaxScheme/ID") == "VAT" and (found := text(one, "CompanyID")):
            return found.replace(" ", "")
    return None


def _tax(one: Element) -> Record:
    rate = text(one, "TaxCategory/Percent")
    return {
        "rate": figure(rate) if rate else None,
        "net": cents(need(one, "TaxableAmount", "taxable_amount")),
        "tax": cents(need(one, "TaxAmount", "tax_amount")),
    }


def _line(one: Element) -> Record:
    quantity, price = first(one, "InvoicedQuantity|CreditedQuantity"), text(one, "Price/PriceAmount")
    rate = text(one, "Item/ClassifiedTaxCategory/Percent")
    return {
        "number": text(one, "ID"),
        "description": need(one, "Item/Name", "description"),
        "quantity": None if quantity is None else figure((quantity.text or "").strip()),
        "unit": None if quantity is None else quantity.get("unitCode"),
        "unit_price": figure(price) if price else None,
        "price_base": figure(text(one, "Price/BaseQuantity") or "1"),
        "line_net": cents(need(one, "LineExtensionAmount", "line_total")),
        "tax_rate": figure(rate) if rate else None,
    }
