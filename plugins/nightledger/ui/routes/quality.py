"""Data quality of a use case over its nights."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from include.pages.column import show_column
from include.pages.quality import narrow, show_quality
from nightledger.ui.access import Reader
from nightledger.ui.rendering import render
from nightledger.ui.routes.asking import Day, Ledger, Name, choose, one_of, use_cases_of

router = APIRouter()
SEVERITIES = ("critical", "warning", "info")
FAILING = {"rows": "with failing rows", "unmet": "not met"}
Word = Annotated[str, Query(max_length=20)]


@router.get("/quality")
def quality(
    request: Request,
    viewer: Reader,
    ledger: Ledger,
    use_case: Name = None,
    before: Day = None,
    severity: Word = "",
    failing: Word = "",
    owner: Annotated[str, Query(max_length=200)] = "",
    words: Annotated[str, Query(max_length=200)] = "",
) -> HTMLResponse:
    """A trend per expectation, narrowed as asked, the worst columns, and who has rows to mend."""
    one_of(severity, SEVERITIES, "severity")
    one_of(failing, FAILING, "filter")
    chosen = choose(viewer, use_case, ledger)
    page = show_quality(ledger, chosen, before)
    return render(
        request,
        "quality.html.j2",
        viewer,
        page=page,
        trends=narrow(page.trends, severity, failing, owner, words),
        asked={"severity": severity, "failing": failing, "owner": owner, "words": words, "before": before},
        severities=SEVERITIES,
        choices=FAILING,
        known=use_cases_of(viewer),
        chosen=chosen,
    )


@router.get("/quality/column")
def column(
    request: Request,
    viewer: Reader,
    ledger: Ledger,
    name: Annotated[str, Query(min_length=1, max_length=200)],
    use_case: Name = None,
    before: Day = None,
) -> HTMLResponse:
    """One column over the nights: what it held, the expectations on it, the rows that fail most."""
    page = show_column(ledger, choose(viewer, use_case, ledger), name, before)
    return render(request, "column.html.j2", viewer, page=page)
