"""Backfills in Airflow, as the user who is looking: what one would run, whether it may start, and its runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from re import fullmatch
from typing import Any

from fastapi import HTTPException, Request

from include.database import Database
from include.ledger.backfill_plans import Plan, note_start
from include.models import Interval, Record
from include.pages.backfill import Pace, cost_of, estimate_seconds, planned
from include.report.wording import money
from nightledger.ui.access import Viewer
from nightledger.ui.airflow_api import call_airflow
from nightledger.ui.rendering import segment
from nightledger.ui.routes.asking import one_of

BEHAVIOURS = {
    "none": "only nights that have not run",
    "failed": "those that have not run, and those that failed",
    "completed": "all, also those that succeeded",
}
MOST_AT_ONCE = 16
MOST_BUDGET = Decimal(1_000_000)
"""US dollars."""
NAME = r"[A-Za-z0-9._-]{1,60}"
RUNS_PER_CALL = 100
"""What Airflow's API gives at most at once (setting `[api] maximum_page_limit`)."""


def due_nights(request: Request, viewer: Viewer, plan: Plan) -> dict[str, set[date]]:
    """The nights that Airflow would run under each behaviour: one that has a run may be left out."""
    due = {}
    for behaviour in BEHAVIOURS:
        found = call_airflow(request, viewer, "POST", "/backfills/dry_run", _wish(plan, behaviour))["backfills"]
        due[behaviour] = {datetime.fromisoformat(one["logical_date"]).astimezone(UTC).date() for one in found}
    return due


def _create(
    request: Request, viewer: Viewer, plan: Plan, name: str, budget_usd: Decimal, behaviour: str, most: int
) -> Record:
    """Airflow's backfill of a plan's nights, `most` of them at once, under one budget in US dollars."""
    options = {key: value for key, value in plan.options.items() if value is not None}
    conf = {**options, "backfill": name, "backfill_budget_usd": float(budget_usd)}
    body = {**_wish(plan, behaviour), "max_active_runs": most, "dag_run_conf": conf}
    made: Record = call_airflow(request, viewer, "POST", "/backfills", body)
    return made


def check_start(
    request: Request, viewer: Viewer, plan: Plan, given: Mapping[str, str], *, anyway: bool
) -> dict[str, str]:
    """What is wrong with the wish to start a plan, by field; 409 while the plan is not worked out.

    A budget below what is expected has to be wanted (`anyway`), and a behaviour that runs no night cannot be meant.
    """
    one_of(given["behaviour"], BEHAVIOURS, "behaviour")
    if plan.status != "done":
        raise HTTPException(409, "The plan is not worked out yet. Wait for it, or plan again.")
    wrong = {}
    if not fullmatch(NAME, given["name"]):
        wrong["name"] = "A name has 1 to 60 letters, digits, dots, dashes or underscores."
    if not (given["max_active_runs"].isdecimal() and 1 <= int(given["max_active_runs"]) <= MOST_AT_ONCE):
        wrong["max_active_runs"] = f"A whole number from 1 to {MOST_AT_ONCE}."
    due = due_nights(request, viewer, plan)
    days = due[given["behaviour"]]
    if not days:
        others = [words for name, words in BEHAVIOURS.items() if due[name]]
        action = f'Choose "{others[0]}"' if others else "One of them is running; wait for it"
        wrong["behaviour"] = f"No night would run: each has a run already. {action}."
    budget, expected = _amount(given["budget_usd"]), cost_of(planned(plan, days))
    if budget is None:
        wrong["budget_usd"] = f"An amount in US dollars above 0 and up to {MOST_BUDGET:,}, with 6 decimals at most."
    elif budget < expected and not anyway:
        wrong["budget_usd"] = (
            f"Expected are {money(expected)}. Once {money(budget)} are used up, rows are deferred and not asked. "
            "Give more, or say that it is meant."
        )
    return wrong


