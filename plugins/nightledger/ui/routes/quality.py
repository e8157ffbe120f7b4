"""Data quality of a use case over its nights."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from include.pages.quality import show_quality
from nightledger.ui.access import Reader
from nightledger.ui.rendering import render
from nightledger.ui.routes.asking import Day, Ledger, Name, choose, use_cases_of

router = APIRouter()


@router.get("/quality")
def quality(
    request: Request, viewer: Reader, ledger: Ledger, use_case: Name = None, before: Day = None
) -> HTMLResponse:
    """A trend per expectation, the worst columns, and who has rows to mend."""
    chosen = choose(viewer, use_case)
    page = show_quality(ledger, chosen, before)
    return render(request, "quality.html.j2", viewer, page=page, known=use_cases_of(viewer), chosen=chosen)
