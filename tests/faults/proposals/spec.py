"""What the histories declare: deliveries in files, a conditional write by key, records made where there are none."""

from __future__ import annotations

from decimal import Decimal

from include.models import Column, Mode
from include.spec.use_case import Baseline, Budgets, FailurePlan, ModelChoice, UseCase
from include.systems.files.source.declared import Files
from include.systems.odata.declared import ODataSink

SPEC = UseCase(
    name="fault_proposals",
    sentence="Every row of a delivery is proposed once",
    owner="tests",
    credential_owner="tests",
    approver="tests",
    baseline=Baseline("minutes", 1.0, "minutes", "estimated"),
    output_destination="the ERP's forecast proposals",
    failure_plan=FailurePlan("dead_letter", "dead_letter", "dead_letter", "a person decides"),
    cost_ceiling_usd=Decimal(1),
    budgets=Budgets(),
    why_not_batch="small",
    latency_class="batch",
    mode=Mode.AUTO,
    model=ModelChoice(system="model", name="sandbox-small", prompt="prompt.v1.md", max_output_tokens=200),
    model_sees=("demand", "note"),
    personal=(),
    confidence_threshold=0.0,
    sources=(
        Files(
            system="sftp",
            folder="proposals",
            pattern="proposals_%Y-%m-%d_*",
            archive="proposals-read",
            key=Column("series", "series"),
            columns=(Column("demand", "demand", "number"), Column("note", "note")),
            at_least=3,
            settle_seconds=1.2,
        ),
    ),
    sinks=(
        ODataSink(
            system="erp",
            object="ForecastProposals",
            keys=("ProductId", "Plant", "Ahead"),
            fields={"quantity": "Quantity", "origin": "Method"},
            guard="unchanged_since_read",
            creates=True,
        ),
    ),
)
