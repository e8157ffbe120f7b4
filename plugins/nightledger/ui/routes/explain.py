"""Why a record has its value: one row through all its nights."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse

from include.pages.explain import RowPage, explain_row, look_at_row
from include.pages.explain_record import places
from nightledger.ui.access import Actor, Reader, Viewer, require_change
from nightledger.ui.rates import LOOKS
from nightledger.ui.rendering import render
from nightledger.ui.routes.asking import Ledger, Name, choose, use_cases_of

router = APIRouter()
_ABOUT = "A row key, or a record's id at the destination."
Key = Annotated[str, Query(max_length=200, description=_ABOUT)]
WantedKey = Annotated[str, Query(min_length=1, max_length=200, description=_ABOUT)]


@router.get("/explain")
def explain(request: Request, viewer: Reader, ledger: Ledger, use_case: Name = None, key: Key = "") -> HTMLResponse:
    """Every night of a row, newest first; without a key, the field to ask for one."""
    chosen = choose(viewer, use_case, ledger)
    page = explain_row(ledger, chosen, key.strip()) if key.strip() else None
    return _show(request, viewer, chosen, page)


@router.post("/explain/values")
def values(
    request: Request,
    user: GetUserDep,
    viewer: Actor,
    ledger: Ledger,
    use_case: Annotated[str, Form(max_length=200)],
    key: Annotated[str, Form(max_length=200)],
) -> HTMLResponse:
    """The same page with what the model was shown; who looks is on record before anything is read."""
    require_change(request, user, viewer, use_case)
    if not key.strip():
        raise HTTPException(400, "Say which row: its key, or the id of its record at the destination.")
    LOOKS.take(viewer.user_id)
    return _show(request, viewer, use_case, look_at_row(ledger, use_case, key.strip(), viewer.name))


def _show(request: Request, viewer: Viewer, chosen: str, page: RowPage | None) -> HTMLResponse:
    return render(
        request,
        "explain.html.j2",
        viewer,
        known=use_cases_of(viewer),
        chosen=chosen,
        page=page,
        places=places(viewer.readable),
        may_change=chosen in viewer.editable,
    )
