"""Stage a finished date again from the rows it was run on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
from sqlalchemy import Connection, literal, select
from sqlalchemy.dialects.postgresql import insert
from upath import UPath

from include.database import transaction
from include.ledger import tables
from include.ledger.record import record_event, record_manifest
from include.models import Manifest, Record
from include.night.extract.rejections import STAGE
from include.night.extract.shape import raw_schema
from include.run import Night
from include.staging import StagedWriter, read_chunks
from include.storage import reaching

_QUARANTINE = (
    *("use_case", "row_id", "row_key", "source", "stage", "reasons", "record", "counts_as_input", "status"),
    *("interval_start", "interval_end", "expectations", "owner", "history"),
)
_OUTCOME = ("row_id", "row_key", "outcome", "stage", "reason", "lineage")


def is_intact(manifest: Manifest, columns: Mapping[str, str]) -> bool:
    """Whether the staged file is still there in its full size, with the `columns` that the use case has today.

    Raises as `reaching` where an object store does not say.
    """
    path = UPath(manifest.uri)
    with reaching(path, "read"):
        return dict(manifest.columns) == dict(columns) and path.exists() and path.stat().st_size == manifest.bytes


def reuse(night: Night, earlier: Manifest) -> Manifest:
    """The earlier run's dataset under this run; the rows it rejected are this run's too, so that counts add up.

    With a limit below its rows, the first of them by id are staged anew and no rejected row counts. Rows that were
    erased since are no rows of this run.
    """
    earlier, limit = without_erased(night, earlier), night.options.limit
    facts = {**earlier.facts, "reused_from": earlier.run_id, "limit": limit, "calls": 0, "retries": 0, "pages": 0}
    facts = {name: fact for name, fact in facts.items() if name not in ("read_anew", "delivered_again")}
    if limit is None or limit >= earlier.facts["input_rows"]:
        manifest, copied = replace(earlier, run_id=night.run_id, facts=facts), True
    else:
        manifest, copied = _first_rows(night, earlier, limit, facts), False
    with transaction(night.ledger) as connection:
        if copied:
            _copy_rejected(connection, earlier.run_id, night.run_id)
        details = {"rows": manifest.rows, "sha256": manifest.sha256, "reused_from": earlier.run_id, "limit": limit}
        record_event(connection, night.run_id, "extract.reused", details)
    record_manifest(night.ledger, manifest)
    return manifest


def without_erased(night: Night, earlier: Manifest) -> Manifest:
    """The dataset staged anew without the places of rows that were erased; as it is where none were."""
    erased = set(earlier.facts.get("erased", ()))
    if not erased:
        return earlier
    schema = raw_schema(night.case)
    with StagedWriter(night.path("left.parquet"), schema, rows_per_group=night.settings.chunk_rows) as writer:
        for batch in read_chunks(earlier, rows=night.settings.chunk_rows):
            keep = pa.array([row not in erased for row in batch.column("row_id").to_pylist()], pa.bool_())
            writer.write_table(pa.Table.from_batches([batch.filter(keep)], schema))
    facts = {name: fact for name, fact in earlier.facts.items() if name != "erased"}
    facts["input_rows"] = int(facts.get("input_rows", earlier.rows)) - (earlier.rows - writer.rows)
    return writer.manifest(earlier.run_id, earlier.dataset, facts)


def _first_rows(night: Night, earlier: Manifest, limit: int, facts: Record) -> Manifest:
    schema = raw_schema(night.case)
    left = limit
    with StagedWriter(night.path("raw.parquet"), schema, rows_per_group=night.settings.chunk_rows) as writer:
        for batch in read_chunks(earlier, rows=night.settings.chunk_rows):
            writer.write_table(pa.Table.from_batches([batch.slice(0, left)], schema))
            left -= batch.num_rows
            if left <= 0:
                break
    counts = {"input_rows": writer.rows, "rejected_input": 0, "rejected_context": 0}
    return writer.manifest(night.run_id, earlier.dataset, {**facts, **counts})


def _copy_rejected(connection: Connection, source: str, target: str) -> None:
    """Give the target run what the source run set aside while extracting; what is there already stays."""
    for table, names in ((tables.quarantine, _QUARANTINE), (tables.outcome, _OUTCOME)):
        columns = [table.c[name] for name in names]
        found = select(literal(target), *columns).where(table.c.run_id == source, table.c.stage == STAGE)
        connection.execute(insert(table).from_select(["run_id", *names], found).on_conflict_do_nothing())
