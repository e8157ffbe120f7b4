"""Completion of companies, as declared by its owner. A blank in here fails the test suite."""

from decimal import Decimal

from include.models import Column, Mode
from include.spec.keeping import Keep
from include.spec.transforms import Recency
from include.spec.use_case import Baseline, Budgets, FailurePlan, ModelChoice, UseCase
from include.systems.files.drop import FileDrop
from include.systems.hubspot.declared import HubSpotRecords, HubSpotSink
from include.use_cases.crm_enrichment.rows import needs_something

SPEC = UseCase(
    name="crm_enrichment",
    sentence="Every company changed since last night whose industry or size is missing or stale gets both proposed",
    owner="revenue-operations",
    credential_owner="data-platform",
    approver="head-of-sales-operations",
    baseline=Baseline(
        metric="minutes to look up industry and size of one company by hand",
        value=4.0,
        unit="minutes per company",
        measured="estimate by revenue operations; replace by a time study of your own before go-live",
    ),
    output_destination="CRM company properties nl_*; the company's own industry and size stay as they are",
    failure_plan=FailurePlan(
        unavailable="fallback",
        invalid="dead_letter",
        refused="dead_letter",
        in_words="No model: the rule in fallback.py proposes what vendor or CRM say outright and a person confirms it. "
        "Unusable or refused answers become dead letters that the owner replays. "
        "What was proposed before stays on the company until something new is written.",
    ),
    cost_ceiling_usd=Decimal("2.00"),
    budgets=Budgets(day=Decimal("8.00"), month=Decimal("60.00"), backfill=Decimal("40.00")),
    why_not_batch="A few hundred companies a night cost cents; the batch API may take 24 hours",
    latency_class="batch",
    mode=Mode.SHADOW,
    sources=(
        HubSpotRecords(
            system="crm",
            object="companies",
            key=Column("hs_object_id", "company_id"),
            modified=Column("hs_lastmodifieddate", "modified_at", "datetime"),
            columns=(
                Column("name", "name"),
                Column("domain", "domain"),
                Column("country", "country"),
                Column("description", "description"),
                Column("industry", "industry"),
                Column("numberofemployees", "employees", "integer"),
                Column("size_confirmed_at", "size_confirmed_at", "datetime"),
                Column("annualrevenue", "annual_revenue", "number"),
                Column("founded_year", "founded_year", "integer"),
            ),
        ),
    ),
    joins=(
        FileDrop(
            system="sftp",
            folder="drop",
            archive="archive",
            pattern="firmographics_%Y-%m-%d.csv",
            columns=(
                Column("domain", "domain"),
                Column("company_name", "name"),
                Column("industry", "industry"),
                Column("employees", "employees", "integer"),
                Column("annual_revenue_usd", "annual_revenue", "number"),
                Column("founded_year", "founded_year", "integer"),
                Column("technologies", "technologies"),
                Column("updated_at", "updated_at", "datetime"),
            ),
            key="domain",
            join_on="domain",
            prefix="firm_",
        ),
    ),
    transforms=(
        Recency("size_known_days", of="size_confirmed_at", days=(730,)),
        Keep(where=needs_something, of=("industry", "employees", "size_known_days"), counts_as="complete"),
    ),
    model=ModelChoice(
        system="model",
        name="sandbox-small",
        prompt="prompt.v1.md",
        parameters={"temperature": 0, "seed": 7},
        max_output_tokens=250,
        reasks=2,
    ),
    model_sees=(
        "name",
        "domain",
        "country",
        "description",
        "industry",
        "employees",
        "size_known_days",
        "annual_revenue",
        "founded_year",
        "firm_name",
        "firm_industry",
        "firm_employees",
        "firm_annual_revenue",
        "firm_founded_year",
        "firm_technologies",
    ),
    personal=(),
    confidence_threshold=0.7,
    sinks=(
        HubSpotSink(
            system="crm",
            object="companies",
            fields={
                "industry": "nl_industry",
                "size_band": "nl_size_band",
                "employees_estimate": "nl_employees",
                "evidence": "nl_enrichment_evidence",
                "confidence": "nl_enrichment_confidence",
                "origin": "nl_enrichment_origin",
            },
            guard="unchanged_since_read",
        ),
    ),
)
