"""Profiles of nights in the ledger: kept by the check stage, read as what is usual."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, text

from include.database import merge_rows
from include.ledger import tables
from include.models import Record
from include.quality.profile import ColumnProfile


@dataclass(frozen=True, slots=True)
class PastNight:
    """An earlier night of a use case, as it came in; `whole` is what is known of its rows as a whole."""

    run_id: str
    start: datetime
    rows: int
    columns: Mapping[str, ColumnProfile]
    whole: Record = field(default_factory=dict)


def keep_profiles(connection: Connection, run_id: str, profiles: Iterable[ColumnProfile]) -> None:
    """Store a night's profiles; a second check of the same run replaces them."""
    now = connection.scalar(text("SELECT clock_timestamp()"))
    names = ["run_id", "column_name", "type", "rows", "nulls", "profile", "recorded_at"]
    values = [(run_id, one.name, one.type, one.rows, one.nulls, one.profile, now) for one in profiles]
    merge_rows(connection, tables.column_profile, names, values, key=names[:2], update=names[2:])


WHOLE = ""
"""The name under which what is known of whole rows is kept among a night's columns."""


def whole_rows(rows: int, whole: Record) -> ColumnProfile:
    """What is known of a night's rows as a whole, to be kept beside its columns."""
    return ColumnProfile(WHOLE, "rows", rows, 0, whole)


def read_profiles(connection: Connection, run_id: str) -> dict[str, ColumnProfile]:
    """The profiles that the latest check of a run kept, by column."""
    rows = connection.execute(text(_PROFILES), {"runs": [run_id]})
    return {row.column_name: _profile(row) for row in rows if row.column_name != WHOLE}


def read_past_nights(connection: Connection, run_id: str, nights: int) -> list[PastNight]:
    """The last `nights` nights before a run's, newest first.

    One per interval of the same length, its newest attempt that was finished. A night that a critical expectation
    stopped, or that was cut to a number of rows, says nothing about what is usual and is left out.
    """
    runs = connection.execute(text(_NIGHTS), {"run": run_id, "nights": nights}).all()
    columns: dict[str, dict[str, ColumnProfile]] = {run.run_id: {} for run in runs}
    for row in connection.execute(text(_PROFILES), {"runs": list(columns)}):
        columns[row.run_id][row.column_name] = _profile(row)
    whole = {run_id: of_run.pop(WHOLE).profile for run_id, of_run in columns.items() if WHOLE in of_run}
    return [
        PastNight(run.run_id, run.interval_start, run.rows, columns[run.run_id], whole.get(run.run_id, {}))
        for run in runs
    ]


def _profile(row: object) -> ColumnProfile:
    values = [getattr(row, name) for name in ("column_name", "type", "rows", "nulls", "profile")]
    return ColumnProfile(*values)


_NIGHTS = """
SELECT run_id, interval_start, rows FROM (
    SELECT DISTINCT ON (p.interval_start) p.run_id, p.interval_start, m.rows
      FROM nightledger.run p
      JOIN nightledger.run here ON here.run_id = :run
      JOIN nightledger.manifest m ON m.run_id = p.run_id AND m.dataset = 'raw'
     WHERE p.use_case = here.use_case AND p.interval_start < here.interval_start
       AND p.interval_end - p.interval_start = here.interval_end - here.interval_start
       AND p.finished_at IS NOT NULL AND p.status <> 'stopped' AND p.options ->> 'limit' IS NULL
       AND EXISTS (SELECT FROM nightledger.column_profile c WHERE c.run_id = p.run_id)
     ORDER BY p.interval_start DESC, p.attempt DESC LIMIT :nights) newest
 ORDER BY interval_start DESC"""

# What an earlier check of the same run kept, of columns that are gone now, is older than the rest.
_PROFILES = """
SELECT run_id, column_name, type, rows, nulls, profile FROM (
    SELECT *, max(recorded_at) OVER (PARTITION BY run_id) AS latest
      FROM nightledger.column_profile WHERE run_id = ANY (:runs)) kept
 WHERE recorded_at = latest"""
