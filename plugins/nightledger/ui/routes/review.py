"""Answers that wait for people: a queue, one answer at a time, and what is decided on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Form, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from include.database import Database
from include.ledger import reviews
from include.ledger.review_queue import SIZES, STATUSES, ItemPage, Wanted
from include.ledger.reviews import Action, Choice, Decided
from include.models import Interval, Record, RunOptions
from include.operations.review import MOST_CHOICES, decide, held_now, held_sha256
from include.operations.review_examples import write_examples
from include.pages.review import show_item, show_queue
from include.run import Night
from include.spec.use_case import UseCase, load
from nightledger.hooks.connections import AirflowConnections
from nightledger.ui.access import Actor, Reader, Viewer, require_change
from nightledger.ui.airflow_api import call_airflow
from nightledger.ui.operations import follow, start_operation
from nightledger.ui.rates import LOOKS
from nightledger.ui.rendering import address, render
from nightledger.ui.routes.asking import (
    LARGEST,
    DagRun,
    Ledger,
    Name,
    Number,
    Said,
    choose,
    one_of,
    settings,
    use_cases_of,
)
from nightledger.ui.routes.review_fields import describe, read_fields

router = APIRouter()
GRACE = timedelta(minutes=1)
"""How long a decision can be taken back before it is written."""
_SHA256 = 64
ACTIONS = ("approve", "reject", "edit", "assign", "undo")
Comment = Annotated[str, Form(max_length=1000)]
Place = Annotated[str | None, Query(max_length=60, pattern=r"^[0-9.e-]+:[0-9]+$")]
Short = Annotated[str | None, Query(max_length=200)]
Chosen = Annotated[list[str], Form(max_length=MOST_CHOICES)]


async def _form_of(request: Request) -> dict[str, str]:
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


Fields = Annotated[dict[str, str], Depends(_form_of)]


@router.get("/review")
def queue(
    request: Request,
    viewer: Reader,
    ledger: Ledger,
    use_case: Name = None,
    status: Name = "waiting",
    reason: Short = None,
    field: Short = None,
    value: Short = None,
    below: Annotated[float | None, Query(ge=0, le=1)] = None,
    night: date | None = None,
    mine: bool = False,
    key: Short = None,
    sink: Short = None,
    size: Annotated[int, Query()] = SIZES[0],
    after: Place = None,
    said: Said = None,
    count: Annotated[int, Query(ge=0, le=LARGEST)] = 0,
    run: DagRun = None,
) -> HTMLResponse:
    """Items of a use case that wait, riskiest first, with filters."""
    chosen = choose(viewer, use_case, ledger)
    one_of(status, STATUSES, "status")
    one_of(str(size), [str(known) for known in SIZES], "size")
    wanted = Wanted(
        chosen,
        status or "waiting",
        reason=reason or None,
        field=field or None,
        value=value if field else None,
        below=below,
        night=night,
        assigned_to=viewer.name if mine else None,
        key=key or None,
        sink=sink or None,
    )
    found = show_queue(ledger, wanted, after, size)
    filters: Record = {
        "use_case": chosen,
        "status": status,
        "reason": reason,
        "field": field,
        "value": value,
        "below": below,
    }
    filters |= {"sink": sink, "night": night, "mine": mine or None, "key": key}
    filters |= {"size": None if size == SIZES[0] else size}
    return render(
        request,
        "review.html.j2",
        viewer,
        queue=found,
        wanted=wanted,
        known=use_cases_of(viewer),
        chosen=chosen,
        statuses=STATUSES,
        sizes=SIZES,
        size=size,
        fields=_fields_of(chosen),
        sinks=[sink.place for sink in load(chosen).sinks],
        mine=mine,
        here_again=address("review", **filters),
        older=address("review", **filters, after=found.after) if found.after else None,
        may_change=chosen in viewer.editable,
        said=said,
        count=count,
        grace=int(GRACE.total_seconds()),
        **follow(request, viewer, "review", run),
    )


@router.get("/review/examples/{use_case}")
def examples(viewer: Reader, ledger: Ledger, use_case: Annotated[str, Path(max_length=200)]) -> Response:
    """Rejections and edits as candidate examples, one JSON object a line."""
    viewer.require_read(use_case)
    text = StringIO()
    write_examples(ledger, use_case, text)
    headers = {"Content-Disposition": f'attachment; filename="{use_case}.candidates.jsonl"'}
    return PlainTextResponse(text.getvalue(), media_type="application/x-ndjson", headers=headers)


@router.get("/review/{number}")
def item(
    request: Request,
    viewer: Reader,
    ledger: Ledger,
    number: Number,
    now: Annotated[bool, Query()] = False,
    said: Said = None,
) -> HTMLResponse:
    """One answer with all that helps to decide; `now` also reads what the record holds at this moment."""
    page = require_item(viewer, ledger, number)
    if now:
        LOOKS.take(viewer.user_id)
    held = held_now(_night_of(ledger, page), _row_of(page)) if now else None
    return _show(request, viewer, page, held=held, said=said)


@router.post("/review/changes")
def change(
    request: Request,
    user: GetUserDep,
    viewer: Actor,
    ledger: Ledger,
    use_case: Annotated[str, Form(max_length=200)],
    action: Annotated[str, Form(max_length=20)],
    item: Chosen,
    comment: Comment = "",
    to: Annotated[str, Form(max_length=200)] = "",
    back: Annotated[str, Form(max_length=2000)] = "",
) -> Response:
    """Decide on items, all in one action; what cannot be decided is said item by item."""
    require_change(request, user, viewer, use_case)
    one_of(action, [name for name in ACTIONS if name != "edit"], "action")
    decided = settle(ledger, viewer, load(use_case), action, [_shown(one) for one in item], comment, to)
    return _answer(request, viewer, use_case, action, decided, back)


@router.post("/review/{number}/edit")
def edit(request: Request, user: GetUserDep, viewer: Actor, ledger: Ledger, number: Number, form: Fields) -> Response:
    """Approve an answer as a person wants it: the form's fields are the answer's."""
    page = require_item(viewer, ledger, number)
    require_change(request, user, viewer, page.use_case)
    case = load(page.use_case)
    output = read_fields(case.module("output").Output, page.item.output or page.item.proposed, form)
    comment = form.get("comment", "")[:1000]
    held = form.get("held", "")
    choice = Choice(number, form.get("shown", ""), "edit", output, held if len(held) == _SHA256 else None)
    decided = decide(ledger, case, viewer.name, [choice], comment, settings().token_secret)
    if why := decided.refused.get(number):
        return _show(request, viewer, page, problem=why, wanted=output, http=409)
    return _answer(request, viewer, page.use_case, "edit", decided, "")


def settle(
    ledger: Database,
    viewer: Viewer,
    case: UseCase,
    action: str,
    items: Sequence[tuple[int, str]],
    comment: str = "",
    to: str = "",
) -> Decided:
    """Do one thing with items, named by number and the hash of what was shown; refusals are said by number."""
    numbers = [number for number, _ in items]
    if action == "undo":
        return reviews.take_back(ledger, case.name, viewer.name, numbers)
    if action == "assign":
        return Decided({"assigned": reviews.assign(ledger, case.name, viewer.name, numbers, to.strip() or None)})
    if action == "reject" and not comment.strip():
        raise HTTPException(400, "Say why in the comment: it is kept with the rows, and teaches the next version.")
    said: Action = "approve" if action == "approve" else "reject"
    choices = [Choice(number, shown, said) for number, shown in items]
    return decide(ledger, case, viewer.name, choices, comment.strip(), settings().token_secret)


def require_item(viewer: Viewer, ledger: Database, number: int) -> ItemPage:
    """The item, if the viewer may see its use case; else 404."""
    page = show_item(ledger, number)
    if page is None or page.use_case not in viewer.readable:
        raise HTTPException(404, "There is no such item, or it is not yours to see.")
    return page


def _shown(value: str) -> tuple[int, str]:
    number, _, shown = value.partition(":")
    if not number.isdigit() or int(number) > LARGEST or len(shown) != 64:
        raise HTTPException(400, "An item is named by its number and the hash of what was shown.")
    return int(number), shown


def _answer(request: Request, viewer: Viewer, use_case: str, action: str, decided: Decided, back: str) -> Response:
    """Back to the queue; or, where something was refused, a page that says what and why."""
    run = start_applying(request, viewer) if action in ("approve", "reject", "edit") and decided.done else ""
    done = sum(decided.done.values())
    base = request.scope.get("root_path", "")
    place = back if back.startswith("review?") else address("review", use_case=use_case)
    if decided.refused:
        return render(request, "review_refused.html.j2", viewer, decided=decided, done=done, back=place, http=409)
    only = next(iter(decided.done)) if len(decided.done) == 1 else ""
    said = {"agreed": "agreed", "approved": "approve", "edited": "edit"}.get(only, action)
    joint = "&" if "?" in place else "?"
    return RedirectResponse(f"{base}/{place}{joint}{address('', said=said, count=done, run=run)[1:]}", 303)


def start_applying(request: Request, viewer: Viewer) -> str:
    """Have DAG `review` write what was decided, a minute from now; the DAG run's id, or nothing where it cannot.

    One that is to start anyway takes what is decided before it does. The decision stands in any case: whoever may not
    start the DAG waits for its hourly run.
    """
    now = datetime.now(UTC)
    soon = address("/dags/review/dagRuns", state="queued", run_after_gte=now.isoformat(), limit=1)
    try:
        waiting = call_airflow(request, viewer, "GET", soon)["dag_runs"]
        return str(waiting[0]["dag_run_id"]) if waiting else start_operation(request, viewer, "review", {}, now + GRACE)
    except HTTPException:
        return ""


def _show(
    request: Request,
    viewer: Viewer,
    page: ItemPage,
    *,
    held: Any = None,
    said: str | None = None,
    problem: str = "",
    wanted: Record | None = None,
    http: int = 200,
) -> HTMLResponse:
    case = load(page.use_case)
    fields = describe(case.module("output").Output, wanted or page.item.output or page.item.proposed)
    return render(
        request,
        "review_item.html.j2",
        viewer,
        page=page,
        item=page.item,
        fields=fields,
        held=held,
        held_sha256=held_sha256(held) if held else None,
        said=said,
        problem=problem,
        may_change=page.use_case in viewer.editable,
        four_eyes=bool(case.review.four_eyes and case.review.four_eyes(page.item.output or page.item.proposed)),
        at_expiry=case.review.at_expiry,
        http=http,
    )


def _fields_of(use_case: str) -> list[str]:
    return list(load(use_case).module("output").Output.model_fields)


def _row_of(page: ItemPage) -> Record:
    item = page.item
    output = json.dumps(item.output or item.proposed)
    return {"row_id": item.row_id, "row_key": item.row_key, "origin": item.shown.get("origin"), "output": output}


def _night_of(ledger: Database, page: ItemPage) -> Night:
    start = page.item.interval_start
    interval = Interval(start, start + timedelta(days=1))
    case = load(page.use_case)
    options, ways = RunOptions(mode=case.mode), AirflowConnections()
    return Night(case, interval, page.item.run_id, options, ledger, ways, settings(), patient=False)
