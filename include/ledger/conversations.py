"""What is on record of an agent's conversation about a row: its steps, and what its tools have read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import text

from include.database import Database, transaction
from include.models import Record, ReInfer
from include.run import Run

TOOL = "tool"
"""The kind of an inference that is a tool's read."""
STEP = "step"
"""The kind of a question to a model that goes on from what its tools have read."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call for a row; `messages` as they are kept, `answer` what it asked for or read, `seconds` how long it took.

    A call without a result may have cost what was set aside for it.
    """

    kind: str
    messages: list[Record]
    outcome: str | None
    answer: Record | None
    tokens: int
    cost: Decimal
    seconds: float


# What another run of the same night has read or been told is the same fact: the key holds the interval.
_FIND = text(
    """
SELECT i.kind, i.messages, r.outcome, r.parsed, coalesce(r.tokens_in + r.tokens_out, i.tokens_estimated) AS tokens,
       coalesce(r.cost, i.cost_reserved) AS cost, coalesce(r.latency_ms, 0) AS latency_ms
  FROM (SELECT * FROM nightledger.inference WHERE inference_key = :key OFFSET 0) i
  LEFT JOIN nightledger.inference_result r USING (inference_id)
 WHERE NOT :own OR i.run_id = :run_id
 ORDER BY i.recorded_at, i.inference_id"""
)


def recorded(ledger: Database, run: Run, key: str) -> Iterator[Recorded]:
    """Every call under a key, oldest first; with `re_infer` all only those of this run."""
    own = run.options.re_infer is ReInfer.ALL
    with transaction(ledger) as connection:
        rows = connection.execute(_FIND, {"key": key, "own": own, "run_id": run.run_id}).all()
    for kind, messages, outcome, parsed, tokens, cost, latency in rows:
        yield Recorded(kind, messages, outcome, parsed, tokens, cost, latency / 1000)
