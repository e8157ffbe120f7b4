"""Send dead letters again: the nights they belong to run once more, and only their rows are asked or written."""

from __future__ import annotations

import logging
from dataclasses import replace as changed

import pyarrow as pa

from include import stages
from include.database import Database
from include.errors import NightledgerError
from include.ledger import door
from include.ledger.carrying import carry_over, is_finished
from include.ledger.dead_letters import Selection, begin_replay, end_replay, nights_to_replay, run_of
from include.ledger.leases import Lease, exclusive
from include.ledger.record import find_manifest, finished_snapshot, record_manifest
from include.models import Interval, Manifest, Record, ReInfer, RunKey, RunOptions
from include.run import Night
from include.settings import Settings
from include.spec.names import names
from include.spec.use_case import load
from include.staging import StagedWriter, read_chunks, read_schema
from include.systems.connections import Connections

log = logging.getLogger(__name__)


def replay(connections: Connections, settings: Settings, selection: Selection, actor: str) -> list[Record]:
    """Replay every chosen letter, night by night; returns for each night what became of it.

    Safe to repeat and to kill: a night runs on the rows it was run on, and rows that were not chosen keep what they
    have, so nothing else is asked, paid or written. A second call finds nothing to do; two calls at once take turns at
    a night. A night that cannot run is reported as failed and the next one is tried; its letters stay open. Letters of
    files are not replayed: their own command asks them again. Raises what a retry can help.
    """
    ledger = door.open_ledger(connections)
    done = []
    for use_case, interval in nights_to_replay(ledger, selection, names()):
        with exclusive(ledger, f"replay/{use_case}/{interval.slug}", settings.lease_seconds) as lease:
            found = run_of(ledger, selection, use_case, interval)
            if found is None:
                continue  # another replay was faster
            origin, options = found
            reference = f"replay/{interval.slug}"
            night = begin_again(ledger, use_case, interval, reference, options, connections, settings)
            done.append(
                {"use_case": use_case, "interval": str(interval), **_replay(night, lease, selection, origin, actor)}
            )
    return done


def begin_again(
    ledger: Database,
    use_case: str,
    interval: Interval,
    reference: str,
    options: Record,
    connections: Connections,
    settings: Settings,
) -> Night:
    """A new attempt of a night, as it ran with `options`, but nothing on record is asked or extracted again.

    `reference` names who starts it; the same one goes on with an attempt that was killed.
    """
    given = RunOptions.from_params(options, load(use_case).mode)
    whole = finished_snapshot(ledger, use_case, interval) is not None
    limit = None if whole else given.limit
    chosen = changed(given, re_infer=ReInfer.NONE, re_extract=False, limit=limit)
    return door.begin_night(RunKey(use_case, interval, reference), chosen, connections, settings)


def _replay(night: Night, lease: Lease, selection: Selection, origin: str, actor: str) -> Record:
    rows = begin_replay(night, selection, actor)
    log.info("replaying %d rows of %s %s", len(rows), night.case.name, night.interval)
    try:
        _run_stages(night, lease, origin, rows)
        summary = stages.close(night)
    except NightledgerError as error:
        if error.verdict == "retry":
            raise
        log.exception("%s cannot be replayed", night.interval)
        summary = {**stages.close(night, failed={"replay": type(error).__name__}), "error": str(error)}
    return {**end_replay(night, actor)._asdict(), **summary}


def _run_stages(night: Night, lease: Lease, origin: str, rows: set[str]) -> None:
    raw = _stage_rows(night, origin)
    good = _hold_to(night, stages.check(night, raw), raw.facts.get("reused_from"), rows)
    stages.decide(night, good, lease.require)


def _stage_rows(night: Night, origin: str) -> Manifest:
    """The rows of the finished date; of a date that never finished, those of the letters' run while they are there."""
    from include.night.extract.extract import extract, raw_schema
    from include.night.extract.snapshot import is_intact, reuse

    known = find_manifest(night.ledger, night.run_id, "raw") or finished_snapshot(
        night.ledger, night.case.name, night.interval
    )
    earlier = None if known else find_manifest(night.ledger, origin, "raw")
    columns = {field.name: str(field.type) for field in raw_schema(night.case)}
    return reuse(night, earlier) if earlier and is_intact(earlier, columns) else extract(night)


def _hold_to(night: Night, good: Manifest, source: str | None, rows: set[str]) -> Manifest:
    """The rows of `good` to be replayed; the others keep what the finished run `source` gave them.

    A date that never finished is run whole.
    """
    if source is None or not is_finished(night.ledger, source):
        return good
    size = night.settings.chunk_rows
    with StagedWriter(night.path("replayed.parquet"), read_schema(good), rows_per_group=size) as writer:
        for batch in read_chunks(good, rows=size):
            ids = batch.column("row_id").to_pylist()
            kept = carry_over(night.ledger, source, night.run_id, set(ids) - rows)
            writer.write_table(pa.Table.from_batches([batch]).filter(pa.array([row not in kept for row in ids])))
    manifest = writer.manifest(night.run_id, "replayed", {"rows_in": good.rows, "carried_from": source})
    record_manifest(night.ledger, manifest)
    return manifest
