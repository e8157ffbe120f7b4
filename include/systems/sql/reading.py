"""Rows of a table changed within an interval, page by page, by ascending key.

A page asks for keys above the last one seen and is a transaction of its own, so that a row that moves hides no other
and no long transaction weighs on somebody else's database.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Executable,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.types import Date, Integer, NullType

from include.errors import ContractBroken, SystemUnavailable
from include.models import Column, Interval, Record, RejectedRow
from include.retry import MAX_ATTEMPTS, wait_seconds
from include.systems.files.formats.records import as_text
from include.systems.files.formats.values import clean_text, explain_missing, read_columns
from include.systems.ids import join_id, split_id
from include.systems.port import VERSION, Page
from include.systems.registry import System
from include.systems.sql.faults import typed_errors
from include.systems.sql.naming import column_of, table_of
from include.systems.sql.shape import Shape, breaches, look_at, tables_of
from include.systems.sql.times import span, with_zone

if TYPE_CHECKING:
    from include.systems.sql.declared import SqlRecords

log = logging.getLogger(__name__)
Found = TypeVar("Found")
_INSTANT = "%Y-%m-%d %H:%M:%f"
"""How SQLite writes any time that it can read: UTC, milliseconds. https://www.sqlite.org/lang_datefunc.html"""
_ACTION = "Correct the use case's spec, or ask the table's owner"
_SYSTEM_COLUMNS = frozenset({"xmin"})


