"""The inference part of the ledger: intents, results, and answers to reuse."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, and_, func, or_, select, text

from include.ledger import tables
from include.ledger.database import copy_rows, to_json, transaction
from include.models import Interval, Origin, Record, ReInfer
from include.night import Run
from include.personal import tokenise_all

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Intent:
    """A call that is about to leave; committed before it does (invariant I3)."""

    inference_id: UUID
    row_id: str
    row_key: str
    inference_key: str
    messages: Sequence[Record]
    kind: str
    attempt: int
    tokens_estimated: int
    cost_reserved: Decimal
    batch_job_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one intent; times in milliseconds, cost in US dollars.

    `cost_basis` says how the cost is known: from the usage the vendor reported, estimated upward where it said nothing
    and may have billed, or none where it cannot have billed.
    """

    inference_id: UUID
    outcome: str
    detail: str | None
    http_status: int | None
    model_answered: str | None
    provider_request_id: str | None
    raw_text: str | None
    parsed: Record | None
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    cost: Decimal
    price_dated: str
    latency_ms: int
    queue_ms: int
    cost_basis: Literal["reported", "estimated", "none"] = "reported"


@dataclass(frozen=True, slots=True)
class Answer:
    """An accepted answer under its content address; `recorded_at` when read from the ledger."""

    inference_key: str
    input_sha256: str
    output: Record
    origin: Origin
    inference_id: UUID | None
    recorded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pins:
    """What one run asks with, the same for every row of it (invariant I7)."""

    prompt_version: str
    prompt_hash: str
    model: str
    parameters: Record
    contract_hash: str


_INTENT = [
    "inference_id",
    "stream",
    "batch",
    "run_id",
    "use_case",
    "row_id",
    "row_key",
    "inference_key",
    "prompt_version",
    "prompt_hash",
    "model",
    "parameters",
    "messages",
    "kind",
    "attempt",
    "tokens_estimated",
    "cost_reserved",
    "batch_job_id",
]
_RESULT = [
    "inference_id",
    "stream",
    "batch",
    "run_id",
    "outcome",
    "detail",
    "http_status",
    "model_answered",
    "provider_request_id",
    "raw_text",
    "parsed",
    "tokens_in",
    "tokens_out",
    "tokens_cached",
    "cost",
    "price_dated",
    "latency_ms",
    "queue_ms",
    "cost_basis",
]


def record_intents(connection: Connection, run: Run, pins: Pins, intents: Sequence[Intent]) -> None:
    """Append a group of intents, personal values in their messages as tokens; one event seals the group."""
    batch, secret = uuid4(), run.settings.token_secret
    shared = (pins.prompt_version, pins.prompt_hash, pins.model, pins.parameters)
    rows = (
        (
            *(i.inference_id, run.run_id, batch, run.run_id, run.case.name),
            *(i.row_id, i.row_key, i.inference_key, *shared),
            *(
                tokenise_all(list(i.messages), secret),
                i.kind,
                i.attempt,
                i.tokens_estimated,
                i.cost_reserved,
                i.batch_job_id,
            ),
        )
        for i in intents
    )
    copy_rows(connection, tables.inference, _INTENT, rows)


def record_results(connection: Connection, run: Run, results: Sequence[Result]) -> None:
    """Append a group of outcomes, personal values in what came back as tokens; one event seals the group."""
    batch, run_id, secret = uuid4(), run.run_id, run.settings.token_secret
    rows = (
        (
            *(r.inference_id, run_id, batch, run_id, r.outcome, tokenise_all(r.detail, secret), r.http_status),
            *(r.model_answered, r.provider_request_id, tokenise_all(r.raw_text, secret), _kept(run, r.parsed)),
            *(getattr(r, name) for name in _RESULT[11:]),
        )
        for r in results
    )
    copy_rows(connection, tables.inference_result, _RESULT, rows)


def keep_answers(connection: Connection, run: Run, pins: Pins, answers: Sequence[Answer]) -> None:
    """Make answers reusable, personal values in them as tokens; a rule's answer never replaces a model's."""
    own = [
        {
            "inference_key": a.inference_key,
            "input_sha256": a.input_sha256,
            "output": _kept(run, a.output),
            "origin": a.origin.value,
            "inference_id": str(a.inference_id) if a.inference_id else None,
        }
        for a in {answer.inference_key: answer for answer in answers}.values()
    ]
    shared = {
        "use_case": run.case.name,
        "starts": run.interval.start,
        "ends": run.interval.end,
        "run_id": run.run_id,
        "model": pins.model,
        "prompt_version": pins.prompt_version,
        "contract_hash": pins.contract_hash,
    }
    connection.execute(_KEEP, {**shared, "own": to_json(own)})


