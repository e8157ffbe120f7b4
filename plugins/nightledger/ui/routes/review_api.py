"""The queue of answers that wait for people as JSON, for machines."""

from __future__ import annotations

from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from include.ledger.review_queue import SIZES, STATUSES, ItemPage, Queue, Wanted
from include.ledger.reviews import Choice, Decided
from include.operations.review import MOST_CHOICES, decide
from include.pages.review import show_queue
from include.spec.use_case import load
from nightledger.ui.access import Actor, Reader, require_change
from nightledger.ui.routes.api import REFUSALS
from nightledger.ui.routes.asking import LARGEST, Ledger, Name, Number, choose, one_of, settings
from nightledger.ui.routes.review import ACTIONS, Place, Short, require_item, settle, start_applying

router = APIRouter(prefix="/api", responses=REFUSALS)


class ItemChosen(BaseModel):
    """An item, the hash of what was shown of it, and for an edit the whole answer as it shall be."""

    model_config = ConfigDict(extra="forbid")

    number: int = Field(ge=1, le=LARGEST)
    shown_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    output: dict[str, Any] | None = None


class ReviewChange(BaseModel):
    """What to do with items of one use case: `approve`, `reject` (with a comment), `edit`, `assign` or `undo`."""

    model_config = ConfigDict(extra="forbid")

    use_case: str = Field(max_length=200)
    action: str = Field(max_length=20)
    items: list[ItemChosen] = Field(min_length=1, max_length=MOST_CHOICES)
    comment: str = Field("", max_length=1000)
    to: str = Field("", max_length=200)


@router.get("/review")
def api_review(
    viewer: Reader,
    ledger: Ledger,
    use_case: Name = None,
    status: Name = "waiting",
    reason: Short = None,
    field: Short = None,
    value: Short = None,
    below: Annotated[float | None, Query(ge=0, le=1)] = None,
    key: Short = None,
    sink: Short = None,
    after: Place = None,
) -> Queue:
    """Items of a use case, riskiest first; `after` of the answer is that of the next page."""
    one_of(status, STATUSES, "status")
    chosen = choose(viewer, use_case, ledger)
    wanted = Wanted(chosen, status or "waiting", reason, field, value if field else None, below, key=key, sink=sink)
    return show_queue(ledger, wanted, after, SIZES[-1])


@router.get("/review/{number}")
def api_review_item(viewer: Reader, ledger: Ledger, number: Number) -> ItemPage:
    """One answer with all that helps to decide."""
    return require_item(viewer, ledger, number)


@router.post("/review/changes")
def api_change_review(
    request: Request, user: GetUserDep, viewer: Actor, ledger: Ledger, wanted: ReviewChange
) -> Decided:
    """Decide on items; what cannot be decided is said by number, and the others are done."""
    require_change(request, user, viewer, wanted.use_case)
    one_of(wanted.action, ACTIONS, "action")
    case = load(wanted.use_case)
    if wanted.action == "edit":
        choices = [Choice(one.number, one.shown_sha256, "edit", one.output or {}) for one in wanted.items]
        done = decide(ledger, case, viewer.name, choices, wanted.comment, settings().token_secret)
    else:
        items = [(one.number, one.shown_sha256) for one in wanted.items]
        done = settle(ledger, viewer, case, wanted.action, items, wanted.comment, wanted.to)
    if done.done and wanted.action in ("approve", "reject", "edit"):
        start_applying(request, viewer)
    return done
