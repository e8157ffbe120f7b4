"""Rows that ran out of tries: choose by cause, date, use case or system; send them again, or let them go."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, update

from include.database import Database, transaction
from include.errors import ConfigurationError
from include.ledger import tables
from include.ledger.causes import CAUSES
from include.ledger.record import record_event
from include.models import Interval, Outcome, Record
from include.run import Run

_ENDED_WELL = [Outcome.WRITTEN, Outcome.UNCHANGED]
_ANSWERED = [*_ENDED_WELL, Outcome.IN_REVIEW, Outcome.REJECTED, Outcome.SHADOWED]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters: every field that is given must match; times are held against the interval's start."""

    use_case: str | None = None
    cause: str | None = None
    system: str | None = None
    stage: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a cause that does not exist, which would select nothing in silence."""
        if self.cause is not None and self.cause not in CAUSES:
            raise ConfigurationError(f"no such cause; known: {', '.join(CAUSES)}", about=self.cause)

    def condition(self) -> ColumnElement[bool]:
        """The selection as SQL."""
        d = tables.dead_letter.c
        chosen = {d.use_case: self.use_case, d.cause: self.cause, d.system: self.system, d.stage: self.stage}
        parts = [column == value for column, value in chosen.items() if value is not None]
        parts += [d.interval_start >= self.start] if self.start else []
        parts += [d.interval_start < self.end] if self.end else []
        return and_(True, *parts)

    def filters(self) -> Record:
        """The fields that are given."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Group:
    """Letters of one use case, night, stage, cause and system."""

    use_case: str
    interval: Interval
    stage: str
    cause: str
    system: str
    rows: int
    oldest: datetime


class Replayed(NamedTuple):
    """Rows of a replay: all of them, those that died again, and those it did not reach, whose letters are open."""

    rows: int
    died_again: int
    left_open: int


def list_groups(ledger: Database, selection: Selection, status: str = "open") -> list[Group]:
    """What is there, by use case, night, stage, cause and system; a row that died in several runs counts once.

    A letter whose replay was begun and did not end is still open.
    """
    d = tables.dead_letter.c
    by = (d.use_case, d.interval_start, d.interval_end, d.stage, d.cause, d.system)
    wanted = _unfinished() if status == "open" else and_(d.status == status, func.coalesce(_state() != "begun", True))
    query = (
        select(*by, func.count(d.row_id.distinct()), func.min(d.recorded_at))
        .where(selection.condition(), wanted)
        .group_by(*by)
        .order_by(*by)
    )
    with transaction(ledger) as connection:
        found = connection.execute(query).all()
    return [Group(row[0], Interval(row[1], row[2]), *row[3:]) for row in found]


def show(ledger: Database, number: int) -> Record:
    """One letter with its whole record, personal values as tokens; raises ConfigurationError if there is none."""
    with transaction(ledger) as connection:
        query = select(tables.dead_letter).where(tables.dead_letter.c.dead_letter_id == number)
        row = connection.execute(query).mappings().first()
    if row is None:
        raise ConfigurationError("no such dead letter", system="ledger", about=str(number))
    return dict(row)


def nights_to_replay(ledger: Database, selection: Selection, use_cases: Collection[str]) -> list[tuple[str, Interval]]:
    """Nights of these use cases with letters that are chosen and open, or whose replay was begun and did not end."""
    d = tables.dead_letter.c
    query = (
        select(d.use_case, d.interval_start, d.interval_end)
        .where(selection.condition(), _unfinished(), d.use_case.in_(use_cases))
        .distinct()
        .order_by(d.interval_start, d.use_case)
    )
    with transaction(ledger) as connection:
        found = connection.execute(query).all()
    return [(row[0], Interval(row[1], row[2])) for row in found]


def run_of(ledger: Database, selection: Selection, use_case: str, interval: Interval) -> tuple[str, Record] | None:
    """The newest run with letters to replay in a night, and the options it ran with; None if none are left."""
    d, r = tables.dead_letter.c, tables.run.c
    chosen = and_(selection.condition(), _of_night(use_case, interval), _unfinished())
    query = select(r.run_id, r.options).join_from(tables.dead_letter, tables.run, d.run_id == r.run_id).where(chosen)
    with transaction(ledger) as connection:
        found = connection.execute(query.order_by(r.attempt.desc()).limit(1)).first()
    return (found.run_id, dict(found.options)) if found else None


def begin_replay(run: Run, selection: Selection, actor: str) -> set[str]:
    """Take the chosen letters of the run's night out of the way of being asked again; returns all rows to replay.

    They count as open until `end_replay`, so that a replay that is killed is taken up by the next one. Letters of the
    run itself are of rows that have died in this replay already, and stay.
    """
    d = tables.dead_letter
    night = and_(_of_night(run.case.name, run.interval), d.c.run_id != run.run_id)
    with transaction(run.ledger) as connection:
        fresh = _note(connection, and_(selection.condition(), night, d.c.status == "open"), "begun", actor, run.run_id)
        if fresh:
            _say(connection, run, "begun", actor, rows=len(fresh), selection=selection.filters())
        return set(connection.scalars(select(d.c.row_id).where(night, _begun())))


