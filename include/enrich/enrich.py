"""The enrich stage: reuse what is on record, ask the rest, and give every row an answer or an outcome."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ValidationError
from sqlalchemy import select

from include.enrich.budget import Budget
from include.enrich.client import ModelClient
from include.enrich.engine import Engine, Settled
from include.enrich.journal import Entry, Journal
from include.enrich.limiter import ProcessLimiter
from include.enrich.plan import (
    Item,
    Question,
    context_size,
    estimate_tokens,
    group,
    hold_to_input,
    make_item,
    pin,
    response_format,
)
from include.enrich.prices import find_price
from include.enrich.prompt import Prompt, load_prompt
from include.errors import ConfigurationError
from include.gate.schema import ENRICHED
from include.ledger import audit, tables
from include.ledger.audit import Answer, Intent, Pins
from include.ledger.database import transaction
from include.ledger.record import (
    DeadLetter,
    RowOutcome,
    bury,
    note_progress,
    record_event,
    record_manifest,
    record_outcomes,
)
from include.models import Manifest, Origin, Outcome, Record
from include.night import Night
from include.staging import StagedWriter, read_chunks

log = logging.getLogger(__name__)
PROGRESS_SECONDS = 5.0
_CAUSES = {
    "unavailable": "model_unavailable",
    "invalid": "invalid_output",
    "empty": "empty_output",
    "refused": "refused",
    "rejected": "rejected_by_model",
    "too_large": "prompt_too_large",
}


@dataclass
class _Work:
    """What the chunks of one run share."""

    night: Night
    prompt: Prompt
    pins: Pins
    output: type[BaseModel]
    writer: StagedWriter
    counts: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)
    said: float = 0.0


def enrich(night: Night, good: Manifest) -> Manifest:
    """Answer every row of `good`; returns the dataset `enriched`, which holds the rows that have an answer.

    Rows without one are dead letters or deferred in the ledger. Safe to run again: answers already committed are
    reused, so a retry after kill -9 asks again at most what was in flight.
    """
    prompt = load_prompt(night.case)
    work_pins = pin(night, prompt)
    _hold_to_run(night, work_pins)
    output: type[BaseModel] = night.case.module("output").Output
    with (
        audit.exclusive(night.ledger, f"model/{night.system(night.case.model.system).connection}"),
        StagedWriter(night.path("enriched.parquet"), ENRICHED, rows_per_group=night.settings.chunk_rows) as writer,
    ):
        work = _Work(night, prompt, work_pins, output, writer)
        asyncio.run(_enrich_all(work, good))
    facts = {**work.counts, "seconds": round(time.monotonic() - work.started, 1)}
    manifest = writer.manifest(night.run_id, "enriched", facts)
    record_manifest(night.ledger, manifest)
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "enrich.completed", facts)
    return manifest


def _hold_to_run(night: Night, pins: Pins) -> None:
    """Raise ConfigurationError if prompt, contract or model changed since the run was opened (invariant I7)."""
    run = tables.run.c
    query = select(run.prompt_hash, run.contract_hash, run.model).where(run.run_id == night.run_id)
    with transaction(night.ledger) as connection:
        opened = connection.execute(query).one()
    if tuple(opened) != (pins.prompt_hash, pins.contract_hash, pins.model):
        raise ConfigurationError(
            "prompt, contract or model changed since this run was opened; one run uses one version",
            system="enrich",
            about=night.run_id,
            action="Clear the run from the extract task on, which opens a new attempt",
        )


async def _enrich_all(work: _Work, good: Manifest) -> None:
    night, case = work.night, work.night.case
    system = night.system(case.model.system)
    endpoint = night.connections.model(system.connection)
    concurrency = night.settings.concurrency
    request = {
        "model": work.pins.model,
        **case.model.parameters,
        "max_completion_tokens": case.model.max_output_tokens,
        "response_format": response_format(case.name, work.output),
    }
    async with (
        ModelClient(endpoint, timeout=system.timeout_seconds, connections=concurrency) as client,
        Journal(lambda entries: _commit(work, entries)) as journal,
    ):
        engine = Engine(
            client=client,
            journal=journal,
            limiter=ProcessLimiter(system.limits),
            budget=Budget(case.cost_ceiling_usd, audit.spent(night.ledger, night.run_id)),
            price=find_price(work.pins.model),
            output=work.output,
            system_text=work.prompt.system,
            stricter=work.prompt.stricter,
            request=request,
            context=context_size(night),
            max_output=case.model.max_output_tokens,
            reasks=case.model.reasks,
            concurrency=concurrency,
        )
        for batch in read_chunks(good, rows=night.settings.chunk_rows):
            items = [make_item(night, work.pins, row) for row in batch.to_pylist()]
            await _enrich_chunk(work, engine, items, good.rows)
    _say_progress(work, engine, good.rows, always=True)


async def _enrich_chunk(work: _Work, engine: Engine, items: list[Item], total: int) -> None:
    groups = group(items)
    answers = await asyncio.to_thread(audit.find_answers, work.night.ledger, work.night, groups.keys())
    dead = await asyncio.to_thread(audit.find_dead, work.night.ledger, work.night, groups.keys() - answers.keys())
    questions: list[Question] = []
    for key, rows in groups.items():
        if key in answers:
            hold_to_input(answers[key], rows[0])
            _emit(work, rows, answers[key], reused=True)
            work.counts["reused"] += len(rows)
        elif key not in dead:
            message = work.prompt.render(rows[0].seen)
            questions.append(Question(rows, message, estimate_tokens(work.prompt.system, message)))
    plan = {
        "rows": len(items),
        "reused": sum(len(groups[key]) for key in answers),
        "dead_before": sum(len(groups[key]) for key in dead),
        "to_ask": len(questions),
        "identical": sum(len(question.items) - 1 for question in questions),
    }
    with transaction(work.night.ledger) as connection:
        record_event(connection, work.night.run_id, "enrich.planned", plan)
    log.info("plan: %s", plan)
    ended: list[Settled] = []

    def settle(settled: Settled) -> None:
        ended.append(settled)
        work.counts[settled.ending] += len(settled.question.items)
        _say_progress(work, engine, total)

    await engine.ask_all(questions, settle)
    await asyncio.to_thread(_conclude, work, ended, [(groups[key], *dead[key]) for key in dead])


def _conclude(work: _Work, ended: Sequence[Settled], dead_before: Sequence[tuple[list[Item], str, str]]) -> None:
    """Write the chunk's answers to the dataset and the other endings to the ledger, in one transaction."""
    lost: list[tuple[Item, str, str, int]] = []
    deferred: list[tuple[Item, str]] = []
    rules: list[Answer] = []
    for settled in ended:
        item, rows = settled.question.item, settled.question.items
        if settled.ending == "answered" and settled.output is not None:
            answer = Answer(item.inference_key, item.input_sha256, settled.output, Origin.MODEL, settled.inference_id)
            _emit(work, rows, answer, reused=False)
        elif settled.ending == "deferred":
            deferred += [(row, settled.detail) for row in rows]
        elif (answer_by_rule := _fall_back(work, settled)) is not None:
            rules.append(answer_by_rule)
            _emit(work, rows, answer_by_rule, reused=False)
            work.counts["fallback"] += len(rows)
        else:
            lost += [(row, _CAUSES[settled.ending], settled.detail, settled.tries) for row in rows]
    for rows, cause, detail in dead_before:
        lost += [(row, cause, f"{detail} (in an earlier attempt; not asked again)", 0) for row in rows]
    work.counts.update({"dead_letter": len(lost), "deferred": 0})
    with transaction(work.night.ledger) as connection:
        if rules:
            audit.keep_answers(connection, work.night, work.pins, rules)
        bury(connection, work.night, "enrich", [_letter(*one) for one in lost])
        record_outcomes(connection, work.night.run_id, [_deferred(item, reason) for item, reason in deferred])


