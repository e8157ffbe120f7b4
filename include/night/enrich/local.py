"""Rows that are decided in the process, before anybody is asked: inferences like any other, at no cost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import func, select

from include.database import send, transaction
from include.errors import ConfigurationError
from include.ledger import audit
from include.ledger.audit import Intent, Pins, Result
from include.models import Record
from include.night.enrich.questions import Item, group, make_item
from include.run import Night

if TYPE_CHECKING:
    from include.systems.port import Decider

KIND = "local"
FREE = "local"
"""What an inference of this kind says of its price."""
CHUNK_ROWS = 1_000


@dataclass
class Deciding:
    """One shard's rows before the engine of its use case; `counts` are rows, by what became of them.

    `began` is the ledger's time before anything was decided.
    """

    night: Night
    decider: Decider
    pins: Pins
    began: datetime
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def open(cls, night: Night) -> Deciding | None:
        """The use case's engine, if it declares one; raises ConfigurationError if it cannot work.

        Its answers are found by the contract, by its own name, and by the columns that the rows show: they are reused
        until it has another name.
        """
        if night.case.local is None:
            return None
        decider = night.case.local.open(night.case.folder, night.case.module("output").Output)
        with transaction(night.ledger) as connection:
            began = connection.execute(select(func.clock_timestamp())).scalar_one()
        return cls(night, decider, Pins("", "", decider.name, {}, night.case.contract_hash), began)

    def item(self, row: Record) -> Item:
        """A row under the key of the engine's answer."""
        return make_item(self.night, self.pins, row)

    def decide(self, rows: Iterable[Record]) -> None:
        """Put on record what the engine is certain of; what is on record already is not decided again.

        It is shown what a model would be, beside columns that no model sees: it may copy a text into its answer.
        """
        for chunk in _chunks(rows, CHUNK_ROWS):
            items = [self.item(row) for row in chunk]
            known = audit.find_answers(self.night.ledger, self.night, {item.inference_key for item in items})
            self.counts["reused"] += sum(item.inference_key in known for item in items)
            fresh = list(group(item for item in items if item.inference_key not in known).values())
            self._judge(fresh)

    def _judge(self, fresh: Sequence[Sequence[Item]]) -> None:
        if not fresh:
            return
        began = time.perf_counter()
        found = self.decider.sort([{**same[0].record, **same[0].seen} for same in fresh])
        took = (time.perf_counter() - began) * 1000 / len(fresh)
        self.counts.update(found.counts)
        intents, results = list[Intent](), list[Result]()
        for at, output in found.decided.items():
            item = fresh[at][0]
            intent = Intent(uuid4(), item.row_id, item.row_key, item.inference_key, (), KIND, 1, 0, Decimal(0))
            intents.append(intent)
            results.append(_result(intent, self.pins.model, output, round(took)))
        if intents:
            with transaction(self.night.ledger) as connection:
                audit.record_intents(connection, self.night, self.pins, intents)
                send(connection, [audit.record_results(self.night, results)])


def only(deciding: Deciding | None) -> Deciding:
    """The engine of a use case that asks nobody; raises ConfigurationError where it has none either."""
    if deciding is None:
        raise ConfigurationError("asks no model, and has no engine that decides", action="Give its spec one of both")
    return deciding


def _result(intent: Intent, model: str, output: Record, latency_ms: int) -> Result:
    return Result(
        inference_id=intent.inference_id,
        outcome="ok",
        detail=None,
        http_status=None,
        model_answered=model,
        provider_request_id=None,
        raw_text=None,
        parsed=output,
        tokens_in=0,
        tokens_out=0,
        tokens_cached=0,
        cost=Decimal(0),
        price_dated=FREE,
        latency_ms=latency_ms,
        queue_ms=0,
        cost_basis="none",
    )


def _chunks(rows: Iterable[Record], size: int) -> Iterator[list[Record]]:
    chunk: list[Record] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
