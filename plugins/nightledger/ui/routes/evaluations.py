"""How good prompts and models are on labelled rows: looked at, started, and set aside."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from include.database import Database
from include.errors import ConfigurationError
from include.ledger.evaluations import set_aside
from include.pages.evaluations import find_use_case, show_evaluation, show_evaluations
from include.spec.names import names
from nightledger.ui.access import Actor, Reader, Viewer, require_change
from nightledger.ui.airflow_api import call_airflow
from nightledger.ui.operations import follow, start_operation
from nightledger.ui.rendering import address, render
from nightledger.ui.routes.asking import DagRun, Ledger, Name, Said, choose, need_reason, settings, use_cases_of

router = APIRouter()
DAG = "evaluate"
Hash = Annotated[str | None, Query(pattern="^[0-9a-f]{64}$")]
AirflowRun = Annotated[str | None, Query(max_length=250)]
Word = Annotated[str, Form(max_length=500)]


@router.get("/evaluations")
def evaluations(
    request: Request,
    viewer: Reader,
    ledger: Ledger,
    use_case: Name = None,
    before: UUID | None = None,
    labels: Hash = None,
    run: DagRun = None,
    of: AirflowRun = None,
) -> HTMLResponse:
    """What counts now, versions and models side by side, over time, under conditions, and every evaluation."""
    chosen = choose(viewer, use_case or _asked_by(request, viewer, of), ledger)
    page = show_evaluations(ledger, settings().systems_file, chosen, before, labels)
    older = address("evaluations", use_case=chosen, before=page.older, labels=labels) if page.older else None
    return render(
        request,
        "evaluations.html.j2",
        viewer,
        page=page,
        known=use_cases_of(viewer),
        chosen=chosen,
        older=older,
        dag=DAG,
        may_change=chosen in viewer.editable and DAG in viewer.editable,
        **follow(request, viewer, DAG, run),
    )


@router.post("/evaluations/start")
def start(
    request: Request,
    user: GetUserDep,
    viewer: Actor,
    use_case: Word,
    prompt: Word = "",
    against: Word = "",
    models: Word = "",
    labels: Word = "",
) -> Response:
    """Start an evaluation by its DAG, if Airflow lets the user change the use case and start the DAG."""
    require_change(request, user, viewer, use_case)
    given = {"prompt": prompt, "against": against, "models": models.strip(), "labels": labels.strip()}
    conf = {"use_case": use_case, "ask": True, **{name: value for name, value in given.items() if value}}
    run = start_operation(request, viewer, DAG, conf)
    home = request.scope.get("root_path", "")
    return RedirectResponse(address(f"{home}/evaluations", use_case=use_case, run=run), 303)


@router.get("/evaluations/{evaluation_id}")
def evaluation(
    request: Request, viewer: Reader, ledger: Ledger, evaluation_id: UUID, said: Said = None
) -> HTMLResponse:
    """One evaluation: its figures, fields, slices, and verdicts of its rows by number."""
    use_case = _require(viewer, ledger, evaluation_id)
    page = show_evaluation(ledger, use_case, evaluation_id)
    may_change = use_case in viewer.editable
    return render(request, "evaluation.html.j2", viewer, page=page, said=said, may_change=may_change)


@router.post("/evaluations/{evaluation_id}/set-aside")
def aside(
    request: Request,
    user: GetUserDep,
    viewer: Actor,
    ledger: Ledger,
    evaluation_id: UUID,
    reason: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Let an evaluation no longer stop or lift nights, with the reason, on record."""
    use_case = require_change(request, user, viewer, _require(viewer, ledger, evaluation_id))
    try:
        set_aside(ledger, use_case, evaluation_id, viewer.name, need_reason(reason))
    except ConfigurationError as error:
        raise HTTPException(409, str(error)) from error
    return RedirectResponse(f"{request.scope.get('root_path', '')}/evaluations/{evaluation_id}?said=aside", 303)


def _require(viewer: Viewer, ledger: Database, evaluation_id: UUID) -> str:
    return viewer.require_read(find_use_case(ledger, evaluation_id))


def _asked_by(request: Request, viewer: Viewer, run: str | None) -> str | None:
    """The use case that a DAG run was started for; None where it says nothing of one, or is not theirs to see."""
    if not run:
        return None
    try:
        found: Any = call_airflow(request, viewer, "GET", f"/dags/{DAG}/dagRuns/{quote(run, safe='')}")
    except HTTPException:
        return None
    named = (found.get("conf") or {}).get("use_case", names()[0])
    return named if named in viewer.readable else None
