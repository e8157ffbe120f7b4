"""Stage a night again for a replay: its own rows, with those read anew that were mended at their source."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds
from sqlalchemy import Connection, func, select

from include.database import transaction
from include.ledger import tables
from include.ledger.carrying import is_finished
from include.ledger.quarantine_replays import Begun, copy_entries
from include.ledger.record import find_manifest, put_manifest, quarantine, record_event
from include.models import Manifest
from include.night.extract.anew import Anew, read_anew
from include.night.extract.archive import archive
from include.night.extract.extract import DATASET, files_of
from include.night.extract.rejections import STAGE
from include.night.extract.shape import raw_schema
from include.run import Night
from include.staging import StagedWriter, read_chunks, read_rows

CHOSEN = "chosen"


class Staged(NamedTuple):
    """The dataset `raw` of a replay, and the ids of the rows that it decides on."""

    raw: Manifest
    rows: frozenset[str]


def stage_replay(night: Night, base: Manifest, begun: Sequence[Begun]) -> Staged:
    """Stage the rows of `base` under this run; rows to be read anew are what their sources say now.

    A row read anew stays a row of its night: it keeps the time of the change that brought it in. A row that its source
    does not have any more, and a line of a file that was not delivered again, keep what they had and wait. Memory grows
    with the chosen rows only. Safe to run again: what is staged and on record is not read a second time.
    """
    known, chosen = (find_manifest(night.ledger, night.run_id, name) for name in (DATASET, CHOSEN))
    if known and chosen:
        _archive(night, known)
        return Staged(known, frozenset(row["row_id"] for row in read_rows(chosen)))
    with tempfile.TemporaryDirectory(prefix="nightledger-") as folder:
        anew = read_anew(night, base, [one for one in begun if one.anew], Path(folder))
        raw = _merge(night, base, anew)
    rows = {one.row_id for one in begun if one.counts_as_input and not one.anew} | anew.rows
    rows |= {row.row_id for row in anew.rejected if row.counts_as_input}
    chosen = _stage_ids(night, rows)
    with transaction(night.ledger) as connection:
        raw = _record(connection, night, base, raw, chosen, anew, begun)
    _archive(night, raw)
    return Staged(raw, frozenset(rows))


def _archive(night: Night, raw: Manifest) -> None:
    if raw.facts["delivered_again"]:
        archive(night, files_of(raw))


def _merge(night: Night, base: Manifest, anew: Anew) -> Manifest:
    """The base's rows in their order, those read anew in their place; at the end those that had none."""
    facts = {**base.facts, "reused_from": base.run_id, "calls": 0, "retries": 0, "pages": 0, **anew.facts}
    facts |= {"limit": night.options.limit, "read_anew": len(anew.rows), "delivered_again": anew.delivered}
    rejected = {row.row_id for row in anew.rejected if row.counts_as_input}
    rejected |= {row for row in facts.pop("erased", ()) if row not in anew.rows}
    if not anew.rows and not rejected:
        return replace(base, run_id=night.run_id, facts=facts)
    schema, left = raw_schema(night.case), set(anew.rows)
    fresh = ds.dataset(str(anew.path), format="parquet")
    size = night.settings.chunk_rows
    with StagedWriter(night.path(f"{DATASET}.parquet"), schema, rows_per_group=size) as writer:
        for batch in read_chunks(base, rows=size):
            ids = batch.column("row_id").to_pylist()
            table = pa.Table.from_batches([batch], schema)
            if here := [row for row in ids if row in anew.rows]:
                table = _replaced(table, ids, _rows_of(fresh, here))
                left -= set(here)
            keep = pa.array([row not in rejected for row in ids], pa.bool_())
            writer.write_table(table.filter(keep))
        if left:
            writer.write_table(_rows_of(fresh, sorted(left)))
    return writer.manifest(night.run_id, DATASET, facts)


def _rows_of(fresh: ds.Dataset, ids: Sequence[str]) -> pa.Table:
    return fresh.to_table(filter=ds.field("row_id").isin(ids), use_threads=False)


def _replaced(table: pa.Table, ids: Sequence[str], fresh: pa.Table) -> pa.Table:
    """The table with rows of the same id taken from `fresh`."""
    place = {row_id: table.num_rows + at for at, row_id in enumerate(fresh.column("row_id").to_pylist())}
    both = pa.concat_tables([table, fresh.select(table.column_names).cast(table.schema)])
    return both.take(pa.array([place.get(row_id, at) for at, row_id in enumerate(ids)], pa.int64()))


def _stage_ids(night: Night, rows: Iterable[str]) -> Manifest:
    with StagedWriter(night.path(f"{CHOSEN}.parquet"), pa.schema([("row_id", pa.string())])) as writer:
        writer.extend({"row_id": row_id} for row_id in sorted(rows))
    return writer.manifest(night.run_id, CHOSEN)


def _record(
    connection: Connection,
    night: Night,
    base: Manifest,
    raw: Manifest,
    chosen: Manifest,
    anew: Anew,
    begun: Sequence[Begun],
) -> Manifest:
    """Put everything on record at once: entries that stay, rows set aside, and both datasets."""
    decided = {one.row_id for one in begun} - anew.not_tried.keys() | anew.rows
    decided |= {row.row_id for row in anew.rejected}
    stages = ["extract", "check"] if is_finished(night.ledger, base.run_id) else ["extract"]
    copy_entries(
        connection,
        night,
        base.run_id,
        stages=stages,
        skip=decided,
        files=anew.delivered,
        not_tried=anew.not_tried,
    )
    quarantine(connection, night, STAGE, anew.rejected)
    q = tables.quarantine.c
    query = select(q.counts_as_input, func.count()).where(q.run_id == night.run_id, q.stage == STAGE)
    rejected = {bool(row[0]): int(row[1]) for row in connection.execute(query.group_by(q.counts_as_input))}
    staged = {"rejected_input": rejected.get(True, 0), "rejected_context": rejected.get(False, 0)}
    facts = {**raw.facts, **staged, "input_rows": raw.rows + staged["rejected_input"]}
    raw = replace(raw, facts=facts)
    said = {"rows": raw.rows, "sha256": raw.sha256, "reused_from": base.run_id, "limit": night.options.limit}
    said |= {"read_anew": len(anew.rows), "delivered_again": anew.delivered, "not_tried": len(anew.not_tried)}
    record_event(connection, night.run_id, "extract.reused", said)
    put_manifest(connection, chosen)
    put_manifest(connection, raw)
    return raw
