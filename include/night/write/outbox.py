"""Intended writes on record before they leave, with what was there before, and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from sqlalchemy import Connection, text

from include.database import to_json
from include.models import Record
from include.run import Night
from include.systems.port import VERSION, Destination, Sink

UNKNOWN_ENDING = "unknown_ending"
CHANGED = "changed_since_read"


class State(NamedTuple):
    """A write of this run as the outbox has it."""

    status: str
    fields: Record
    error: str | None
    before: Record | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the destination is known to hold the values."""
        return self.status in ("written", "unchanged")

    def accounts_for(self, now: Record | None, there: Destination) -> bool:
        """Whether a record is as this run has found it or made it, as far as an earlier try of it has come.

        What was found changed then is a person's, however often the run is tried again.
        """
        if self.status == "failed":
            return not (self.error or "").startswith(CHANGED)
        if self.status != "intended" or (now is not None and there.holds(now, self.fields)):
            return True
        if now is None or self.before is None:
            return now is self.before
        if VERSION in self.before:
            return bool(now.get(VERSION) == self.before[VERSION])
        return there.holds(now, self.before)


@dataclass(frozen=True)
class Write:
    """One record that an approved row is to write: its values, and those in the destination's form.

    `before` is what the record holds now (None: no such record, or nothing that can be read).
    """

    row: Record
    external_id: str
    values: Record
    fields: Record
    before: Record | None = None

    def is_settled(self, state: State | None) -> bool:
        """Whether this run has written these very values already, or found them there."""
        return bool(state and state.is_settled and state.fields == self.fields)


class Earlier(NamedTuple):
    """What became of a record's latest write by another run; `replayed`: a person has its dead letter sent again."""

    status: str
    fields: Record
    error: str | None
    replayed: bool

    def has_delivered(self, write: Write) -> bool:
        """Whether these very values went out, so that they would be repeated."""
        return self.status in ("written", "unchanged") and self.fields == write.fields

    def may_have_delivered(self, write: Write) -> bool:
        """Whether these very values may have, and nobody has decided yet."""
        unknown = self.status == "intended" or (self.error or "").startswith(UNKNOWN_ENDING)
        return unknown and not self.replayed and self.fields == write.fields


class Step(Enum):
    """What there is to do about one write that is not settled."""

    MISSING = auto()
    UNKNOWN = auto()
    CHANGED = auto()
    SUPERSEDED = auto()
    DELIVERED = auto()
    ARRIVED = auto()
    UNCHANGED = auto()
    SEND = auto()


class Result(NamedTuple):
    """What became of a write that was sent."""

    external_id: str
    status: str
    after: Record | None = None
    error: str | None = None


def next_step(
    write: Write,
    state: State | None,
    there: Destination,
    *,
    superseded: bool,
    version: str | None = None,
    guarded: bool = False,
) -> Step:
    """Send only a difference, and never over what a later night has said, or a person since the row was read.

    An intent without a result whose values are there means that the write arrived and its answer was lost. `version` is
    the token that the record must still have. With `guarded` it must also be as an earlier try of this run has left it,
    or had read it: to read it anew would take somebody else's change for what the night had seen.
    """
    if write.before is None and not there.creates:
        return Step.MISSING
    if superseded:
        return Step.SUPERSEDED
    if write.before is None or not there.holds(write.before, write.values):
        changed = version is not None and write.before is not None and write.before.get(VERSION) != version
        foreign = guarded and state is not None and not state.accounts_for(write.before, there)
        return Step.CHANGED if changed or foreign else Step.SEND
    arrived = state and state.status == "intended" and state.fields == write.fields
    return Step.ARRIVED if arrived else Step.UNCHANGED


def blind_step(write: Write, state: State | None, earlier: Earlier | None, *, superseded: bool, again: bool) -> Step:
    """Where nothing can be read back, what may have been sent is not sent again, unless `again` says that it may be."""
    if superseded:
        return Step.SUPERSEDED
    unknown = bool(state and state.status == "intended") or bool(earlier and earlier.may_have_delivered(write))
    return Step.UNKNOWN if unknown and not again else Step.SEND


def states(connection: Connection, night: Night, sink: Sink, ids: Collection[str]) -> dict[str, State]:
    """Writes of this run so far, by record id."""
    given = {**_names(night, sink), "ids": list(ids)}
    return {row[0]: State(*row[1:]) for row in connection.execute(_STATES, given)}


def spoken_later(connection: Connection, night: Night, sink: Sink, ids: Collection[str]) -> set[str]:
    """Records that a later interval of this use case has written, or has found to hold its answer already."""
    given = {**_names(night, sink), "ids": list(ids), "use_case": night.case.name, "until": night.interval.end}
    return set(connection.scalars(_SPOKEN_LATER, given))


def earlier(connection: Connection, night: Night, sink: Sink, ids: Collection[str]) -> dict[str, Earlier]:
    """The latest write of each record by another run of this use case, by record id."""
    given = {**_names(night, sink), "ids": list(ids), "use_case": night.case.name}
    return {row[0]: Earlier(*row[1:]) for row in connection.execute(_EARLIER, given)}


