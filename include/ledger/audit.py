"""The inference part of the ledger: intents, results, and answers to reuse."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import Connection, and_, any_, func, select, text

from include.canonical import canonical
from include.database import Database, Statement, as_text, copy_rows, insertion, send, transaction
from include.ledger import tables
from include.models import Interval, Origin, Record, ReInfer
from include.personal import says_all, tokenise_all
from include.run import Run

CostBasis = Literal["reported", "estimated", "bounded", "none"]
_MANY = 200  # rows from which on COPY is the cheaper way in


@dataclass(frozen=True, slots=True)
class Intent:
    """A call that is about to leave; committed before it does (invariant I3). `by` is who is asked instead of a model.

    `claimed` is the key whose claim it goes under, where that is not its own.
    """

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
    by: Pins | None = None
    claimed: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one intent; times in milliseconds, cost in US dollars.

    `cost_basis` says how the cost is known: from the usage the vendor reported, estimated upward where it said nothing
    and may have billed, bounded where it said more than the request can have taken, none where it cannot have billed.
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
    cost_basis: CostBasis = "reported"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer under its content address; `inference_id` and `recorded_at` when read from the ledger."""

    inference_key: str
    output: Record
    origin: Origin
    inference_id: UUID | None = None
    recorded_at: datetime | None = None


@dataclass(frozen=True)
class Pins:
    """What one run asks with, the same for every row of it (invariant I7)."""

    prompt_version: str
    prompt_hash: str
    model: str
    parameters: Record
    contract_hash: str

    @cached_property
    def asked(self) -> str:
        """The part of every inference key that is the same for all rows, as canonical JSON: a list of four."""
        parameters = {name: value for name, value in self.parameters.items() if name != "token_limit"}
        # `token_limit` says under which name the same limit is sent
        return canonical([self.contract_hash, self.prompt_hash, self.model, parameters])


_INTENT = [
    "inference_id",
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
    rows = (
        (
            *(i.inference_id, batch, run.run_id, run.case.name),
            *(i.row_id, i.row_key, i.inference_key, *_who(i.by or pins)),
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
    if len(intents) > _MANY:
        copy_rows(connection, tables.inference, _INTENT, rows)
    else:
        send(connection, [insertion(tables.inference, _INTENT, rows)])


def _who(pins: Pins) -> tuple[str, str, str, Record]:
    return pins.prompt_version, pins.prompt_hash, pins.model, pins.parameters


def record_results(run: Run, results: Sequence[Result]) -> Statement:
    """Append a group of outcomes, personal values in what came back as tokens; one event seals the group."""
    batch, run_id, secret = uuid4(), run.run_id, run.settings.token_secret
    rows = (
        (
            *(r.inference_id, batch, run_id, r.outcome, tokenise_all(r.detail, secret), r.http_status),
            *(r.model_answered, r.provider_request_id, *_said(run, r)),
            *(getattr(r, name) for name in _RESULT[10:]),
        )
        for r in results
    )
    return insertion(tables.inference_result, _RESULT, rows)


def keep_answers(run: Run, pins: Pins, answers: Sequence[Answer]) -> Statement:
    """Make rules' answers reusable, personal values in them as tokens; a model's needs no more than its result."""
    rows = (
        (answer.inference_key, _kept(run, answer.output), answer.origin.value, run.run_id, pins.model)
        for answer in {answer.inference_key: answer for answer in answers}.values()
    )
    return insertion(tables.answer, ("inference_key", "output", "origin", "run_id", "model"), rows)


# A model's answer before a rule's, of the newest run that has one, and there the first: what came later to the same
# question (a hedge, a process that had lost it) has decided nothing.
# `OFFSET 0` keeps each look-up by its index: without statistics, which a new table has none of, whole tables are read.
_FIND = text(
    """
SELECT DISTINCT ON (wanted.key) wanted.key, a.output, a.origin, a.inference_id, a.recorded_at
  FROM unnest(string_to_array(:keys, ',')) AS wanted (key)
 CROSS JOIN LATERAL (
    SELECT nightledger.said(r.parsed, r.raw_text) AS output, 'model' AS origin, i.inference_id, r.recorded_at, i.run_id
      FROM (SELECT inference_id, run_id FROM nightledger.inference WHERE inference_key = wanted.key OFFSET 0) i
     CROSS JOIN LATERAL (SELECT * FROM nightledger.inference_result
                          WHERE inference_id = i.inference_id AND outcome = 'ok' OFFSET 0) r
     WHERE :re_infer <> 'all' OR i.run_id = :run_id
     UNION ALL
    SELECT output, 'rule', NULL, recorded_at, run_id
      FROM (SELECT * FROM nightledger.answer WHERE inference_key = wanted.key AND origin = 'rule' OFFSET 0) own
      JOIN nightledger.run u USING (run_id)
     WHERE run_id = :run_id OR :re_infer = 'none' AND (u.interval_start, u.interval_end) = (:starts, :ends)) a
 WHERE a.output IS NOT NULL
 ORDER BY wanted.key, a.origin = 'model' DESC,
          max(a.recorded_at) OVER (PARTITION BY wanted.key, a.origin, a.run_id) DESC, a.recorded_at"""
)


def _said(run: Run, result: Result) -> tuple[str | None, Record | None]:
    """A model's words and its answer as they are kept.

    An answer whose texts all stand in words that hold nothing to hide is not looked through once more.
    """
    words = tokenise_all(result.raw_text, run.settings.token_secret)
    if words and words == result.raw_text and says_all(words, result.parsed):
        return words, result.parsed
    return words, _kept(run, result.parsed)


def _kept(run: Run, answer: Record | None) -> Record | None:
    """An answer as it is kept, and so delivered; its declared `answers_personal` fields stay as the model gave them."""
    if answer is None:
        return None
    plain, secret = run.case.answers_personal, run.settings.token_secret
    return {name: value if name in plain else tokenise_all(value, secret, name) for name, value in answer.items()}


def find_answers(ledger: Database, run: Run, keys: Collection[str]) -> dict[str, Answer]:
    """Answers on record that this run may reuse, by inference key.

    A model's answer holds for ever; a rule's only for its own interval, so that the next night asks again.
    `re_infer` narrows it: `failed` ignores rules' answers, `all` takes only what this very run has asked already.
    """
    when = {"starts": run.interval.start, "ends": run.interval.end}
    wanted = {"keys": as_text(keys), "run_id": run.run_id, "re_infer": run.options.re_infer.value, **when}
    with transaction(ledger) as connection:
        rows = connection.execute(_FIND, wanted).all()
    return {row[0]: Answer(row[0], row[1], Origin(row[2]), row[3], row[4]) for row in rows}


def find_dead(ledger: Database, run: Run, keys: Collection[str]) -> dict[str, tuple[str, str]]:
    """Cause and detail of open dead letters of this interval, by inference key: these are not asked again unasked."""
    d = tables.dead_letter.c
    query = select(d.inference_key, d.cause, d.detail).where(
        d.inference_key == any_(func.string_to_array(as_text(keys), ",")),
        d.stage == "enrich",
        d.status == "open",
        _same_interval(d, run.interval),
    )
    if run.options.re_infer is not ReInfer.NONE:
        query = query.where(d.run_id == run.run_id)
    with transaction(ledger) as connection:
        return {row[0]: (row[1], row[2]) for row in connection.execute(query)}


def _same_interval(columns: Any, interval: Interval) -> Any:
    return and_(columns.interval_start == interval.start, columns.interval_end == interval.end)
