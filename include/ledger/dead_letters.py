"""Rows that ran out of tries: choose by cause, date, use case or system; send them again, or let them go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, func, or_, select, update

from include.errors import ConfigurationError
from include.ledger import tables
from include.ledger.causes import CAUSES
from include.ledger.database import transaction
from include.ledger.record import record_event
from include.models import Interval, Record


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


def list_groups(engine: Engine, selection: Selection, status: str = "open") -> list[Group]:
    """What is there, by use case, night, stage, cause and system; a row that died in several runs counts once."""
    d = tables.dead_letter.c
    by = (d.use_case, d.interval_start, d.interval_end, d.stage, d.cause, d.system)
    query = (
        select(*by, func.count(d.row_id.distinct()), func.min(d.recorded_at))
        .where(selection.condition(), d.status == status)
        .group_by(*by)
        .order_by(*by)
    )
    with transaction(engine) as connection:
        found = connection.execute(query).all()
    return [Group(row[0], Interval(row[1], row[2]), *row[3:]) for row in found]


def show(engine: Engine, number: int) -> Record:
    """One letter with its whole record, personal values as tokens; raises ConfigurationError if there is none."""
    with transaction(engine) as connection:
        query = select(tables.dead_letter).where(tables.dead_letter.c.dead_letter_id == number)
        row = connection.execute(query).mappings().first()
    if row is None:
        raise ConfigurationError("no such dead letter", system="ledger", about=str(number))
    return dict(row)


def nights_to_replay(engine: Engine, selection: Selection) -> list[tuple[str, Interval]]:
    """Nights with letters that are chosen and open, or whose replay was begun and did not end."""
    d = tables.dead_letter.c
    query = select(d.use_case, d.interval_start, d.interval_end).where(selection.condition(), _unfinished()).distinct()
    with transaction(engine) as connection:
        found = connection.execute(query.order_by(d.interval_start, d.use_case)).all()
    return [(row[0], Interval(row[1], row[2])) for row in found]


def begin_replay(engine: Engine, selection: Selection, use_case: str, interval: Interval, actor: str) -> int:
    """Take the chosen letters of one night out of the way of being asked again; returns the number of rows.

    They count as unfinished until `end_replay`, so that a replay that is killed is taken up by the next one.
    """
    return _note(engine, selection, use_case, interval, actor, {"state": "begun"})


def end_replay(engine: Engine, selection: Selection, use_case: str, interval: Interval, actor: str, run_id: str) -> int:
    """Note that the replay of a night has been through; rows that died again have a letter of `run_id`."""
    return _note(engine, selection, use_case, interval, actor, {"state": "done", "run_id": run_id}, but=run_id)


def options_of(engine: Engine, use_case: str, interval: Interval) -> Record:
    """The options of the latest run of a night, which a replay uses again."""
    r = tables.run.c
    same = and_(r.use_case == use_case, r.interval_start == interval.start, r.interval_end == interval.end)
    with transaction(engine) as connection:
        found = connection.scalar(select(r.options).where(same).order_by(r.attempt.desc()).limit(1))
    return dict(found or {})


def dismiss(engine: Engine, selection: Selection, actor: str, reason: str) -> int:
    """Let the chosen open letters go, with the reason on record; returns how many letters."""
    d = tables.dead_letter
    entry = {"state": "dismissed", "by": actor, "reason": reason}
    with transaction(engine) as connection:
        chosen = and_(selection.condition(), d.c.status == "open")
        names = connection.scalars(select(d.c.use_case).where(chosen).distinct()).all()
        count = connection.execute(
            update(d).where(chosen).values(status="dismissed", replays=d.c.replays.op("||")([_stamped(entry)]))
        ).rowcount
        for name in names:
            record_event(connection, f"dead_letters/{name}", "dead_letter.dismissed", {"reason": reason}, actor)
    return int(count)


def _note(
    engine: Engine,
    selection: Selection,
    use_case: str,
    interval: Interval,
    actor: str,
    entry: Record,
    but: str | None = None,
) -> int:
    d = tables.dead_letter
    night = and_(d.c.use_case == use_case, d.c.interval_start == interval.start, d.c.interval_end == interval.end)
    others = [d.c.run_id != but] if but else []
    chosen = and_(selection.condition(), night, _unfinished(), *others)
    value = d.c.replays.op("||")([_stamped({**entry, "by": actor})])
    with transaction(engine) as connection:
        rows = connection.scalar(select(func.count(d.c.row_id.distinct())).where(chosen)) or 0
        connection.execute(update(d).where(chosen).values(status="replayed", replays=value))
        if rows:
            said = {"interval": interval.slug, "rows": rows, **entry}
            record_event(connection, f"dead_letters/{use_case}", "dead_letter.replayed", said, actor)
    return int(rows)


def _stamped(entry: Record) -> Record:
    return {**entry, "at": datetime.now().astimezone().isoformat(timespec="seconds")}


def _unfinished() -> ColumnElement[bool]:
    d = tables.dead_letter.c
    last: Any = d.replays[-1]["state"].astext
    return or_(d.status == "open", and_(d.status == "replayed", last == "begun"))
