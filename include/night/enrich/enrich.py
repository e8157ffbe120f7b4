"""The enrich stage: reuse what is on record, ask the rest, and give every row an answer or an outcome."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from include.database import transaction
from include.errors import ConfigurationError, QuotaUsedUp
from include.ledger import audit, tables
from include.ledger.audit import Answer, Pins
from include.ledger.record import RowOutcome, bury, record_event, record_manifest, record_outcomes
from include.models import Manifest, Origin, Outcome, Record
from include.night.datasets import ENRICHED
from include.night.enrich.answering import CHUNK_ROWS, NOT_ASKED, Answering, letter_of, prepare, take
from include.night.enrich.batch import Batching
from include.night.enrich.dispatch import DOWN
from include.night.enrich.evaluated import hold_to_evaluation
from include.night.enrich.local import Deciding, only
from include.night.enrich.questions import Item, make_item, pin
from include.night.enrich.unasked import UNDECIDED, end_unasked
from include.night.shards import require_asking, shard_name
from include.run import Night
from include.spec.classes import hold_to_classes
from include.spec.prompt import Prompt, load_prompt
from include.staging import StagedWriter, part_of, read_rows
from include.systems.registry import read_systems

log = logging.getLogger(__name__)


@dataclass
class Work:
    """One shard's enrichment, begun; `chain` is the pinned model and those that take over while it cannot answer.

    `deciding` is the engine that decides before anybody is asked, where the use case has one. Without a model the chain
    is empty.
    """

    night: Night
    good: Manifest
    chain: list[Answering]
    started: float
    deciding: Deciding | None = None

    @property
    def answering(self) -> Answering:
        """The work with the pinned model."""
        return self.chain[0]

    def is_batched(self, asking: str) -> bool:
        """Whether it goes through the provider's batch API."""
        return bool(self.chain) and asking == "batch"

    def items(self) -> Iterator[Item]:
        """The shard's rows that nobody has decided in the process, as the pinned model is asked about them."""
        if self.deciding is None:
            yield from (make_item(self.night, self.answering.pins, row) for row in self._rows())
            return
        for chunk in Work(self.night, self.good, [], self.started, self.deciding).found():
            yield from (make_item(self.night, self.answering.pins, one.row) for one in chunk if one.answer is None)

    def ask(self) -> None:
        """Let the fitted model decide, then ask the pinned one, then the next one where a model is down or used up.

        Raises QuotaUsedUp where no model comes next.
        """
        self.decide()
        if not self.chain:
            engine = only(self.deciding)
            end_unasked(self.night, engine.pins, self._open_items(engine.pins))
        for place, answering in enumerate(self.chain):
            why = DOWN
            try:
                answering.ask(self.items() if place == 0 else self._open_items(answering.pins, place))
            except QuotaUsedUp as error:
                if not answering.has_next:
                    raise
                why = error.problem
            else:
                if not answering.given_up:
                    return
            self._fail_over(place, why)

    def decide(self) -> None:
        """Put on record what is decided in the process, if anything is."""
        if self.deciding is not None:
            self.deciding.decide(self._rows())

    def batching(self) -> Batching:
        """The same work through the provider's batch API."""
        return Batching(self.answering, int(self.good.facts.get("shard", 0)), self.items)

    def finish(self) -> Manifest:
        """Read back what every row got, and put the dataset of answers on record."""
        night, manifest = self.night, _collect(self)
        record_manifest(night.ledger, manifest)
        with transaction(night.ledger) as connection:
            for answering in self.chain[:1]:
                planned = {k[8:]: n for k, n in answering.counts.items() if k.startswith("planned_")}
                record_event(connection, night.run_id, "enrich.planned", planned)
            if self.deciding is not None:
                said = {"model": self.deciding.pins.model, **self.deciding.counts}
                record_event(connection, night.run_id, "enrich.decided", said)
            record_event(connection, night.run_id, "enrich.completed", dict(manifest.facts))
        return manifest

    def found(self) -> Iterator[list[Found]]:
        """What every row has on record so far, in chunks: the first answer of the chain, or an ending."""
        rows = self._rows()
        while chunk := take(rows, CHUNK_ROWS):
            every = ([self.deciding.pins] if self.deciding else []) + [one.pins for one in self.chain]
            open_rows = [Found(make_item(self.night, every[0], row), row) for row in chunk]
            for place, pins in enumerate(every):
                waiting = [one for one in open_rows if one.answer is None and one.dead is None]
                for one in waiting if place else ():
                    one.item = make_item(self.night, pins, one.row)
                keys = {one.item.inference_key for one in waiting}
                answers = audit.find_answers(self.night.ledger, self.night, keys)
                dead = audit.find_dead(self.night.ledger, self.night, keys - answers.keys())
                for one in waiting:
                    one.answer, one.dead = answers.get(one.item.inference_key), dead.get(one.item.inference_key)
                    one.decided = place == 0 and self.deciding is not None and _is_of_a_model(one.answer)
            yield open_rows

    def _open_items(self, pins: Pins, place: int = 0) -> Iterator[Item]:
        """The rows that have neither an answer nor an ending by those before `place`, as somebody else sees them."""
        for chunk in Work(self.night, self.good, self.chain[:place], self.started, self.deciding).found():
            for one in chunk:
                if one.answer is None and one.dead is None:
                    yield make_item(self.night, pins, one.row)

    def _rows(self) -> Iterator[Record]:
        return read_rows(self.good, rows=self.night.settings.chunk_rows)

    def _fail_over(self, place: int, why: str) -> None:
        """Put on record that the next model takes over, from which one and why, and how many rows are open."""
        failed, following = (self.chain[at].pins.model for at in (place, place + 1))
        left = sum(1 for _ in self._open_items(self.chain[place + 1].pins, place + 1))
        said = {"from": failed, "to": following, "rows": left, "why": why}
        log.warning("%s gives way to %s for %d rows: %s", failed, following, said["rows"], why)
        with transaction(self.night.ledger) as connection:
            record_event(connection, self.night.run_id, "enrich.failed_over", said)


