"""Where rows end that were to be written: one outcome each, the worst of their writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, or_, select, update

from include.ledger import tables
from include.ledger.record import DeadLetter, RowOutcome, bury, record_outcomes
from include.models import Outcome
from include.night.write.outbox import Write
from include.run import Night
from include.systems.port import Sink

_WORSE = (Outcome.UNCHANGED, Outcome.WRITTEN, Outcome.DEAD_LETTER)
"""From the best to the worst: one write that failed is a row that failed, one that was sent is a row that was."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of one write of a row; `cause` and `detail` are those of a dead letter, `reason` of anything else."""

    write: Write
    outcome: Outcome
    cause: str = ""
    detail: str = ""
    reason: str | None = None

    @property
    def rank(self) -> int:
        """How bad it is."""
        return _WORSE.index(self.outcome)


def put_endings(connection: Connection, night: Night, sink: Sink, endings: Sequence[Ending], *, first: bool) -> None:
    """Record the outcome of each row, and a dead letter where it failed.

    `first` says that no other sink has had the rows; else an outcome on record stays where it is worse.
    """
    worst: dict[str, Ending] = {}
    for one in endings:
        row = one.write.row["row_id"]
        if row not in worst or one.rank > worst[row].rank:
            worst[row] = one
    good = [one for one in worst.values() if one.outcome is not Outcome.DEAD_LETTER]
    if good:
        _close_letters(connection, night, sink, [one.write.row["row_id"] for one in good])
        kept = [] if first else _worse_on_record(connection, night, good)
        record_outcomes(connection, night.run_id, [_outcome(one) for one in good if one not in kept])
    letters = [_letter(night, sink, one) for one in worst.values() if one.outcome is Outcome.DEAD_LETTER]
    bury(connection, night, "write", letters, system=sink.system)


def _worse_on_record(connection: Connection, night: Night, endings: Sequence[Ending]) -> list[Ending]:
    """The rows that an earlier sink has left worse off; a later one cannot make that good."""
    o = tables.outcome.c
    rows = [one.write.row["row_id"] for one in endings]
    query = select(o.row_id, o.outcome).where(o.run_id == night.run_id, o.stage == "write", o.row_id.in_(rows))
    found = {row.row_id: Outcome(row.outcome) for row in connection.execute(query)}
    ranks = {row: _WORSE.index(outcome) for row, outcome in found.items() if outcome in _WORSE}
    return [one for one in endings if ranks.get(one.write.row["row_id"], -1) > one.rank]


def _close_letters(connection: Connection, night: Night, sink: Sink, rows: Sequence[str]) -> None:
    """A dead letter that an earlier try of this run left for such a row at this sink is no longer open."""
    d = tables.dead_letter.c
    mine = (d.run_id == night.run_id) & (d.stage == "write") & d.row_id.in_(rows) & (d.status == "open")
    here = or_(d.record["sink"].astext.is_(None), d.record["sink"].astext == sink.place)
    connection.execute(update(tables.dead_letter).where(mine, here).values(status="replayed"))


def _outcome(one: Ending) -> RowOutcome:
    row = one.write.row
    return RowOutcome(row["row_id"], row["row_key"], one.outcome, "write", one.reason, json.loads(row["lineage"]))


def _letter(night: Night, sink: Sink, one: Ending) -> DeadLetter:
    row, write = one.write.row, one.write
    record = {"fields": write.fields, "decision_id": row["decision_id"]}
    if len(night.case.sinks) > 1:
        record["sink"] = sink.place
    lineage = json.loads(row["lineage"])
    return DeadLetter(row["row_id"], row["row_key"], one.cause, one.detail, row["inference_key"], lineage, record, 1)
