"""Work out what a range of nights would cost, night by night, and keep it where the page reads it."""

from __future__ import annotations

import logging
from uuid import UUID

from include.errors import NightledgerError
from include.ledger import door
from include.ledger.backfill_plans import Plan, begin_plan, end_plan, fail_plan, keep_nights
from include.models import Record, RunKey, RunOptions
from include.night.plan.preview import Preview, as_record
from include.night.plan.preview_capacity import name_limit
from include.operations.plan_nights import Room, add_up, cut, find_problems, find_rooms, preview_interval
from include.run import Run
from include.settings import Settings
from include.spec.use_case import load
from include.systems.connections import Connections

log = logging.getLogger(__name__)
HOURS = 24.0


def work_out(plan_id: UUID, connections: Connections, settings: Settings) -> Record:
    """Estimate every night of a plan; returns its sums. Safe to run again.

    What a retry cannot help ends the plan as failed, with the reason where the page shows it, and is raised.
    """
    ledger = door.open_ledger(connections)
    plan = begin_plan(ledger, plan_id)
    try:
        options = RunOptions.from_params(plan.options, load(plan.use_case).mode)
        whole = Run(load(plan.use_case), plan.interval, f"plan/{plan_id}", options, ledger, connections, settings)
        sums = _work_out(whole, plan)
    except NightledgerError as error:
        if error.verdict != "retry":
            fail_plan(ledger, plan_id, str(error))
        raise
    end_plan(ledger, plan_id, sums)
    log.info("plan %s: %s", plan_id, sums["total"])
    return sums


def _work_out(whole: Run, plan: Plan) -> Record:
    nights, seen = list(cut(plan.interval, HOURS)), set[bytes]()
    found, records = list[Preview](), list[Record]()
    for night in nights:
        key = RunKey(plan.use_case, night, "plan")
        one = preview_interval(whole.ledger, key, whole.options, whole.connections, whole.settings, seen)
        found.append(one)
        records.append({"from": night.start.isoformat(), "to": night.end.isoformat(), **as_record(one)})
        keep_nights(whole.ledger, plan.plan_id, records)
    rooms = find_rooms(whole, found)
    total = add_up(found)
    return {
        "total": as_record(total),
        "budgets": [_as_budget(room) for room in rooms],
        "limits": [
            {"name": load.name, "requests": load.requests, "tokens": load.tokens, "limit": name_limit(load)}
            for load in total.loads
        ],
        "problems": list(find_problems(whole, nights, found, rooms)),
    }


def _as_budget(room: Room) -> Record:
    return {
        "scope": "the dearest run" if room.scope.startswith("run/") else room.scope,
        "ceiling_usd": str(room.ceiling),
        "used_usd": str(room.used),
        "expected_usd": f"{room.expected:f}",
        "fits": room.is_kept,
    }
