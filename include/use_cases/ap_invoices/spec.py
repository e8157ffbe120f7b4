"""Supplier invoices, as declared by their owner. A blank in here fails the test suite."""

from datetime import timedelta
from decimal import Decimal

from include.models import Column, Mode, Record
from include.spec.join import Join
from include.spec.reshape import Derive
from include.spec.reviewing import Review
from include.spec.use_case import Baseline, Budgets, FailurePlan, ModelChoice, UseCase
from include.systems.documents.declared import Documents
from include.systems.documents.pdf import PdfLimits
from include.systems.odata.declared import ODataRecords
from include.systems.sql.declared import Table
from include.use_cases.ap_invoices.local import LOCAL
from include.use_cases.ap_invoices.rows import document_of, einvoice_of, order_of

FOUR_EYES_ABOVE = 10_000
"""In the invoice's own currency."""


def is_large(answer: Record) -> bool:
    """Whether two people must approve it."""
    return abs(float(answer["gross"])) > FOUR_EYES_ABOVE


SPEC = UseCase(
    name="ap_invoices",
    sentence="Every invoice that arrived is read, held against itself and its order, and put before an accountant",
    owner="accounts-payable",
    credential_owner="data-platform",
    approver="head-of-accounting",
    baseline=Baseline(
        metric="minutes an accountant spends to key in and check one invoice",
        value=9.0,
        unit="minutes per invoice",
        measured="time study of 80 invoices by accounts payable; replace by your own before go-live",
    ),
    output_destination="warehouse tables invoice and invoice_line",
    failure_plan=FailurePlan(
        unavailable="fallback",
        invalid="dead_letter",
        refused="dead_letter",
        in_words="E-invoices need no model. Without one, a document that embeds an e-invoice without lines is proposed "
        "as that says; any other waits as a dead letter for accounts payable. No amount is ever guessed.",
    ),
    cost_ceiling_usd=Decimal("20.00"),
    budgets=Budgets(day=Decimal("40.00"), month=Decimal("400.00"), backfill=Decimal("100.00")),
    why_not_batch="Accountants begin at 08:00, and the batch API may take 24 hours",
    latency_class="batch",
    mode=Mode.SHADOW,
    sources=(
        Documents(
            system="invoices",
            folder="invoices",
            pattern="*.{pdf,PDF,xml,XML}",
            most_bytes=20_000_000,
            pdfs=PdfLimits(pages=200, characters=1_000_000, seconds=30.0),
        ),
    ),
    transforms=(
        Derive("einvoice", "text", einvoice_of, of=("form", "xml")),
        Derive("document", "text", document_of, of=("text", "form", "media_type")),
        Derive("order_candidate", "integer", order_of, of=("document", "einvoice")),
        Join(
            source=ODataRecords(
                system="erp",
                object="PurchaseOrders",
                keys=(Column("OrderNumber", "order_number", "integer"),),
                changed=Column("ModifiedAt", "modified_at", "datetime"),
                columns=(
                    Column("Supplier", "supplier"),
                    Column("Amount", "amount", "number"),
                    Column("Currency", "currency"),
                    Column("Status", "status"),
                ),
                lag=timedelta(hours=1),
            ),
            on="order_candidate",
            prefix="po_",
        ),
    ),
    local=LOCAL,
    model=ModelChoice(
        system="model",
        name="sandbox-large",
        prompt="prompt.v1.md",
        parameters={"temperature": 0, "seed": 7},
        max_output_tokens=8_000,
        reasks=2,
    ),
    model_sees=("document", "einvoice"),
    personal=(),
    answers_personal=("number", "order_number", "seller_vat_id"),
    confidence_threshold=0.9,
    never_alone="an invoice is money",
    review=Review(expires=timedelta(days=30), four_eyes=is_large),
    sinks=(
        Table(
            system="warehouse",
            object="invoice",
            key=("document",),
            make=True,
            fields={
                "number": "number",
                "kind": "kind",
                "issue_date": "issue_date",
                "due_date": "due_date",
                "seller_name": "seller_name",
                "seller_vat_id": "seller_vat_id",
                "buyer_name": "buyer_name",
                "currency": "currency",
                "order_number": "order_number",
                "net": "net",
                "tax": "tax",
                "gross": "gross",
                "prepaid": "prepaid",
                "payable": "payable",
                "origin": "read_by",
            },
        ),
        Table(
            system="warehouse",
            object="invoice_line",
            key=("document", "line"),
            each="lines",
            make=True,
            fields={
                "number": "line_number",
                "description": "description",
                "quantity": "quantity",
                "unit": "unit",
                "unit_price": "unit_price",
                "price_base": "price_base",
                "line_net": "net",
                "tax_rate": "tax_rate",
                "currency": "currency",
            },
        ),
    ),
)
