"""The enrich stage: reuse what is on record, ask the rest, and give every row an answer or an outcome."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from include.enrich.answering import CHUNK_ROWS, Answering, letter_of, prepare, take
from include.enrich.batch import Batching, run_to_the_end
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


@dataclass
class Work:
    """One shard's enrichment, begun."""

    night: Night
    good: Manifest
    answering: Answering
    started: float

    def items(self) -> Iterator[Item]:
        """The shard's rows, as the model is asked about them."""
        return _items(self.night, self.answering.pins, self.good)

    def batching(self) -> Batching:
        """The same work through the provider's batch API."""
        return Batching(self.answering, int(self.good.facts.get("shard", 0)), self.items)

    def finish(self) -> Manifest:
        """Read back what every row got, and put the dataset of answers on record."""
        night, manifest = self.night, _collect(self)
        record_manifest(night.ledger, manifest)
        with transaction(night.ledger) as connection:
            planned = {k[8:]: n for k, n in self.answering.counts.items() if k.startswith("planned_")}
            record_event(connection, night.run_id, "enrich.planned", planned)
            record_event(connection, night.run_id, "enrich.completed", dict(manifest.facts))
        return manifest


def begin(night: Night, good: Manifest) -> Work:
    """Open the work on a dataset or shard; raises ConfigurationError where the run may not go on."""
    require_engine(night, good.rows)
    prompt = load_prompt(night.case)
    pins = pin(night, prompt)
    _hold_to_run(night, pins)
    system = night.system(night.case.model.system)
    answering = prepare(night, system, night.connections.model(system.connection), prompt, pins, part_of(good)[1])
    return Work(night, good, answering, time.monotonic())


def enrich(night: Night, good: Manifest) -> Manifest:
    """Answer every row of `good`, or of the shard it stands for; returns the dataset of rows that have an answer.

    Rows without one are dead letters or deferred in the ledger. Safe to run again: answers already committed are
    reused, so a retry after kill -9 asks again at most what was in flight.
    """
    work = begin(night, good)
    if night.engine == "batch":
        run_to_the_end(work.batching())
    else:
        work.answering.ask(work.items())
    return work.finish()


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


def _collect(work: Work) -> Manifest:
    night, answering, counts = work.night, work.answering, work.answering.counts
    name, items = shard_name(work.good), work.items()
    began = first_asked(night, work.good) or answering.began
    with StagedWriter(night.path(f"{name}.parquet"), ENRICHED, rows_per_group=night.settings.chunk_rows) as writer:
        while chunk := take(items, CHUNK_ROWS):
            answers = audit.find_answers(night.ledger, night, {item.inference_key for item in chunk})
            for item in chunk:
                if item.inference_key in answers:
                    hold_to_input(answers[item.inference_key], item)
                    row = _row(item, answers[item.inference_key], began)
                    counts["reused"] += row["reused"]
                    writer.append(row)
            unanswered = [item for item in chunk if item.inference_key not in answers]
            counts.update(_conclude(night, unanswered, answering.why_deferred))
            counts["answered_rows"] += len(chunk) - len(unanswered)
    seconds = round(time.monotonic() - work.started, 1)
    return writer.manifest(night.run_id, name, {**counts, "seconds": seconds})


def first_asked(night: Night, good: Manifest) -> datetime | None:
    """When the shard's first batch was put on record; the task that asked may have ended long ago."""
    b = tables.batch_job.c
    mine = (b.run_id == night.run_id) & (b.shard == int(good.facts.get("shard", 0)))
    with transaction(night.ledger) as connection:
        first: datetime | None = connection.scalar(select(func.min(b.recorded_at)).where(mine))
    return first


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
