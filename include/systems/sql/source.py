"""Rows of a table or view, as a use case declares them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from include.errors import ConfigurationError
from include.spec.use_case import Column
from include.systems.port import Surroundings
from include.systems.sql.engine import bound
from include.systems.sql.naming import place_of
from include.systems.sql.reading import SqlReader


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlRecords:
    """Rows of `[schema.]table` (or a view) whose time of change lies in the interval, moved back by `lag`.

    A row is written with a time of change and can be seen only when its transaction is committed. `lag` is the longest
    that may lie between: a night over [start, end) reads [start - lag, end - lag), so that successive nights lose no
    row and read none twice, as long as nobody commits later than that. Times without a zone are those of `zone`.

    `ids` are the columns that tell rows apart (default: that of `key`); the database must keep them unique, else every
    night proves it. `version` is a column that changes with the row (default: `changed`; `xmin` for PostgreSQL's own).
    `where` is a condition in the database's own SQL, of the spec's author and nobody else. Values of columns `as_text`
    may be texts there though they are declared as something else. Views and sinks may name what is not declared.
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
    def declared(self) -> Sequence[Column]:
        """Every column of the rows that it gives, the key first."""
        return (self.key, self.changed, *self.columns)

    @property
    def id_columns(self) -> tuple[str, ...]:
        """Names, in the database, of the columns whose values make a row's id."""
        return self.ids or (self.key.source_name,)

    def open(self, here: Surroundings) -> SqlReader:
        """The adapter; raises ConfigurationError for a declaration or connection that cannot work."""
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
