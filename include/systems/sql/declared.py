"""Tables as sources and sinks of a use case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from include.errors import ConfigurationError
from include.models import Column, Kind
from include.systems.port import Origin, Sink, Surroundings

if TYPE_CHECKING:
    from include.systems.sql.reading import SqlReader
    from include.systems.sql.writing import TableDestination

Stamp = Literal["run_id", "interval_start", "interval_end", "loaded_at"]
"""What may be written beside the answers."""
_DIALECTS = ("postgresql", "sqlite")


@dataclass(frozen=True, slots=True)
class Mirror:
    """A table that is kept in step: every row that the first sink holds now is upserted into it."""

    system: str
    table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlRecords:
    """Rows of `[schema.]table` (or a view) whose time of change lies in the interval, moved back by `lag`.

    A row is written with a time of change and can be seen only when its transaction is committed. `lag` is the longest
    that may lie between: a night over [start, end) reads [start - lag, end - lag), so that successive nights lose no
    row and read none twice, as long as nobody commits later than that. Times without a zone are those of `zone`.

    `ids` are the columns that tell rows apart (default: that of `key`); the database must keep them unique, else every
    night proves it. `version` is a column that changes with the row (default: `changed`; `xmin` for PostgreSQL's own).
    `where` is a condition in the database's own SQL, of the spec's author and nobody else. Values of columns `as_text`
    may be texts there though they are declared as something else.
    """

    system: str
    object: str
    key: Column
    changed: Column
    columns: tuple[Column, ...]
    ids: tuple[str, ...] = ()
    lag: timedelta = timedelta(0)
    zone: str = "UTC"
    version: str = ""
    where: str = ""
    as_text: tuple[str, ...] = ()

    @property
    def declared(self) -> tuple[Column, ...]:
        """Every column of the rows that it gives, the key first."""
        return (self.key, self.changed, *self.columns)

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Where each column comes from."""
        return {one.name: Origin(self.system, self.object, one.source_name) for one in self.declared}

    @property
    def refers(self) -> Mapping[str, str]:
        """No other object is joined."""
        return {}

    @property
    def id_columns(self) -> tuple[str, ...]:
        """Names, in the database, of the columns whose values make a row's id."""
        return self.ids or (self.key.source_name,)

    def open(self, here: Surroundings) -> SqlReader:
        """The adapter; raises ConfigurationError for a declaration or connection that cannot work."""
        from include.systems.sql.engine import bound
        from include.systems.sql.naming import place_of
        from include.systems.sql.reading import SqlReader

        system = here.system(self.system)
        place = place_of(self.object, self.system)
        if self.changed.kind != "datetime":
            raise ConfigurationError("`changed` must be declared as a datetime", system=self.system, about=self.object)
        if self.lag < timedelta(0):
            raise ConfigurationError("`lag` is below zero", system=self.system, about=self.object)
        try:
            zone = ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ConfigurationError(f"no time zone {self.zone!r}", system=self.system, about=self.object) from error
        engine = here.connections.open("sql", system.connection)
        if engine.dialect.name == "sqlite" and self.zone != "UTC":
            raise ConfigurationError(
                "times in SQLite are read as UTC, so that `zone` cannot be set", system=self.system
            )
        return SqlReader(bound(engine, system.timeout_seconds, reading=True), system, self, place, zone, here.personal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Sink):
    """Records of `[schema.]table` on PostgreSQL or SQLite, told apart by the columns `key`, which must be unique there.

    An id is the value of the one key column, or those of several as `join_id` writes them, which it always is with
    `target="id"`; with `each` the last key column takes the number after the last `/`. `version` is a column that
    changes with the record (`xmin` for PostgreSQL's own); without it the guard `unchanged_since_read` compares what was
    read before. `creates` says that records that are not there are made. `stamps` name columns for the run, its
    interval and the time of writing; with `interval_end` an older interval never replaces a newer one, and a record
    that says the same keeps its stamps.

    `make` makes the table, and columns that it lacks, with types after the first values unless `kinds` says.
    """

    key: tuple[str, ...]
    version: str = ""
    creates: bool = True
    make: bool = False
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    stamps: Mapping[Stamp, str] = field(default_factory=dict)

    def open(self, here: Surroundings) -> TableDestination:
        """The adapter; raises ConfigurationError for a declaration or connection that cannot work."""
        from include.systems.sql.engine import bound
        from include.systems.sql.naming import place_of
        from include.systems.sql.writing import TableDestination

        system, place = here.system(self.system), place_of(self.object, self.system)
        written = [*self.key, *self.fields.values(), *self.stamps.values()]
        twice = sorted({one for one in written if written.count(one) > 1})
        if not self.key or twice or not self.fields:
            problem = f"columns are named twice: {', '.join(twice)}" if twice else "`key` and `fields` are needed"
            raise ConfigurationError(problem, system=self.system, about=self.object)
        engine = here.connections.open("sql", system.connection)
        if engine.dialect.name not in _DIALECTS:
            problem = f"writing to {engine.dialect.name} is not supported; known: {', '.join(_DIALECTS)}"
            raise ConfigurationError(problem, system=self.system, about=self.object)
        return TableDestination(bound(engine, system.timeout_seconds, reading=False), system, self, place, here)