def _fall_back(work: _Work, settled: Settled) -> Answer | None:
    """The rule's answer where the failure plan wants one and the rule can give it, else None."""
    plan = work.night.case.failure_plan
    kind: Literal["unavailable", "invalid", "refused"] = (
        "unavailable" if settled.ending == "unavailable" else "refused" if settled.ending == "refused" else "invalid"
    )
    if getattr(plan, kind) != "fallback":
        return None
    item = settled.question.item
    proposed = work.night.case.module("fallback").answer(item.seen)
    if proposed is None:
        return None
    try:
        output = work.output.model_validate(proposed).model_dump(mode="json")
    except ValidationError as error:
        raise ConfigurationError(
            "fallback.answer() does not fit the output model", about=work.night.case.name
        ) from error
    return Answer(item.inference_key, item.input_sha256, output, Origin.RULE, None)


def _emit(work: _Work, rows: Iterable[Item], answer: Answer, *, reused: bool) -> None:
    """Add the answered rows to the dataset."""
    for item in rows:
        work.writer.append(
            {
                "row_id": item.row_id,
                "row_key": item.row_key,
                "lineage": item.lineage,
                "inference_key": item.inference_key,
                "inference_id": str(answer.inference_id) if answer.inference_id else None,
                "origin": answer.origin.value,
                "reused": reused,
                "output": json.dumps(answer.output, ensure_ascii=False, sort_keys=True),
                "confidence": answer.output.get("confidence"),
                "input": json.dumps(item.seen, ensure_ascii=False, sort_keys=True, default=str),
            }
        )
        work.counts["answered_rows"] += 1


def _letter(item: Item, cause: str, detail: str, tries: int) -> DeadLetter:
    lineage: Record = json.loads(item.lineage)
    return DeadLetter(item.row_id, item.row_key, cause, detail, item.inference_key, lineage, item.seen, tries)


def _deferred(item: Item, reason: str) -> RowOutcome:
    lineage: Record = json.loads(item.lineage)
    return RowOutcome(item.row_id, item.row_key, Outcome.DEFERRED, "enrich", reason, lineage, item.inference_key)


def _commit(work: _Work, entries: Sequence[Entry]) -> None:
    """One transaction for a group of intents, results and answers."""
    intents = [entry for entry in entries if isinstance(entry, Intent)]
    results = [entry for entry in entries if not isinstance(entry, Intent)]
    answers = [answer for _, answer in results if answer is not None]
    with transaction(work.night.ledger) as connection:
        if intents:
            audit.record_intents(connection, work.night, work.pins, intents)
        if results:
            audit.record_results(connection, work.night, [result for result, _ in results])
        if answers:
            audit.keep_answers(connection, work.night, work.pins, answers)


def _say_progress(work: _Work, engine: Engine, total: int, *, always: bool = False) -> None:
    """Every few seconds, one line in the task's log and the same in the ledger."""
    now = time.monotonic()
    if not always and now - work.said < PROGRESS_SECONDS:
        return
    work.said = now
    seconds = now - work.started
    facts = {**work.counts, **engine.counts, "rows": total, "spent_usd": str(engine.budget.spent)}
    facts["calls_per_minute"] = round(engine.counts["calls"] / seconds * 60) if seconds > 1 else engine.counts["calls"]
    log.info("progress: %s", facts)
    note_progress(work.night.ledger, work.night.run_id, "enrich", facts)
