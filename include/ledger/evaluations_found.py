"""Evaluations on record as people look at them: newest first, side by side, under conditions, one with its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from include.ledger.evaluations import SetAside

MOST_SETS = 20
"""Versions and models that are held side by side at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One evaluation: what was asked, the figures (`scores`, of any version of the code), and what was said.

    `cost` in US dollars is what it took to know; `against_version` is the version that it was held against. `aside`
    says who let it no longer count.
    """

    evaluation_id: UUID
    recorded_at: datetime
    use_case: str
    prompt_version: str
    prompt_hash: str
    model: str
    labels_sha256: str
    rows: int
    correct: int
    verdict: str
    reasons: Sequence[str]
    scores: Mapping[str, Any]
    cost: Decimal
    run_id: str
    condition: str | None
    against: UUID | None
    against_version: str | None
    aside: SetAside | None


def list_evaluations(
    connection: Connection, use_case: str, most: int, before: UUID | None = None, labels: str | None = None
) -> list[Found]:
    """The newest evaluations of a use case, those under conditions left out; `before` is the last one already seen."""
    return _find(connection, _NEWEST, use_case, most=most, before=before, labels=labels)


def find_evaluation(connection: Connection, use_case: str, evaluation_id: UUID) -> Found | None:
    """One evaluation of a use case, or None."""
    return next(iter(_find(connection, _ONE, use_case, evaluation_id=evaluation_id)), None)


def compare_evaluations(connection: Connection, use_case: str, labels: str) -> list[Found]:
    """Of every version and model on the same rows the newest evaluation, one that judged if any; best first."""
    return _find(connection, _SIDE_BY_SIDE, use_case, labels=labels, most=MOST_SETS)


def find_conditions(connection: Connection, use_case: str) -> list[Found]:
    """What the newest `validate` found, condition by condition, the rows as they are first."""
    return _find(connection, _CONDITIONS, use_case)


def count_verdicts(connection: Connection, evaluation_id: UUID) -> dict[str, int]:
    """How many rows of an evaluation got which verdict, most first."""
    return dict(map(tuple, connection.execute(_VERDICTS, {"evaluation_id": evaluation_id})))


def _find(connection: Connection, query: str, use_case: str, **given: Any) -> list[Found]:
    values = {"use_case": use_case, "stream": f"evaluation/{use_case}", **given}
    return [_found(dict(row)) for row in connection.execute(text(_WITH_ALL.format(query)), values).mappings()]


def _found(row: dict[str, Any]) -> Found:
    by, at, why = (row.pop(name) for name in ("aside_by", "aside_at", "aside_why"))
    return Found(**row, aside=SetAside(by, at, why) if by is not None else None)


_WITH_ALL = """
SELECT e.evaluation_id, e.recorded_at, e.use_case, e.prompt_version, e.prompt_hash, e.model, e.labels_sha256, e.rows,
       e.correct, e.verdict, e.reasons, e.scores, e.cost, e.run_id, e.condition, e.against,
       a.prompt_version AS against_version,
       v.actor AS aside_by, v.recorded_at AS aside_at, v.details ->> 'reason' AS aside_why
  FROM ({}) picked
  JOIN nightledger.evaluation e USING (evaluation_id)
  LEFT JOIN nightledger.evaluation a ON a.evaluation_id = e.against
  LEFT JOIN nightledger.event v ON v.stream = :stream AND v.type = 'evaluation.set_aside'
                                AND v.details ->> 'evaluation_id' = e.evaluation_id::text
 ORDER BY place"""

_NEWEST = """
SELECT evaluation_id, row_number() OVER (ORDER BY recorded_at DESC, evaluation_id DESC) AS place
  FROM (SELECT evaluation_id, recorded_at FROM nightledger.evaluation
         WHERE use_case = :use_case AND condition IS NULL
           AND (CAST(:labels AS text) IS NULL OR labels_sha256 = :labels)
           AND (CAST(:before AS uuid) IS NULL OR (recorded_at, evaluation_id) <
                (SELECT recorded_at, evaluation_id FROM nightledger.evaluation
                  WHERE evaluation_id = :before AND use_case = :use_case))
         ORDER BY recorded_at DESC, evaluation_id DESC LIMIT :most) newest"""

_ONE = """
SELECT evaluation_id, 1 AS place FROM nightledger.evaluation
 WHERE evaluation_id = :evaluation_id AND use_case = :use_case"""

_SIDE_BY_SIDE = """
SELECT evaluation_id, row_number() OVER (ORDER BY correct DESC, recorded_at DESC) AS place
  FROM (SELECT DISTINCT ON (prompt_hash, model) evaluation_id, correct, recorded_at FROM nightledger.evaluation
         WHERE use_case = :use_case AND condition IS NULL AND labels_sha256 = :labels
         ORDER BY prompt_hash, model, verdict NOT IN ('passed', 'failed'), recorded_at DESC) newest
 ORDER BY correct DESC, recorded_at DESC LIMIT :most"""

# All conditions of a run are recorded in one transaction, in their order.
_CONDITIONS = """
SELECT e.evaluation_id, row_number() OVER (ORDER BY e.recorded_at, e.evaluation_id) AS place
  FROM (SELECT run_id, recorded_at FROM nightledger.evaluation WHERE use_case = :use_case AND condition IS NOT NULL
         ORDER BY recorded_at DESC LIMIT 1) newest
  JOIN nightledger.evaluation e ON e.use_case = :use_case AND e.condition IS NOT NULL AND e.run_id = newest.run_id
                               AND e.recorded_at > newest.recorded_at - interval '1 hour'"""

_VERDICTS = text("""
SELECT verdict, count(*) AS count FROM nightledger.evaluation_row WHERE evaluation_id = :evaluation_id
 GROUP BY 1 ORDER BY 2 DESC, 1""")
