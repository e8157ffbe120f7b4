"""Evaluations on record: what was found, row by row by hash and verdict, and what the gate said."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import Connection, any_, func, select, text

from include.database import Database, as_text, copy_rows, transaction
from include.ledger import tables
from include.ledger.audit import Pins
from include.models import Record
from include.run import Run

Word = Literal["passed", "failed", "too_few", "compared"]
"""What the gate said: `too_few` rows say nothing, and what was only `compared` was not judged."""
NOT_ANSWERED = ("invalid", "empty", "refused", "rejected", "too_large", "empty_input")
"""Verdicts of rows to which the model has given no answer."""
SCHEMA_FAILURES = ("invalid", "empty")
"""Those of them where its answer did not fit what was asked for."""


class RowVerdict(NamedTuple):
    """One labelled row: its hash, the question that it asked, and what became of it."""

    row_sha256: str
    inference_key: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What one prompt version and model were worth on labelled rows; `cost` in US dollars is what it took to know.

    `scores` holds counts, shares and names of fields, never a row.
    """

    labels_sha256: str
    rows: int
    correct: int
    verdict: Word
    reasons: Sequence[str]
    scores: Record
    cost: Decimal
    against: UUID | None = None
    evaluation_id: UUID = field(default_factory=uuid4)


class Standing(NamedTuple):
    """The newest evaluation that judged a prompt and a model."""

    evaluation_id: UUID
    recorded_at: datetime
    verdict: str
    rows: int
    correct: int
    reasons: Sequence[str]
    run_id: str


def record_evaluation(
    connection: Connection, run: Run, pins: Pins, found: Evaluation, rows: Sequence[RowVerdict]
) -> None:
    """Append an evaluation and its rows, each sealed, in the caller's transaction."""
    names = [
        *("evaluation_id", "batch", "run_id", "use_case", "prompt_version", "prompt_hash", "model", "contract_hash"),
        *("labels_sha256", "rows", "correct", "verdict", "reasons", "scores", "against", "cost"),
    ]
    values = (
        *(found.evaluation_id, uuid4(), run.run_id, run.case.name, pins.prompt_version, pins.prompt_hash, pins.model),
        *(pins.contract_hash, found.labels_sha256, found.rows, found.correct, found.verdict, list(found.reasons)),
        *(found.scores, found.against, found.cost),
    )
    copy_rows(connection, tables.evaluation, names, [values])
    batch = uuid4()
    of_rows = ["evaluation_row_id", "batch", "run_id", "evaluation_id", "row_sha256", "inference_key", "verdict"]
    kept = ((uuid4(), batch, run.run_id, found.evaluation_id, *one) for one in rows)
    copy_rows(connection, tables.evaluation_row, of_rows, kept)


def newest(connection: Connection, use_case: str, prompt_hash: str, model: str) -> Standing | None:
    """The newest evaluation that passed or failed a use case's prompt and model, or None."""
    e = tables.evaluation.c
    judged = (e.use_case == use_case) & (e.prompt_hash == prompt_hash) & (e.model == model)
    columns = (e.evaluation_id, e.recorded_at, e.verdict, e.rows, e.correct, e.reasons, e.run_id)
    query = select(*columns).where(judged, e.verdict.in_(("passed", "failed")))
    row = connection.execute(query.order_by(e.recorded_at.desc()).limit(1)).first()
    return None if row is None else Standing(*row)


def last_prompt(ledger: Database, use_case: str) -> str | None:
    """The hash of the prompt that the last night which succeeded asked with, or None."""
    r = tables.run.c
    query = select(r.prompt_hash).where(r.use_case == use_case, r.status == "succeeded")
    with transaction(ledger) as connection:
        return connection.scalar(query.order_by(r.started_at.desc()).limit(1))


def ended_before(ledger: Database, keys: Collection[str]) -> dict[str, str]:
    """Questions that an evaluation has put on record as not answered, with how they ended, by inference key."""
    r = tables.evaluation_row.c
    asked = r.inference_key == any_(func.string_to_array(as_text(keys), ","))
    query = select(r.inference_key, r.verdict).where(asked, r.verdict.in_(NOT_ANSWERED)).order_by(r.recorded_at)
    with transaction(ledger) as connection:
        return dict(map(tuple, connection.execute(query)))


class Call(NamedTuple):
    """One call on record: what it asked, how it ended, its cost in US dollars and its latency in milliseconds."""

    inference_key: str
    inference_id: UUID
    run_id: str
    kind: str
    outcome: str
    cost: Decimal
    latency_ms: int


# By key through its index, as `audit.find_answers` does and for the same reason.
_CALLS = text(
    """
SELECT wanted.key, i.inference_id, i.run_id, i.kind, r.outcome, r.cost, r.latency_ms
  FROM unnest(string_to_array(:keys, ',')) AS wanted (key)
 CROSS JOIN LATERAL (SELECT * FROM nightledger.inference WHERE inference_key = wanted.key OFFSET 0) i
 CROSS JOIN LATERAL (SELECT * FROM nightledger.inference_result WHERE inference_id = i.inference_id OFFSET 0) r
 ORDER BY i.recorded_at"""
)


def calls_of(ledger: Database, keys: Collection[str]) -> list[Call]:
    """Every call on record for these questions, by whichever run, oldest first."""
    with transaction(ledger) as connection:
        return [Call(*row) for row in connection.execute(_CALLS, {"keys": as_text(keys)})]
