"""Split a large dataset over tasks, and prove afterwards that nothing was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from include.errors import ConfigurationError, CountsDoNotAddUp
from include.ledger.record import record_manifest
from include.models import Manifest
from include.night.datasets import ENRICHED
from include.run import Night
from include.spec.agent import refuse_agent
from include.staging import StagedWriter, read_chunks

MOST_SHARDS = 200
"""Mapped tasks of one run at most: each is a process, and starting one costs as much as hundreds of rows."""
LARGE_RUN = 10_000
"""Rows above which a use case asks through the batch API, or says why not."""


def split(night: Night, good: Manifest) -> list[Manifest]:
    """The parts of a dataset that tasks work on, each a range of its rows; one part if it is small."""
    require_asking(night, good.rows)
    shards = min(-(-good.rows // night.case.shard_rows), MOST_SHARDS)
    if shards <= 1:
        return [good]
    bounds = [good.rows * shard // shards for shard in range(shards + 1)]
    return [
        replace(good, facts={"shard": shard, "of": shards, "first": bounds[shard], "count": count})
        for shard in range(shards)
        for count in [bounds[shard + 1] - bounds[shard]]
    ]


def require_asking(night: Night, rows: int) -> None:
    """Raise ConfigurationError for a large run that asks live without saying why, and for an agent in a batch."""
    case = night.case
    if night.asking == "batch":
        refuse_agent(case.agent, case.name, "waits for what each step has read, and cannot be asked in a batch")
    if case.model and rows > LARGE_RUN and night.asking == "live" and not case.why_not_batch:
        raise ConfigurationError(
            f"{rows:,} rows are more than {LARGE_RUN:,}, and its spec asks live without saying why",
            about=case.name,
            action="Set asking='batch' or why_not_batch in its spec.py",
        )


def shard_name(part: Manifest) -> str:
    """The dataset that the task for a part makes."""
    return f"enriched-{part.facts['shard']:03d}" if "shard" in part.facts else "enriched"


def merge(night: Night, good: Manifest, parts: Sequence[Manifest]) -> Manifest:
    """One dataset `enriched` of all parts; raises CountsDoNotAddUp unless every row of `good` ended exactly once."""
    facts: Counter[str] = Counter()
    for part in parts:
        facts.update({name: value for name, value in part.facts.items() if isinstance(value, (int, float))})
    ended = facts["answered_rows"] + facts["dead_letter"] + facts["deferred_rows"]
    expected = [shard_name(part) for part in split(night, good)]
    found = sorted(part.dataset for part in parts)
    if found != expected or ended != good.rows:
        raise CountsDoNotAddUp(
            f"{good.rows:,} rows went to {len(expected)} tasks, {ended:,} ended in {len(found)}",
            system="enrich",
            about=night.run_id,
            action="Clear the run from task `plan` on; answers on record are not paid again",
        )
    if len(parts) == 1:
        return parts[0]
    with StagedWriter(night.path("enriched.parquet"), ENRICHED) as writer:
        for part in sorted(parts, key=lambda one: one.dataset):
            for batch in read_chunks(part):
                writer.write_table(pa.Table.from_batches([batch]))
    manifest = writer.manifest(night.run_id, "enriched", {**facts, "shards": len(parts)})
    record_manifest(night.ledger, manifest)
    return manifest
