"""Support triage, as declared by its owner. A blank in here fails the test suite."""

from decimal import Decimal

from include.models import Column, Mode, Record
from include.spec.reshape import Derive
from include.spec.transforms import Recency
from include.spec.use_case import Baseline, Budgets, FailurePlan, ModelChoice, UseCase
from include.systems.files.drop import FileDrop
from include.systems.files.out.declared import FileOut
from include.systems.files.source.declared import Files
from include.systems.hubspot.declared import HubSpotRecords, HubSpotSink, Related
from include.systems.messages.declared import Message
from include.use_cases.support_triage.local import LOCAL

_ROWS = "include.use_cases.support_triage.rows"


def is_urgent(answer: Record) -> bool:
    """Whether somebody must be called."""
    return bool(answer["priority"] == "urgent")


SPEC = UseCase(
    name="support_triage",
    sentence="Every ticket of the day gets a category and a priority before the service desk opens",
    owner="service-desk",
    credential_owner="data-platform",
    approver="head-of-customer-service",
    baseline=Baseline(
        metric="minutes an agent spends to sort one ticket by hand",
        value=1.5,
        unit="minutes per ticket",
        measured="estimate of the service desk; replace by your own before go-live",
    ),
    output_destination="CRM ticket properties nl_ticket_*, files in sorted/, and a call to whoever is on duty",
    failure_plan=FailurePlan(
        unavailable="fallback",
        invalid="dead_letter",
        refused="dead_letter",
        in_words="No model: what the fitted model is certain of is sorted all the same. For the rest the rule in "
        "fallback.py proposes `other`, and a person sorts it.",
    ),
    cost_ceiling_usd=Decimal("2.00"),
    budgets=Budgets(day=Decimal("5.00"), month=Decimal("60.00"), backfill=Decimal("20.00")),
    why_not_batch="The service desk opens at 07:00, and the batch API may take 24 hours",
    latency_class="batch",
    mode=Mode.SHADOW,
    sources=(
        HubSpotRecords(
            system="crm",
            object="tickets",
            key=Column("helpdesk_ticket_id", "ticket_id"),
            modified=Column("hs_lastmodifieddate", "modified_at", "datetime"),
            columns=(
                Column("createdate", "created_at", "datetime"),
                Column("source_type", "channel_at_source"),
                Column("subject", "subject"),
                Column("content", "body"),
                Column("hs_primary_company_id", "company_id"),
            ),
            related=(Related("companies", "company_id", (Column("customer_number", "customer_id"),)),),
        ),
        Files(
            system="sftp",
            folder="drop",
            archive="archive",
            pattern="tickets_%Y-%m-%d.csv",
            key=Column("ticket_id", "ticket_id"),
            columns=(
                Column("created_at", "created_at", "datetime"),
                Column("channel", "channel_at_source"),
                Column("subject", "subject"),
                Column("body", "body"),
                Column("customer_id", "customer_id"),
            ),
            max_field_chars=100_000,
        ),
    ),
    joins=(
        FileDrop(
            system="sftp",
            folder="drop",
            archive="archive",
            pattern="customers_%Y-%m-%d.csv",
            columns=(
                Column("plan", "plan"),
                Column("tickets_90_days", "tickets_90_days", "integer"),
                Column("customer_since", "since", "datetime"),
            ),
            key="customer_id",
            join_on="customer_id",
            prefix="customer_",
            required=False,
        ),
    ),
    transforms=(
        Derive("channel", "text", f"{_ROWS}:channel_of", ("channel_at_source",)),
        Derive("customer_recent_tickets", "text", f"{_ROWS}:how_many", ("customer_tickets_90_days",)),
        Recency("customer_within_days", of="customer_since", days=(90, 365, 1_095, 36_500)),
    ),
    local=LOCAL,
    model=ModelChoice(
        system="model",
        name="sandbox-small",
        prompt="prompt.v1.md",
        parameters={"temperature": 0, "seed": 7},
        max_output_tokens=200,
        reasks=2,
    ),
    model_sees=("channel", "subject", "body", "customer_plan", "customer_recent_tickets", "customer_within_days"),
    personal=(),
    data_classes={"subject": "personal", "body": "personal"},
    tokenise=("subject", "body"),
    confidence_threshold=0.7,
    sinks=(
        HubSpotSink(
            system="crm",
            object="tickets",
            target="id",
            only_from="crm/tickets",
            fields={
                "category": "nl_ticket_category",
                "priority": "nl_ticket_priority",
                "language": "nl_ticket_language",
                "summary": "nl_ticket_summary",
                "confidence": "nl_ticket_confidence",
                "origin": "nl_ticket_origin",
            },
        ),
        FileOut(
            system="sftp",
            object="sorted",
            name="tickets_%Y-%m-%d_{run}.csv",
            key="ticket_id",
            only_from="sftp/drop",
            guard="append_once",
            fields={name: name for name in ("category", "priority", "language", "summary", "confidence", "origin")},
        ),
        Message(
            system="oncall",
            object="hooks/tickets",
            event="ticket.urgent",
            when=is_urgent,
            idempotent=True,
            fields={name: name for name in ("category", "priority", "summary")},
        ),
    ),
)
