"""UN/CEFACT Cross Industry Invoices, as EN 16931 and Factur-X use them, and those of ZUGFeRD 1 before them.

Names and their order: https://fnfe-mpe.org/factur-x. Where two names stand with a bar, the second is ZUGFeRD 1's.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from include.models import Record
from include.systems.exact.declared import Left
from include.use_cases.ap_invoices.figures import cents, coded_date, figure, written
from include.use_cases.ap_invoices.tree import Element, children, first, need, text

NAMESPACES = {
    "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "urn:ferd:CrossIndustryDocument:invoice:1p0",
}
_TRADE = "SupplyChainTradeTransaction|SpecifiedSupplyChainTradeTransaction"
_AGREED = "ApplicableHeaderTradeAgreement|ApplicableSupplyChainTradeAgreement"
_SETTLED = "ApplicableHeaderTradeSettlement|ApplicableSupplyChainTradeSettlement"
_SUMMED = "SpecifiedTradeSettlementHeaderMonetarySummation|SpecifiedTradeSettlementMonetarySummation"
_LINE_SUM = "SpecifiedTradeSettlementLineMonetarySummation|SpecifiedTradeSettlementMonetarySummation"
_LINE_AGREED = "SpecifiedLineTradeAgreement|SpecifiedSupplyChainTradeAgreement"
_LINE_SETTLED = "SpecifiedLineTradeSettlement|SpecifiedSupplyChainTradeSettlement"
_LINE_DELIVERED = "SpecifiedLineTradeDelivery|SpecifiedSupplyChainTradeDelivery"
_RATE = "RateApplicablePercent|ApplicablePercent"


def read_cii(root: Element) -> Record:
    """The fields of the answer but `kind` and `confidence`; raises Left for what a whole answer lacks."""
    document, trade = first(root, "ExchangedDocument|HeaderExchangedDocument"), first(root, _TRADE)
    agreed, settled = first(trade, _AGREED), first(trade, _SETTLED)
    currency = need(settled, "InvoiceCurrencyCode", "currency")
    seller, buyer = first(agreed, "SellerTradeParty"), first(agreed, "BuyerTradeParty")
    lines = [_line(one) for one in children(trade, "IncludedSupplyChainTradeLineItem") if _counts(one)]
    return {
        "number": need(document, "ID", "number"),
        "type_code": need(document, "TypeCode", "type"),
        "issue_date": coded_date(*_coded(first(document, "IssueDateTime/DateTimeString"))),
        "due_date": _due_date(settled),
        "seller_name": need(seller, "Name", "seller"),
        "seller_vat_id": _vat_id(seller),
        "buyer_name": need(buyer, "Name", "buyer"),
        "currency": currency,
        "order_number": order_of(root),
        **_amounts(first(settled, _SUMMED), currency),
        "taxes": [_tax(one) for one in children(settled, "ApplicableTradeTax")],
        "lines": lines,
    }


def order_of(root: Element) -> str | None:
    """The buyer's order."""
    return text(root, f"{_TRADE}/{_AGREED}/BuyerOrderReferencedDocument/IssuerAssignedID|ID")


def _amounts(totals: Element | None, currency: str) -> Record:
    """What a summation says; one that leaves out the payable amount means the gross less what was prepaid."""
    own = [one for one in totals or () if one.get("currencyID", currency) == currency]
    others = [one for one in totals or () if one.get("currencyID", currency) != currency]
    if any(not one.tag.endswith("}TaxTotalAmount") for one in others):
        raise Left("another_currency")
    given = {one.tag.rpartition("}")[2]: " ".join((one.text or "").split()) for one in own}

    def amount(name: str, what: str = "") -> str:
        if what and name not in given:
            raise Left(f"no_{what}")
        return cents(given.get(name, "0"))

    gross, prepaid = amount("GrandTotalAmount", "gross"), amount("TotalPrepaidAmount")
    rounding = amount("RoundingAmount")
    left = written(Decimal(gross) - Decimal(prepaid) + Decimal(rounding))
    return {
        "allowances": amount("AllowanceTotalAmount"),
        "charges": amount("ChargeTotalAmount"),
        "net": amount("TaxBasisTotalAmount", "net"),
        "tax": amount("TaxTotalAmount") if "TaxTotalAmount" in given else None,
        "gross": gross,
        "prepaid": prepaid,
        "rounding": rounding,
        "payable": amount("DuePayableAmount") if "DuePayableAmount" in given else left,
    }


def _coded(element: Element | None) -> tuple[str, str]:
    if element is None:
        raise Left("no_date")
    return (element.text or "").strip(), element.get("format", "")


def _due_date(settled: Element | None) -> date | None:
    given = {_coded(one) for one in children(settled, "SpecifiedTradePaymentTerms/DueDateDateTime/DateTimeString")}
    if len(given) > 1:
        raise Left("several_due_dates")
    return coded_date(*given.pop()) if given else None


def _vat_id(party: Element | None) -> str | None:
    for one in children(party, "SpecifiedTaxRegistration/ID"):
        if one.get("schemeID") == "VA" and one.text:
            return "".join(one.text.split())
    return None


def _tax(one: Element) -> Record:
    rate = text(one, _RATE)
    return {
        "rate": figure(rate) if rate else None,
        "net": cents(need(one, "BasisAmount", "taxable_amount")),
        "tax": cents(need(one, "CalculatedAmount", "tax_amount")),
    }


def _counts(one: Element) -> bool:
    """Whether a line adds to the sum: part of another line, or no more than a note, it does not."""
    if text(one, "AssociatedDocumentLineDocument/ParentLineID") is not None:
        return False
    return first(one, f"{_LINE_SETTLED}/{_LINE_SUM}") is not None or first(one, "SpecifiedTradeProduct") is not None


def _line(one: Element) -> Record:
    price = first(one, f"{_LINE_AGREED}/NetPriceProductTradePrice")
    quantity, settled = first(one, f"{_LINE_DELIVERED}/BilledQuantity"), first(one, _LINE_SETTLED)
    asked, rate = text(price, "ChargeAmount"), text(settled, f"ApplicableTradeTax/{_RATE}")
    return {
        "number": text(one, "AssociatedDocumentLineDocument/LineID"),
        "description": need(one, "SpecifiedTradeProduct/Name", "description"),
        "quantity": None if quantity is None else figure((quantity.text or "").strip()),
        "unit": None if quantity is None else quantity.get("unitCode"),
        "unit_price": figure(asked) if asked else None,
        "price_base": figure(text(price, "BasisQuantity") or "1"),
        "line_net": cents(need(settled, f"{_LINE_SUM}/LineTotalAmount", "line_total")),
        "tax_rate": figure(rate) if rate else None,
    }
