"""Rows that a run does not touch end as they ended in the finished run before it."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import case, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from include.database import Database, transaction
from include.ledger import tables
from include.models import Outcome

_KEPT = ("row_id", "row_key", "stage", "lineage")


def is_finished(ledger: Database, run_id: str) -> bool:
    """Whether a run has succeeded, so that each of its rows has an outcome."""
    r = tables.run.c
    with transaction(ledger) as connection:
        return connection.scalar(select(r.status).where(r.run_id == run_id)) == "succeeded"


def carry_over(ledger: Database, source: str, target: str, rows: Collection[str]) -> set[str]:
    """Give these rows the outcome in run `target` that they have in run `source`; returns those that have one there.

    What was written then is unchanged now. What `target` said of a row already stays.
    """
    o = tables.outcome
    was = o.c.outcome == Outcome.WRITTEN
    outcome = case((was, Outcome.UNCHANGED), else_=o.c.outcome)
    reason = case((was, func.concat("written by ", source)), else_=o.c.reason)
    held = (o.c.run_id == source) & o.c.row_id.in_(rows)
    values = select(literal(target), outcome, reason, *(o.c[name] for name in _KEPT)).where(held)
    with transaction(ledger) as connection:
        names = ["run_id", "outcome", "reason", *_KEPT]
        connection.execute(insert(o).from_select(names, values).on_conflict_do_nothing())
        return set(connection.scalars(select(o.c.row_id).where(held)))
