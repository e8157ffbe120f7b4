"""Remove what closed runs left in the ledger, by policy: what it was stays on record, and the chain proves the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text

from include.database import Database, transaction
from include.errors import ConfigurationError
from include.ledger.erasure import refusals
from include.ledger.verify import findings_of

GROUPS: Mapping[str, Sequence[str]] = {
    "entries": ("quarantine", "dead_letter"),
    "calls": (
        *("outbox_result", "outbox_intent", "review_item", "answer", "outcome"),
        *("decision", "inference_result", "inference"),
    ),
}
"""What a policy may remove of the ledger: tables in the order in which they go."""


class Old(NamedTuple):
    """A closed run that is older than a policy lets it be; `held` are the holds over it, or over a row of it."""

    run_id: str
    use_case: str
    finished_at: datetime
    held: tuple[int, ...]


def find_old(ledger: Database, group: str, use_case: str, days: int) -> list[Old]:
    """Closed runs of a use case with something left in the tables of a group after so many days, oldest first.

    Group `staged` has no tables: every closed run that old, whose files may be gone already.
    """
    given = {"use_case": use_case, "days": days, "last": GROUPS[group][-1] if group in GROUPS else ""}
    with transaction(ledger) as connection:
        rows = connection.execute(_OLD, given).all()
    return [Old(row.run_id, row.use_case, row.finished_at, tuple(row.held or ())) for row in rows]


def remove(owner: Database, run_id: str, group: str, policy: str, who: str) -> dict[str, int]:
    """Remove what a run left in the tables of a group, in one transaction; returns rows by table.

    Raises ConfigurationError under hold, for a run that is going on, and for one that does not prove itself: what was
    changed must not be removed with the proof of it.
    """
    with refusals("Nothing was removed"), transaction(owner) as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        if findings := findings_of(connection, [run_id]):
            raise ConfigurationError(
                str(findings[0]), system="ledger", action="Run `nightledger ledger verify`; see docs/runbooks/ledger.md"
            )
        done = {}
        for table in GROUPS[group]:
            given = {"run": run_id, "table": table, "why": policy, "who": who}
            done[table] = int(connection.scalar(_REMOVE, given) or 0)
    return {table: rows for table, rows in done.items() if rows}


def drop_empty_months(owner: Database) -> list[str]:
    """Give back the space of months of calls in which nothing is left; returns the names of their tables."""
    with transaction(owner) as connection:
        return [str(name) for name in connection.scalars(text("SELECT nightledger.drop_empty_months()"))]


_REMOVE = text("SELECT nightledger.remove_rows(:run, :table, :why, :who)")
_OLD = text("""
SELECT u.run_id, u.use_case, u.finished_at, (
           SELECT array_agg(h.hold_id ORDER BY h.hold_id) FROM nightledger.legal_hold h
            WHERE h.lifted_at IS NULL AND h.use_case IN ('', u.use_case)
              AND (h.starts_at IS NULL OR u.interval_end > h.starts_at)
              AND (h.ends_at IS NULL OR u.interval_start < h.ends_at)
              AND (h.row_key = '' OR EXISTS (SELECT FROM nightledger.outcome o
                                              WHERE o.run_id = u.run_id AND o.row_key = h.row_key)
                   OR EXISTS (SELECT FROM nightledger.inference i
                               WHERE i.run_id = u.run_id AND i.row_key = h.row_key))) AS held
  FROM nightledger.run u
 WHERE u.use_case = :use_case AND u.finished_at < clock_timestamp() - make_interval(days => :days)
   AND (:last = '' OR NOT EXISTS (SELECT FROM nightledger.removal r WHERE r.run_id = u.run_id AND r.table_name = :last))
 ORDER BY u.finished_at, u.run_id""")
