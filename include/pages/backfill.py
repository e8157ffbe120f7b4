"""What is on record of the nights of a backfill."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from include.models import Interval
from include.pages.nights import COLUMNS, Night, as_night
from include.pages.reading import reading, rows

MOST_NIGHTS = 366


@dataclass(frozen=True, slots=True)
class OnRecord:
    """The newest attempt of a night, and who started it."""

    night: Night
    external_ref: str


def nights_on_record(engine: Engine, use_case: str, span: Interval) -> list[OnRecord]:
    """The newest attempt of every night that starts within the span, oldest first."""
    values = {"use_case": use_case, "start": span.start, "end": span.end, "most": MOST_NIGHTS}
    with reading(engine) as connection:
        return [OnRecord(as_night(row), row["external_ref"]) for row in rows(connection, _NIGHTS, **values)]


_NIGHTS = f"""
SELECT DISTINCT ON (interval_start, interval_end) {COLUMNS}, external_ref FROM nightledger.run
 WHERE use_case = :use_case AND interval_start >= :start AND interval_start < :end
 ORDER BY interval_start, interval_end, attempt DESC LIMIT :most"""
