"""Backfills: say what a range would cost, start it through Airflow's API, watch, pause and cancel it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Form, HTTPException, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from include.ledger.backfill_plans import Plan, ask_plan, fail_plan, find_plan, list_plans
from include.models import Interval, RunOptions
from include.pages.backfill import MOST_NIGHTS, nights_on_record
from include.use_case import load
from nightledger.ui.access import Actor, Reader, Viewer, require_change
from nightledger.ui.airflow_api import call_airflow
from nightledger.ui.operations import start_operation
from nightledger.ui.rendering import address, render, segment
from nightledger.ui.routes.asking import Ledger, Name, Said, choose, one_of, use_cases_of

router = APIRouter()
PLAN_DAG = "backfill_plan"
NIGHT_BEGINS = time(2, tzinfo=UTC)
"""Nights run from 02:00 to 02:00 UTC, as the schedule of the nightly DAGs says."""
ACTIONS = ("pause", "unpause", "cancel")
BEHAVIOURS = {
    "none": "only nights that have not run",
    "failed": "those that have not run, and those that failed",
    "completed": "all, also those that succeeded",
}
BackfillId = Annotated[int, Path(ge=0, le=2**31 - 1)]
Text = Annotated[str, Form(max_length=200)]


@router.get("/backfill")
def backfill(
    request: Request, viewer: Reader, ledger: Ledger, use_case: Name = None, said: Said = None
) -> HTMLResponse:
    """The form of a new plan, the backfills that run, and the latest plans of a use case."""
    chosen = choose(viewer, use_case)
    yesterday = (datetime.now(UTC) - timedelta(days=2)).date()
    return render(
        request,
        "backfill.html.j2",
        viewer,
        known=use_cases_of(viewer),
        chosen=chosen,
        case=load(chosen),
        latest=yesterday,
        backfills=_backfills(request, viewer, chosen),
        plans=list_plans(ledger, chosen),
        may_change=chosen in viewer.editable,
        said=said,
    )


@router.post("/backfill/plans")
def plan(
    request: Request,
    user: GetUserDep,
    viewer: Actor,
    ledger: Ledger,
    use_case: Text,
    first: Annotated[date, Form()],
    last: Annotated[date, Form()],
    mode: Text = "",
    engine: Text = "",
    re_infer: Text = "none",
    re_extract: Annotated[bool, Form()] = False,
) -> Response:
    """Ask for a plan of the nights from `first` to `last`, which an operations DAG then works out."""
    require_change(request, user, viewer, use_case)
    chosen = {"mode": mode or None, "engine": engine or None, "re_infer": re_infer, "re_extract": re_extract}
    RunOptions.from_params(chosen, load(use_case).mode)
    plan_id = request_plan(request, viewer, ledger, use_case, span_of(first, last), chosen)
    return RedirectResponse(f"{_base(request)}/backfill/plans/{plan_id}", 303)


def request_plan(
    request: Request, viewer: Viewer, ledger: Ledger, use_case: str, span: Interval, options: dict[str, Any]
) -> UUID:
    """Put the wish on record and start the DAG that works it out; a wish that nobody will meet is closed at once."""
    plan_id = ask_plan(ledger, use_case, span, options, viewer.name)
    try:
        start_operation(request, viewer, PLAN_DAG, {"plan_id": str(plan_id)})
    except HTTPException as error:
        fail_plan(ledger, plan_id, str(error.detail))
        raise
    return plan_id


def span_of(first: date, last: date) -> Interval:
    """The nights from one day to another, both included; 400 for a range that is empty, too long or not over."""
    if not date(2000, 1, 1) <= first <= last <= date(2100, 1, 1):
        raise HTTPException(400, "The last night must not lie before the first, and both in this century.")
    if (last - first).days >= MOST_NIGHTS:
        raise HTTPException(400, f"At most {MOST_NIGHTS} nights at once; plan the rest afterwards.")
    span = Interval(datetime.combine(first, NIGHT_BEGINS), datetime.combine(last + timedelta(days=1), NIGHT_BEGINS))
    if span.end > datetime.now(UTC):
        raise HTTPException(400, f"The night of {last} is not over yet, so its rows are not known.")
    return span


@router.get("/backfill/plans/{plan_id}")
def show_plan(request: Request, viewer: Reader, ledger: Ledger, plan_id: UUID) -> HTMLResponse:
    """A plan as far as it is worked out, beside what is on record of its nights, and the form that starts it."""
    found = find_plan(ledger, plan_id)
    use_case = viewer.require_read(found.use_case)
    return render(
        request,
        "plan.html.j2",
        viewer,
        plan=found,
        on_record=nights_on_record(ledger, use_case, found.interval),
        conflicts=[one for one in _backfills(request, viewer, use_case) if _overlaps(one, found.interval)],
        case=load(use_case),
        behaviours=BEHAVIOURS,
        budget=_suggest(found),
        may_change=use_case in viewer.editable,
    )


@router.post("/backfill/plans/{plan_id}/start")
def start(
    request: Request,
    user: GetUserDep,
    viewer: Actor,
    ledger: Ledger,
    plan_id: UUID,
    name: Annotated[str, Form(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9._-]+$")],
    budget_usd: Annotated[Decimal, Form(gt=0, le=1_000_000, decimal_places=6)],
    behaviour: Text = "none",
    max_active_runs: Annotated[int, Form(ge=1, le=16)] = 1,
) -> Response:
    """Create the backfill through Airflow's API as the user, with one budget for all of its nights."""
    found = find_plan(ledger, plan_id)
    use_case = require_change(request, user, viewer, found.use_case)
    one_of(behaviour, BEHAVIOURS, "behaviour")
    if found.status != "done":
        raise HTTPException(409, "The plan is not worked out yet. Wait for it, or plan again.")
    made = create_backfill(request, viewer, found, name, budget_usd, behaviour, max_active_runs)
    return RedirectResponse(f"{_base(request)}/backfill/{use_case}/{made['id']}", 303)