@dataclass
class Found:
    """A row with what is on record for it; `item` is the row as the model was asked that answered it.

    `decided` says that it was the engine.
    """

    item: Item
    row: Record
    answer: Answer | None = None
    dead: tuple[str, str] | None = None
    decided: bool = False


def begin(night: Night, good: Manifest) -> Work:
    """Open the work on a dataset or shard; raises ConfigurationError where the run may not go on."""
    require_asking(night, good.rows)
    choice, rows, prompt = night.case.model, part_of(good)[1], load_prompt(night.case)
    _hold_to_run(night, prompt)
    hold_to_evaluation(night, prompt)
    if choice is None:
        return Work(night, good, [], time.monotonic(), only(Deciding.open(night)))
    hold_to_classes(night.case, read_systems(night.settings.systems_file))
    chain = []
    for system_name, model in [(choice.system, None), *((one.system, one.name) for one in choice.failover)]:
        system = night.system(system_name)
        pins = pin(night, prompt, system, model)
        endpoint = night.connections.open("model", system.connection)
        chain.append(prepare(night, system, endpoint, prompt, pins, rows))
    for answering in chain:
        answering.shard = int(good.facts.get("shard", 0))
    for answering in chain[:-1]:
        answering.has_next = night.asking == "live"
    return Work(night, good, chain, time.monotonic(), Deciding.open(night))


def enrich(night: Night, good: Manifest) -> Manifest:
    """Answer every row of `good`, or of the shard it stands for; returns the dataset of rows that have an answer.

    Rows without one are dead letters or deferred in the ledger. Safe to run again: answers already committed are
    reused, so a retry after kill -9 asks again at most what was in flight.
    """
    work = begin(night, good)
    if work.is_batched(night.asking):
        work.decide()
        _run_to_the_end(work.batching())
    else:
        work.ask()
    return work.finish()


def _run_to_the_end(batching: Batching) -> None:
    """Advance until all has ended, waiting between two looks; for the command line, where nobody can defer."""
    while asyncio.run(batching.advance()):
        time.sleep(batching.answering.system.batch_poll_seconds)


def _hold_to_run(night: Night, prompt: Prompt) -> None:
    """Raise ConfigurationError if prompt, contract or model changed since the run was opened (invariant I7)."""
    run = tables.run.c
    query = select(run.prompt_hash, run.contract_hash, run.model).where(run.run_id == night.run_id)
    with transaction(night.ledger) as connection:
        opened = connection.execute(query).one()
    if tuple(opened) != (prompt.hash, night.case.contract_hash, night.model_name):
        raise ConfigurationError(
            "prompt, contract or model changed since this run was opened; one run uses one version",
            system="enrich",
            about=night.run_id,
            action="Clear the run from the extract task on, which opens a new attempt",
        )


def _collect(work: Work) -> Manifest:
    night, counts = work.night, sum((one.counts for one in work.chain), Counter[str]())
    name, reasons = shard_name(work.good), [one.why_left() for one in work.chain]
    why = next((reason for reason in reasons if reason != NOT_ASKED), NOT_ASKED if work.chain else UNDECIDED)
    began = first_asked(night, work.good) or (work.answering.began if work.chain else only(work.deciding).began)
    with StagedWriter(night.path(f"{name}.parquet"), ENRICHED, rows_per_group=night.settings.chunk_rows) as writer:
        for chunk in work.found():
            for one in chunk:
                if one.answer is not None:
                    row = _row(one.item, one.answer, began)
                    counts["reused"] += row["reused"]
                    counts["decided_rows"] += one.decided and not row["reused"]
                    counts["fallback"] += not work.chain and one.answer.origin is Origin.RULE and not row["reused"]
                    counts["answered_rows"] += 1
                    writer.append(row)
            lost, later = _conclude(night, [one for one in chunk if one.answer is None], why)
            counts["dead_letter"] += lost
            counts["deferred_rows"] += later
    seconds = round(time.monotonic() - work.started, 1)
    return writer.manifest(night.run_id, name, {**counts, "seconds": seconds})


def first_asked(night: Night, good: Manifest) -> datetime | None:
    """When the shard's first batch was put on record; the task that asked may have ended long ago."""
    b = tables.batch_job.c
    mine = (b.run_id == night.run_id) & (b.shard == int(good.facts.get("shard", 0)))
    with transaction(night.ledger) as connection:
        first: datetime | None = connection.scalar(select(func.min(b.recorded_at)).where(mine))
    return first


def _conclude(night: Night, unanswered: Sequence[Found], why_deferred: str) -> tuple[int, int]:
    """Outcomes of rows without an answer: a dead letter like that of their key, or deferred, to be asked again."""
    letters = [letter_of(one.item, *one.dead, 0) for one in unanswered if one.dead is not None]
    later = [one.item for one in unanswered if one.dead is None]
    with transaction(night.ledger) as connection:
        bury(connection, night, "enrich", letters, system=night.case.model.system if night.case.model else "engine")
        record_outcomes(connection, night.run_id, [_deferred(item, why_deferred) for item in later])
    return len(letters), len(later)


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


def _is_of_a_model(answer: Answer | None) -> bool:
    return answer is not None and answer.origin is Origin.MODEL


def _deferred(item: Item, reason: str) -> RowOutcome:
    lineage: Record = json.loads(item.lineage)
    return RowOutcome(item.row_id, item.row_key, Outcome.DEFERRED, "enrich", reason, lineage)
