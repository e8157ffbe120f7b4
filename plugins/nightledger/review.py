"""Decisions of people from Airflow: one task that writes what was approved since."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, task
from airflow.sdk.exceptions import AirflowFailException

from nightledger.context import airflow_errors
from nightledger.nightly import ANY
from nightledger.steps import doc_of


def form() -> dict[str, Param]:
    """The trigger form: one use case, or all."""
    from include.spec.names import names

    known = [None, *names()]
    return {"use_case": Param(None, type=["null", "string"], enum=known, title="Use case", values_display=ANY)}


@task(task_id="apply", retries=3, retry_delay=timedelta(seconds=20), doc_md=doc_of("apply_reviews"))
def apply(**context: Any) -> list[dict[str, Any]]:
    """Write and let go what was decided; returns counts by night, never a row. Fails if a row could not be written."""
    from include.operations.review import apply as apply_decisions
    from include.settings import Settings
    from include.spec.names import names
    from nightledger.hooks.connections import AirflowConnections

    with airflow_errors():
        chosen = context["params"]["use_case"]
        actor = f"airflow/{context['dag_run'].run_id}"
        done = apply_decisions(AirflowConnections(), Settings.read(), [chosen] if chosen else names(), actor)
    if dead := sum(night.get("failed", 0) for night in done):
        raise AirflowFailException(f"{dead} approved rows could not be written; they wait on page Dead letters")
    return done
