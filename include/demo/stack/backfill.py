"""Nights of a range through Airflow's own backfill, and in a line what became of the wish."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from include.demo.stack.api import AirflowApi
from include.demo.stack.errors import StackError
from include.errors import ConfigurationError
from include.intervals import read_night
from include.models import Interval


def read_range(first: str, last: str, now: datetime) -> tuple[Interval, Interval]:
    """The first and the last night of a backfill; raises ConfigurationError for what is none."""
    if not (first.strip() and last.strip()):
        raise ConfigurationError("need the first and the last night", about="--from and --to")
    start, end = read_night(first, now), read_night(last, now)
    if start.start > end.start:
        raise ConfigurationError(
            f"{first} is after {last}", about="--from and --to", action="Give the earlier one first"
        )
    return start, end


def create(api: AirflowApi, dag_id: str, start: Interval, end: Interval, conf: dict[str, Any], *, again: bool) -> str:
    """Create a backfill of all nights from one to another, one at a time as the DAG's own limit is; says what it does.

    Nights that have a run are left out, or with `again` run again. Raises StackError if there is nothing to run or
    another backfill of the DAG goes on.
    """
    body = {
        "dag_id": dag_id,
        "from_date": start.start.isoformat(),
        "to_date": end.start.isoformat(),
        "reprocess_behavior": "completed" if again else "none",
        "dag_run_conf": conf,
        "max_active_runs": 1,
    }
    nights = (end.start - start.start) // timedelta(days=1) + 1
    due = len(api.call("POST", "/backfills/dry_run", body)["backfills"])
    if not due:
        action = "Add --again to run those that are finished once more"
        raise StackError(f"all {nights} nights have a run already", system="airflow", about=dag_id, action=action)
    made = api.call("POST", "/backfills", body, accept=(200, 201, 409))
    if "id" not in made:
        raise StackError("a backfill of it goes on", system="airflow", about=dag_id, action="Wait for it, or cancel it")
    left_out = f"; {nights - due} with a run already left out" if due < nights else ""
    switched_off = f" {dag_id} is off: nothing runs before it is switched on." if api.is_paused(dag_id) else ""
    return (
        f"Backfill {made['id']} of {dag_id}: {due} of {nights} nights, {start.start:%Y-%m-%d} to {end.start:%Y-%m-%d}, "
        f"one at a time{left_out}. Airflow calls a run after its night's end: night {start.start:%Y-%m-%d} is "
        f"backfill__{start.end:%Y-%m-%dT%H:%M:%S}+00:00.{switched_off}"
    )
