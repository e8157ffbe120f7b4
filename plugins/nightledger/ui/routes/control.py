"""How far the nights of each use case may go, and the switch that stops all asking."""

from __future__ import annotations

from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from include.errors import ConfigurationError
from include.ledger.control import change_control
from include.models import Mode
from include.pages.control import show_control
from include.spec.use_case import load
from nightledger.ui.access import Actor, Reader, require_change
from nightledger.ui.rendering import address, render
from nightledger.ui.routes.asking import Ledger, Said, need_reason, use_cases_of

router = APIRouter()
DECLARED = "declared"
ACTIONS = ("off", "on", "mode", "prompt")
Word = Annotated[str, Form(max_length=200)]


@router.get("/control")
def control(request: Request, viewer: Reader, ledger: Ledger, said: Said = None) -> HTMLResponse:
    """Every use case with its mode, its switch, its prompt, and what people made of its answers."""
    page = show_control(ledger, use_cases_of(viewer))
    modes = [mode.value for mode in Mode]
    return render(request, "control.html.j2", viewer, page=page, modes=modes, declared=DECLARED, said=said)


@router.post("/control/changes")
def change(
    request: Request,
    user: GetUserDep,
    viewer: Actor,
    ledger: Ledger,
    use_case: Word,
    action: Annotated[str, Form(max_length=20)],
    mode: Word = "",
    prompt: Word = "",
    reason: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Set one thing for a use case, with the reason; it counts for the next group of questions, or the next run."""
    require_change(request, user, viewer, use_case)
    try:
        change_control(ledger, load(use_case), viewer.name, need_reason(reason), _changes(action, mode, prompt))
    except (ConfigurationError, ValueError) as error:
        raise HTTPException(400, str(error)) from error
    return RedirectResponse(address(f"{request.scope.get('root_path', '')}/control", said=action), 303)


def _changes(action: str, mode: str, prompt: str) -> dict[str, Any]:
    if action not in ACTIONS:
        raise HTTPException(400, f"There is no such action; known: {', '.join(ACTIONS)}.")
    if action in ("off", "on"):
        return {"off": action == "off"}
    if action == "mode":
        return {"mode": None if mode == DECLARED else Mode(mode)}
    return {"prompt": None if prompt == DECLARED else prompt}
