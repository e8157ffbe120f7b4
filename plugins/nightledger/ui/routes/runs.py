"""One run, its reports, and the way from an Airflow run to it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from upath import UPath

from include.database import Database
from include.links import PAGES, quarantine_page, run_page
from include.pages.failing import show_failing
from include.pages.run import find_run_of, find_use_case, show_run
from include.storage import list_names
from nightledger.ui.access import Actor, Reader, Viewer, require_change
from nightledger.ui.airflow_api import call_airflow
from nightledger.ui.headers import REPORT_POLICY
from nightledger.ui.rates import Rate
from nightledger.ui.rendering import render, segment
from nightledger.ui.routes.asking import Ledger, RunId, Said, settings

router = APIRouter()
_FILE = re.compile(r"(report|quality|cleanup-[a-z0-9-]{1,80})\.(html|json|csv)")
_TYPES = {"html": "text/html", "json": "application/json", "csv": "text/csv"}
_MOST_BYTES = 20_000_000
_RATE = Rate(30, 60)


@router.get("/runs/{run_id}")
def run(request: Request, viewer: Reader, ledger: Ledger, run_id: RunId, said: Said = None) -> HTMLResponse:
    """A run from its first step to its last; while it runs, the page asks again by itself."""
    use_case = require_run(viewer, ledger, run_id)
    found = show_run(ledger, run_id)
    files = _list_files(_folder(use_case, run_id))
    again, may_change = found.night.status == "running", use_case in viewer.editable
    return render(
        request, "run.html.j2", viewer, page=found, files=files, again=again, said=said, may_change=may_change
    )


@router.post("/runs/{run_id}/retry")
def retry(request: Request, user: GetUserDep, viewer: Actor, ledger: Ledger, run_id: RunId) -> Response:
    """Clear the task that ended the run and those after it, in Airflow and as the user."""
    use_case = require_change(request, user, viewer, require_run(viewer, ledger, run_id))
    found = show_run(ledger, run_id)
    if found.night.cause is None or not found.night.cause.retry_from or found.dag_run is None:
        raise HTTPException(409, "The run did not fail in a DAG, or running it on would not help.")
    body = {
        "dry_run": False,
        "dag_run_id": found.dag_run[1],
        "task_ids": [found.night.cause.retry_from],
        "include_downstream": True,
        "only_failed": False,
        "reset_dag_runs": True,
    }
    call_airflow(request, viewer, "POST", f"/dags/{segment(use_case)}/clearTaskInstances", body)
    base = request.scope.get("root_path", "")
    return RedirectResponse(f"{base}/runs/{segment(run_id)}?said=retry", 303)


@router.get("/runs/{run_id}/reports/{name}")
def report(viewer: Reader, ledger: Ledger, run_id: RunId, name: Annotated[str, Path(max_length=120)]) -> Response:
    """A report or a list for an owner, as written at the end of the run; it may run and load nothing."""
    use_case = require_run(viewer, ledger, run_id)
    known = _FILE.fullmatch(name)
    if known is None:
        raise HTTPException(404, "There is no such report.")
    _RATE.take(viewer.user_id)
    file = _folder(use_case, run_id).joinpath(name)
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise HTTPException(413, f"The report is larger than {_MOST_BYTES:,} bytes; it lies in the run's folder.")
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise HTTPException(404, "The report is gone, or was never written; the run's page has the figures.") from error
    except OSError as error:
        raise HTTPException(503, "The storage of the reports cannot be read.") from error
    headers = {"Content-Security-Policy": REPORT_POLICY}
    if known[2] != "html":
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(content, media_type=_TYPES[known[2]], headers=headers)


@router.get("/runs/{run_id}/failing/{expectation}")
def failing(
    request: Request,
    viewer: Reader,
    ledger: Ledger,
    run_id: RunId,
    expectation: Annotated[str, Path(max_length=200)],
    offset: Annotated[int, Query(ge=0, le=2**32)] = 0,
) -> HTMLResponse:
    """Every row that fails an expectation of a run, page by page."""
    use_case = require_run(viewer, ledger, run_id)
    found = show_failing(ledger, run_id, expectation, settings().token_secret, offset)
    return render(request, "failing.html.j2", viewer, page=found, run_id=run_id, use_case=use_case)


@router.get("/of/{dag_id}/{dag_run_id:path}")
def of_dag_run(
    request: Request,
    viewer: Reader,
    ledger: Ledger,
    dag_id: Annotated[str, Path(max_length=250)],
    dag_run_id: Annotated[str, Path(max_length=250)],
    show: Annotated[Literal["run", "report", "quality", "quarantine"], Query()] = "run",
) -> Response:
    """From a DAG run to a page about its run in the ledger; a tab and the buttons of Airflow's own pages open this."""
    viewer.require_read(dag_id)
    run_id = find_run_of(ledger, f"{dag_id}/{dag_run_id}")
    if run_id is None:
        return render(request, "no_run.html.j2", viewer, dag_id=dag_id, dag_run_id=dag_run_id)
    use_case = require_run(viewer, ledger, run_id)
    pages = {
        "run": run_page(run_id),
        "report": f"{run_page(run_id)}/reports/report.html",
        "quality": f"{run_page(run_id)}/reports/quality.html",
        "quarantine": quarantine_page(use_case, run_id=run_id),
    }
    return RedirectResponse(request.scope.get("root_path", "") + pages[show].removeprefix(PAGES), 303)


def require_run(viewer: Viewer, ledger: Database, run_id: str) -> str:
    """The use case of a run that exists and that the viewer may see; else 404, and nothing is told of others' runs."""
    use_case = find_use_case(ledger, run_id)
    if use_case is None or use_case not in viewer.readable:
        words = f"There is no run {run_id} in the ledger. It was purged, never opened, or it is not yours to see."
        raise HTTPException(404, words)
    return use_case


def _list_files(folder: UPath) -> list[str]:
    """Names of the run's reports and lists; none when its folder is gone or cannot be reached."""
    try:
        return [name for name in list_names(folder) if _FILE.fullmatch(name)]
    except OSError:
        return []


def _folder(use_case: str, run_id: str) -> UPath:
    """Where a run of the ledger keeps its files; both names come from the ledger, not from the address."""
    return UPath(settings().staging).joinpath(use_case, run_id)
