"""Close a run: its status and counts, and the head of its chain anchored in stream `ledger`."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select, update

from include.ledger import tables
from include.ledger.record import record_event


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
    """Set status and counts and seal them, in the caller's transaction; the last closing counts."""
    run = tables.run
    values = {"status": status, "counts": dict(counts), "detail": detail, "finished_at": func.clock_timestamp()}
    connection.execute(update(run).where(run.c.run_id == run_id).values(values))
    said = {"status": status, "counts": dict(counts), "rows_in": rows_in, "not_finished": not_finished}
    record_event(connection, run_id, "run.closed", said)
    head = tables.chain_head.c
    seq, sha256 = connection.execute(select(head.seq, head.hash).where(head.stream == run_id)).one()
    record_event(connection, "ledger", "chain.anchored", {"run_id": run_id, "seq": seq, "hash": sha256})
