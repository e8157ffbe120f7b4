"""Intended writes on record before they leave, with what was there before, and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, case, func, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert

from include.canonical import digest
from include.ledger import tables
from include.models import Record
from include.night import Night
from include.sinks.fields import as_texts, same

_IMAGE = JSONB(none_as_null=True)


class State(NamedTuple):
    """A write of this run as the outbox has it."""

    status: str
    fields_sha256: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Write:
    """One approved row and the values it is to write; `before` is what the record holds now (None: no such record)."""

    row: Record
    external_id: str
    values: Record
    before: Record | None = None

    @property
    def fields(self) -> dict[str, str]:
        """The values in the destination's form."""
        return as_texts(self.values)

    def is_settled(self, state: State | None) -> bool:
        """Whether this run has written these very values already, or found them there."""
        return bool(state and state.status in ("written", "unchanged") and state.fields_sha256 == digest(self.fields))


class Step(Enum):
    """What there is to do about one write that is not settled."""

    MISSING = auto()
    SUPERSEDED = auto()
    ARRIVED = auto()
    UNCHANGED = auto()
    SEND = auto()


class Result(NamedTuple):
    """What became of a write that was sent."""

    external_id: str
    status: str
    after: Record | None = None
    error: str | None = None


def next_step(write: Write, state: State | None, *, superseded: bool) -> Step:
    """Send only a difference, and never over what a later night has said.

    An intent without a result whose values are there means that the write arrived and its answer was lost.
    """
    if write.before is None:
        return Step.MISSING
    if superseded:
        return Step.SUPERSEDED
    if not same(write.before, write.values):
        return Step.SEND
    arrived = state and state.status == "intended" and state.fields_sha256 == digest(write.fields)
    return Step.ARRIVED if arrived else Step.UNCHANGED


def states(connection: Connection, night: Night, ids: Collection[str]) -> dict[str, State]:
    """Writes of this run so far, by record id."""
    o = tables.outbox.c
    query = select(o.external_id, o.status, o.fields_sha256, o.error)
    query = query.where(_target(night), o.run_id == night.run_id, o.external_id.in_(list(ids)))
    return {row[0]: State(*row[1:]) for row in connection.execute(query)}


def spoken_later(connection: Connection, night: Night, ids: Collection[str]) -> set[str]:
    """Records that a later interval of this use case has written, or has found to hold its answer already."""
    o = tables.outbox.c
    query = select(o.external_id).where(
        _target(night),
        o.use_case == night.case.name,
        o.external_id.in_(list(ids)),
        o.status.in_(["written", "unchanged"]),
        o.interval_end > night.interval.end,
    )
    return set(connection.scalars(query))


def put(connection: Connection, night: Night, writes: Sequence[Write], status: str, error: str | None = None) -> None:
    """Put writes on record, with their before-image.

    A write on record already keeps its first before-image for as long as something of ours may have been sent.
    """
    if not writes:
        return
    sink = night.case.sink
    shared = {
        "run_id": night.run_id,
        "use_case": night.case.name,
        "interval_start": night.interval.start,
        "interval_end": night.interval.end,
        "destination": sink.system,
        "object": sink.object,
        "status": status,
        "error": error,
    }
    rows = [
        shared
        | {
            "row_id": write.row["row_id"],
            "row_key": write.row["row_key"],
            "decision_id": write.row["decision_id"],
            "external_id": write.external_id,
            "fields": write.fields,
            "fields_sha256": digest(write.fields),
            "image": write.before,
        }
        for write in writes
    ]
    new = insert(tables.outbox).values(before=bindparam("image", type_=_IMAGE))
    old, names = tables.outbox.c, ("status", "error", "row_id", "decision_id", "fields", "fields_sha256")
    changed: dict[str, Any] = {name: new.excluded[name] for name in names}
    sent_perhaps = (old.status == "intended") | (old.status == "written")
    changed["before"] = case((sent_perhaps, old.before), else_=new.excluded.before)
    changed["updated_at"] = func.clock_timestamp()
    target = ["run_id", "destination", "object", "external_id"]
    connection.execute(new.on_conflict_do_update(index_elements=target, set_=changed), rows)


def conclude(connection: Connection, night: Night, results: Sequence[Result]) -> None:
    """Say what became of writes on record."""
    if not results:
        return
    o = tables.outbox.c
    statement = (
        update(tables.outbox)
        .where(_target(night), o.run_id == night.run_id, o.external_id == bindparam("record"))
        .values(
            status=bindparam("ending"),
            after=bindparam("image", type_=_IMAGE),
            error=bindparam("why"),
            attempts=o.attempts + 1,
            updated_at=func.clock_timestamp(),
        )
    )
    rows = [{"record": r.external_id, "ending": r.status, "image": r.after, "why": r.error} for r in results]
    connection.execute(statement, rows)


def _target(night: Night) -> Any:
    sink = night.case.sink
    return (tables.outbox.c.destination == sink.system) & (tables.outbox.c.object == sink.object)
