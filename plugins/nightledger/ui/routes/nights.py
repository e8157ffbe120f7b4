"""The calendar of nights."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from include.pages.nights import DAYS, MOST_DAYS, find_nights, latest_use_case
from include.pages.verify import find_verdict
from nightledger.ui.access import Reader
from nightledger.ui.rendering import render
from nightledger.ui.routes.asking import Day, Ledger, Name, use_cases_of

router = APIRouter()
Days = Annotated[int, Query(ge=1, le=MOST_DAYS, description="Days on one page.")]


@router.get("/nights")
def nights(
    request: Request, viewer: Reader, ledger: Ledger, use_case: Name = None, before: Day = None, days: Days = DAYS
) -> HTMLResponse:
    """Use cases by date; of one use case alone, or the only one that ran, with more about each night."""
    known = use_cases_of(viewer)
    chosen = [viewer.require_read(use_case)] if use_case else known
    calendar = find_nights(ledger, chosen, before, days)
    ran = sorted({night.use_case for night in calendar.nights})
    single = chosen[0] if len(chosen) == 1 else ran[0] if len(ran) == 1 else None
    newest = {night.use_case: night for night in reversed(calendar.nights)} if calendar.newest else {}
    return render(
        request,
        "nights.html.j2",
        viewer,
        calendar=calendar,
        known=known,
        chosen=use_case,
        single=single,
        idle=[name for name in chosen if name not in ran] if single and not use_case else [],
        latest=use_case or latest_use_case(ledger, known),
        days=days,
        verdict=find_verdict(ledger),
        troubled=[night for night in newest.values() if night.cause],
        again=any(night.progress for night in calendar.nights),
    )
