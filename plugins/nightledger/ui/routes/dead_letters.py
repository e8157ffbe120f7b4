"""Rows that ran out of tries: look at them, send them again, let them go."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from include.ledger.causes import CAUSES
from include.ledger.dead_letters import Selection, dismiss, list_groups, show
from include.pages.dead_letters import STATUSES, list_letters
from include.pages.reading import PAGE_ROWS
from nightledger.ui.access import Actor, Reader, require_change
from nightledger.ui.operations import follow, start_operation
from nightledger.ui.rendering import address, render
from nightledger.ui.routes.asking import (
    After,
    DagRun,
    Ledger,
    Name,
    Number,
    Said,
    choose,
    need_reason,
    one_of,
    use_cases_of,
)

router = APIRouter()
Reason = Annotated[str, Form(max_length=1000)]


@router.get("/dead-letters")
def dead_letters(
    request: Request,
    viewer: Reader,
    ledger: Ledger,
    use_case: Name = None,
    status: Name = "open",
    cause: Name = None,
    after: After = None,
    said: Said = None,
    run: DagRun = None,
) -> HTMLResponse:
    """Letters of a use case, newest first, with the causes of those that are open."""
    chosen = choose(viewer, use_case, ledger)
    one_of(status, STATUSES, "status")
    one_of(cause, CAUSES, "cause")
    letters = list_letters(ledger, chosen, status=status or None, cause=cause or None, after=after)
    filters = {"use_case": chosen, "status": status, "cause": cause}
    older = address("dead-letters", **filters, after=letters[-1].dead_letter_id) if len(letters) == PAGE_ROWS else None
    return render(
        request,
        "dead_letters.html.j2",
        viewer,
        letters=letters,
        groups=list_groups(ledger, Selection(use_case=chosen)),
        known=use_cases_of(viewer),
        chosen=chosen,
        status=status,
        statuses=STATUSES,
        cause=cause,
        causes=CAUSES,
        older=older,
        may_change=chosen in viewer.editable,
        said=said,
        **follow(request, viewer, "dead_letters", run),
    )


@router.get("/dead-letters/{number}")
def letter(request: Request, viewer: Reader, ledger: Ledger, number: Number) -> HTMLResponse:
    """One letter with its record, personal values as tokens, and what was tried since."""
    found = show(ledger, number)
    viewer.require_read(found["use_case"])
    return render(request, "dead_letter.html.j2", viewer, letter=found, causes=CAUSES)


@router.post("/dead-letters/changes")
def change(
    request: Request,
    user: GetUserDep,
    viewer: Actor,
    ledger: Ledger,
    use_case: Annotated[str, Form(max_length=200)],
    action: Annotated[str, Form(max_length=20)],
    cause: Annotated[str, Form(max_length=50)] = "",
    reason: Reason = "",
) -> Response:
    """Replay the open letters of a use case and cause by their DAG, or dismiss them with a reason."""
    require_change(request, user, viewer, use_case)
    one_of(action, ("replay", "dismiss"), "action")
    selection = Selection(use_case=use_case, cause=cause or None)
    if action == "replay":
        said, run = "replay", start_operation(request, viewer, "dead_letters", selection.filters())
    else:
        dismiss(ledger, selection, viewer.name, need_reason(reason))
        said, run = "dismissed", ""
    base = request.scope.get("root_path", "")
    return RedirectResponse(address(f"{base}/dead-letters", use_case=use_case, cause=cause, said=said, run=run), 303)
