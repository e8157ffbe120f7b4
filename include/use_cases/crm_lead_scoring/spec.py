"""Lead scoring, as declared by its owner. A blank in here fails the test suite."""

from decimal import Decimal

from include.models import Column, Mode
from include.spec.transforms import Coalesce, Recency
from include.spec.use_case import Baseline, Budgets, FailurePlan, ModelChoice, UseCase
from include.systems.files.drop import FileDrop
from include.systems.hubspot.declared import HubSpotRecords, HubSpotSink, Related
from include.systems.sql.declared import Mirror

SPEC = UseCase(
    name="crm_lead_scoring",
    sentence="Every lead changed since last night gets a score, a tier and a next action before sales logs in",
    owner="revenue-operations",
    credential_owner="data-platform",
    approver="head-of-sales-operations",
    baseline=Baseline(
        metric="minutes a sales representative spends to qualify one lead by hand",
        value=6.0,
        unit="minutes per lead",
        measured="time study of 120 leads by revenue operations; replace by your own before go-live",
    ),
    output_destination="CRM contact properties nl_*, and warehouse table crm_lead_score",
    failure_plan=FailurePlan(
        unavailable="fallback",
        invalid="dead_letter",
        refused="dead_letter",
        in_words="No model: the rule in fallback.py proposes a score and a person confirms it. "
        "Unusable or refused answers become dead letters that the owner replays. "
        "The previous score stays on the lead until a new one is written.",
    ),
    cost_ceiling_usd=Decimal("5.00"),
    budgets=Budgets(day=Decimal("20.00"), month=Decimal("150.00"), backfill=Decimal("60.00")),
    why_not_batch="Sales reads the scores at 07:00, and the batch API may take 24 hours",
    latency_class="batch",
    mode=Mode.SHADOW,
    sources=(
        HubSpotRecords(
            system="crm",
            object="contacts",
            key=Column("hs_object_id", "lead_id"),
            modified=Column("lastmodifieddate", "modified_at", "datetime"),
            columns=(
                Column("email", "email"),
                Column("firstname", "first_name"),
                Column("lastname", "last_name"),
                Column("phone", "phone"),
                Column("jobtitle", "job_title"),
                Column("lifecyclestage", "lifecycle_stage"),
                Column("hs_analytics_source", "lead_source"),
                Column("country", "country"),
                Column("hs_analytics_num_page_views", "page_views", "integer"),
                Column("notes_last_updated", "last_activity_at", "datetime"),
                Column("product_interest", "product_interest"),
                Column("lead_segment", "segment"),
                Column("associatedcompanyid", "company_id"),
            ),
            related=(
                Related(
                    object="companies",
                    join_on="company_id",
                    columns=(
                        Column("name", "company_name"),
                        Column("domain", "company_domain"),
                        Column("industry", "company_industry"),
                        Column("numberofemployees", "company_employees", "integer"),
                        Column("annualrevenue", "company_revenue", "number"),
                        Column("country", "company_country"),
                        Column("founded_year", "company_founded_year", "integer"),
                        Column("hs_lastmodifieddate", "company_modified_at", "datetime"),
                    ),
                ),
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
            join_on="company_domain",
            prefix="firm_",
        ),
    ),
    transforms=(
        Coalesce("industry", ("company_industry", "firm_industry")),
        Coalesce("employees", ("firm_employees", "company_employees")),
        Coalesce("annual_revenue", ("firm_annual_revenue", "company_revenue")),
        Coalesce("founded_year", ("firm_founded_year", "company_founded_year")),
        Coalesce("technologies", ("firm_technologies",)),
        Coalesce("size_known_at", ("firm_updated_at", "company_modified_at")),
        Recency("last_activity_days", of="last_activity_at", days=(7, 30, 90, 365)),
    ),
    model=ModelChoice(
        system="model",
        name="sandbox-small",
        prompt="prompt.v1.md",
        parameters={"temperature": 0, "seed": 7},
        max_output_tokens=400,
        reasks=2,
    ),
    model_sees=(
        "job_title",
        "lifecycle_stage",
        "lead_source",
        "country",
        "page_views",
        "last_activity_days",
        "product_interest",
        "segment",
        "company_name",
        "company_country",
        "industry",
        "employees",
        "annual_revenue",
        "founded_year",
        "technologies",
    ),
    personal=("email", "first_name", "last_name", "phone"),
    confidence_threshold=0.7,
    sinks=(
        HubSpotSink(
            system="crm",
            object="contacts",
            fields={
                "score": "nl_lead_score",
                "tier": "nl_lead_tier",
                "summary": "nl_lead_summary",
                "next_action": "nl_next_action",
                "confidence": "nl_lead_confidence",
                "origin": "nl_score_origin",
            },
        ),
    ),
    mirror=Mirror(system="warehouse", table="crm_lead_score"),
)
