"""Is the ledger as it was recorded: its verifications, and a new one."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from include.pages.verify import Verdict, list_verdicts
from nightledger.ui.access import Actor, Reader, Viewer
from nightledger.ui.operations import follow, start_operation
from nightledger.ui.rendering import address, render
from nightledger.ui.routes.asking import DagRun, Ledger

router = APIRouter()
DAG = "ledger_verification"


@router.get("/verify")
def verifications(request: Request, viewer: Reader, ledger: Ledger, run: DagRun = None) -> HTMLResponse:
    """The newest outcome with its findings, and those before."""
    return render(
        request,
        "verify.html.j2",
        viewer,
        verdicts=verdicts_for(viewer, list_verdicts(ledger)),
        dag=DAG,
        may_read=DAG in viewer.readable,
        may_change=DAG in viewer.editable,
        **follow(request, viewer, DAG, run),
    )


def verdicts_for(viewer: Viewer, verdicts: list[Verdict]) -> list[Verdict]:
    """What the viewer may see: findings name runs of all use cases, so only who may read the DAG is told them."""
    if DAG in viewer.readable:
        return verdicts
    return [replace(one, by="", findings=()) for one in verdicts]


@router.post("/verify")
def verify(request: Request, viewer: Actor, everything: Annotated[bool, Form()] = False) -> Response:
    """Start a verification by its DAG, if Airflow lets the user."""
    run = start_operation(request, viewer, DAG, {"everything": everything})
    return RedirectResponse(address(f"{request.scope.get('root_path', '')}/verify", run=run), 303)
