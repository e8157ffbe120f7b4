"""Dead letters of a use case, newest first, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from include.database import Database
from include.pages.reading import PAGE_ROWS, reading, rows

STATUSES = ("open", "replayed", "dismissed")


@dataclass(frozen=True, slots=True)
class Letter:
    """A row that ran out of tries; its record is shown on its own page only."""

    dead_letter_id: int
    run_id: str
    interval_start: datetime
    row_key: str
    stage: str
    cause: str
    system: str
    tries: int
    status: str
    recorded_at: datetime


def list_letters(
    ledger: Database,
    use_case: str,
    *,
    status: str | None = "open",
    cause: str | None = None,
    after: int | None = None,
    limit: int = PAGE_ROWS,
) -> list[Letter]:
    """Letters with a smaller number than `after`, at most `limit` of them."""
    values = {"use_case": use_case, "status": status, "cause": cause, "after": after, "limit": limit}
    with reading(ledger) as connection:
        return [Letter(**row) for row in rows(connection, _LETTERS, **values)]


_LETTERS = """
SELECT dead_letter_id, run_id, interval_start, row_key, stage, cause, system, tries, status, recorded_at
  FROM nightledger.dead_letter
 WHERE use_case = :use_case AND (CAST(:status AS text) IS NULL OR status = :status)
   AND (CAST(:cause AS text) IS NULL OR cause = :cause)
   AND (CAST(:after AS bigint) IS NULL OR dead_letter_id < :after)
 ORDER BY dead_letter_id DESC LIMIT :limit"""
