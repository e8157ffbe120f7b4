"""Briefs of accounts, as declared by their owner. A blank in here fails the test suite."""

from decimal import Decimal

from include.models import Column, Mode
from include.spec.agent import Agent
from include.spec.keeping import Keep
from include.spec.use_case import Baseline, Budgets, FailurePlan, ModelChoice, UseCase
from include.systems.hubspot.declared import HubSpotRecords, HubSpotSink
from include.use_cases.account_brief.rows import is_account
from include.use_cases.account_brief.tools import TOOLS

SPEC = UseCase(
    name="account_brief",
    sentence="Every account with activity since last night gets a short note of its tickets and invoices, with sources",
    owner="key-account-management",
    credential_owner="data-platform",
    approver="head-of-key-accounts",
    baseline=Baseline(
        metric="minutes to look through the tickets and invoices of one account before a call",
        value=12.0,
        unit="minutes per account",
        measured="estimate by key account management; replace by a time study of your own before go-live",
    ),
    output_destination="CRM company properties nl_brief*, once a person has agreed",
    failure_plan=FailurePlan(
        unavailable="deferred",
        invalid="dead_letter",
        refused="dead_letter",
        in_words="No model: the account stays open and is asked when the night is run again. An agent that runs out of "
        "steps, tokens, money or time, goes in circles, or cannot read what it must, leaves a dead letter that says "
        "so and no note. The note that was agreed before stays on the company.",
    ),
    cost_ceiling_usd=Decimal("2.00"),
    budgets=Budgets(day=Decimal("4.00"), month=Decimal("60.00"), backfill=Decimal("10.00")),
    why_not_batch="Each question waits for what the one before it has read",
    latency_class="batch",
    mode=Mode.GATED,
    never_alone="a note that is wrong is said to a customer",
    as_of_now="tickets and invoices",
    sources=(
        HubSpotRecords(
            system="crm",
            object="companies",
            key=Column("hs_object_id", "company_id"),
            modified=Column("notes_last_updated", "active_at", "datetime"),
            columns=(
                Column("customer_number", "customer_number"),
                Column("name", "name"),
                Column("industry", "industry"),
                Column("country", "country"),
            ),
        ),
    ),
    transforms=(Keep(where=is_account, of=("customer_number",), counts_as="no_account"),),
    model=ModelChoice(
        system="model",
        name="sandbox-small",
        prompt="prompt.v1.md",
        parameters={"temperature": 0, "seed": 7},
        max_output_tokens=500,
        reasks=2,
    ),
    agent=Agent(tools=TOOLS, steps=8, tool_calls=8, tokens=40_000, usd=Decimal("0.05"), seconds=180),
    model_sees=("customer_number", "name", "industry", "country"),
    personal=(),
    confidence_threshold=0.7,
    sinks=(
        HubSpotSink(
            system="crm",
            object="companies",
            fields={
                "note": "nl_brief",
                "health": "nl_brief_health",
                "sources": "nl_brief_sources",
                "confidence": "nl_brief_confidence",
                "origin": "nl_brief_origin",
            },
        ),
    ),
)
