"""What earlier nights brought, for expectations whose bounds depend on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any

from sqlalchemy import text

from include.database import Database, transaction
from include.models import Interval

NIGHTS = 8
"""Nights of the same weekday that are looked back at: two months."""
FEWEST = 3
"""Nights of the same weekday below which nothing is usual yet."""

_ROWS = text("""
    SELECT DISTINCT ON (r.interval_start) m.rows
    FROM nightledger.run r JOIN nightledger.manifest m ON m.run_id = r.run_id AND m.dataset = 'raw'
    WHERE r.use_case = :use_case AND r.status = 'succeeded' AND r.options ->> 'limit' IS NULL
      AND r.interval_start = ANY(:starts) AND r.interval_end - r.interval_start = :length
    ORDER BY r.interval_start DESC, r.attempt DESC
""")


@dataclass(frozen=True, slots=True)
class History:
    """The night that is checked, and the rows of the succeeded nights of the same weekday before it, newest first."""

    interval: Interval
    rows: tuple[int, ...] = ()


def read_history(ledger: Database, use_case: str, interval: Interval) -> History:
    """The same weekday's nights of equal length, at most eight weeks back; nights that were cut short do not count."""
    starts = [interval.start - timedelta(weeks=week) for week in range(1, NIGHTS + 1)]
    given = {"use_case": use_case, "starts": starts, "length": interval.end - interval.start}
    with transaction(ledger) as connection:
        return History(interval, tuple(connection.scalars(_ROWS, given)))


def usual_rows(lowest: float, highest: float) -> Callable[[History], Mapping[str, Any]]:
    """Bounds of a row count: these shares of the median of the same weekday's nights; none before there are three."""

    def bounds(history: History) -> Mapping[str, Any]:
        if len(history.rows) < FEWEST:
            return {"min_value": 0}
        usual = median(history.rows)
        return {"min_value": int(usual * lowest), "max_value": int(usual * highest) + 1}

    return bounds


def newest_within(column: str, age: timedelta) -> Callable[[History], Mapping[str, Any]]:
    """Bounds of a column's maximum: at most `age` before the interval's end."""

    def bounds(history: History) -> Mapping[str, Any]:
        return {"column": column, "min_value": history.interval.end - age}

    return bounds