# One statement for the whole group: a row of parameters for each answer would cost more than the call's own record.
_KEEP = text(
    """
INSERT INTO nightledger.answer AS held (inference_key, use_case, input_sha256, output, origin, interval_start,
       interval_end, inference_id, run_id, model, prompt_version, contract_hash)
SELECT inference_key, :use_case, input_sha256, output, origin, :starts, :ends, inference_id, :run_id, :model,
       :prompt_version, :contract_hash
  FROM jsonb_to_recordset(CAST(:own AS jsonb))
       AS own(inference_key text, input_sha256 text, output jsonb, origin text, inference_id uuid)
 ORDER BY inference_key
    ON CONFLICT (inference_key) DO UPDATE SET
       use_case = excluded.use_case, input_sha256 = excluded.input_sha256, output = excluded.output,
       origin = excluded.origin, interval_start = excluded.interval_start, interval_end = excluded.interval_end,
       inference_id = excluded.inference_id, run_id = excluded.run_id, model = excluded.model,
       prompt_version = excluded.prompt_version, contract_hash = excluded.contract_hash,
       recorded_at = clock_timestamp()
 WHERE excluded.origin = 'model' OR held.origin = 'rule'"""
)


def _kept(run: Run, answer: Record | None) -> Record | None:
    """An answer as it is kept, and so delivered; its declared `answers_personal` fields stay as the model gave them."""
    if answer is None:
        return None
    plain, secret = run.case.answers_personal, run.settings.token_secret
    return {name: value if name in plain else tokenise_all(value, secret, name) for name, value in answer.items()}


def find_answers(engine: Engine, run: Run, keys: Collection[str]) -> dict[str, Answer]:
    """Answers on record that this run may reuse, by inference key.

    A model's answer holds for ever; a rule's only for its own interval, so that the next night asks again.
    `re_infer` narrows it: `failed` ignores rules' answers, `all` takes only what this very run has asked already.
    """
    a = tables.answer.c
    by_model, by_rule_here = a.origin == "model", and_(a.origin == "rule", _same_interval(a, run.interval))
    allowed = {
        ReInfer.NONE: or_(by_model, by_rule_here),
        ReInfer.FAILED: or_(by_model, a.run_id == run.run_id),
        ReInfer.ALL: a.run_id == run.run_id,
    }[run.options.re_infer]
    query = select(a.inference_key, a.input_sha256, a.output, a.origin, a.inference_id, a.recorded_at)
    with transaction(engine) as connection:
        rows = connection.execute(query.where(a.inference_key.in_(list(keys)), allowed)).all()
    return {row[0]: Answer(row[0], row[1], row[2], Origin(row[3]), row[4], row[5]) for row in rows}


def find_dead(engine: Engine, run: Run, keys: Collection[str]) -> dict[str, tuple[str, str]]:
    """Cause and detail of open dead letters of this interval, by inference key: these are not asked again unasked."""
    d = tables.dead_letter.c
    query = select(d.inference_key, d.cause, d.detail).where(
        d.inference_key.in_(list(keys)), d.stage == "enrich", d.status == "open", _same_interval(d, run.interval)
    )
    if run.options.re_infer is not ReInfer.NONE:
        query = query.where(d.run_id == run.run_id)
    with transaction(engine) as connection:
        return {row[0]: (row[1], row[2]) for row in connection.execute(query)}


@contextmanager
def exclusive(engine: Engine, name: str) -> Iterator[None]:
    """Hold a named lock of the whole ledger while the block runs; released by PostgreSQL if this process dies."""
    key = func.hashtextextended(f"nightledger/{name}", 0)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        waited = 0
        while not connection.scalar(select(func.pg_try_advisory_lock(key))):
            if waited % 30 == 0:
                log.info("another run uses %s; waiting", name)
            time.sleep(1)
            waited += 1
        try:
            yield
        finally:
            connection.execute(select(func.pg_advisory_unlock(key)))


def _same_interval(columns: Any, interval: Interval) -> Any:
    return and_(columns.interval_start == interval.start, columns.interval_end == interval.end)
