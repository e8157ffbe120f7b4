"""E-invoices of public test suites, field by field against what independent paths find in the same XML."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from include.models import Record
from include.settings import ROOT
from include.spec.reshape import Underivable
from include.systems.documents.content import read_content
from include.systems.documents.pdf import PdfLimits, PdfReader
from include.systems.exact.declared import Left
from include.use_cases.ap_invoices import sums
from include.use_cases.ap_invoices.einvoice import read_einvoice, read_fields
from include.use_cases.ap_invoices.fallback import answer
from include.use_cases.ap_invoices.figures import cents
from include.use_cases.ap_invoices.local import LOCAL
from include.use_cases.ap_invoices.output import Output
from include.use_cases.ap_invoices.rows import document_of, einvoice_of, order_of

DATA = ROOT.parent / "shared" / "data"
XRECHNUNG, ZUGFERD = DATA / "documents_xrechnung_xml", DATA / "documents_zugferd_pdf"
FILES = sorted(XRECHNUNG.glob("*.xml"))
PDFS = sorted(ZUGFERD.glob("*.pdf"))
HYBRIDS_WITHOUT_LINES = 3
pytestmark = pytest.mark.skipif(not FILES or not PDFS, reason=f"the public invoices are not at {DATA}")

UBL = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}
CII = {
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
}
_SUM = ".//ram:SpecifiedTradeSettlementHeaderMonetarySummation/ram:"
PATHS: Mapping[str, tuple[str, str]] = {
    "number": ("./cbc:ID", "./rsm:ExchangedDocument/ram:ID"),
    "issue_date": ("./cbc:IssueDate", "./rsm:ExchangedDocument/ram:IssueDateTime/udt:DateTimeString"),
    "due_date": ("./cbc:DueDate", ".//ram:DueDateDateTime/udt:DateTimeString"),
    "currency": ("./cbc:DocumentCurrencyCode", ".//ram:InvoiceCurrencyCode"),
    "seller_name": (
        "./cac:AccountingSupplierParty/cac:Party/cac:PartyLegalEntity/cbc:RegistrationName",
        ".//ram:SellerTradeParty/ram:Name",
    ),
    "buyer_name": (
        "./cac:AccountingCustomerParty/cac:Party/cac:PartyLegalEntity/cbc:RegistrationName",
        ".//ram:BuyerTradeParty/ram:Name",
    ),
    "allowances": (".//cbc:AllowanceTotalAmount", f"{_SUM}AllowanceTotalAmount"),
    "charges": (".//cbc:ChargeTotalAmount", f"{_SUM}ChargeTotalAmount"),
    "net": (".//cbc:TaxExclusiveAmount", f"{_SUM}TaxBasisTotalAmount"),
    "tax": ("./cac:TaxTotal/cbc:TaxAmount", f"{_SUM}TaxTotalAmount"),
    "gross": (".//cbc:TaxInclusiveAmount", f"{_SUM}GrandTotalAmount"),
    "prepaid": (".//cac:LegalMonetaryTotal/cbc:PrepaidAmount", f"{_SUM}TotalPrepaidAmount"),
    "rounding": (".//cbc:PayableRoundingAmount", f"{_SUM}RoundingAmount"),
    "payable": (".//cbc:PayableAmount", f"{_SUM}DuePayableAmount"),
}
TAXES = ("./cac:TaxTotal/cac:TaxSubtotal", ".//ram:ApplicableHeaderTradeSettlement/ram:ApplicableTradeTax")
TAX = {
    "rate": ("./cac:TaxCategory/cbc:Percent", "./ram:RateApplicablePercent"),
    "net": ("./cbc:TaxableAmount", "./ram:BasisAmount"),
    "tax": ("./cbc:TaxAmount", "./ram:CalculatedAmount"),
}
LINE = {
    "number": ("./cbc:ID", "./ram:AssociatedDocumentLineDocument/ram:LineID"),
    "description": ("./cac:Item/cbc:Name", "./ram:SpecifiedTradeProduct/ram:Name"),
    "quantity": ("./cbc:InvoicedQuantity", "./ram:SpecifiedLineTradeDelivery/ram:BilledQuantity"),
    "unit_price": ("./cac:Price/cbc:PriceAmount", ".//ram:NetPriceProductTradePrice/ram:ChargeAmount"),
    "line_net": ("./cbc:LineExtensionAmount", ".//ram:LineTotalAmount"),
    "tax_rate": ("./cac:Item/cac:ClassifiedTaxCategory/cbc:Percent", ".//ram:RateApplicablePercent"),
}
AMOUNTS = frozenset(PATHS) - {"number", "issue_date", "due_date", "currency", "seller_name", "buyer_name"}
KNOWN_DIFFERENCES = {("01.21a-INVOICE", "seller_vat_id")}
"""The two files of that case name two different VAT ids."""


DECIDER = LOCAL.open(ROOT, Output)


def read(path: Path) -> Record:
    found = DECIDER.sort([{"einvoice": path.read_text(encoding="utf-8")}])
    assert found.counts == {"decided": 1}
    return found.decided[0]


def picked(
    root: ElementTree.Element, paths: Mapping[str, tuple[str, str]], names: Mapping[str, str], at: int
) -> Record:
    values = {name: root.find(path[at], names) for name, path in paths.items()}
    return {name: None if one is None else " ".join((one.text or "").split()) for name, one in values.items()}


def day(text: str | None) -> str | None:
    return None if text is None else date.fromisoformat(text).isoformat()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_public_file_is_read_as_independent_paths_find_it(path: Path) -> None:
    found, root = read(path), ElementTree.parse(path).getroot()
    at, names = (0, UBL) if path.stem.endswith("_ubl") else (1, CII)
    wanted = picked(root, PATHS, names, at)
    for name in AMOUNTS:
        assert Decimal(found[name]) == Decimal(wanted[name] or 0), name
    for name in ("number", "currency", "seller_name", "buyer_name"):
        assert found[name] == wanted[name], name
    assert (found["issue_date"], found["due_date"]) == (day(wanted["issue_date"]), day(wanted["due_date"]))
    taxes = [picked(one, TAX, names, at) for one in root.findall(TAXES[at], names)]
    assert [{k: v and Decimal(v) for k, v in one.items()} for one in found["taxes"]] == [
        {k: v and Decimal(v) for k, v in one.items()} for one in taxes
    ]
    lines = root.findall(("./cac:InvoiceLine", ".//ram:IncludedSupplyChainTradeLineItem")[at], names)
    assert len(found["lines"]) == len(lines) > 0
    for line, element in zip(found["lines"], lines, strict=True):
        expected = picked(element, LINE, names, at)
        assert (line["number"], line["description"]) == (expected["number"], expected["description"])
        for name in ("quantity", "unit_price", "line_net", "tax_rate"):
            given = None if expected[name] is None else Decimal(expected[name])
            assert (None if line[name] is None else Decimal(line[name])) == given, name


def test_both_syntaxes_of_a_case_give_the_same_answer() -> None:
    pairs = [(path, path.with_name(path.name.replace("_ubl", "_uncefact"))) for path in FILES if "_ubl" in path.name]
    pairs = [(one, other) for one, other in pairs if other.exists()]
    assert len(pairs) == 12
    differences = {
        (one.stem.removesuffix("_ubl"), name)
        for one, other in pairs
        for answers in [(read(one), read(other))]
        for name in answers[0]
        if answers[0][name] != answers[1][name]
    }
    assert differences == KNOWN_DIFFERENCES


def test_the_xml_within_public_pdfs_is_read_as_if_it_lay_beside_them() -> None:
    without = 0
    with PdfReader(PdfLimits()) as pdfs:
        for path in PDFS:
            content = read_content(path, pdfs)
            row = {
                "einvoice": einvoice_of(content.form, content.xml),
                "document": document_of(content.text, content.form, content.media_type),
            }
            assert row["document"]
            assert sums.pages_show(read_fields(row["einvoice"]), row["document"])
            found = DECIDER.sort([row])
            if "MINIMUM" in path.name:
                without += 1
                assert found.counts == {"decided": 0, "no_lines": 1}
                proposed = answer(row)
                assert proposed is not None
                assert (proposed["lines"], proposed["confidence"]) == ([], 0.3)
                assert Output.model_validate(proposed).gross in ("530.75", "671.15", "-233.47")
            else:
                assert found.counts == {"decided": 1}, path.name
                assert found.decided[0]["lines"]
    assert without == HYBRIDS_WITHOUT_LINES


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("<ubl:Invoice ", "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><ubl:Invoice ", "document_type"),
        ("<ubl:Invoice ", "<!DOCTYPE x [<!ENTITY e 'ha'>]><ubl:Invoice ", "document_type"),
        ("</ubl:Invoice>", "", "broken_xml"),
        ("ubl:schema:xsd:Invoice-2", "ubl:schema:xsd:Order-2", "another_form"),
        ("<cbc:IssueDate>2016-04-04</cbc:IssueDate>", "", "no_date"),
        ("2016-04-04", "2016-02-30", "no_date_where_one_belongs"),
        ('TaxInclusiveAmount currencyID="EUR"', 'TaxInclusiveAmount currencyID="USD"', "another_currency"),
        (">336.9<", ">336.905<", "fractions_of_a_cent"),
        (">336.9<", ">336,90<", "no_number_where_one_belongs"),
        (">336.9<", "><", "no_gross"),
        ("cac:InvoiceLine", "cac:Nothing", "no_lines"),
        ("cac:TaxTotal", "cac:Nothing", "no_tax"),
        ("<cbc:Name>Porto + Versandkosten</cbc:Name>", "", "no_description"),
        (
            "</cac:PaymentMeans>",
            "</cac:PaymentMeans><cbc:DueDate>2016-05-01</cbc:DueDate><cbc:DueDate>2016-06-01</cbc:DueDate>",
            "several_due_dates",
        ),
    ],
)
def test_what_is_not_exact_is_left_with_the_reason(old: str, new: str, why: str) -> None:
    source = (XRECHNUNG / "01.01a-INVOICE_ubl.xml").read_text(encoding="utf-8")
    assert read_einvoice({"einvoice": source})["gross"] == "336.90"
    assert old in source
    with pytest.raises(Left, match=f"^{why}$"):
        read_einvoice({"einvoice": source.replace(old, new)})


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("<ram:GrandTotalAmount", '<ram:GrandTotalAmount currencyID="USD"', "another_currency"),
        ('format="102">20160404', 'format="610">201604', "no_date_where_one_belongs"),
        ("<ram:TypeCode>380</ram:TypeCode>", "", "no_type"),
        ("ram:TaxBasisTotalAmount", "ram:Nothing", "no_net"),
        ('TaxTotalAmount currencyID="EUR"', 'TaxTotalAmount currencyID="SEK"', "no_tax"),
        ("<ram:Name>[Seller name]</ram:Name>", "", "no_seller"),
        ("ram:IncludedSupplyChainTradeLineItem", "ram:Nothing", "no_lines"),
        ("ram:LineTotalAmount", "ram:Nothing", "no_line_total"),
    ],
)
def test_the_same_holds_in_the_other_syntax(old: str, new: str, why: str) -> None:
    source = (XRECHNUNG / "01.01a-INVOICE_uncefact.xml").read_text(encoding="utf-8")
    assert old in source
    with pytest.raises(Left, match=f"^{why}$"):
        read_einvoice({"einvoice": source.replace(old, new)})


def test_lines_within_lines_and_notes_do_not_count_and_tax_is_told_in_the_currency_of_the_invoice() -> None:
    source = (XRECHNUNG / "01.01a-INVOICE_uncefact.xml").read_text(encoding="utf-8")
    last = "</ram:IncludedSupplyChainTradeLineItem>"
    start = source.index("<ram:IncludedSupplyChainTradeLineItem>")
    whole = source[start : source.index(last) + len(last)]
    part = whole.replace("</ram:LineID>", "</ram:LineID><ram:ParentLineID>1</ram:ParentLineID>")
    note = f"<ram:IncludedSupplyChainTradeLineItem><ram:AssociatedDocumentLineDocument/>{last}"
    assert len(read_fields(source)["lines"]) == 2
    assert read_fields(source[:start] + part + note + source[start:]) == read_fields(source)
    assert len(read_fields(source[:start] + whole + source[start:])["lines"]) == 3
    ubl = (XRECHNUNG / "01.01a-INVOICE_ubl.xml").read_text(encoding="utf-8")
    accounted = '<cac:TaxTotal><cbc:TaxAmount currencyID="SEK">250.00</cbc:TaxAmount></cac:TaxTotal>'
    assert read_fields(ubl.replace("<cac:TaxTotal>", f"{accounted}<cac:TaxTotal>", 1)) == read_fields(ubl)


@pytest.mark.parametrize(
    ("text", "amount"), [("-0.00", "0.00"), ("+7", "7.00"), ("1234567.5000", "1234567.50"), ("-.5", "-0.50")]
)
def test_equal_amounts_are_equal_texts(text: str, amount: str) -> None:
    assert cents(text) == amount


def test_an_e_invoice_is_known_by_its_form_and_bounded() -> None:
    assert einvoice_of("cii", "<x/>") == "<x/>"
    assert einvoice_of(None, "<x/>") is einvoice_of("cii", None) is None
    with pytest.raises(Underivable, match="more than 2,000,000 characters"):
        einvoice_of("cii", "x" * 2_000_001)
    assert document_of("words", "cii", "application/pdf") == document_of("words", None, "application/xml") == "words"
    assert document_of("Invoice/ID: 7", "cii", "application/xml") is None


def test_bombs_and_giants_are_refused() -> None:
    entities = "".join(f"<!ENTITY e{at} '{f'&e{at - 1};' * 10 if at else 'ha'}'>" for at in range(10))
    for source, why in ((f"<!DOCTYPE x [{entities}]><x>&e9;</x>", "document_type"), ("<x>" * 700_000, "too_long")):
        with pytest.raises(Left, match=why):
            read_fields(source)
    with pytest.raises(Left, match="no_einvoice"):
        read_einvoice({"einvoice": None})


def test_credit_notes_placeholders_and_untaxed_invoices() -> None:
    source = (XRECHNUNG / "01.09a-INVOICE_ubl.xml").read_text(encoding="utf-8")
    assert "Dummywert" in source
    assert read_fields(source)["order_number"] is None
    assert read_fields(source.replace(">Dummywert<", ">4500000001<"))["order_number"] == "4500000001"
    assert read_fields(source)["kind"] == "invoice"
    for code, kind in (("381", "credit_note"), ("384", "invoice"), ("261", "credit_note")):
        assert read_fields(source.replace(">380<", f">{code}<"))["kind"] == kind
    untaxed = (XRECHNUNG / "01.05_minimal_test_uncefact.xml").read_text(encoding="utf-8")
    assert "TaxTotalAmount" not in untaxed
    assert read_fields(untaxed)["tax"] == "0.00"


@pytest.mark.parametrize(
    ("document", "order"),
    [
        ("Order 4500000012, page 1", 4500000012),
        ("Order 4500000012\fyour order 4500000012", 4500000012),
        ("4500000012 and 4500000013", None),
        ("IBAN DE4500000012123456", None),
        ("45000000121", None),
        (None, None),
    ],
)
def test_an_order_is_found_where_one_and_only_one_is_named(document: str | None, order: int | None) -> None:
    assert order_of(document, None) == order


def test_the_order_of_an_e_invoice_goes_before_what_its_pages_say() -> None:
    source = (XRECHNUNG / "01.09a-INVOICE_ubl.xml").read_text(encoding="utf-8")
    assert order_of("4500000099", source.replace(">Dummywert<", ">PO 4500000001<")) == 4500000001
    assert order_of("4500000099", source) == 4500000099
    assert order_of("4500000099", "<broken") == 4500000099


def test_who_is_not_asked_proposes_nothing_without_an_e_invoice() -> None:
    row: dict[str, Any] = {"document": "Invoice 7, total 10.00 EUR", "einvoice": None}
    assert answer(row) is None
