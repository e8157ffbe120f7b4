"""The nights of several use cases, day by day: the newest full run of each interval with its sums."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping

from include.database import Database
from include.ledger.cause import Cause, explain_failure
from include.ledger.failures import find_failures
from include.models import Outcome
from include.pages.progress import Progress, read_progress
from include.pages.reading import reading, rows

DAYS = 14
MOST_DAYS = 62
ENDED_EARLY = ("failed", "stopped")


@dataclass(frozen=True, slots=True)
class Night:
    """A run of one interval; times in UTC, `seconds` of wall clock, `cost_usd` in US dollars.

    Sums that the run did not get to are None. `day` is the interval's first day. A `trial` was cut to `limit` rows.
    Of the interval there are `attempts`, `trials` among them, which cost `cost_of_all` together; `cause` is why a run
    did not finish, `progress` how far one is that runs.
    """

    run_id: str
    use_case: str
    day: date
    interval_start: datetime
    interval_end: datetime
    attempt: int
    status: str
    mode: str
    started_at: datetime
    rows_in: int | None
    counts: Mapping[str, int]
    seconds: float | None
    cost_usd: Decimal | None
    failed_expectations: int | None
    quarantined_open: int | None
    drifted: int | None
    limit: int | None = None
    attempts: int = 1
    trials: int = 0
    cost_of_all: Decimal | None = None
    cause: Cause | None = None
    progress: Progress | None = None

    @property
    def trial(self) -> bool:
        """Whether the run was cut to a number of rows."""
        return self.limit is not None

    @property
    def deferred_share(self) -> float:
        """Rows that wait for a later run, as a share of 0 to 1 of those that came in."""
        return self.counts.get(Outcome.DEFERRED, 0) / (self.rows_in or sum(self.counts.values()) or 1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Days, newest first, and for each the nights of every use case; `older` is where the next page begins.

    `newest` says whether this is the first page.
    """

    use_cases: tuple[str, ...]
    days: tuple[date, ...]
    cells: Mapping[date, Mapping[str, tuple[Night, ...]]]
    older: date | None
    newest: bool

    @property
    def nights(self) -> list[Night]:
        """All nights of the page, newest first."""
        by_day = (self.cells.get(day, {}) for day in self.days)
        return [night for cells in by_day for case in self.use_cases for night in cells.get(case, ())]


def latest_use_case(ledger: Database, cases: Sequence[str]) -> str | None:
    """Of these use cases the one that began a run last; None if none ever did."""
    with reading(ledger) as connection:
        found = rows(connection, _LATEST, cases=list(cases))
    return found[0]["use_case"] if found else None


def find_nights(ledger: Database, use_cases: Collection[str], before: date | None = None, days: int = DAYS) -> Calendar:
    """The nights of `days` days that end before `before`, by default before the day after the newest night.

    A page always holds `days` days, also those on which nothing ran: a night that is missing has to be seen.
    """
    cases = sorted(use_cases)
    with reading(ledger) as connection:
        found = rows(connection, _BOUNDS, cases=cases)[0]
        if found["newest"] is None:
            return Calendar(tuple(cases), (), {}, None, True)
        newest = found["newest"].astimezone(UTC).date() + timedelta(days=1)
        last = min(before, newest) if before else newest
        first = max(last, date.min + timedelta(days=days)) - timedelta(days=days)
        runs = rows(connection, _NIGHTS, cases=cases, first=_midnight(first), last=_midnight(last))
        nights = with_reasons(connection, runs)
    cells: dict[date, dict[str, tuple[Night, ...]]] = {}
    for night in nights:
        cell = cells.setdefault(night.day, {})
        cell[night.use_case] = (*cell.get(night.use_case, ()), night)
    shown = tuple(last - timedelta(days=number) for number in range(1, (last - first).days + 1))
    is_last = found["oldest"].astimezone(UTC).date() >= first
    return Calendar(tuple(cases), shown, cells, None if is_last else first, last == newest)


