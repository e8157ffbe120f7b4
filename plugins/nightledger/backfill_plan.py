"""The plan of a backfill from Airflow: one task that works out what was asked for on the page."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, task

from nightledger.context import airflow_errors
from nightledger.steps import doc_of


def form() -> dict[str, Param]:
    """The trigger form: the page fills it."""
    words = "Made by the page Backfill, which is where to start."
    return {
        "plan_id": Param(
            type="string",
            format="uuid",
            default="0" * 8 + "-0000-0000-0000-" + "0" * 12,
            title="Plan",
            description=words,
        )
    }


@task(task_id="work_out", retries=1, doc_md=doc_of("work_out"))
def work_out(**context: Any) -> dict[str, Any]:
    """Estimate every night of the plan; returns the total."""
    from uuid import UUID

    from include.operations.backfill_plan import work_out as run_plan
    from include.settings import Settings
    from nightledger.hooks.connections import AirflowConnections

    with airflow_errors():
        sums = run_plan(UUID(context["params"]["plan_id"]), AirflowConnections(), Settings.read())
    return {"total": sums["total"], "problems": sums["problems"]}
