"""What people have decided and the nights' records do not have yet, and under which run it belongs there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from include.database import Database, to_json, transaction
from include.models import Record

# The newest attempt at the night that has the row in review with the very same answer: a verdict is about that.
HELD = """
  LEFT JOIN LATERAL (
        SELECT r.run_id, r.attempt, g.origin, g.inference_id
          FROM nightledger.run r JOIN nightledger.outcome o ON o.run_id = r.run_id
         CROSS JOIN LATERAL (
                SELECT origin, inference_id, shown_sha256 FROM nightledger.decision
                 WHERE run_id = r.run_id AND row_id = v.row_id AND decided_by = 'gate'
                 ORDER BY recorded_at DESC LIMIT 1) g
         WHERE r.use_case = v.use_case AND r.interval_start = v.interval_start AND r.interval_end = v.interval_end
           AND o.row_id = v.row_id AND o.outcome = 'in_review' AND g.shown_sha256 = v.shown_sha256
         ORDER BY r.attempt DESC LIMIT 1) held ON true"""


class Due(NamedTuple):
    """An item whose verdict the night's records do not have yet, under the run that holds its row in review."""

    number: int
    status: str
    decision_id: UUID | None
    row_id: str
    row_key: str
    inference_key: str
    lineage: Record
    origin: str
    output: Record
    verdict: str | None
    rule: str | None
    proposed: Record
    held_sha256: str | None


def due_runs(ledger: Database, use_cases: Collection[str]) -> list[tuple[str, str]]:
    """Use case and run of decided items that are to be applied, oldest night first; not of runs that are going on."""
    with transaction(ledger) as connection:
        return [tuple(row) for row in connection.execute(_DUE_RUNS, {"use_cases": list(use_cases)})]


def due_items(connection: Connection, use_case: str, run_id: str, limit: int) -> list[Due]:
    """The decided items whose row this run holds in review, with what was decided; `verdict` is None if superseded."""
    found = connection.execute(_DUE, {"use_case": use_case, "run_id": run_id, "most": limit}).mappings()
    return [Due(**row) for row in found]


def decided_here(connection: Connection, run_id: str, items: Sequence[Due]) -> dict[int, UUID | None]:
    """The decisions by number, of this very run: said again under it where another attempt at the night held the row.

    That happens to a verdict that was given just while this run's gate was deciding.
    """
    named = {one.number: one.decision_id for one in items}
    given = {"run_id": run_id, "ids": [one.decision_id for one in items]}
    elsewhere = set(connection.scalars(_ELSEWHERE, given))
    rows = [{"was": one.decision_id, "is": uuid4()} for one in items if one.decision_id in elsewhere]
    if rows:
        connection.execute(_SAY_AGAIN, {"run_id": run_id, "batch": uuid4(), "rows": to_json(rows)})
        again = {row["was"]: row["is"] for row in rows}
        moved = {one.number: again[one.decision_id] for one in items if one.decision_id in again}
        pairs = [{"number": number, "id": name} for number, name in moved.items()]
        connection.execute(_POINT, {"rows": to_json(pairs)})
        named |= moved
    return named


def mark_applied(connection: Connection, numbers: Sequence[int]) -> None:
    """Say that the night's records have what was decided on these items."""
    connection.execute(_APPLIED, {"numbers": list(numbers)})


# Of the attempt that holds the row and the one of the verdict the newer: a row that was written just before a process
# was killed is in review no more, but its run is not sealed anew.
_TARGET = f"""
  FROM nightledger.review_item v {HELD}
  LEFT JOIN nightledger.decision d ON d.decision_id = v.decision_id
  LEFT JOIN nightledger.run own ON own.run_id = d.run_id
  JOIN nightledger.run u ON u.finished_at IS NOT NULL
       AND u.run_id = CASE WHEN own.attempt >= held.attempt THEN own.run_id ELSE coalesce(held.run_id, own.run_id) END
 WHERE v.status <> 'waiting' AND v.applied_at IS NULL"""

_DUE_RUNS = text(f"""
SELECT use_case, run_id FROM (
    SELECT DISTINCT v.use_case, u.run_id, v.interval_start {_TARGET} AND v.use_case = ANY (:use_cases)) due
 ORDER BY interval_start, run_id""")

_DUE = text(f"""
SELECT v.review_item_id AS number, v.status, v.decision_id, v.row_id, v.row_key, v.inference_key,
       (SELECT lineage FROM nightledger.outcome WHERE run_id = u.run_id AND row_id = v.row_id) AS lineage,
       coalesce(d.origin, held.origin) AS origin, coalesce(d.output, v.proposed) AS output, d.verdict, d.rule,
       v.proposed, v.held_sha256
       {_TARGET} AND v.use_case = :use_case AND u.run_id = :run_id
 ORDER BY v.review_item_id LIMIT :most""")

_ELSEWHERE = text("""
SELECT decision_id FROM nightledger.decision WHERE decision_id = ANY (:ids) AND run_id <> :run_id""")

_SAY_AGAIN = text("""
INSERT INTO nightledger.decision (decision_id, batch, run_id, use_case, row_id, row_key, inference_key, verdict, rule,
       decided_by, origin, inference_id, output, confidence, shown_sha256)
SELECT n."is", :batch, :run_id, d.use_case, d.row_id, d.row_key, d.inference_key, d.verdict, d.rule, d.decided_by,
       d.origin, d.inference_id, d.output, d.confidence, d.shown_sha256
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (was uuid, "is" uuid)
  JOIN nightledger.decision d ON d.decision_id = n.was""")

_POINT = text("""
UPDATE nightledger.review_item v SET decision_id = n.id
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS n (number bigint, id uuid) WHERE v.review_item_id = n.number""")

_APPLIED = text("""
UPDATE nightledger.review_item SET applied_at = clock_timestamp() WHERE review_item_id = ANY (:numbers)""")