@dataclass
class SqlReader:
    """Reads one table; `facts` counts rows without a time of change, which belong to no interval."""

    engine: Engine
    system: System
    source: SqlRecords
    place: tuple[str | None, str]
    zone: ZoneInfo
    personal: Sequence[str] = ()
    sleep: Callable[[float], object] = time.sleep
    pages: int = 0
    rows: int = 0
    calls: int = 0
    retries: int = 0
    watermark: datetime | None = None
    facts: Record = field(default_factory=dict)
    _shape: Shape | None = None

    def check_contract(self) -> None:
        """Raise ContractBroken for the first declared column that is not there, or is of another type."""
        source, shape = self.source, self._look()
        declared = [*source.declared, *(Column(name, name) for name in (*source.id_columns, source.version) if name)]
        if self._postgres:
            declared = [one for one in declared if one.source_name not in _SYSTEM_COLUMNS]
        problems = breaches(shape, declared, source.as_text, loose=self._sqlite)
        if problems:
            raise self._broken("; ".join(dict.fromkeys(problems)))
        known = {*(one.source_name for one in declared), *_SYSTEM_COLUMNS}
        place = f"{self.system.name}/{source.object}"
        self.facts["other_columns"] = [f"{place}: {name}" for name in shape.columns if name not in known]
        days = isinstance(shape.columns[source.changed.source_name], Date)
        if days and source.lag < timedelta(days=1):
            action = "Declare a `lag` of a day at least, or a column with the time"
            raise self._broken("`changed` holds days, and a day is not over when it is read", action)
        self._ask(self._page(Interval(datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 2, tzinfo=UTC)), None, 0))

    def read(self, interval: Interval, limit: int | None = None) -> Iterator[Page]:
        """Pages of the rows whose time of change lies in the interval, moved back by the lag; at most `limit` rows.

        Raises ContractBroken where the declared ids do not tell rows apart, since rows could be lost then.
        """
        left, last = limit, None
        try:
            self._prove(interval)
            while left is None or left > 0:
                size = self.system.page_rows if left is None else min(self.system.page_rows, left)
                found = self._ask(self._page(interval, last, size))
                if found:
                    left = None if left is None else left - len(found)
                    last = found[-1][: len(self.source.id_columns)]
                    yield self._finish(found, "page")
                if len(found) < size:
                    return
        finally:
            self.engine.dispose()

    def read_ids(self, ids: Sequence[str]) -> Iterator[Page]:
        """Pages of the rows with these ids as they are now; without those that are gone or that `where` leaves out."""
        names, size = self.source.id_columns, self.system.batch_rows
        wanted = [parts for parts in (split_id(one, len(names)) for one in dict.fromkeys(ids)) if parts]
        try:
            for first in range(0, len(wanted), size):
                found = self._ask(self._select().where(self._is_one_of(wanted[first : first + size])))
                if found:
                    yield self._finish(found, "read anew, page")
        finally:
            self.engine.dispose()

    @property
    def _postgres(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    @property
    def _sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def _look(self) -> Shape:
        if self._shape is None:
            self._shape = self._try(self._describe)
        return self._shape

    def _describe(self, connection: Connection) -> Shape:
        shape = look_at(connection, *self.place)
        if shape is None:
            raise self._broken(explain_missing(self.place[1], tables_of(connection, self.place[0])))
        return shape

    def _prove(self, interval: Interval) -> None:
        """Count what has no time of change, and hold ids that the database does not keep unique against each other."""
        shape, names = self._look(), self.source.id_columns
        changed = self.source.changed.source_name
        if changed in shape.nullable:
            without = self._from(func.count()).where(self._moment().is_(None))
            self.facts["without_change_time"] = int(self._ask(without)[0][0])
        if shape.names_one(names):
            return
        within, ids = self._within(interval), [column_of(name) for name in names]
        missing = self._from(func.count()).where(within, or_(*(one.is_(None) for one in ids)))
        if self._ask(missing)[0][0]:
            raise self._broken(f"rows without a value of {', '.join(names)}, which tells rows apart")
        twice = self._from(literal_column("1")).where(within).group_by(*ids).having(func.count() > 1).limit(1)
        if self._ask(twice):
            raise self._broken(f"several rows with the same {', '.join(names)}, which tells rows apart")

    def _page(self, interval: Interval, last: Sequence[Any] | None, size: int) -> Select[Any]:
        ids = [column_of(name) for name in self.source.id_columns]
        statement = self._select().where(self._within(interval)).order_by(*ids).limit(size)
        return statement if last is None else statement.where(_above(ids, last))

    def _select(self) -> Select[Any]:
        """Ids, the version token, and every declared column."""
        source = self.source
        version = source.version or source.changed.source_name
        names = [*source.id_columns, version, *(one.source_name for one in source.declared)]
        shown = [self._shown(name).label(f"c{at}") for at, name in enumerate(names)]
        return self._from(*shown)

    def _from(self, *columns: Any) -> Select[Any]:
        statement = select(*columns).select_from(table_of(*self.place))
        return statement.where(literal_column(f"({self.source.where})")) if self.source.where else statement

    def _shown(self, name: str) -> ColumnElement[Any]:
        """A column as text where the database writes one value like the next, so that one bad value harms no page."""
        found = literal_column(name) if self._postgres and name in _SYSTEM_COLUMNS else column_of(name)
        return cast(found, Text) if self._postgres else found

    def _moment(self) -> ColumnElement[Any]:
        """The time of change as it is compared."""
        found = column_of(self.source.changed.source_name)
        return func.strftime(_INSTANT, found) if self._sqlite else found

    def _within(self, interval: Interval) -> ColumnElement[bool]:
        name, moment = self.source.changed.source_name, self._moment()
        aware = self._postgres and not (self._look().is_naive(name) or isinstance(self._look().columns[name], Date))
        start, end = span(interval, self.source.lag, None if aware else self.zone)
        if self._sqlite:
            return and_(moment >= _as_sqlite(start), moment < _as_sqlite(end))
        return and_(moment >= _as_given(start), moment < _as_given(end))

    def _is_one_of(self, wanted: Sequence[tuple[str, ...]]) -> ColumnElement[bool]:
        names = self.source.id_columns
        typed = [tuple(map(self._typed, names, parts)) for parts in wanted]
        if len(names) == 1:
            return column_of(names[0]).in_([_as_given(parts[0]) for parts in typed])
        return or_(
            *(and_(*(column_of(n) == _as_given(p) for n, p in zip(names, parts, strict=True))) for parts in typed)
        )

    def _typed(self, name: str, part: str) -> Any:
        """A part of an id as the driver takes it: PostgreSQL reads any type from text."""
        whole = not self._postgres and isinstance(self._look().columns.get(name), Integer)
        return int(part) if whole and part.lstrip("-").isdecimal() else part

    def _ask(self, statement: Executable) -> Sequence[Any]:
        return self._try(lambda connection: connection.execute(statement).all())

    def _try(self, work: Callable[[Connection], Found]) -> Found:
        """What comes of a transaction; a database that is away is asked again, by the one ladder."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            self.calls += 1
            self.retries += attempt > 1
            try:
                with typed_errors(self.system, self.source.object), self.engine.begin() as connection:
                    return work(connection)
            except SystemUnavailable as error:
                if attempt == MAX_ATTEMPTS:
                    raise
                seconds = wait_seconds(attempt)
                log.warning("%s; attempt %d, next in %.1f s", error, attempt, seconds)
                self.sleep(seconds)
        raise AssertionError("the last attempt returns or raises")

    def _finish(self, found: Sequence[Any], name: str) -> Page:
        self.pages += 1
        self.rows += len(found)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows, rejected = list[Record](), list[RejectedRow]()
        for number, values in enumerate(found, 1):
            self._add(values, f"{self.source.object} {name} {self.pages} row {number}", now, rows, rejected)
        return Page(self.pages, rows, rejected)

    def _add(
        self, values: Sequence[Any], place: str, now: str, rows: list[Record], rejected: list[RejectedRow]
    ) -> None:
        source, count = self.source, len(self.source.id_columns)
        texts = [None if one is None else clean_text(as_text(one)) for one in values]
        raw = self._with_zones(dict(zip((one.source_name for one in source.declared), texts[count + 1 :], strict=True)))
        record, reasons = read_columns(raw, source.declared, personal=self.personal)
        self._advance(record[source.changed.name])
        number = join_id([one or "" for one in texts[:count]])
        row_id = f"{self.system.name}/{source.object}/{number}"
        key = str(record[source.key.name] or number)
        if reasons:
            kept = {one.name: raw[one.source_name] for one in source.declared}
            where = f"{self.system.name}: {place}"
            rejected.append(RejectedRow(row_id, key, where, tuple(reasons), kept, owner=self.system.owner))
            return
        lineage = {self.system.name: place, "retrieved_at": now, VERSION: texts[count] or ""}
        rows.append({"row_id": row_id, "row_key": key, "lineage": lineage, **record})

    def _with_zones(self, raw: dict[str, str | None]) -> dict[str, str | None]:
        if self.zone.key == "UTC":
            return raw
        shape = self._look()
        return {n: with_zone(text, self.zone) if text and shape.is_naive(n) else text for n, text in raw.items()}

    def _advance(self, changed: datetime | None) -> None:
        if changed and (self.watermark is None or changed > self.watermark):
            self.watermark = changed

    def _broken(self, problem: str, action: str = _ACTION) -> ContractBroken:
        return ContractBroken(problem, system=self.system.name, about=self.source.object, action=action)


def _above(ids: Sequence[ColumnElement[Any]], last: Sequence[Any]) -> ColumnElement[bool]:
    """Keys above the last one, so written that an index of the first column serves in every database."""
    first: ColumnElement[Any] = ids[0]
    value = _as_given(last[0])
    above: ColumnElement[bool] = first > value
    return above if len(ids) == 1 else and_(first >= value, or_(above, _above(ids[1:], last[1:])))


def _as_given(value: Any) -> Any:
    """A parameter without a type of ours, so that the database reads it as its column's."""
    return bindparam(None, value, type_=NullType())


def _as_sqlite(moment: datetime) -> Any:
    utc = moment if moment.tzinfo is None else moment.astimezone(UTC)
    return _as_given(f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 1000:03}")
