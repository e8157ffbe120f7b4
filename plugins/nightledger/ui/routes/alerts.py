"""What calls for somebody, who was told, and windows in which nobody is called."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from include.errors import ConfigurationError
from include.ledger.alerts import CAUSES, Silence, end_silence, silence
from include.pages.alerts import show_alerts, whose_silence
from nightledger.ui.access import Actor, Reader, require_change
from nightledger.ui.rendering import address, render
from nightledger.ui.routes.asking import Ledger, Number, Said, need_reason, one_of, settings, use_cases_of

router = APIRouter()
WATCH = "watch"
"""The DAG of the watch: who may change it may silence what is of every use case."""
Moment = Annotated[str, Form(max_length=40)]


@router.get("/alerts")
def alerts(request: Request, viewer: Reader, ledger: Ledger, said: Said = None) -> HTMLResponse:
    """What stands of the use cases that the viewer may see, severe ones first."""
    known = use_cases_of(viewer)
    return render(
        request,
        "alerts.html.j2",
        viewer,
        page=show_alerts(ledger, settings().systems_file, known),
        causes=CAUSES,
        editable=[name for name in known if name in viewer.editable],
        may_all=WATCH in viewer.editable,
        watch=WATCH,
        said=said,
    )


@router.post("/alerts/silences")
def add_silence(
    request: Request,
    user: GetUserDep,
    viewer: Actor,
    ledger: Ledger,
    ends: Moment,
    use_case: Annotated[str, Form(max_length=200)] = "",
    cause: Annotated[str, Form(max_length=50)] = "",
    starts: Moment = "",
    tz: Annotated[str, Form(max_length=60)] = "UTC",
    reason: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Call nobody about a use case, and a cause, from `starts` (empty: now) to `ends` on the clocks of `tz`."""
    require_change(request, user, viewer, use_case or WATCH)
    one_of(cause, CAUSES, "cause")
    first = _read(starts, tz) if starts.strip() else datetime.now(UTC)
    wanted = Silence(0, use_case, cause, first, _read(ends, tz), tz, need_reason(reason), viewer.name)
    try:
        silence(ledger, wanted)
    except ConfigurationError as error:
        raise HTTPException(400, f"The silence {error.problem}.") from error
    return _back(request, "silenced")


@router.post("/alerts/silences/{number}/end")
def end(request: Request, user: GetUserDep, viewer: Actor, ledger: Ledger, number: Number) -> Response:
    """End a silence before its time; 404 where there is none that the viewer may see."""
    use_case = whose_silence(ledger, number)
    if use_case is None:
        raise HTTPException(404, "There is no such silence, or it is not yours to see.")
    require_change(request, user, viewer, use_case or WATCH)
    return _back(request, "ended" if end_silence(ledger, number, viewer.name) else "over")


def _read(text: str, tz: str) -> datetime:
    """A time as a form has it, on the clocks of a zone; 400 for what is none."""
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(tz))).astimezone(UTC)
    except (ValueError, OSError, OverflowError, ZoneInfoNotFoundError) as error:
        raise HTTPException(
            400, "Give a time such as 2026-11-20T22:00, and a time zone such as Europe/Berlin."
        ) from error


def _back(request: Request, said: str) -> Response:
    return RedirectResponse(address(f"{request.scope.get('root_path', '')}/alerts", said=said), 303)
