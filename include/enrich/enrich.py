"""The enrich stage: reuse what is on record, ask the rest, and give every row an answer or an outcome."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import select

from include.enrich.answering import CHUNK_ROWS, Answering, letter_of, prepare, take
from include.enrich.plan import Item, hold_to_input, make_item, pin
from include.enrich.prompt import load_prompt
from include.enrich.shards import require_engine, shard_name
from include.errors import ConfigurationError
from include.gate.schema import ENRICHED
from include.ledger import audit, tables
from include.ledger.audit import Answer, Pins
from include.ledger.database import transaction
from include.ledger.record import RowOutcome, bury, record_event, record_manifest, record_outcomes
from include.models import Manifest, Outcome, Record
from include.night import Night, Run
from include.staging import StagedWriter, part_of, read_rows

log = logging.getLogger(__name__)


def enrich(night: Night, good: Manifest) -> Manifest:
    """Answer every row of `good`, or of the shard it stands for; returns the dataset of rows that have an answer.

    Rows without one are dead letters or deferred in the ledger. Safe to run again: answers already committed are
    reused, so a retry after kill -9 asks again at most what was in flight.
    """
    started = time.monotonic()
    require_engine(night, good.rows)
    prompt = load_prompt(night.case)
    pins = pin(night, prompt)
    _hold_to_run(night, pins)
    system = night.system(night.case.model.system)
    answering = prepare(night, system, night.connections.model(system.connection), prompt, pins, part_of(good)[1])
    answering.ask(_items(night, pins, good))
    with transaction(night.ledger) as connection:
        planned = {name[8:]: number for name, number in answering.counts.items() if name.startswith("planned_")}
        record_event(connection, night.run_id, "enrich.planned", planned)
    manifest = _collect(night, pins, good, answering, started)
    record_manifest(night.ledger, manifest)
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "enrich.completed", dict(manifest.facts))
    return manifest


def _items(run: Run, pins: Pins, good: Manifest) -> Iterator[Item]:
    return (make_item(run, pins, row) for row in read_rows(good, rows=run.settings.chunk_rows))


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


def _collect(night: Night, pins: Pins, good: Manifest, answering: Answering, started: float) -> Manifest:
    """Read back from the ledger what every row got: the dataset of answers, and outcomes for the rest."""
    counts = answering.counts
    counts["reused"] = counts["planned_reused"]
    items = _items(night, pins, good)
    name = shard_name(good)
    with StagedWriter(night.path(f"{name}.parquet"), ENRICHED, rows_per_group=night.settings.chunk_rows) as writer:
        while chunk := take(items, CHUNK_ROWS):
            answers = audit.find_answers(night.ledger, night, {item.inference_key for item in chunk})
            for item in chunk:
                if item.inference_key in answers:
                    hold_to_input(answers[item.inference_key], item)
                    writer.append(_row(item, answers[item.inference_key], answering.began))
            unanswered = [item for item in chunk if item.inference_key not in answers]
            counts.update(_conclude(night, unanswered, answering.why_deferred))
            counts["answered_rows"] += len(chunk) - len(unanswered)
    return writer.manifest(night.run_id, name, {**counts, "seconds": round(time.monotonic() - started, 1)})


def _conclude(night: Night, unanswered: Sequence[Item], why_deferred: str) -> dict[str, int]:
    """Outcomes of rows without an answer: a dead letter like the one of their key, or deferred to the next night."""
    dead = audit.find_dead(night.ledger, night, {item.inference_key for item in unanswered})
    lost = [item for item in unanswered if item.inference_key in dead]
    later = [item for item in unanswered if item.inference_key not in dead]
    letters = [letter_of(item, *dead[item.inference_key], 0) for item in lost]
    with transaction(night.ledger) as connection:
        bury(connection, night, "enrich", letters, system=night.case.model.system)
        record_outcomes(connection, night.run_id, [_deferred(item, why_deferred) for item in later])
    return {"dead_letter": len(lost), "deferred_rows": len(later)}


def _row(item: Item, answer: Answer, began: datetime) -> Record:
    return {
        "row_id": item.row_id,
        "row_key": item.row_key,
        "lineage": item.lineage,
        "inference_key": item.inference_key,
        "inference_id": str(answer.inference_id) if answer.inference_id else None,
        "origin": answer.origin.value,
        "reused": answer.recorded_at is not None and answer.recorded_at < began,
        "output": json.dumps(answer.output, ensure_ascii=False, sort_keys=True),
        "confidence": answer.output.get("confidence"),
        "input": json.dumps(item.seen, ensure_ascii=False, sort_keys=True, default=str),
    }


def _deferred(item: Item, reason: str) -> RowOutcome:
    lineage: Record = json.loads(item.lineage)
    return RowOutcome(item.row_id, item.row_key, Outcome.DEFERRED, "enrich", reason, lineage, item.inference_key)