def put(
    connection: Connection, night: Night, sink: Sink, writes: Sequence[Write], status: str, error: str | None = None
) -> None:
    """Put writes on record, with their before-image.

    A write on record already keeps its first before-image for as long as something of ours may have been sent.
    """
    if not writes:
        return
    rows = [
        {
            "row_id": write.row["row_id"],
            "row_key": write.row["row_key"],
            "decision_id": write.row["decision_id"],
            "external_id": write.external_id,
            "fields": write.fields,
            "before": write.before,
        }
        for write in writes
    ]
    shared = {
        "use_case": night.case.name,
        "interval_start": night.interval.start,
        "interval_end": night.interval.end,
        "status": status,
        "error": error,
    }
    connection.execute(_PUT, {**_names(night, sink), **shared, "rows": to_json(rows)})


def conclude(connection: Connection, night: Night, sink: Sink, results: Sequence[Result]) -> None:
    """Say what became of writes on record."""
    if results:
        rows = [result._asdict() for result in results]
        connection.execute(_CONCLUDE, {**_names(night, sink), "rows": to_json(rows)})


# `OFFSET 0` keeps each look-up by its index: without statistics, all writes of the run are read for every group.
_STATES = text("""
SELECT o.external_id, o.status, o.fields, o.error, o.before
  FROM unnest(CAST(:ids AS text[])) AS wanted (id)
 CROSS JOIN LATERAL (SELECT * FROM nightledger.outbox WHERE run_id = :run_id AND destination = :destination
                        AND object = :object AND external_id = wanted.id OFFSET 0) o""")

_SPOKEN_LATER = text("""
SELECT wanted.id FROM unnest(CAST(:ids AS text[])) AS wanted (id)
 WHERE EXISTS (SELECT FROM nightledger.outbox WHERE destination = :destination AND object = :object
                  AND external_id = wanted.id AND use_case = :use_case AND status IN ('written', 'unchanged')
                  AND interval_end > :until OFFSET 0)""")

_EARLIER = text("""
SELECT wanted.id, o.status, o.fields, o.error, EXISTS (
           SELECT FROM nightledger.dead_letter d WHERE d.run_id = o.run_id AND d.row_id = o.row_id
              AND d.stage = 'write' AND d.status = 'replayed')
  FROM unnest(CAST(:ids AS text[])) AS wanted (id)
 CROSS JOIN LATERAL (SELECT * FROM nightledger.outbox WHERE destination = :destination AND object = :object
                        AND external_id = wanted.id AND use_case = :use_case AND run_id <> :run_id
                      ORDER BY outbox_id DESC LIMIT 1) o""")

# One statement for all rows of a group, instead of one for each. A write without a result is intended; where an earlier
# try has left one, that says so.
_PUT = text("""
WITH put AS (
    INSERT INTO nightledger.outbox_intent AS o
           (run_id, use_case, interval_start, interval_end, destination, object,
            row_id, row_key, decision_id, external_id, fields, before)
    SELECT :run_id, :use_case, :interval_start, :interval_end, :destination, :object, r.*
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (row_id text, row_key text, decision_id uuid,
           external_id text, fields jsonb, before jsonb)
        ON CONFLICT (run_id, destination, object, external_id) DO UPDATE
       SET row_id = excluded.row_id, fields = excluded.fields, decision_id = excluded.decision_id,
           before = CASE WHEN coalesce((SELECT status FROM nightledger.outbox_result was
                                         WHERE was.outbox_id = o.outbox_id), 'intended') IN ('intended', 'written')
                         THEN o.before ELSE excluded.before END
    RETURNING outbox_id),
again AS (
    UPDATE nightledger.outbox_result r SET status = :status, error = :error, updated_at = clock_timestamp()
      FROM put WHERE r.outbox_id = put.outbox_id RETURNING r.outbox_id)
INSERT INTO nightledger.outbox_result (outbox_id, status, error)
SELECT outbox_id, :status, :error FROM put
 WHERE :status <> 'intended' AND NOT EXISTS (SELECT FROM again WHERE again.outbox_id = put.outbox_id)""")

# What the destination holds afterwards is what was sent but for a few values of its own; only those are kept, unless
# that cannot say it.
_CONCLUDE = text("""
INSERT INTO nightledger.outbox_result AS held (outbox_id, status, after, differs, attempts, error)
SELECT o.outbox_id, r.status, CASE WHEN o.fields || d.differs = r.after THEN NULL ELSE r.after END,
       CASE WHEN o.fields || d.differs = r.after THEN d.differs END, 1, r.error
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (external_id text, status text, after jsonb, error text)
 CROSS JOIN LATERAL (SELECT * FROM nightledger.outbox_intent WHERE run_id = :run_id AND destination = :destination
                        AND object = :object AND external_id = r.external_id OFFSET 0) o
 CROSS JOIN LATERAL (SELECT coalesce(jsonb_object_agg(key, value), '{}') AS differs FROM jsonb_each(r.after)
                      WHERE o.fields -> key IS DISTINCT FROM value) d
    ON CONFLICT (outbox_id) DO UPDATE
   SET status = excluded.status, after = excluded.after, differs = excluded.differs, error = excluded.error,
       attempts = held.attempts + 1, updated_at = clock_timestamp()""")


def _names(night: Night, sink: Sink) -> Record:
    return {"run_id": night.run_id, "destination": sink.system, "object": sink.object}