def end_replay(run: Run, actor: str) -> Replayed:
    """Conclude a replay whose run is through; rows that died again have a letter of that run.

    A row that the run deferred, or did not hold any more, was not tried: its letters are open again.
    """
    d, o = tables.dead_letter.c, tables.outcome.c
    begun = and_(_of_night(run.case.name, run.interval), _begun())
    ended = and_(o.run_id == run.run_id, o.row_id == d.row_id, o.outcome != Outcome.DEFERRED)
    dead = select(o.row_id).where(o.run_id == run.run_id, o.outcome == Outcome.DEAD_LETTER)
    with transaction(run.ledger) as connection:
        done = _note(connection, and_(begun, exists().where(ended)), "done", actor, run.run_id)
        left = _note(connection, begun, "not_tried", actor, run.run_id, status="open")
        died = done & set(connection.scalars(dead))
        replayed = Replayed(len(done | left), len(died), len(left))
        _say(connection, run, "done", actor, **replayed._asdict())
    return replayed


def dismiss(ledger: Database, selection: Selection, actor: str, reason: str) -> int:
    """Let the chosen open letters go, with the reason on record; returns how many letters.

    Raises ConfigurationError without a filter: all letters of all use cases are never meant.
    """
    if not selection.filters():
        raise ConfigurationError("needs at least one filter, or every letter would go", about="dismiss")
    d = tables.dead_letter
    entry = _entry("dismissed", actor, reason=reason)
    change = update(d).where(selection.condition(), d.c.status == "open").returning(d.c.use_case)
    with transaction(ledger) as connection:
        gone = list(connection.scalars(change.values(status="dismissed", replays=d.c.replays.op("||")([entry]))))
        for name in sorted(set(gone)):
            said = {"reason": reason, "letters": gone.count(name), "selection": selection.filters()}
            record_event(connection, f"dead_letters/{name}", "dead_letter.dismissed", said, actor)
    return len(gone)


def settle(connection: Connection, run: Run) -> None:
    """Close open letters of earlier runs of the night that this run has overtaken.

    That is: the row got an answer, or its write arrived, or it was tried again and has a newer letter of this run.
    """
    d, o, newer = tables.dead_letter.c, tables.outcome.c, tables.dead_letter.alias().c
    same = and_(o.run_id == run.run_id, o.row_id == d.row_id)
    good = or_(o.outcome.in_(_ENDED_WELL), and_(d.stage == "enrich", o.outcome.in_(_ANSWERED)))
    again = and_(newer.run_id == run.run_id, newer.row_id == d.row_id, newer.status == "open")
    earlier = and_(_of_night(run.case.name, run.interval), d.run_id != run.run_id, d.status == "open")
    overtaken = and_(earlier, or_(exists().where(same, good), exists().where(again)))
    _note(connection, overtaken, "overtaken", "nightledger", run.run_id)


def _note(
    connection: Connection,
    chosen: ColumnElement[bool],
    state: str,
    actor: str,
    run_id: str,
    status: str = "replayed",
) -> set[str]:
    """Add an entry to the history of letters; returns their rows."""
    d = tables.dead_letter
    history = d.c.replays.op("||")([_entry(state, actor, run_id=run_id)])
    change = update(d).where(chosen).values(status=status, replays=history)
    return set(connection.scalars(change.returning(d.c.row_id)))


def _say(connection: Connection, run: Run, state: str, actor: str, **details: Any) -> None:
    said = {"state": state, "interval": run.interval.slug, "run_id": run.run_id, **details}
    record_event(connection, f"dead_letters/{run.case.name}", "dead_letter.replayed", said, actor)


def _entry(state: str, actor: str, **details: Any) -> Record:
    return {"state": state, "by": actor, "at": datetime.now().astimezone().isoformat(timespec="seconds"), **details}


def _of_night(use_case: str, interval: Interval) -> ColumnElement[bool]:
    d = tables.dead_letter.c
    return and_(d.use_case == use_case, d.interval_start == interval.start, d.interval_end == interval.end)


def _state() -> Any:
    """What the last entry of a letter's history says; null for a letter without one."""
    return tables.dead_letter.c.replays[-1]["state"].astext


def _begun() -> ColumnElement[bool]:
    return and_(tables.dead_letter.c.status == "replayed", _state() == "begun")


def _unfinished() -> ColumnElement[bool]:
    return or_(tables.dead_letter.c.status == "open", _begun())
