"""Send quarantined rows through their night's steps again, after a fix at the source or a changed expectation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace as changed

import pyarrow as pa

from include import stages
from include.errors import ConfigurationError, ContractBroken, FileNotReady, NightledgerError
from include.ledger import door
from include.ledger.carrying import carry_over, is_finished
from include.ledger.leases import Lease, exclusive
from include.ledger.quarantine_replays import Begun, Selection, begin_replay, nights_to_replay, replayed, run_of
from include.ledger.record import find_manifest, finished_snapshot, record_manifest
from include.models import Manifest, Record
from include.operations.replay import begin_again
from include.run import Night
from include.settings import Settings
from include.spec.names import names
from include.spec.use_case import load
from include.staging import StagedWriter, read_chunks, read_schema
from include.systems.connections import Connections

log = logging.getLogger(__name__)


def replay_quarantined(connections: Connections, settings: Settings, selection: Selection, actor: str) -> list[Record]:
    """Replay every chosen row that waits, night by night; returns for each night what became of it.

    Each night gets a new attempt on the rows it was run on. Rows marked as fixed are read anew from their source; the
    others are as they were, and may pass expectations that are released. Rows that were not chosen keep what the
    finished run gave them: nothing else is asked, paid or written. A night that never finished is run whole. A row that
    fails again is set aside again, with its reasons of today.

    Safe to repeat and to kill; two calls at once take turns at a night. A night that cannot run is reported as failed
    and the next one is tried; its rows wait again. Raises ConfigurationError for a release without reason or filter, or
    of an expectation that is critical or unknown, and what a retry can help.
    """
    _require_releasable(selection)
    ledger = door.open_ledger(connections)
    done = []
    for use_case, interval in nights_to_replay(ledger, selection, names()):
        with exclusive(ledger, f"replay/{use_case}/{interval.slug}", settings.lease_seconds) as lease:
            found = run_of(ledger, selection, use_case, interval)
            if found is None:
                continue  # another replay was faster
            origin, options = found
            reference = f"quarantine/{interval.slug}"
            night = begin_again(ledger, use_case, interval, reference, options, connections, settings)
            done.append(
                {"use_case": use_case, "interval": str(interval), **_replay(night, lease, selection, origin, actor)}
            )
    return done


def _require_releasable(selection: Selection) -> None:
    if not selection.release:
        return
    if not (selection.reason or "").strip():
        raise ConfigurationError("needs a reason, which is kept", about="release")
    if not selection.chosen.filters().keys() - {"status"}:
        raise ConfigurationError("needs at least one filter or number, or every row would be meant", about="release")
    cases = [selection.chosen.use_case] if selection.chosen.use_case else names()
    known = {e.id: e.severity for name in cases for e in load(name).module("expectations").EXPECTATIONS}
    for name in selection.release:
        if name not in known:
            raise ConfigurationError(f"no expectation {name!r}; known: {', '.join(sorted(known))}", about="release")
        if known[name] == "critical":
            action = "Change its severity in the use case, or mend the rows at their source"
            raise ConfigurationError("is critical, and nobody may let rows past it", about=name, action=action)


def _replay(night: Night, lease: Lease, selection: Selection, origin: str, actor: str) -> Record:
    begun = begin_replay(night, selection, actor)
    log.info("replaying %d entries of %s %s", len(begun), night.case.name, night.interval)
    try:
        _run_stages(night, lease, origin, begun)
        summary = stages.close(night)
    except NightledgerError as error:
        if error.verdict == "retry" and not isinstance(error, FileNotReady):
            raise
        log.exception("%s cannot be replayed", night.interval)
        summary = {**stages.close(night, failed={"replay": type(error).__name__}), "error": str(error)}
    return {**replayed(night, begun)._asdict(), **summary}


def _run_stages(night: Night, lease: Lease, origin: str, begun: Sequence[Begun]) -> None:
    from include.night.extract.restage import stage_replay

    base = _base(night, origin)
    raw, rows = stage_replay(night, base, begun)
    if is_finished(night.ledger, base.run_id):
        night = changed(night, only=rows)
        _keep_others(night, raw, base.run_id)
    stages.decide(night, _chosen(night, stages.check(night, raw), base.run_id), lease.require)


def _base(night: Night, origin: str) -> Manifest:
    """The rows of the finished night, or else of the run that set the chosen ones aside.

    Raises ContractBroken where they are not staged any more.
    """
    from include.night.extract.shape import raw_schema
    from include.night.extract.snapshot import is_intact

    known = find_manifest(night.ledger, night.run_id, "raw")
    earlier = finished_snapshot(night.ledger, night.case.name, night.interval)
    source = known.facts.get("reused_from") if known else None
    base = find_manifest(night.ledger, source, "raw") if source else earlier
    base = base or find_manifest(night.ledger, origin, "raw")
    columns = {field.name: str(field.type) for field in raw_schema(night.case)}
    if base is None or not is_intact(base, columns):
        raise ContractBroken(
            "the rows of this night are not staged any more, or with other columns than the spec has today",
            system="staging",
            about=origin,
            action="Run the night again with re_extract, which settles its quarantine too",
        )
    return base


def _keep_others(night: Night, raw: Manifest, source: str) -> None:
    """Rows that this replay does not decide on end as they ended in the finished run `source`."""
    for batch in read_chunks(raw, rows=night.settings.chunk_rows, columns=["row_id"]):
        others = [row for row in batch.column(0).to_pylist() if not night.decides_on(row)]
        carry_over(night.ledger, source, night.run_id, others)


def _chosen(night: Night, good: Manifest, source: str) -> Manifest:
    """The rows of `good` that this replay decides on; the others keep what the finished run `source` gave them."""
    if night.only is None:
        return good
    size = night.settings.chunk_rows
    with StagedWriter(night.path("replayed.parquet"), read_schema(good), rows_per_group=size) as writer:
        for batch in read_chunks(good, rows=size):
            mine = pa.array([night.decides_on(row) for row in batch.column("row_id").to_pylist()], pa.bool_())
            writer.write_table(pa.Table.from_batches([batch]).filter(mine))
    manifest = writer.manifest(night.run_id, "replayed", {"rows_in": good.rows, "carried_from": source})
    record_manifest(night.ledger, manifest)
    return manifest
