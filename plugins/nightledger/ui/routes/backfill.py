"""Backfills: say what a range would cost, start it through Airflow's API, watch, pause and cancel it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Form, HTTPException, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from include.database import Database
from include.intervals import last_night, night_of, read_span
from include.ledger.backfill_plans import Plan, ask_plan, fail_plan, find_plan, find_started, list_plans
from include.models import Interval, RunOptions
from include.pages.backfill import (
    MOST_NIGHTS,
    estimate_seconds,
    find_pace,
    nights_on_record,
    watch_nights,
)
from include.spec.use_case import load
from nightledger.ui.access import Actor, Reader, Viewer, require_change
from nightledger.ui.airflow_api import call_airflow
from nightledger.ui.backfills import (
    BEHAVIOURS,
    check_start,
    due_nights,
    find_backfill,
    list_backfills,
    list_runs,
    overlaps,
    show_choice,
    start_backfill,
    usual_start,
)
from nightledger.ui.operations import start_operation
from nightledger.ui.rendering import address, render, segment
from nightledger.ui.routes.asking import Ledger, Name, Said, choose, use_cases_of

router = APIRouter()
PLAN_DAG = "backfill_plan"
ACTIONS = ("pause", "unpause", "cancel")
BackfillId = Annotated[int, Path(ge=0, le=2**31 - 1)]
Text = Annotated[str, Form(max_length=200)]


@router.get("/backfill")
def backfill(
    request: Request, viewer: Reader, ledger: Ledger, use_case: Name = None, said: Said = None
) -> HTMLResponse:
    """The form of a new plan, the backfills that run, and the latest plans of a use case."""
    return _form(request, viewer, ledger, choose(viewer, use_case, ledger), {}, {}, said=said)


@router.post("/backfill/plans")
def plan(
    request: Request,
    user: GetUserDep,
    viewer: Actor,
    ledger: Ledger,
    use_case: Text,
    first: Text = "",
    last: Text = "",
    mode: Text = "",
    asking: Text = "",
    re_infer: Text = "none",
    re_extract: Annotated[bool, Form()] = False,
) -> Response:
    """Ask for a plan of the nights from `first` to `last`, which an operations DAG then works out.

    Dates that cannot be are said beside their field, with the rest of the form as it was.
    """
    require_change(request, user, viewer, use_case)
    chosen = {"mode": mode or None, "asking": asking or None, "re_infer": re_infer, "re_extract": re_extract}
    RunOptions.from_params(chosen, load(use_case).mode)
    span, wrong = read_span(first, last, datetime.now(UTC), MOST_NIGHTS)
    if span is None:
        given = {**chosen, "first": first, "last": last}
        return _form(request, viewer, ledger, viewer.require_read(use_case), given, wrong, http=400)
    plan_id = request_plan(request, viewer, ledger, use_case, span, chosen)
    return RedirectResponse(f"{_base(request)}/backfill/plans/{plan_id}", 303)


def request_plan(
    request: Request, viewer: Viewer, ledger: Database, use_case: str, span: Interval, options: dict[str, Any]
) -> UUID:
    """Put the wish on record and start the DAG that works it out; a wish that nobody will meet is closed at once."""
    plan_id = ask_plan(ledger, use_case, span, options, viewer.name)
    try:
        start_operation(request, viewer, PLAN_DAG, {"plan_id": str(plan_id)})
    except HTTPException as error:
        fail_plan(ledger, plan_id, str(error.detail))
        raise
    return plan_id


@router.get("/backfill/plans/{plan_id}")
def show_plan(request: Request, viewer: Reader, ledger: Ledger, plan_id: UUID) -> HTMLResponse:
    """A plan as far as it is worked out, beside what is on record of its nights, and the form that starts it."""
    return _plan_page(request, viewer, ledger, find_plan(ledger, plan_id), {}, {})


@router.post("/backfill/plans/{plan_id}/start")
def start(
    request: Request,
    user: GetUserDep,
    viewer: Actor,
    ledger: Ledger,
    plan_id: UUID,
    name: Text = "",
    budget_usd: Text = "",
    behaviour: Text = "none",
    max_active_runs: Text = "1",
    anyway: Annotated[bool, Form()] = False,
) -> Response:
    """Create the backfill through Airflow's API as the user, with one budget for all of its nights.

    What cannot be is said beside its field, with the rest of the form as it was.
    """
    found = find_plan(ledger, plan_id)
    use_case = require_change(request, user, viewer, found.use_case)
    given = {"name": name, "budget_usd": budget_usd, "behaviour": behaviour, "max_active_runs": max_active_runs}
    wrong = check_start(request, viewer, found, given, anyway=anyway)
    if wrong:
        return _plan_page(request, viewer, ledger, found, given, wrong, http=400)
    budget, most = Decimal(budget_usd), int(max_active_runs)
    made = start_backfill(request, viewer, ledger, found, name, budget, behaviour, most)
    return RedirectResponse(f"{_base(request)}/backfill/{segment(use_case)}/{made}", 303)


@router.get("/backfill/{use_case}/{backfill_id}")
def watch(
    request: Request,
    viewer: Reader,
    ledger: Ledger,
    use_case: Annotated[str, Path(max_length=200)],
    backfill_id: BackfillId,
    said: Said = None,
) -> HTMLResponse:
    """A backfill of Airflow's with its nights, what is on record of each, and the sums against plan and budget."""
    viewer.require_read(use_case)
    found = find_backfill(request, viewer, use_case, backfill_id)
    dag = call_airflow(request, viewer, "GET", f"/dags/{segment(use_case)}")
    name = (found["dag_run_conf"] or {}).get("backfill") or ""
    started_from = find_started(ledger, use_case, backfill_id, name)
    runs = list_runs(request, viewer, use_case, found)
    seen = watch_nights(ledger, use_case, found, _nights_of(found), runs, started_from)
    return render(
        request,
        "watch.html.j2",
        viewer,
        use_case=use_case,
        backfill=found,
        watch=seen,
        plan=started_from,
        ends=_ends(seen.seconds_left),
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
    find_backfill(request, viewer, use_case, backfill_id)
    call_airflow(request, viewer, "PUT", f"/backfills/{backfill_id}/{action}")
    path = f"{_base(request)}/backfill/{segment(use_case)}/{backfill_id}"
    return RedirectResponse(address(path, said=action), 303)


def _form(
    request: Request,
    viewer: Viewer,
    ledger: Database,
    use_case: str,
    given: Mapping[str, Any],
    wrong: Mapping[str, str],
    *,
    http: int = 200,
    said: str | None = None,
) -> HTMLResponse:
    case, newest = load(use_case), last_night(datetime.now(UTC)).start.date()
    usual = {"first": newest, "last": newest, "mode": None, "asking": None, "re_infer": "none", "re_extract": False}
    return render(
        request,
        "backfill.html.j2",
        viewer,
        http=http,
        known=use_cases_of(viewer),
        chosen=use_case,
        case=case,
        latest=newest,
        given={**usual, **given},
        wrong=wrong,
        backfills=list_backfills(request, viewer, use_case),
        plans=list_plans(ledger, use_case),
        may_change=use_case in viewer.editable,
        said=said,
    )


def _plan_page(
    request: Request,
    viewer: Viewer,
    ledger: Database,
    plan: Plan,
    given: Mapping[str, str],
    wrong: Mapping[str, str],
    *,
    http: int = 200,
) -> HTMLResponse:
    use_case = viewer.require_read(plan.use_case)
    may_change, pace = use_case in viewer.editable, find_pace(ledger, use_case)
    due, refusal = dict[str, set[date]](), ""
    if may_change and plan.status == "done":
        try:
            due = due_nights(request, viewer, plan)
        except HTTPException as error:
            refusal = str(error.detail)
    usual = usual_start(plan, due)
    return render(
        request,
        "plan.html.j2",
        viewer,
        http=http,
        plan=plan,
        pace=pace,
        seconds={one["from"]: estimate_seconds([one], pace) for one in plan.nights},
        on_record=nights_on_record(ledger, use_case, plan.interval),
        conflicts=[one for one in list_backfills(request, viewer, use_case) if overlaps(one, plan.interval)],
        case=load(use_case),
        choices={name: show_choice(plan, words, due[name], pace) for name, words in BEHAVIOURS.items() if name in due},
        refusal=refusal,
        given={**usual, **given},
        wrong=wrong,
        may_change=may_change,
    )


def _nights_of(found: Mapping[str, Any]) -> list[datetime]:
    """When the nights begin that lie in a backfill's range."""
    span = Interval.parse(found["from_date"], found["to_date"])
    days = ((span.start + timedelta(days=number)).date() for number in range((span.end - span.start).days + 2))
    return [begins for begins in (night_of(day).start for day in days) if span.start <= begins <= span.end]


def _ends(seconds_left: float | None) -> datetime | None:
    return None if seconds_left is None else datetime.now(UTC) + timedelta(seconds=seconds_left)


def _base(request: Request) -> str:
    return str(request.scope.get("root_path", ""))
