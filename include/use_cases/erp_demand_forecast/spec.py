"""Demand forecasts, as declared by their owner. A blank in here fails the test suite."""

from datetime import timedelta
from decimal import Decimal

from include.models import Column, Mode
from include.spec.grouping import Group
from include.spec.running import Running
from include.spec.use_case import Baseline, Budgets, FailurePlan, UseCase
from include.systems.forecast.reaching import Reaching
from include.systems.odata.declared import ODataRecords, ODataSink
from include.systems.sql.declared import SqlRecords
from include.use_cases.erp_demand_forecast.local import LOCAL

BACK = timedelta(weeks=110)
"""How far back demand is read: two years, and what was posted late."""

SPEC = UseCase(
    name="erp_demand_forecast",
    sentence="Every product in every plant gets a proposal for the weeks to come before planning begins",
    owner="supply-chain",
    credential_owner="data-platform",
    approver="head-of-supply-planning",
    baseline=Baseline(
        metric="minutes a planner spends a week on the quantities of one product in one plant",
        value=4.0,
        unit="minutes per product and plant",
        measured="estimate of supply chain; replace by your own before go-live",
    ),
    output_destination="ERP entity set ForecastProposals, one entity for each week ahead",
    failure_plan=FailurePlan(
        unavailable="fallback",
        invalid="dead_letter",
        refused="dead_letter",
        in_words="What the forecast leaves (too short, too many gaps, ended long ago) gets the mean of its last weeks "
        "by the rule in fallback.py, and a person confirms it. What not even the rule can answer is a dead letter. "
        "The previous proposal stays until a new one is written.",
    ),
    cost_ceiling_usd=Decimal("1.00"),
    budgets=Budgets(day=Decimal("1.00"), month=Decimal("10.00"), backfill=Decimal("5.00")),
    why_not_batch="Forecasts are computed in the process; nobody is asked",
    latency_class="batch",
    mode=Mode.SHADOW,
    sources=(
        Reaching(
            ODataRecords(
                system="erp",
                object="DemandHistory",
                keys=(
                    Column("ProductId", "product"),
                    Column("Plant", "plant"),
                    Column("Week", "week", "date"),
                ),
                changed=Column("ModifiedAt", "changed_at", "datetime"),
                columns=(Column("Quantity", "quantity", "number"),),
            ),
            back=BACK,
        ),
        Reaching(
            SqlRecords(
                system="shop",
                object="demand_history",
                key=Column("id", "demand_id"),
                changed=Column("changed_at", "changed_at", "datetime"),
                columns=(
                    Column("product", "product"),
                    Column("plant", "plant"),
                    Column("week", "week", "date"),
                    Column("quantity", "quantity", "number"),
                ),
            ),
            back=BACK,
        ),
    ),
    transforms=(
        Group(
            by=("product", "plant"),
            into="history",
            take=("week", "quantity"),
            order="week",
            prefix="erp/DemandHistory",
        ),
        Running(name="this_week", every="week"),
    ),
    local=LOCAL,
    model=None,
    model_sees=("history", "this_week"),
    personal=(),
    confidence_threshold=0.5,
    sinks=(
        ODataSink(
            system="erp",
            object="ForecastProposals",
            keys=("ProductId", "Plant", "Ahead"),
            fields={"period": "Week", "quantity": "Quantity", "low": "Lower", "high": "Upper", "method": "Method"},
            target="id",
            each="horizon",
            guard="unchanged_since_read",
            creates=True,
        ),
    ),
)
