"""Runs that nobody works on any more: found by their silence, closed as abandoned with the reason."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, RowMapping, func, text, update

from include.database import Database, transaction
from include.ledger import tables
from include.ledger.closing import close_run
from include.ledger.record import record_event

log = logging.getLogger(__name__)
OVERTAKEN_AFTER = "1 hour"
"""Silence after which a run is given up whose date a later attempt has brought to its end."""
LOST_AFTER = "12 hours"
"""Silence after which a run is given up although there is no later attempt: longer than any task waits for its turn."""
_LONGEST_BATCH = "26 hours"

# A run with a batch at the provider is silent for as long as the batch takes, and alive.
_SILENT = text(
    f"""
SELECT r.run_id, r.heard_at, newer.run_id AS newer, newer.status AS ended
  FROM nightledger.run r
  LEFT JOIN LATERAL (
       SELECT n.run_id, n.status FROM nightledger.run n
        WHERE n.use_case = r.use_case AND n.interval_start = r.interval_start AND n.interval_end = r.interval_end
          AND n.attempt > r.attempt AND n.status IN ('succeeded', 'stopped', 'failed')
        ORDER BY n.attempt DESC LIMIT 1) newer ON true
 WHERE r.use_case = :use_case AND r.status = 'running'
   AND r.heard_at < clock_timestamp()
                    - CASE WHEN newer.run_id IS NULL THEN interval '{LOST_AFTER}' ELSE interval '{OVERTAKEN_AFTER}' END
   AND NOT EXISTS (SELECT FROM nightledger.batch_job b
                    WHERE b.run_id = r.run_id AND b.status IN ('intended', 'submitted')
                      AND b.updated_at > clock_timestamp() - interval '{_LONGEST_BATCH}')
   FOR UPDATE OF r SKIP LOCKED"""
)
_ENDED = text("SELECT outcome, count(*) FROM nightledger.outcome WHERE run_id = :run GROUP BY 1")
_ROWS_IN = text(
    "SELECT coalesce((facts ->> 'input_rows')::bigint, rows) FROM nightledger.manifest "
    "WHERE run_id = :run AND dataset = 'raw'"
)


def hear(connection: Connection, run_id: str) -> None:
    """Note that somebody works on the run."""
    run = tables.run
    connection.execute(update(run).where(run.c.run_id == run_id).values(heard_at=func.clock_timestamp()))


def abandon_orphans(ledger: Database, use_case: str) -> list[str]:
    """Close the runs of a use case that nobody works on any more; returns their ids.

    A run whose tasks do come back goes on under its own id, and its own closing is the last word.
    """
    with transaction(ledger) as connection:
        found = connection.execute(_SILENT, {"use_case": use_case}).mappings().all()
        for row in found:
            _abandon(connection, row)
    for row in found:
        log.warning("%s is closed as abandoned: %s", row["run_id"], _reason(row))
    return [row["run_id"] for row in found]


def _abandon(connection: Connection, row: RowMapping) -> None:
    run_id, counts = row["run_id"], dict[str, int]()
    for outcome, number in connection.execute(_ENDED, {"run": row["run_id"]}):
        counts[outcome] = number
    rows_in = int(connection.scalar(_ROWS_IN, {"run": run_id}) or 0)
    said = {"reason": _reason(row), "heard_at": row["heard_at"].isoformat(), "newer": row["newer"]}
    record_event(connection, run_id, "run.abandoned", said)
    left = max(rows_in - sum(counts.values()), 0)
    close_run(connection, run_id, "abandoned", counts, rows_in=rows_in, not_finished=left, detail=_reason(row))


def _reason(row: RowMapping) -> str:
    silent = f"nothing was heard of it since {row['heard_at']:%Y-%m-%d %H:%M} UTC"
    return f"{silent}, and {row['newer']} of the same date has {row['ended']}" if row["newer"] else silent