def with_reasons(connection: Connection, runs: Sequence[RowMapping]) -> list[Night]:
    """Runs as nights, with why those that ended early did, and how far those are that run."""
    broken = [row["run_id"] for row in runs if row["status"] in ENDED_EARLY]
    failures = find_failures(connection, broken) if broken else {}
    progress = read_progress(connection, [row["run_id"] for row in runs if row["status"] == "running"])
    found = []
    for row in runs:
        night, at_work = as_night(row), progress.get(row["run_id"])
        if row["status"] in ENDED_EARLY:
            cause = explain_failure(failures.get(night.run_id), dict(row), night.counts, night.rows_in)
            night = replace(night, cause=cause)
        if at_work:
            night = replace(night, progress=at_work, rows_in=at_work.rows_in, counts=at_work.counts)
        found.append(night)
    return found


def as_night(row: RowMapping) -> Night:
    """A row of table `run` as a night; what its sums do not hold is taken from the run itself."""
    sums: Mapping[str, Any] = row["totals"] or {}
    counts: Mapping[str, int] = row["counts"] or {}
    ended = row["finished_at"]
    seconds = sums.get("seconds")
    if seconds is None and ended is not None:
        seconds = (ended - row["started_at"]).total_seconds()
    cost = sums.get("cost_usd")
    return Night(
        run_id=row["run_id"],
        use_case=row["use_case"],
        day=row["interval_start"].astimezone(UTC).date(),
        interval_start=row["interval_start"],
        interval_end=row["interval_end"],
        attempt=row["attempt"],
        status=row["status"],
        mode=row["mode"],
        started_at=row["started_at"],
        rows_in=sums.get("rows_in", sum(counts.values()) if ended and counts else None),
        counts=dict(counts),
        seconds=seconds,
        cost_usd=None if cost is None else Decimal(str(cost)),
        failed_expectations=sums.get("failed_expectations"),
        quarantined_open=sums.get("quarantined_open"),
        drifted=sums.get("drifted"),
        limit=(row["options"] or {}).get("limit"),
        attempts=row.get("attempts", 1),
        trials=row.get("trials", 0),
        cost_of_all=row.get("cost_of_all"),
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


COLUMNS = (
    "run_id, use_case, interval_start, interval_end, attempt, status, mode, started_at, finished_at, counts, totals, "
    "options, external_ref, detail"
)

_BOUNDS = """
SELECT max(newest) AS newest, min(oldest) AS oldest FROM unnest(CAST(:cases AS text[])) AS c (name)
 CROSS JOIN LATERAL (SELECT interval_start AS newest FROM nightledger.run WHERE use_case = c.name
                      ORDER BY interval_start DESC LIMIT 1) AS n
 CROSS JOIN LATERAL (SELECT interval_start AS oldest FROM nightledger.run WHERE use_case = c.name
                      ORDER BY interval_start LIMIT 1) AS o"""

# A trial, which was cut to a number of rows, stands for its night only while there is no full run of it.
_NIGHTS = f"""
SELECT DISTINCT ON (interval_start, interval_end, use_case) {COLUMNS},
       count(*) OVER night AS attempts, count(*) FILTER (WHERE options ->> 'limit' IS NOT NULL) OVER night AS trials,
       sum((totals ->> 'cost_usd')::numeric) OVER night AS cost_of_all
  FROM nightledger.run
 WHERE interval_start >= :first AND interval_start < :last AND use_case = ANY(:cases)
WINDOW night AS (PARTITION BY interval_start, interval_end, use_case)
 ORDER BY interval_start DESC, interval_end DESC, use_case, options ->> 'limit' IS NOT NULL, attempt DESC"""

_LATEST = """
SELECT c.name AS use_case FROM unnest(CAST(:cases AS text[])) AS c (name) CROSS JOIN LATERAL (
    SELECT started_at FROM nightledger.run WHERE use_case = c.name ORDER BY started_at DESC LIMIT 1) AS l
 ORDER BY l.started_at DESC LIMIT 1"""
