"""Nights as the stages leave them in the ledger, written through the code and grants that the stages use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa
from sqlalchemy import Engine, insert, text

from include.database import copy_rows, send, transaction
from include.ledger import tables
from include.ledger.audit import Intent, Pins, Result, record_intents, record_results
from include.ledger.record import RowOutcome, quarantine, record_event, record_manifest, record_outcomes
from include.models import Manifest, Outcome, RejectedRow
from include.run import Night
from include.staging import StagedWriter

PINS = Pins("v1", "f" * 64, "sandbox-small", {"temperature": 0}, "c" * 64)


def stage_raw(night: Night, row_ids: Sequence[str], **facts: Any) -> Manifest:
    """Stage dataset `raw` with these row ids and record its manifest."""
    schema = pa.schema([("row_id", pa.string()), ("row_key", pa.string())])
    with StagedWriter(night.path("raw.parquet"), schema) as writer:
        writer.extend({"row_id": row_id, "row_key": key_of(row_id)} for row_id in row_ids)
    manifest = writer.manifest(night.run_id, "raw", {"input_rows": len(row_ids), **facts})
    record_manifest(night.ledger, manifest)
    return manifest


def let_leases_run_out(ledger: Engine) -> None:
    """Have the minute pass in which what a killed process held is still its own; only where none other is at work."""
    with transaction(ledger) as connection:
        over = connection.execute(text("UPDATE nightledger.lease SET until = clock_timestamp() RETURNING name")).all()
    assert over, "nothing was held"


def key_of(row_id: str) -> str:
    """The row key that belongs to a row id of these nights."""
    return row_id.rpartition("/")[2]


def end_rows(night: Night, outcomes: Mapping[str, Outcome], stage: str = "write") -> None:
    """Give rows their outcomes."""
    with transaction(night.ledger) as connection:
        record_outcomes(
            connection,
            night.run_id,
            [RowOutcome(row, key_of(row), end, stage, None, {"page": 3, "index": 1}) for row, end in outcomes.items()],
        )


def reject_rows(night: Night, stage: str, rejected: Mapping[str, str], *, counts_as_input: bool = True) -> None:
    """Set rows aside, each for one reason."""
    with transaction(night.ledger) as connection:
        rows = [RejectedRow(r, key_of(r), "a place", (why,), {}, counts_as_input) for r, why in rejected.items()]
        quarantine(connection, night, stage, rows)


def say(night: Night, kind: str, **details: Any) -> None:
    """Append an event to the run's stream."""
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, kind, details)


def ask(
    night: Night,
    row_ids: Sequence[str],
    *,
    outcome: str = "ok",
    cost: str = "0.001",
    latencies: Sequence[int] = (100,),
    kind: str = "ask",
    answered: bool = True,
    tier: str = "hot",
) -> list[UUID]:
    """One sealed batch of intents and, unless `answered` is false, one of their results."""
    ids = [uuid4() for _ in row_ids]
    prompt = [{"role": "system", "content": "Be fair."}, {"role": "user", "content": "job_title: buyer"}]
    intents = [
        Intent(uid, row, key_of(row), f"key-{row}", prompt, kind, 1, 50, Decimal(cost))
        for uid, row in zip(ids, row_ids, strict=True)
    ]
    results = [
        Result(
            uid, outcome, None, 200, "sandbox-small", f"req-{at}", "{}", {"score": 80, "tier": tier}, 40, 10, 0,
            Decimal(cost), "2026-01-01", latencies[at % len(latencies)], 5
        )
        for at, uid in enumerate(ids)
    ]  # fmt: skip
    with transaction(night.ledger) as connection:
        record_intents(connection, night, PINS, intents)
        if answered:
            send(connection, [record_results(night, results)])
    return ids


def decide(
    night: Night, row_ids: Sequence[str], *, verdict: str = "shadow", inferences: Sequence[UUID] = (), tier: str = "hot"
) -> list[UUID]:
    """One sealed batch of decisions."""
    ids, batch = [uuid4() for _ in row_ids], uuid4()
    names = [
        "decision_id", "batch", "run_id", "use_case", "row_id", "row_key", "inference_key", "verdict",
        "rule", "decided_by", "origin", "inference_id", "output", "confidence", "shown_sha256",
    ]  # fmt: skip
    output = {"score": 80, "tier": tier}
    rows = [
        (
            uid, batch, night.run_id, night.case.name, row, key_of(row), f"key-{row}", verdict,
            "mode is shadow", "gate", "model" if inferences else "rule", inferences[at] if inferences else None,
            output, Decimal("0.9"), "s" * 64
        )
        for at, (uid, row) in enumerate(zip(ids, row_ids, strict=True))
    ]  # fmt: skip
    with transaction(night.ledger) as connection:
        copy_rows(connection, tables.decision, names, rows)
    return ids


def write_rows(night: Night, row_ids: Sequence[str], decisions: Sequence[UUID], *, status: str = "written") -> None:
    """Outbox rows as the write stage leaves them."""
    values = [
        {
            "run_id": night.run_id,
            "use_case": night.case.name,
            "interval_start": night.interval.start,
            "interval_end": night.interval.end,
            "row_id": row,
            "row_key": key_of(row),
            "decision_id": decision,
            "destination": "crm",
            "object": "contacts",
            "external_id": key_of(row),
            "fields": {"nl_lead_score": "80"},
            "before": {"nl_lead_score": "12"},
        }
        for row, decision in zip(row_ids, decisions, strict=True)
    ]
    with transaction(night.ledger) as connection:
        put = insert(tables.outbox_intent).values(values).returning(tables.outbox_intent.c.outbox_id)
        results = [{"outbox_id": one, "status": status, "differs": {}} for one in connection.scalars(put)]
        connection.execute(insert(tables.outbox_result), results)


def rows_of(count: int, prefix: str = "crm/contacts") -> list[str]:
    """That many row ids."""
    return [f"{prefix}/{number}" for number in range(1, count + 1)]
