"""Rows set aside: filter them, look at one, and settle them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Annotated, Any
from urllib.parse import urlencode

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from include.database import Database
from include.ledger.quarantine import (
    MOST_LISTED,
    STATUSES,
    WAITING,
    Filter,
    count_by,
    dismiss,
    list_rows,
    mark_fixed,
    show,
)
from include.pages.personal import view_values
from include.pages.quarantined import explain_reasons
from include.pages.reading import PAGE_ROWS
from include.personal import hidden_columns
from include.spec.use_case import load
from nightledger.ui.access import Actor, Reader, Viewer, require_change
from nightledger.ui.operations import follow, start_operation
from nightledger.ui.rates import LOOKS
from nightledger.ui.rendering import address, render
from nightledger.ui.routes.asking import (
    LARGEST,
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
SHOWN = ("waiting", "all", *STATUSES)
_STATUS = f"One of {', '.join(SHOWN)}; by default those that wait, and all of a run."
ACTIONS = ("fixed", "dismiss", "replay")


def read_filter(
    viewer: Reader,
    ledger: Ledger,
    use_case: Name = None,
    status: Annotated[str | None, Query(max_length=20, description=_STATUS)] = None,
    expectation: Name = None,
    owner: Name = None,
    row_key: Name = None,
    run_id: Annotated[str | None, Query(max_length=300)] = None,
    start: Annotated[date | None, Query(description="Nights from this day on (UTC).")] = None,
    end: Annotated[date | None, Query(description="Nights before this day (UTC).")] = None,
) -> Filter:
    """What is asked for, always within one use case that the viewer may see."""
    status = status or ("all" if run_id else "waiting")
    one_of(status, SHOWN, "status")
    return Filter(
        use_case=choose(viewer, use_case, ledger),
        status=None if status == "all" else status,
        expectation=expectation or None,
        owner=owner or None,
        row_key=row_key or None,
        run_id=run_id or None,
        start=_midnight(start),
        end=_midnight(end),
    )


Chosen = Annotated[Filter, Depends(read_filter)]


@router.get("/quarantine")
def quarantine(
    request: Request,
    viewer: Reader,
    ledger: Ledger,
    chosen: Chosen,
    after: After = None,
    said: Said = None,
    run: DagRun = None,
) -> HTMLResponse:
    """Rows that match, newest first, with how many there are by expectation and owner."""
    rows = list_rows(ledger, chosen, after, PAGE_ROWS)
    filters = as_query(chosen)
    older = address("quarantine", **filters, after=rows[-1].number) if len(rows) == PAGE_ROWS else None
    return render(
        request,
        "quarantine.html.j2",
        viewer,
        rows=rows,
        counts=count_by(ledger, chosen),
        filters=filters,
        query=urlencode({name: value for name, value in filters.items() if value}),
        statuses=SHOWN,
        known=use_cases_of(viewer),
        older=older,
        first=after is None,
        may_change=chosen.use_case in viewer.editable,
        said=said,
        **follow(request, viewer, "quarantine", run),
    )


@router.get("/quarantine/{number}")
def entry(
    request: Request, viewer: Reader, ledger: Ledger, number: Number, said: Said = None, run: DagRun = None
) -> HTMLResponse:
    """One row with every reason, what was found where, its masked record and its history."""
    return _entry(request, viewer, ledger, show(ledger, number), said=said, run=run)


@router.post("/quarantine/{number}/values")
def values(request: Request, user: GetUserDep, viewer: Actor, ledger: Ledger, number: Number) -> HTMLResponse:
    """The same page with the row's personal values; who looks is on record before anything is read."""
    found = show(ledger, number)
    use_case = require_change(request, user, viewer, viewer.require_edit(found["use_case"]))
    LOOKS.take(viewer.user_id)
    clear = view_values(
        ledger, use_case, found["run_id"], found["row_id"], viewer.name, hidden_columns(found["record"])
    )
    return _entry(request, viewer, ledger, found, values=clear)


