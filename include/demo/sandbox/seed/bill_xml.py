"""Generated invoices as e-invoices of EN 16931, in both of its syntaxes."""

from __future__ import annotations

from decimal import Decimal
from xml.sax.saxutils import escape

from include.demo.sandbox.seed.bills import BUYER, BUYER_VAT_ID, Bill, BillLine

_UBL = "urn:oasis:names:specification:ubl:schema:xsd"
_CII = "urn:un:unece:uncefact:data:standard"
_PROFILE = "urn:cen.eu:en16931:2017"
_PIECES = "C62"


def ubl(bill: Bill) -> bytes:
    """As UBL 2.1; a credit note is a document of its own there."""
    root, code, quantity = (
        ("Invoice", "380", "Invoiced") if bill.kind == "invoice" else ("CreditNote", "381", "Credited")
    )
    due = f"<cbc:DueDate>{bill.due}</cbc:DueDate>" if bill.due and root == "Invoice" else ""
    means = ""
    if root == "CreditNote" and bill.due:
        means = (
            "<cac:PaymentMeans><cbc:PaymentMeansCode>58</cbc:PaymentMeansCode>"
            f"<cbc:PaymentDueDate>{bill.due}</cbc:PaymentDueDate></cac:PaymentMeans>"
        )
    allowance = ""
    if bill.allowance:
        allowance = (
            "<cac:AllowanceCharge><cbc:ChargeIndicator>false</cbc:ChargeIndicator>"
            f"{_money(bill, 'Amount', bill.allowance)}{_category(bill.lines[0].rate, 'TaxCategory')}"
            "</cac:AllowanceCharge>"
        )
    taxes = "".join(
        f"<cac:TaxSubtotal>{_money(bill, 'TaxableAmount', base)}{_money(bill, 'TaxAmount', tax)}"
        f"{_category(rate, 'TaxCategory')}</cac:TaxSubtotal>"
        for rate, base, tax in bill.taxes
    )
    lines = "".join(_ubl_line(bill, root, quantity, at, one) for at, one in enumerate(bill.lines, 1))
    totals = {
        "LineExtensionAmount": bill.net + bill.allowance,
        "TaxExclusiveAmount": bill.net,
        "TaxInclusiveAmount": bill.gross,
        "AllowanceTotalAmount": bill.allowance,
        "PrepaidAmount": bill.prepaid,
        "PayableAmount": bill.payable,
    }
    summed = "".join(_money(bill, name, value) for name, value in totals.items())
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{_UBL}:{root}-2" '
        f'xmlns:cac="{_UBL}:CommonAggregateComponents-2" xmlns:cbc="{_UBL}:CommonBasicComponents-2">'
        f"<cbc:CustomizationID>{_PROFILE}</cbc:CustomizationID><cbc:ID>{bill.number}</cbc:ID>"
        f"<cbc:IssueDate>{bill.issued}</cbc:IssueDate>{due}<cbc:{root}TypeCode>{code}</cbc:{root}TypeCode>"
        f"<cbc:DocumentCurrencyCode>{bill.currency}</cbc:DocumentCurrencyCode>"
        f"<cac:OrderReference><cbc:ID>{bill.order}</cbc:ID></cac:OrderReference>"
        f"{_ubl_party('AccountingSupplierParty', bill.supplier.name, bill.supplier.vat_id)}"
        f"{_ubl_party('AccountingCustomerParty', BUYER, BUYER_VAT_ID)}{means}{allowance}"
        f"<cac:TaxTotal>{_money(bill, 'TaxAmount', bill.tax)}{taxes}</cac:TaxTotal><cac:LegalMonetaryTotal>"
        f"{summed}</cac:LegalMonetaryTotal>{lines}</{root}>\n"
    ).encode()


def cii(bill: Bill) -> bytes:
    """As a Cross Industry Invoice, which is also what a hybrid PDF embeds."""
    code, supplier = "380" if bill.kind == "invoice" else "381", bill.supplier
    due = _cii_date("DueDateDateTime", bill.due) if bill.due else ""
    taxes = "".join(
        f"<ram:ApplicableTradeTax><ram:CalculatedAmount>{tax:.2f}</ram:CalculatedAmount><ram:TypeCode>VAT</ram:TypeCode>"
        f"<ram:BasisAmount>{base:.2f}</ram:BasisAmount><ram:CategoryCode>{_letter(rate)}</ram:CategoryCode>"
        f"<ram:RateApplicablePercent>{rate}</ram:RateApplicablePercent></ram:ApplicableTradeTax>"
        for rate, base, tax in bill.taxes
    )
    amounts = {
        "LineTotalAmount": bill.net + bill.allowance,
        "AllowanceTotalAmount": bill.allowance,
        "TaxBasisTotalAmount": bill.net,
        f'TaxTotalAmount currencyID="{bill.currency}"': bill.tax,
        "GrandTotalAmount": bill.gross,
        "TotalPrepaidAmount": bill.prepaid,
        "DuePayableAmount": bill.payable,
    }
    summed = "".join(f"<ram:{name}>{value:.2f}</ram:{name.split()[0]}>" for name, value in amounts.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<rsm:CrossIndustryInvoice xmlns:rsm="{_CII}:CrossIndustryInvoice:100" '
        f'xmlns:ram="{_CII}:ReusableAggregateBusinessInformationEntity:100" xmlns:udt="{_CII}:UnqualifiedDataType:100">'
        "<rsm:ExchangedDocumentContext><ram:GuidelineSpecifiedDocumentContextParameter>"
        f"<ram:ID>{_PROFILE}</ram:ID></ram:GuidelineSpecifiedDocumentContextParameter></rsm:ExchangedDocumentContext>"
        f"<rsm:ExchangedDocument><ram:ID>{bill.number}</ram:ID><ram:TypeCode>{code}</ram:TypeCode>"
        f"{_cii_date('IssueDateTime', bill.issued)}</rsm:ExchangedDocument><rsm:SupplyChainTradeTransaction>"
        f"{''.join(_cii_line(at, one) for at, one in enumerate(bill.lines, 1))}<ram:ApplicableHeaderTradeAgreement>"
        f"{_cii_party('SellerTradeParty', supplier.name, supplier.vat_id)}"
        f"{_cii_party('BuyerTradeParty', BUYER, BUYER_VAT_ID)}"
        f"<ram:BuyerOrderReferencedDocument><ram:IssuerAssignedID>{bill.order}</ram:IssuerAssignedID>"
        "</ram:BuyerOrderReferencedDocument></ram:ApplicableHeaderTradeAgreement><ram:ApplicableHeaderTradeDelivery/>"
        f"<ram:ApplicableHeaderTradeSettlement><ram:InvoiceCurrencyCode>{bill.currency}</ram:InvoiceCurrencyCode>{taxes}"
        f"<ram:SpecifiedTradePaymentTerms>{due}</ram:SpecifiedTradePaymentTerms>"
        f"<ram:SpecifiedTradeSettlementHeaderMonetarySummation>{summed}"
        "</ram:SpecifiedTradeSettlementHeaderMonetarySummation></ram:ApplicableHeaderTradeSettlement>"
        "</rsm:SupplyChainTradeTransaction></rsm:CrossIndustryInvoice>\n"
    ).encode()


