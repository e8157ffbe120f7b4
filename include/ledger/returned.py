"""What a use case has returned so far, counted from the ledger, to be held against its declared baseline."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import text

from include.database import Database, transaction


@dataclass(frozen=True, slots=True)
class Returned:
    """Counts of all nights of a use case. A row counts once a night, whichever attempts the night took.

    `nights` have succeeded, and `answered` are rows with an answer in their newest such attempt. `looked_at` are
    answers put before people. `alone` are rows written by the gate's decision, and not put back since. `cost` is in US
    dollars, of every call of every attempt, those without use too. `decided` are answers that people decided, of which
    they `overruled` some: edited or rejected. What time decided is nobody's decision.
    """

    nights: int
    answered: int
    looked_at: int
    alone: int
    cost: Decimal
    decided: int
    overruled: int

    @property
    def cost_per_row(self) -> Decimal | None:
        """US dollars per answered row; None without one."""
        return self.cost / self.answered if self.answered else None

    @property
    def error_rate(self) -> float | None:
        """Share (0 to 1) of the decided answers that people edited or rejected; None before the first decision."""
        return self.overruled / self.decided if self.decided else None

    def saved(self, per_row: float) -> float:
        """What the work would have cost: rows written without a person times the baseline of a row, in its unit."""
        return self.alone * per_row


def count_returned(ledger: Database, use_case: str) -> Returned:
    """Count what a use case has returned, from one snapshot; all zero where it has not run."""
    with transaction(ledger) as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        return Returned(**connection.execute(_RETURNED, {"use_case": use_case}).mappings().one())


_RETURNED = text("""
WITH night AS (
    SELECT DISTINCT ON (interval_start, interval_end) run_id
      FROM nightledger.run WHERE use_case = :use_case AND status = 'succeeded'
     ORDER BY interval_start, interval_end, attempt DESC
), reviewed AS (
    SELECT count(DISTINCT (interval_start, interval_end, row_key)) AS looked_at,
           count(*) FILTER (WHERE status IN ('approved', 'edited', 'rejected')) AS decided,
           count(*) FILTER (WHERE status IN ('edited', 'rejected')) AS overruled
      FROM nightledger.review_item WHERE use_case = :use_case
), written AS (
    SELECT count(DISTINCT (o.interval_start, o.interval_end, o.row_id)) AS alone
      FROM nightledger.outbox o JOIN nightledger.decision d USING (decision_id)
     WHERE o.use_case = :use_case AND o.status = 'written' AND o.undo_of IS NULL AND d.decided_by = 'gate'
       AND NOT EXISTS (SELECT FROM nightledger.outbox u WHERE u.undo_of = o.outbox_id AND u.status = 'written')
)
SELECT (SELECT count(*) FROM night) AS nights,
       (SELECT count(*) FROM nightledger.outcome JOIN night USING (run_id)
         WHERE outcome IN ('written', 'unchanged', 'in_review', 'rejected', 'shadowed')) AS answered,
       looked_at, alone, decided, overruled,
       (SELECT coalesce(sum(r.cost), 0) FROM nightledger.inference_result r
          JOIN nightledger.inference i USING (inference_id) WHERE i.use_case = :use_case) AS cost
  FROM reviewed, written""")
