"""The same pages as JSON, for machines; a call carries a bearer token of Airflow's."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from include.intervals import read_span
from include.ledger.backfill_plans import Plan, find_plan
from include.ledger.causes import CAUSES
from include.ledger.dead_letters import Selection
from include.ledger.dead_letters import dismiss as dismiss_letters
from include.ledger.quarantine import Counts, Filter, QuarantinedRow, count_by, list_rows, show
from include.models import Record, RunOptions
from include.pages.backfill import MOST_NIGHTS
from include.pages.dead_letters import STATUSES, Letter, list_letters
from include.pages.explain import RowPage, explain_row
from include.pages.explain_record import RecordPage
from include.pages.nights import DAYS, Calendar, find_nights
from include.pages.quality import QualityPage, show_quality
from include.pages.reading import PAGE_ROWS
from include.pages.run import RunPage, show_run
from include.pages.systems import SystemsPage, show_systems
from include.pages.verify import Verdict, list_verdicts
from include.spec.use_case import load
from nightledger.ui.access import Actor, Reader, require_change
from nightledger.ui.backfills import check_start, start_backfill
from nightledger.ui.operations import start_operation
from nightledger.ui.routes.asking import (
    LARGEST,
    After,
    Day,
    Ledger,
    Name,
    Number,
    RunId,
    choose,
    need_reason,
    one_of,
    settings,
    use_cases_of,
)
from nightledger.ui.routes.backfill import request_plan
from nightledger.ui.routes.explain import WantedKey
from nightledger.ui.routes.explain_record import Id, Object, OneWrite, ReadNow, Word, ask, target_of
from nightledger.ui.routes.nights import Days
from nightledger.ui.routes.quarantine import ACTIONS, Chosen, settle
from nightledger.ui.routes.runs import require_run
from nightledger.ui.routes.verify import verdicts_for


class Failure(BaseModel):
    """Why a call was refused."""

    title: str
    detail: str


class Done(BaseModel):
    """What a change did."""

    done: str


class PlanAsked(BaseModel):
    """The number of a plan, by which it is read."""

    plan_id: UUID


class BackfillMade(BaseModel):
    """The number of Airflow's backfill."""

    backfill_id: int


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class QuarantineChange(_Body):
    """What to do with chosen rows of one use case: `fixed`, `dismiss` (both with a reason) or `replay`."""

    use_case: str = Field(max_length=200)
    numbers: list[Annotated[int, Field(ge=1, le=LARGEST)]] = Field(min_length=1, max_length=1000)
    action: str = Field(max_length=20)
    reason: str = Field("", max_length=1000)


class LetterChange(_Body):
    """What to do with the open dead letters of a use case and cause: `replay`, or `dismiss` with a reason."""

    use_case: str = Field(max_length=200)
    cause: str | None = Field(None, max_length=50)
    action: str = Field(max_length=20)
    reason: str = Field("", max_length=1000)


class PlanWish(_Body):
    """A range of nights, both days included (UTC), and the options that every night of it will run with."""

    use_case: str = Field(max_length=200)
    first: date
    last: date
    mode: Literal["shadow", "gated", "auto"] | None = None
    asking: Literal["live", "batch"] | None = None
    re_infer: Literal["none", "failed", "all"] = "none"
    re_extract: bool = False


class BackfillStart(_Body):
    """Start the backfill of a plan that is worked out, with one budget for all of its nights."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9._-]+$")
    budget_usd: Decimal = Field(gt=0, le=1_000_000, decimal_places=6)
    behaviour: Literal["none", "failed", "completed"] = "none"
    max_active_runs: int = Field(1, ge=1, le=16)
    anyway: bool = Field(False, description="Start although the budget is below what the plan expects.")


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Failure, "description": "A value that cannot be"},
    401: {"model": Failure, "description": "Not logged in"},
    403: {"model": Failure, "description": "Not permitted, or not from a form of ours"},
    404: {"model": Failure, "description": "No such thing, or not yours to see"},
    409: {"model": Failure, "description": "Not now"},
    422: {"model": Failure, "description": "A value of the wrong form"},
    429: {"model": Failure, "description": "Too many at once"},
    502: {"model": Failure, "description": "Airflow did not answer"},
    503: {"model": Failure, "description": "The ledger or Airflow's API cannot be reached"},
}
router = APIRouter(prefix="/api", responses=REFUSALS)


@router.get("/nights")
def api_nights(
    viewer: Reader, ledger: Ledger, use_case: Name = None, before: Day = None, days: Days = DAYS
) -> Calendar:
    """The nights by date and use case; `older` is the `before` of the next page."""
    chosen = [viewer.require_read(use_case)] if use_case else use_cases_of(viewer)
    return find_nights(ledger, chosen, before, days)


@router.get("/runs/{run_id}")
def api_run(viewer: Reader, ledger: Ledger, run_id: RunId) -> RunPage:
    """A run with its steps, outcomes and sums."""
    require_run(viewer, ledger, run_id)
    return show_run(ledger, run_id)


@router.get("/quality")
def api_quality(viewer: Reader, ledger: Ledger, use_case: Name = None, before: Day = None) -> QualityPage:
    """Trends per expectation, worst columns, owners and drift of a use case."""
    return show_quality(ledger, choose(viewer, use_case, ledger), before)


@router.get("/quarantine")
def api_quarantine(ledger: Ledger, chosen: Chosen, after: After = None) -> list[QuarantinedRow]:
    """Rows that match, newest first; the last one's `number` is the `after` of the next page."""
    return list_rows(ledger, chosen, after, PAGE_ROWS)


