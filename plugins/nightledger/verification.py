"""The ledger verified from Airflow: one task, which fails when the ledger does not hold."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, task
from airflow.sdk.exceptions import AirflowFailException

from nightledger.context import airflow_errors
from nightledger.steps import doc_of

_SAID = ("events", "streams", "batches", "rows", "head")


def form() -> dict[str, Param]:
    """The trigger form: all of the ledger, or what is new in it."""
    about = "Without it, only what was recorded after the last verification, if that one held."
    return {"everything": Param(True, type="boolean", title="The whole ledger", description=about)}


@task(task_id="verify", retries=1, doc_md=doc_of("verify"))
def verify(**context: Any) -> dict[str, Any]:
    """Verify and put the outcome on record; returns counts. Fails for good when anything was found."""
    from include.ledger import door
    from include.ledger.verifications import verify_on_record
    from include.settings import Settings
    from nightledger.hooks.connections import AirflowConnections

    with airflow_errors():
        ledger = door.open_ledger(AirflowConnections())
        actor = f"airflow/{context['dag_run'].run_id}"
        everything = bool(context["params"]["everything"])
        found = verify_on_record(ledger, actor, everything=everything, kept_at=Settings.read().head_file)
    if not found.holds:
        first = f"{len(found.findings)} findings, the first: {found.findings[0]}"
        raise AirflowFailException(f"The ledger does NOT hold: {first}. Page Ledger of Nightledger lists them")
    return {name: getattr(found, name) for name in _SAID}
