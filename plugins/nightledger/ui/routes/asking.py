"""What routes share: the ledger, the settings, and values from addresses, each with its bounds."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Annotated

from fastapi import Depends, HTTPException, Path, Query, Request

from include.database import Database
from include.pages.nights import latest_use_case
from include.settings import Settings
from include.spec.names import names
from nightledger.ui.access import Viewer

LARGEST = 2**63 - 1

Day = Annotated[date | None, Query(description="Only nights that start before this day (UTC).")]
Number = Annotated[int, Path(ge=1, le=LARGEST)]
After = Annotated[int | None, Query(ge=0, le=LARGEST, description="The number of the last row already seen.")]
Name = Annotated[str | None, Query(max_length=200)]
Said = Annotated[str | None, Query(max_length=20, pattern="^[a-z]+$")]
DagRun = Annotated[str | None, Query(max_length=120, pattern="^page__[A-Za-z0-9_.~:+-]+$")]
RunId = Annotated[str, Path(max_length=300)]


def _ledger(request: Request) -> Database:
    ledger: Database = request.app.state.store.ledger()
    return ledger


Ledger = Annotated[Database, Depends(_ledger)]


def use_cases_of(viewer: Viewer) -> list[str]:
    """The use cases that the viewer may see, sorted."""
    return [name for name in names() if name in viewer.readable]


def choose(viewer: Viewer, use_case: str | None, ledger: Database) -> str:
    """The use case that is asked for, else the one that ran last, or the first; 404 where none may be seen."""
    if use_case:
        return viewer.require_read(use_case)
    known = use_cases_of(viewer)
    if not known:
        raise HTTPException(404, "There is no use case that you may see.")
    return latest_use_case(ledger, known) or known[0]


def one_of(value: str | None, known: Collection[str], what: str) -> None:
    """Refuse a value that is none of those known, with 400; an empty one is fine."""
    if value and value not in known:
        raise HTTPException(400, f"There is no such {what}; known: {', '.join(known)}.")


def need_reason(reason: str) -> str:
    """The reason, which is kept on record; 400 without one."""
    if not reason.strip():
        raise HTTPException(400, "Say why: the reason is kept with the rows.")
    return reason.strip()


def settings() -> Settings:
    """The deployment's settings."""
    return Settings.read()
