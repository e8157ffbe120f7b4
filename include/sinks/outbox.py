"""Intended writes on record before they leave, with what was there before, and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from include.canonical import digest
from include.ledger import tables
from include.models import Record
from include.night import Night


@dataclass(frozen=True, slots=True)
class Write:
    """One intended write: the approved row, the record's id, the properties and what they were."""

    row: Record
    external_id: str
    fields: Mapping[str, str]
    before: Record | None


def states(connection: Connection, night: Night, ids: Collection[str]) -> dict[str, str]:
    """Status of this run's writes so far, by record id."""
    o, sink = tables.outbox.c, night.case.sink
    query = select(o.external_id, o.status).where(
        o.run_id == night.run_id, o.destination == sink.system, o.object == sink.object, o.external_id.in_(list(ids))
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def written_later(connection: Connection, night: Night, ids: Collection[str]) -> set[str]:
    """Records that a later interval of this use case has written: an older score must not replace a newer one."""
    o, sink = tables.outbox.c, night.case.sink
    query = select(o.external_id).where(
        o.use_case == night.case.name,
        o.destination == sink.system,
        o.object == sink.object,
        o.external_id.in_(list(ids)),
        o.status == "written",
        o.interval_end > night.interval.end,
    )
    return set(connection.scalars(query))


def intend(
    connection: Connection, night: Night, writes: Sequence[Write], status: str, error: str | None = None
) -> None:
    """Put writes on record; one that is there already keeps its first before-image."""
    if not writes:
        return
    sink = night.case.sink
    values = [
        {
            "run_id": night.run_id,
            "use_case": night.case.name,
            "interval_start": night.interval.start,
            "interval_end": night.interval.end,
            "row_id": write.row["row_id"],
            "row_key": write.row["row_key"],
            "decision_id": write.row["decision_id"],
            "destination": sink.system,
            "object": sink.object,
            "external_id": write.external_id,
            "fields": dict(write.fields),
            "fields_sha256": digest(dict(write.fields)),
            "before": write.before,
            "status": status,
            "error": error,
        }
        for write in writes
    ]
    new = insert(tables.outbox)
    changed = {"status": new.excluded.status, "error": new.excluded.error, "updated_at": func.clock_timestamp()}
    target = ["run_id", "destination", "object", "external_id"]
    connection.execute(new.on_conflict_do_update(index_elements=target, set_=changed), values)


def conclude(
    connection: Connection, night: Night, external_id: str, status: str, after: Record | None, error: str | None
) -> None:
    """Say what became of one write."""
    o, sink = tables.outbox.c, night.case.sink
    here = (o.run_id == night.run_id) & (o.destination == sink.system) & (o.object == sink.object)
    values = {
        "status": status,
        "after": after,
        "error": error,
        "attempts": o.attempts + 1,
        "updated_at": func.clock_timestamp(),
    }
    connection.execute(update(tables.outbox).where(here, o.external_id == external_id).values(values))
