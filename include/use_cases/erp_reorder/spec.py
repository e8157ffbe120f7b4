"""Reorder proposals, as declared by their owner. A blank in here fails the test suite."""

from decimal import Decimal

from include.models import Column, Mode
from include.spec.answers import Answers
from include.spec.join import Join
from include.spec.reshape import Derive
from include.spec.transforms import Coalesce
from include.spec.use_case import Baseline, Budgets, FailurePlan, UseCase
from include.systems.odata.declared import ODataRecords
from include.systems.sql.declared import SqlRecords, Table
from include.use_cases.erp_reorder.local import LOCAL, SEES
from include.use_cases.erp_reorder.rows import plant_of, product_of

SPEC = UseCase(
    name="erp_reorder",
    sentence="Every product in every plant gets a proposal of what to order, for a planner to decide",
    owner="supply-chain",
    credential_owner="data-platform",
    approver="head-of-supply-planning",
    baseline=Baseline(
        metric="minutes a planner spends a week on what to order of one product for one plant",
        value=2.0,
        unit="minutes per product and plant",
        measured="estimate of supply chain; replace by your own before go-live",
    ),
    output_destination="table reorder_proposal of the business's database, once a planner has agreed",
    failure_plan=FailurePlan(
        unavailable="fallback",
        invalid="dead_letter",
        refused="dead_letter",
        in_words="Where forecast, stock or supply data are missing, the planner is told so in place of a proposal. "
        "Without the night of the forecasts this one waits, and proposes nothing.",
    ),
    cost_ceiling_usd=Decimal("1.00"),
    budgets=Budgets(day=Decimal("1.00"), month=Decimal("10.00"), backfill=Decimal("5.00")),
    latency_class="batch",
    mode=Mode.GATED,
    never_alone="it orders goods",
    as_of_now="stock and orders on the way",
    sources=(
        Answers(
            object="erp_demand_forecast",
            key=Column("row_key", "series"),
            columns=(Column("horizon", "horizon"), Column("confidence", "confidence", "number")),
        ),
    ),
    transforms=(
        Derive("product", "text", product_of, ("series",)),
        Derive("plant", "text", plant_of, ("series",)),
        Join(
            source=ODataRecords(
                system="erp",
                object="Stock",
                keys=(Column("ProductId", "product"), Column("Plant", "plant")),
                changed=Column("ModifiedAt", "changed_at", "datetime"),
                columns=(
                    Column("OnHand", "on_hand", "number"),
                    Column("SafetyStock", "safety", "number"),
                    Column("CountedOn", "counted_on", "date"),
                ),
            ),
            on=("product", "plant"),
            prefix="stock_",
        ),
        Join(
            source=SqlRecords(
                system="shop",
                object="supply",
                key=Column("product", "product"),
                ids=("product", "plant"),
                changed=Column("changed_at", "changed_at", "datetime"),
                columns=(
                    Column("lead_days", "lead_days", "number"),
                    Column("pack", "pack", "number"),
                    Column("least", "least", "number"),
                    Column("on_order", "on_order", "number"),
                    Column("on_hand", "on_hand", "number"),
                ),
            ),
            on=("product", "plant"),
            prefix="supply_",
        ),
        Coalesce("on_hand", ("stock_on_hand", "supply_on_hand")),
    ),
    model=None,
    local=LOCAL,
    model_sees=SEES,
    personal=(),
    confidence_threshold=0.5,
    sinks=(
        Table(
            system="shop",
            object="reorder_proposal",
            key=("series",),
            fields={
                name: name
                for name in ("product", "plant", "order", "needed", "safety", "at_hand", "weeks_left", "reason")
            },
            make=True,
        ),
    ),
)