def _entry(
    request: Request,
    viewer: Viewer,
    ledger: Database,
    found: dict[str, Any],
    said: str | None = None,
    values: Any = None,
    run: str | None = None,
) -> HTMLResponse:
    use_case = viewer.require_read(found["use_case"])
    reasons = explain_reasons(ledger, found)
    failing = list(dict.fromkeys(column for one in reasons for column in one.columns if column in found["record"]))
    return render(
        request,
        "quarantined.html.j2",
        viewer,
        row=found,
        reasons=reasons,
        failing=failing,
        columns=[*failing, *(name for name in found["record"] if name not in failing)],
        personal=dict.fromkeys([*load(use_case).personal, *hidden_columns(found["record"])]),
        values=values,
        may_change=use_case in viewer.editable,
        said=said,
        **follow(request, viewer, "quarantine", run),
    )


@router.post("/quarantine/changes")
def change(
    request: Request,
    user: GetUserDep,
    viewer: Actor,
    ledger: Ledger,
    use_case: Annotated[str, Form(max_length=200)],
    action: Annotated[str, Form(max_length=20)],
    matching: Chosen,
    number: Annotated[list[Annotated[int, Query(ge=1, le=LARGEST)]] | None, Form(max_length=1000)] = None,
    everything: Annotated[bool, Form()] = False,
    reason: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Mark rows as fixed at the source, let them go, or replay them by their DAG; chosen ones, or all that match."""
    require_change(request, user, viewer, use_case)
    one_of(action, ACTIONS, "action")
    numbers = _all_matching(ledger, replace(matching, use_case=use_case)) if everything else tuple(number or ())
    if not numbers:
        raise HTTPException(400, "Choose at least one row that is open or fixed.")
    said, run = settle(request, viewer, ledger, Filter(use_case=use_case, numbers=numbers), action, reason)
    base = request.scope.get("root_path", "")
    if len(numbers) == 1 and not everything:
        return RedirectResponse(address(f"{base}/quarantine/{numbers[0]}", said=said, run=run), 303)
    return RedirectResponse(address(f"{base}/quarantine", use_case=use_case, said=said, run=run), 303)


def _all_matching(ledger: Database, matching: Filter) -> tuple[int, ...]:
    """The numbers of all rows that match and wait; 400 if they are more than can be settled at once."""
    status = matching.status if matching.status in WAITING else "waiting"
    found = list_rows(ledger, replace(matching, status=status), None, MOST_LISTED)
    if len(found) == MOST_LISTED:
        words = f"{MOST_LISTED:,} rows or more match. Narrow the filter, or trigger DAG quarantine with its form."
        raise HTTPException(400, words)
    return tuple(row.number for row in found)


def settle(
    request: Request, viewer: Viewer, ledger: Ledger, chosen: Filter, action: str, reason: str
) -> tuple[str, str]:
    """Do what is asked with chosen rows of one use case; returns what was done, in one word, and by which DAG run."""
    if action == "replay":
        conf = {"use_case": chosen.use_case, "numbers": list(chosen.numbers)}
        return "replay", start_operation(request, viewer, "quarantine", conf)
    act = mark_fixed if action == "fixed" else dismiss
    act(ledger, chosen, viewer.name, need_reason(reason))
    return ("fixed" if action == "fixed" else "dismissed"), ""


def as_query(chosen: Filter) -> dict[str, Any]:
    """A filter as values of an address."""
    days = {name: moment.date() if moment else None for name, moment in (("start", chosen.start), ("end", chosen.end))}
    names = ("use_case", "expectation", "owner", "row_key", "run_id")
    return {**{name: getattr(chosen, name) for name in names}, "status": chosen.status or "all", **days}


def _midnight(day: date | None) -> datetime | None:
    return datetime.combine(day, time(), UTC) if day else None