@router.get("/quarantine/counts")
def api_quarantine_counts(ledger: Ledger, chosen: Chosen) -> Counts:
    """How many rows match, by expectation, owner and status."""
    return count_by(ledger, chosen)


@router.get("/quarantine/{number}")
def api_quarantined(viewer: Reader, ledger: Ledger, number: Number) -> Record:
    """One row with every reason, its masked record and its history."""
    found = show(ledger, number)
    viewer.require_read(found["use_case"])
    return found


@router.post("/quarantine/changes")
def api_change_quarantine(
    request: Request, user: GetUserDep, viewer: Actor, ledger: Ledger, wanted: QuarantineChange
) -> Done:
    """Mark rows as fixed at the source, let them go, or replay them."""
    require_change(request, user, viewer, wanted.use_case)
    if wanted.action not in ACTIONS:
        raise HTTPException(400, f"There is no such action; known: {', '.join(ACTIONS)}.")
    chosen = Filter(use_case=wanted.use_case, numbers=tuple(wanted.numbers))
    return Done(done=settle(request, viewer, ledger, chosen, wanted.action, wanted.reason)[0])


@router.get("/dead-letters")
def api_dead_letters(
    viewer: Reader,
    ledger: Ledger,
    use_case: Name = None,
    status: Name = "open",
    cause: Name = None,
    after: After = None,
) -> list[Letter]:
    """Dead letters of a use case, newest first; the last one's number is the `after` of the next page."""
    one_of(status, STATUSES, "status")
    one_of(cause, CAUSES, "cause")
    chosen = choose(viewer, use_case, ledger)
    return list_letters(ledger, chosen, status=status or None, cause=cause or None, after=after)


@router.post("/dead-letters/changes")
def api_change_letters(request: Request, user: GetUserDep, viewer: Actor, ledger: Ledger, wanted: LetterChange) -> Done:
    """Replay the open letters of a use case and cause, or dismiss them with a reason."""
    require_change(request, user, viewer, wanted.use_case)
    selection = Selection(use_case=wanted.use_case, cause=wanted.cause or None)
    if wanted.action == "replay":
        start_operation(request, viewer, "dead_letters", selection.filters())
    elif wanted.action == "dismiss":
        dismiss_letters(ledger, selection, viewer.name, need_reason(wanted.reason))
    else:
        raise HTTPException(400, "There is no such action; known: replay, dismiss.")
    return Done(done=wanted.action)


@router.get("/explain")
def api_explain(viewer: Reader, ledger: Ledger, key: WantedKey, use_case: Name = None) -> RowPage:
    """Every night of a row, newest first, by its key or its record's id at the destination; personal values hidden."""
    return explain_row(ledger, choose(viewer, use_case, ledger), key)


@router.get("/explain/record")
def api_explain_record(
    viewer: Reader,
    ledger: Ledger,
    system: Word,
    obj: Object,
    record_id: Id,
    field: Word = "",
    write: OneWrite = None,
    now: ReadNow = False,
) -> RecordPage:
    """Who set a record's fields and why, whichever use case; `now` also reads the record; personal values hidden."""
    return ask(viewer, ledger, target_of(viewer, "", system, obj, record_id), field, write, now=now)


@router.get("/verifications")
def api_verifications(viewer: Reader, ledger: Ledger) -> list[Verdict]:
    """The newest verifications of the ledger; findings for who may read their DAG."""
    return verdicts_for(viewer, list_verdicts(ledger))


@router.post("/backfill/plans")
def api_plan(request: Request, user: GetUserDep, viewer: Actor, ledger: Ledger, wanted: PlanWish) -> PlanAsked:
    """Ask what a range of nights would cost; read the plan until its status is `done`."""
    require_change(request, user, viewer, wanted.use_case)
    options = wanted.model_dump(include={"mode", "asking", "re_infer", "re_extract"})
    RunOptions.from_params(options, load(wanted.use_case).mode)
    span, wrong = read_span(wanted.first.isoformat(), wanted.last.isoformat(), datetime.now(UTC), MOST_NIGHTS)
    if span is None:
        raise HTTPException(400, " ".join(wrong.values()))
    return PlanAsked(plan_id=request_plan(request, viewer, ledger, wanted.use_case, span, options))


@router.get("/backfill/plans/{plan_id}")
def api_read_plan(viewer: Reader, ledger: Ledger, plan_id: UUID) -> Plan:
    """A plan as far as it is worked out."""
    found = find_plan(ledger, plan_id)
    viewer.require_read(found.use_case)
    return found


@router.post("/backfill/plans/{plan_id}/start")
def api_start(
    request: Request, user: GetUserDep, viewer: Actor, ledger: Ledger, plan_id: UUID, wanted: BackfillStart
) -> BackfillMade:
    """Create the backfill of a plan through Airflow's API, as the user."""
    found = find_plan(ledger, plan_id)
    require_change(request, user, viewer, found.use_case)
    given = {"name": wanted.name, "budget_usd": str(wanted.budget_usd), "behaviour": wanted.behaviour}
    given["max_active_runs"] = str(wanted.max_active_runs)
    wrong = check_start(request, viewer, found, given, anyway=wanted.anyway)
    if wrong:
        raise HTTPException(400, " ".join(wrong.values()))
    name, budget, most = wanted.name, wanted.budget_usd, wanted.max_active_runs
    return BackfillMade(
        backfill_id=start_backfill(request, viewer, ledger, found, name, budget, wanted.behaviour, most)
    )


@router.get("/systems")
def api_systems(viewer: Reader, ledger: Ledger) -> SystemsPage:
    """The registry with what is left of its limits, budgets, and the last results."""
    return show_systems(ledger, settings().systems_file, use_cases_of(viewer))
