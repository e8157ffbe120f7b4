"""Answers as the enrich stage leaves them, staged for the gate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from include.database import send, transaction
from include.ledger.audit import Result, record_results
from include.ledger.record import record_manifest
from include.models import Manifest, Record
from include.night.datasets import ENRICHED
from include.run import Night
from include.staging import StagedWriter

GOOD: Record = {
    "score": 80,
    "tier": "hot",
    "summary": "Asked for a quote.",
    "next_action": "call",
    "confidence": 0.9,
    "reasons": ["visited the price page"],
}


def answer(**changes: Any) -> Record:
    """A valid output with some fields changed."""
    return GOOD | changes


def _result(inference_id: UUID, output: Record) -> Result:
    said, cost = json.dumps(output), Decimal("0.0001")
    return Result(inference_id, "ok", None, 200, "sandbox-small", "req-1", said, output, 40, 10, 0, cost, "2026", 9, 1)


def stage_enriched(
    night: Night, outputs: Mapping[str, Record] | Sequence[Record], *, origin: str = "model", **columns: Any
) -> Manifest:
    """Stage dataset `enriched`: outputs by row key, or in a list for keys 1, 2, ...; a model's with their results."""
    named = outputs if isinstance(outputs, Mapping) else {str(at): one for at, one in enumerate(outputs, start=1)}
    results = []
    with StagedWriter(night.path("enriched.parquet"), ENRICHED) as writer:
        for key, output in named.items():
            row = {
                "row_id": f"crm/contacts/{key}",
                "row_key": key,
                "lineage": json.dumps({"source": "crm", "page": 2, "index": 7}),
                "inference_key": f"key-{key}",
                "inference_id": str(uuid4()),
                "origin": origin,
                "reused": False,
                "output": json.dumps(output),
                "confidence": output.get("confidence"),
                "input": json.dumps({"job_title": "buyer"}),
            }
            writer.append(row | columns)
            results.append(_result(UUID(row["inference_id"]), output))
    if origin == "model":
        with transaction(night.ledger) as connection:
            send(connection, [record_results(night, results)])
    manifest = writer.manifest(night.run_id, "enriched")
    record_manifest(night.ledger, manifest)
    return manifest