def _money(bill: Bill, name: str, value: Decimal) -> str:
    return f'<cbc:{name} currencyID="{bill.currency}">{value:.2f}</cbc:{name}>'


def _letter(rate: Decimal) -> str:
    """Standard rate, or supply within the Union without tax."""
    return "S" if rate else "K"


def _category(rate: Decimal, name: str) -> str:
    return (
        f"<cac:{name}><cbc:ID>{_letter(rate)}</cbc:ID><cbc:Percent>{rate}</cbc:Percent>"
        f"<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:{name}>"
    )


def _ubl_party(role: str, name: str, vat_id: str) -> str:
    return (
        f"<cac:{role}><cac:Party><cac:PartyTaxScheme><cbc:CompanyID>{vat_id}</cbc:CompanyID>"
        "<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:PartyTaxScheme><cac:PartyLegalEntity>"
        f"<cbc:RegistrationName>{escape(name)}</cbc:RegistrationName></cac:PartyLegalEntity></cac:Party></cac:{role}>"
    )


def _ubl_line(bill: Bill, root: str, quantity: str, at: int, one: BillLine) -> str:
    return (
        f'<cac:{root}Line><cbc:ID>{at}</cbc:ID><cbc:{quantity}Quantity unitCode="{_PIECES}">{one.quantity}'
        f"</cbc:{quantity}Quantity>{_money(bill, 'LineExtensionAmount', one.net)}<cac:Item>"
        f"<cbc:Name>{escape(one.description)}</cbc:Name>{_category(one.rate, 'ClassifiedTaxCategory')}</cac:Item>"
        f"<cac:Price>{_money(bill, 'PriceAmount', one.price)}</cac:Price></cac:{root}Line>"
    )


def _cii_date(name: str, day: object) -> str:
    text = str(day).replace("-", "")
    return f'<ram:{name}><udt:DateTimeString format="102">{text}</udt:DateTimeString></ram:{name}>'


def _cii_party(role: str, name: str, vat_id: str) -> str:
    return (
        f"<ram:{role}><ram:Name>{escape(name)}</ram:Name><ram:SpecifiedTaxRegistration>"
        f'<ram:ID schemeID="VA">{vat_id}</ram:ID></ram:SpecifiedTaxRegistration></ram:{role}>'
    )


def _cii_line(at: int, one: BillLine) -> str:
    return (
        f"<ram:IncludedSupplyChainTradeLineItem><ram:AssociatedDocumentLineDocument><ram:LineID>{at}</ram:LineID>"
        f"</ram:AssociatedDocumentLineDocument><ram:SpecifiedTradeProduct><ram:Name>{escape(one.description)}</ram:Name>"
        "</ram:SpecifiedTradeProduct><ram:SpecifiedLineTradeAgreement><ram:NetPriceProductTradePrice>"
        f"<ram:ChargeAmount>{one.price}</ram:ChargeAmount></ram:NetPriceProductTradePrice></ram:SpecifiedLineTradeAgreement>"
        f'<ram:SpecifiedLineTradeDelivery><ram:BilledQuantity unitCode="{_PIECES}">{one.quantity}</ram:BilledQuantity>'
        "</ram:SpecifiedLineTradeDelivery><ram:SpecifiedLineTradeSettlement><ram:ApplicableTradeTax>"
        f"<ram:TypeCode>VAT</ram:TypeCode><ram:CategoryCode>{_letter(one.rate)}</ram:CategoryCode>"
        f"<ram:RateApplicablePercent>{one.rate}</ram:RateApplicablePercent></ram:ApplicableTradeTax>"
        f"<ram:SpecifiedTradeSettlementLineMonetarySummation><ram:LineTotalAmount>{one.net:.2f}</ram:LineTotalAmount>"
        "</ram:SpecifiedTradeSettlementLineMonetarySummation></ram:SpecifiedLineTradeSettlement>"
        "</ram:IncludedSupplyChainTradeLineItem>"
    )