def start_backfill(
    request: Request,
    viewer: Viewer,
    ledger: Database,
    plan: Plan,
    name: str,
    budget_usd: Decimal,
    behaviour: str,
    most: int,
) -> int:
    """Create the backfill of a plan and keep with the plan what it was started as; returns Airflow's number of it."""
    made = _create(request, viewer, plan, name, budget_usd, behaviour, most)
    note_start(ledger, plan, made["id"], name)
    return int(made["id"])


def usual_start(plan: Plan, due: Mapping[str, set[date]]) -> Record:
    """How the form begins: asking or extracting again means nights that have run, too."""
    again = plan.options.get("re_infer", "none") != "none" or plan.options.get("re_extract")
    behaviour = "completed" if again else "none"
    # A quarter more than expected, and never less than ten cents.
    expected = cost_of(planned(plan, due.get(behaviour, ()))) * Decimal("1.25")
    budget = max(expected.quantize(Decimal("0.01")), Decimal("0.10"))
    name = f"{plan.interval.start:%Y-%m-%d}_{str(plan.plan_id)[:8]}"
    return {"name": name, "budget_usd": str(budget), "behaviour": behaviour, "max_active_runs": "1"}


def show_choice(plan: Plan, words: str, days: Iterable[date], pace: Pace | None) -> Record:
    """What a behaviour would run, pay and take."""
    nights = planned(plan, days)
    return {"words": words, "nights": len(nights), "cost": cost_of(nights), "seconds": estimate_seconds(nights, pace)}


def list_backfills(request: Request, viewer: Viewer, use_case: str) -> list[Record]:
    """The latest backfills of a use case, the newest first."""
    path = f"/backfills?dag_id={segment(use_case)}&limit=20&order_by=-id"
    return list(call_airflow(request, viewer, "GET", path)["backfills"])


def find_backfill(request: Request, viewer: Viewer, use_case: str, backfill_id: int) -> Record:
    """A backfill of this use case; 404 for that of another, whoever may see it."""
    found: Record = call_airflow(request, viewer, "GET", f"/backfills/{backfill_id}")
    if found["dag_id"] != use_case:
        raise HTTPException(404, f"There is no backfill {backfill_id} of {use_case}.")
    return found


def list_runs(request: Request, viewer: Viewer, use_case: str, backfill: Mapping[str, Any]) -> list[Record]:
    """Every run of Airflow's of the nights of a backfill, whatever made it."""
    query = f"limit={RUNS_PER_CALL}&order_by=logical_date&logical_date_gte={segment(backfill['from_date'])}"
    path = f"/dags/{segment(use_case)}/dagRuns?{query}&logical_date_lte={segment(backfill['to_date'])}"
    runs: list[Record] = []
    while True:
        page = call_airflow(request, viewer, "GET", f"{path}&offset={len(runs)}")
        runs += page["dag_runs"]
        if not page["dag_runs"] or len(runs) >= page["total_entries"]:
            return runs


def overlaps(backfill: Mapping[str, Any], span: Interval) -> bool:
    """Whether a backfill that has not ended touches the span."""
    if backfill["completed_at"]:
        return False
    other = Interval.parse(backfill["from_date"], backfill["to_date"])
    return other.start < span.end and span.start < other.end


def _wish(plan: Plan, behaviour: str) -> Record:
    """What to run; the last day is meant whole, since a bare date would drop its night."""
    last = (plan.interval.end - timedelta(days=1)).replace(hour=23, minute=59, second=59)
    return {
        "dag_id": plan.use_case,
        "from_date": plan.interval.start.replace(hour=0).isoformat(),
        "to_date": last.isoformat(),
        "reprocess_behavior": behaviour,
    }


def _amount(words: str) -> Decimal | None:
    """US dollars above 0; None for anything else."""
    try:
        found = Decimal(words)
    except InvalidOperation:
        return None
    fits = found.is_finite() and 0 < found <= MOST_BUDGET and int(found.as_tuple().exponent) >= -6
    return found if fits else None