def create_backfill(
    request: Request, viewer: Viewer, plan: Plan, name: str, budget_usd: Decimal, behaviour: str, most: int
) -> Any:
    """Airflow's backfill of a plan's nights; the last day is meant whole, since a bare date would drop its night."""
    options = {key: value for key, value in plan.options.items() if value is not None}
    last = (plan.interval.end - timedelta(days=1)).replace(hour=23, minute=59, second=59)
    body = {
        "dag_id": plan.use_case,
        "from_date": plan.interval.start.replace(hour=0).isoformat(),
        "to_date": last.isoformat(),
        "max_active_runs": most,
        "reprocess_behavior": behaviour,
        "dag_run_conf": {**options, "backfill": name, "backfill_budget_usd": float(budget_usd)},
    }
    return call_airflow(request, viewer, "POST", "/backfills", body)


@router.get("/backfill/{use_case}/{backfill_id}")
def watch(
    request: Request,
    viewer: Reader,
    ledger: Ledger,
    use_case: Annotated[str, Path(max_length=200)],
    backfill_id: BackfillId,
    said: Said = None,
) -> HTMLResponse:
    """A backfill of Airflow's with its nights, and what is on record of each."""
    viewer.require_read(use_case)
    found = _find(request, viewer, use_case, backfill_id)
    span = Interval.parse(found["from_date"], found["to_date"])
    query = f"run_type=backfill&limit=100&order_by=logical_date&logical_date_gte={segment(found['from_date'])}"
    query += f"&logical_date_lte={segment(found['to_date'])}"
    runs = call_airflow(request, viewer, "GET", f"/dags/{segment(use_case)}/dagRuns?{query}")["dag_runs"]
    dag = call_airflow(request, viewer, "GET", f"/dags/{segment(use_case)}")
    nights = nights_on_record(ledger, use_case, span)
    return render(
        request,
        "watch.html.j2",
        viewer,
        use_case=use_case,
        backfill=found,
        runs=runs,
        nights={f"{use_case}/{run['dag_run_id']}": None for run in runs}
        | {night.external_ref: night for night in nights},
        switched_off=dag["is_paused"],
        may_change=use_case in viewer.editable,
        said=said,
    )


@router.post("/backfill/{use_case}/{backfill_id}/{action}")
def steer(
    request: Request,
    user: GetUserDep,
    viewer: Actor,
    use_case: Annotated[str, Path(max_length=200)],
    backfill_id: BackfillId,
    action: Annotated[str, Path(max_length=20)],
) -> Response:
    """Pause, go on with, or cancel a backfill; a night that runs is always let finish."""
    require_change(request, user, viewer, use_case)
    if action not in ACTIONS:
        raise HTTPException(404, f"There is no such action; known: {', '.join(ACTIONS)}.")
    _find(request, viewer, use_case, backfill_id)
    call_airflow(request, viewer, "PUT", f"/backfills/{backfill_id}/{action}")
    path = f"{_base(request)}/backfill/{segment(use_case)}/{backfill_id}"
    return RedirectResponse(address(path, said=action), 303)


def _find(request: Request, viewer: Viewer, use_case: str, backfill_id: int) -> Any:
    """A backfill of this use case; 404 for that of another, whoever may see it."""
    found = call_airflow(request, viewer, "GET", f"/backfills/{backfill_id}")
    if found["dag_id"] != use_case:
        raise HTTPException(404, f"There is no backfill {backfill_id} of {use_case}.")
    return found


def _backfills(request: Request, viewer: Viewer, use_case: str) -> list[Any]:
    """Airflow's backfills of a use case, the newest first."""
    path = f"/backfills?dag_id={segment(use_case)}&limit=20&order_by=-id"
    return list(call_airflow(request, viewer, "GET", path)["backfills"])


def _overlaps(backfill: Any, span: Interval) -> bool:
    """Whether a backfill that has not ended touches the span."""
    if backfill["completed_at"]:
        return False
    other = Interval.parse(backfill["from_date"], backfill["to_date"])
    return other.start < span.end and span.start < other.end


def _suggest(plan: Plan) -> Decimal | None:
    """A quarter more than expected, and never less than ten cents."""
    if plan.status != "done":
        return None
    expected = Decimal(plan.sums["total"]["cost_usd"])
    return max((expected * Decimal("1.25")).quantize(Decimal("0.01")), Decimal("0.10"))


def _base(request: Request) -> str:
    return str(request.scope.get("root_path", ""))
