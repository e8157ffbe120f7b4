"""Drafts of replies, as declared by their owner. A blank in here fails the test suite."""

from decimal import Decimal

from include.models import Column, Mode
from include.spec.answers import Answers
from include.spec.keeping import Keep
from include.spec.reshape import Derive
from include.spec.reviewing import Review
from include.spec.use_case import Baseline, Budgets, FailurePlan, ModelChoice, UseCase
from include.systems.desk.declared import DeskReply
from include.systems.files.drop import FileDrop
from include.use_cases.support_reply.output import MOST_BODY
from include.use_cases.support_reply.rows import PREFIX, is_at_desk, name_of, tone_of, wants_reply

LINKS = (
    "https://help.example.com/invoices",
    "https://help.example.com/refunds",
    "https://help.example.com/tracking",
    "https://help.example.com/returns",
    "https://help.example.com/password",
    "https://status.example.com",
    "https://help.example.com/manuals",
    "privacy@example.com",
    "https://www.example.com/plans",
)
"""All that the guidelines name; nothing else leaves in a draft, whoever wrote or agreed to it."""

SPEC = UseCase(
    name="support_reply",
    sentence="Every ticket at the desk that triage sorted has the draft of a reply before the service desk opens",
    owner="service-desk",
    credential_owner="data-platform",
    approver="head-of-customer-service",
    baseline=Baseline(
        metric="minutes an agent spends to write one reply by hand",
        value=6.0,
        unit="minutes per ticket",
        measured="estimate of the service desk; replace by your own before go-live",
    ),
    output_destination="private comments on the desk's tickets, once a person has agreed; agents send them or do not",
    failure_plan=FailurePlan(
        unavailable="fallback",
        invalid="dead_letter",
        refused="dead_letter",
        in_words="No model: the rule in fallback.py proposes to say that the message has arrived, and a person "
        "confirms it. Without the night of triage this one waits, and drafts nothing; agents write as before.",
    ),
    cost_ceiling_usd=Decimal("3.00"),
    budgets=Budgets(day=Decimal("6.00"), month=Decimal("90.00"), backfill=Decimal("10.00")),
    why_not_batch="Drafts are agreed to before the service desk opens at 07:00, and the batch API may take 24 hours",
    latency_class="batch",
    mode=Mode.GATED,
    never_alone="it speaks to customers",
    review=Review(),
    sources=(
        Answers(
            object="support_triage",
            key=Column("row_key", "ticket_id"),
            columns=(
                Column("category", "category"),
                Column("priority", "priority"),
                Column("language", "ticket_language"),
            ),
        ),
    ),
    joins=(
        FileDrop(
            system="sftp",
            folder="drop",
            archive="archive",
            pattern="tickets_%Y-%m-%d.csv",
            columns=(
                Column("subject", "subject"),
                Column("body", "body"),
                Column("requester_name", "requester_name"),
                Column("created_at", "created_at", "datetime"),
            ),
            key="ticket_id",
            join_on="ticket_id",
            prefix="ticket_",
            required=False,
            max_field_chars=100_000,
        ),
    ),
    transforms=(
        Keep(where=is_at_desk, of=("ticket_id",), counts_as="not_at_the_desk"),
        Keep(where=wants_reply, of=("category", "ticket_language"), counts_as="no_reply_wanted"),
        Derive("tone", "text", tone_of, ("category",)),
        Derive("customer_name", "text", name_of, ("ticket_requester_name",)),
    ),
    model=ModelChoice(
        system="model",
        name="sandbox-small",
        prompt="prompt.v1.md",
        parameters={"temperature": 0, "seed": 7},
        max_output_tokens=900,
        reasks=2,
    ),
    model_sees=(
        *("category", "priority", "ticket_language", "tone"),
        *("customer_name", "ticket_subject", "ticket_body"),
    ),
    personal=("ticket_requester_name",),
    data_classes={"customer_name": "personal", "ticket_subject": "personal", "ticket_body": "personal"},
    tokenise=("customer_name", "ticket_subject", "ticket_body"),
    confidence_threshold=0.6,
    sinks=(
        DeskReply(
            system="desk",
            object="tickets",
            mark=4001,
            prefix=PREFIX,
            links=LINKS,
            longest=2 * MOST_BODY,
            fields={"subject": "subject", "body": "body"},
        ),
    ),
)
