"""The nights of several use cases, day by day: the newest attempt of each interval with its sums."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, RowMapping

from include.pages.reading import reading, rows

DAYS = 14
MOST_DAYS = 62


@dataclass(frozen=True, slots=True)
class Night:
    """The newest attempt of one interval; times in UTC, `seconds` of wall clock, `cost_usd` in US dollars.

    Sums that the run did not get to are None. `day` is the interval's first day.
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


def find_nights(engine: Engine, use_cases: Collection[str], before: date | None = None, days: int = DAYS) -> Calendar:
    """The nights of `days` days that end before `before`, by default before the day after the newest night.

    A page always holds `days` days, also those on which nothing ran: a night that is missing has to be seen.
    """
    cases = sorted(use_cases)
    with reading(engine) as connection:
        found = rows(connection, _BOUNDS, cases=cases)[0]
        if found["newest"] is None:
            return Calendar(tuple(cases), (), {}, None, True)
        newest = found["newest"].astimezone(UTC).date() + timedelta(days=1)
        last = min(before, newest) if before else newest
        first = max(last, date.min + timedelta(days=days)) - timedelta(days=days)
        runs = rows(connection, _NIGHTS, cases=cases, first=_midnight(first), last=_midnight(last))
    cells: dict[date, dict[str, tuple[Night, ...]]] = {}
    for row in runs:
        night = as_night(row)
        cell = cells.setdefault(night.day, {})
        cell[night.use_case] = (*cell.get(night.use_case, ()), night)
    shown = tuple(last - timedelta(days=number) for number in range(1, (last - first).days + 1))
    is_last = found["oldest"].astimezone(UTC).date() >= first
    return Calendar(tuple(cases), shown, cells, None if is_last else first, last == newest)


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
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


COLUMNS = (
    "run_id, use_case, interval_start, interval_end, attempt, status, mode, started_at, finished_at, counts, totals"
)

_BOUNDS = """
SELECT max(newest) AS newest, min(oldest) AS oldest FROM unnest(CAST(:cases AS text[])) AS c (name)
 CROSS JOIN LATERAL (SELECT interval_start AS newest FROM nightledger.run WHERE use_case = c.name
                      ORDER BY interval_start DESC LIMIT 1) AS n
 CROSS JOIN LATERAL (SELECT interval_start AS oldest FROM nightledger.run WHERE use_case = c.name
                      ORDER BY interval_start LIMIT 1) AS o"""

_NIGHTS = f"""
SELECT DISTINCT ON (interval_start, interval_end, use_case) {COLUMNS}
  FROM nightledger.run
 WHERE interval_start >= :first AND interval_start < :last AND use_case = ANY(:cases)
 ORDER BY interval_start DESC, interval_end DESC, use_case, attempt DESC"""
