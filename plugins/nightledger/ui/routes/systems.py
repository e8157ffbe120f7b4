"""The systems of the registry."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from include.pages.systems import show_systems
from nightledger.ui.access import Reader
from nightledger.ui.rendering import render
from nightledger.ui.routes.asking import Ledger, settings, use_cases_of

router = APIRouter()


@router.get("/systems")
def systems(request: Request, viewer: Reader, ledger: Ledger) -> HTMLResponse:
    """Limits used now, budgets spent, and what last happened with each system."""
    page = show_systems(ledger, settings().systems_file, use_cases_of(viewer))
    return render(request, "systems.html.j2", viewer, page=page)
