"""A table that answers are written to, as a use case declares it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from include.errors import ConfigurationError
from include.models import Kind
from include.systems.port import Sink, Surroundings
from include.systems.sql.engine import bound
from include.systems.sql.naming import place_of
from include.systems.sql.writing import TableDestination

Stamp = Literal["run_id", "interval_start", "interval_end", "loaded_at"]
"""What may be written beside the answers."""
_DIALECTS = ("postgresql", "sqlite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Sink):
    """Records of `[schema.]table` on PostgreSQL or SQLite, told apart by the columns `key`, which must be unique there.

    An id is the value of the one key column, or those of several as `join_id` writes them; with `each` the last
    key column takes the number after the last `/`. `version` is a column that changes with the record (`xmin` for
    PostgreSQL's own); without it the guard `unchanged_since_read` compares what was read before. `creates` says that
    records that are not there are made. `stamps` name columns for the run, its interval and the time of writing; with
    `interval_end` an older interval never replaces a newer one, and a record that says the same keeps its stamps.

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
