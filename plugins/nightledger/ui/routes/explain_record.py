"""Why a record has its values, whichever use cases write to it."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse

from include.ledger.explain_record import Target
from include.pages.explain_record import RecordPage, look_at_write, places, show_record, whose_write
from nightledger.hooks.connections import AirflowConnections
from nightledger.ui.access import Actor, Reader, Viewer, require_change
from nightledger.ui.rates import LOOKS
from nightledger.ui.rendering import render
from nightledger.ui.routes.asking import LARGEST, Ledger, settings

router = APIRouter()
Word = Annotated[str, Query(max_length=200)]
Object = Annotated[str, Query(max_length=200, alias="object")]
Id = Annotated[str, Query(min_length=1, max_length=200, alias="id", description="The record's id at the destination.")]
ReadNow = Annotated[bool, Query(description="Also read what the record holds at this moment.")]
OneWrite = Annotated[int | None, Query(ge=1, le=LARGEST, description="A write to be told in full, not the last.")]


@router.get("/explain/record")
def record(
    request: Request,
    viewer: Reader,
    ledger: Ledger,
    record_id: Id,
    place: Word = "",
    system: Word = "",
    obj: Object = "",
    field: Word = "",
    write: OneWrite = None,
    now: ReadNow = False,
) -> HTMLResponse:
    """Who set a record's fields and why; `place` is system and object in one word; `now` also reads the record."""
    target = target_of(viewer, place, system, obj, record_id)
    return _show(request, viewer, ask(viewer, ledger, target, field, write, now=now))


@router.post("/explain/record/values")
def values(
    request: Request,
    user: GetUserDep,
    viewer: Actor,
    ledger: Ledger,
    system: Annotated[str, Form(max_length=200)],
    obj: Annotated[str, Form(max_length=200, alias="object")],
    record_id: Annotated[str, Form(min_length=1, max_length=200, alias="id")],
    write: Annotated[int, Form(ge=1, le=LARGEST)],
    field: Annotated[str, Form(max_length=200)] = "",
) -> HTMLResponse:
    """The same page with what the model was shown for one write; who looks is on record before anything is read."""
    target = target_of(viewer, "", system, obj, record_id)
    use_case, _ = whose_write(ledger, target, write, viewer.readable)
    require_change(request, user, viewer, use_case)
    LOOKS.take(viewer.user_id)
    page = look_at_write(ledger, target, field.strip(), viewer.readable, settings(), write, viewer.name)
    return _show(request, viewer, page)


def target_of(viewer: Viewer, place: str, system: str, obj: str, record_id: str) -> Target:
    """The record that is asked for; 404 where no use case that the viewer may see writes to such records."""
    known = places(viewer.readable)
    named = {f"{one} {other}": (one, other) for one, other in known}
    found = named.get(place or f"{system} {obj}")
    if found is None:
        raise HTTPException(404, "No use case that you may see writes there. Choose a destination from the list.")
    return Target(*found, record_id.strip())


def ask(viewer: Viewer, ledger: Ledger, target: Target, field: str, write: int | None, *, now: bool) -> RecordPage:
    """What may be told of a record; `now` reads it, which takes a look of the viewer's."""
    if now:
        LOOKS.take(viewer.user_id)
    ways = AirflowConnections() if now else None
    return show_record(ledger, target, field.strip(), viewer.readable, settings(), number=write, connections=ways)


def _show(request: Request, viewer: Viewer, page: RecordPage) -> HTMLResponse:
    return render(
        request,
        "explain_record.html.j2",
        viewer,
        page=page,
        places=places(viewer.readable),
        may_change=page.write is not None and page.write.use_case in viewer.editable,
    )
