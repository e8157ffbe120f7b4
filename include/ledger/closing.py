"""Close a run: its status and counts, and a seal over everything that it leaves in the ledger."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select, update

from include.ledger import tables
from include.ledger.record import record_event
from include.ledger.seals import seal_run


def close_run(
    connection: Connection,
    run_id: str,
    status: str,
    counts: Mapping[str, int],
    *,
    rows_in: int,
    not_finished: int = 0,
    detail: str | None = None,
) -> None:
    """Set status and counts and seal the run, in the caller's transaction; the last closing counts.

    Whatever the run has to leave in the ledger must be there before. The database anchors the run's chain in stream
    `ledger` when the transaction is committed.
    """
    run = tables.run
    values = {"status": status, "counts": dict(counts), "detail": detail, "finished_at": func.clock_timestamp()}
    connection.execute(update(run).where(run.c.run_id == run_id).values(values))
    seal_run(connection, run_id)
    said = {"status": status, "counts": dict(counts), "rows_in": rows_in, "not_finished": not_finished}
    record_event(connection, run_id, "run.closed", said)


def close_again(connection: Connection, run_id: str) -> None:
    """Count and seal a closed run anew after rows of it have another outcome; its status and its times stay."""
    run, event, outcome = tables.run, tables.event.c, tables.outcome.c
    said = connection.execute(
        select(event.details)
        .where(event.stream == run_id, event.type == "run.closed")
        .order_by(event.seq.desc())
        .limit(1)
    ).scalar_one()
    found = select(outcome.outcome, func.count()).where(outcome.run_id == run_id).group_by(outcome.outcome)
    counts = {str(name): int(rows) for name, rows in connection.execute(found)}
    connection.execute(update(run).where(run.c.run_id == run_id).values(counts=counts))
    seal_run(connection, run_id)
    record_event(connection, run_id, "run.closed", {**said, "counts": counts})
