"""Start one of the operations DAGs for the user, who needs Airflow's permission to trigger it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException, Request

from nightledger.ui.access import Viewer
from nightledger.ui.airflow_api import call_airflow


def start_operation(
    request: Request, viewer: Viewer, dag_id: str, conf: dict[str, Any], after: datetime | None = None
) -> str:
    """Trigger the DAG; returns the DAG run's id, which names the user and so does the history of what it changes.

    `after` is when it may begin at the earliest.
    409 when the DAG is switched off, since it would wait in silence.
    """
    dag = call_airflow(request, viewer, "GET", f"/dags/{dag_id}")
    if dag["is_paused"]:
        raise HTTPException(
            409, f"DAG {dag_id} is switched off in Airflow, so nothing would happen. Switch it on first."
        )
    who = re.sub(r"[^A-Za-z0-9_.~:+-]", "-", viewer.name)[:60]  # what Airflow takes in a run's id
    run_id = f"page__{who}__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"
    body: dict[str, Any] = {
        "logical_date": None,
        "dag_run_id": run_id,
        "conf": conf,
        "note": f"From the page, by {viewer.name}",
    }
    if after is not None:
        body["run_after"] = after.isoformat()
    run = call_airflow(request, viewer, "POST", f"/dags/{dag_id}/dagRuns", body)
    return str(run["dag_run_id"])


def follow(request: Request, viewer: Viewer, dag_id: str, run: str | None) -> dict[str, Any]:
    """For a page: how far the DAG run is that a form started, where it is in Airflow, and whether to look again."""
    if not run:
        return {"operation": None, "again": False}
    try:
        state = str(call_airflow(request, viewer, "GET", f"/dags/{dag_id}/dagRuns/{quote(run, safe='')}")["state"])
    except HTTPException:  # it is gone, or not theirs to see: the page is about the rows
        return {"operation": None, "again": False}
    return {"operation": {"dag": dag_id, "run": run, "state": state}, "again": state in ("queued", "running")}
