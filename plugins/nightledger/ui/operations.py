"""Start one of the operations DAGs for the user, who needs Airflow's permission to trigger it."""

from __future__ import annotations

from typing import Any

from fastapi import HTTPException, Request

from nightledger.ui.access import Viewer
from nightledger.ui.airflow_api import call_airflow


def start_operation(request: Request, viewer: Viewer, dag_id: str, conf: dict[str, Any]) -> str:
    """Trigger the DAG; returns the DAG run's id. 409 when it is switched off, since it would wait in silence."""
    dag = call_airflow(request, viewer, "GET", f"/dags/{dag_id}")
    if dag["is_paused"]:
        raise HTTPException(
            409, f"DAG {dag_id} is switched off in Airflow, so nothing would happen. Switch it on first."
        )
    body = {"logical_date": None, "conf": conf, "note": f"From the page, by {viewer.name}"}
    run = call_airflow(request, viewer, "POST", f"/dags/{dag_id}/dagRuns", body)
    return str(run["dag_run_id"])
