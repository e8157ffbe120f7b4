"""The watch as a task of Airflow: one look, which fails when nobody could be reached."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import task

from nightledger.context import airflow_errors
from nightledger.steps import doc_of


@task(
    task_id="look",
    retries=1,
    retry_delay=timedelta(seconds=30),
    execution_timeout=timedelta(minutes=4),
    doc_md=doc_of("look"),
)
def look(**context: Any) -> dict[str, int]:
    """Look once and tell what is new; returns counts."""
    from airflow.configuration import conf

    from include.ledger import door
    from include.operations.alerts.watch import Watcher
    from include.operations.alerts.watch import look as look_once
    from include.settings import Settings
    from include.systems.registry import read_systems
    from nightledger.hooks.connections import AirflowConnections

    with airflow_errors():
        connections = AirflowConnections()
        systems = read_systems(Settings.read().systems_file)
        ledger = door.open_ledger(connections)
        site = conf.get("api", "base_url", fallback="")
        watcher = Watcher.of(ledger, connections, systems, by=f"airflow/{context['dag_run'].run_id}", site=site)
        done = look_once(watcher)
    counts = {"standing": len(done.standing), "severe": done.severe, "silenced": done.silenced}
    return {**counts, "due": len(done.due), "told": done.told}
