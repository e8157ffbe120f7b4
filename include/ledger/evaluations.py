"""Evaluations on record: what was found, rows by hash and verdict, what the gate said, and which no longer count."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import Connection, any_, func, select, text

from include.database import Database, as_text, copy_rows, transaction
from include.errors import ConfigurationError
from include.ledger import tables
from include.ledger.audit import Pins
from include.ledger.record import record_event
from include.models import Record
from include.run import Run

Word = Literal["passed", "failed", "too_few", "compared"]
"""What the gate said: `too_few` rows say nothing, and what was only `compared` was not judged."""
JUDGED = ("passed", "failed")
"""Verdicts that let a night go or stop it."""
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

    `scores` holds counts, shares and names of fields, never a row. `condition` is what the rows were changed by, for
    those of `validate`; the ledger takes no verdict with it but `compared`.
    """

    labels_sha256: str
    rows: int
    correct: int
    verdict: Word
    reasons: Sequence[str]
    scores: Record
    cost: Decimal
    against: UUID | None = None
    condition: str | None = None
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
        *("labels_sha256", "rows", "correct", "verdict", "reasons", "scores", "against", "cost", "condition"),
    ]
    values = (
        *(found.evaluation_id, uuid4(), run.run_id, run.case.name, pins.prompt_version, pins.prompt_hash, pins.model),
        *(pins.contract_hash, found.labels_sha256, found.rows, found.correct, found.verdict, list(found.reasons)),
        *(found.scores, found.against, found.cost, found.condition),
    )
    copy_rows(connection, tables.evaluation, names, [values])
    batch = uuid4()
    of_rows = ["evaluation_row_id", "batch", "run_id", "evaluation_id", "row_sha256", "inference_key", "verdict"]
    kept = ((uuid4(), batch, run.run_id, found.evaluation_id, *one) for one in rows)
    copy_rows(connection, tables.evaluation_row, of_rows, kept)


def newest(
    connection: Connection, use_case: str, prompt_hash: str, model: str, before: datetime | None = None
) -> Standing | None:
    """The newest evaluation that passed or failed a use case's prompt and model, or None.

    Those that a person has set aside are left out. With `before` it is the one that stood at that moment.
    """
    given = {"use_case": use_case, "prompt_hash": prompt_hash, "model": model, "stream": f"evaluation/{use_case}"}
    row = connection.execute(_NEWEST, {**given, "before": before}).first()
    return None if row is None else Standing(*row)


def set_aside(ledger: Database, use_case: str, evaluation_id: UUID, actor: str, reason: str) -> Standing | None:
    """Let an evaluation that judged no longer count, on record with who and why; returns the one that counts now.

    It stays in the ledger as it is. Raises ConfigurationError without a reason, where the use case has no such
    evaluation, where it judged nothing, and where it is set aside already.
    """
    about = f"evaluation {evaluation_id}"
    if not reason.strip():
        raise ConfigurationError("needs a reason, which is kept", about=about)
    with transaction(ledger) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"evaluation/{use_case}"})
        e = tables.evaluation.c
        query = select(e.prompt_hash, e.model, e.verdict, e.prompt_version)
        found = connection.execute(query.where(e.evaluation_id == evaluation_id, e.use_case == use_case)).first()
        if found is None:
            action = f"`nightledger evaluate {use_case} --list` shows those that there are"
            raise ConfigurationError(f"is none of {use_case}", about=about, action=action)
        if found.verdict not in JUDGED:
            raise ConfigurationError(f"holds no night: its verdict is {found.verdict!r}", about=about)
        if before := find_set_aside(connection, use_case, [evaluation_id]):
            by = before[evaluation_id]
            raise ConfigurationError(f"was set aside by {by.actor} at {by.at:%Y-%m-%d %H:%M} UTC", about=about)
        facts = {"evaluation_id": str(evaluation_id), "prompt_version": found.prompt_version, "model": found.model}
        said = {**facts, "prompt_hash": found.prompt_hash, "verdict": found.verdict, "reason": reason.strip()}
        record_event(connection, f"evaluation/{use_case}", "evaluation.set_aside", said, actor)
        return newest(connection, use_case, found.prompt_hash, found.model)


class SetAside(NamedTuple):
    """Who let an evaluation no longer count, when and why."""

    actor: str
    at: datetime
    reason: str


def find_set_aside(connection: Connection, use_case: str, ids: Collection[UUID]) -> dict[UUID, SetAside]:
    """Which of these evaluations no longer count."""
    given = {"stream": f"evaluation/{use_case}", "ids": [str(one) for one in ids]}
    return {
        UUID(row.evaluation_id): SetAside(row.actor, row.at, row.reason) for row in connection.execute(_ASIDE, given)
    }


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


def calls_of(ledger: Database, keys: Collection[str]) -> list[Call]:
    """Every call on record for these questions, by whichever run, oldest first."""
    with transaction(ledger) as connection:
        return [Call(*row) for row in connection.execute(_CALLS, {"keys": as_text(keys)})]


# The stream has one event for each evaluation that was set aside, so it is short.
_NEWEST = text("""
SELECT evaluation_id, recorded_at, verdict, rows, correct, reasons, run_id FROM nightledger.evaluation e
 WHERE use_case = :use_case AND prompt_hash = :prompt_hash AND model = :model AND verdict IN ('passed', 'failed')
   AND (CAST(:before AS timestamptz) IS NULL OR recorded_at < :before)
   AND NOT EXISTS (SELECT FROM nightledger.event v WHERE v.stream = :stream AND v.type = 'evaluation.set_aside'
                      AND v.details ->> 'evaluation_id' = e.evaluation_id::text
                      AND (CAST(:before AS timestamptz) IS NULL OR v.recorded_at < :before))
 ORDER BY recorded_at DESC LIMIT 1""")
_ASIDE = text("""
SELECT details ->> 'evaluation_id' AS evaluation_id, actor, recorded_at AS at, details ->> 'reason' AS reason
  FROM nightledger.event
 WHERE stream = :stream AND type = 'evaluation.set_aside' AND details ->> 'evaluation_id' = ANY (:ids)""")
# By key through its index, as `audit.find_answers` does and for the same reason.
_CALLS = text(
    """
SELECT wanted.key, i.inference_id, i.run_id, i.kind, r.outcome, r.cost, r.latency_ms
  FROM unnest(string_to_array(:keys, ',')) AS wanted (key)
 CROSS JOIN LATERAL (SELECT * FROM nightledger.inference WHERE inference_key = wanted.key OFFSET 0) i
 CROSS JOIN LATERAL (SELECT * FROM nightledger.inference_result WHERE inference_id = i.inference_id OFFSET 0) r
 ORDER BY i.recorded_at"""
)
