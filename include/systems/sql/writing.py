"""Write records to a table: one transaction per batch, one result per record, nothing written twice."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from include.errors import ContractBroken, SystemUnavailable
from include.models import Record
from include.retry import MAX_ATTEMPTS, wait_seconds
from include.systems.files.formats.values import explain_missing
from include.systems.ids import split_id
from include.systems.port import VERSION, Outgoing, Sent, Surroundings
from include.systems.registry import System
from include.systems.sql.faults import fault_of, in_words, typed_errors
from include.systems.sql.making import make, type_of
from include.systems.sql.merging import VERSION_SHOWN, Merge, Merged, Row, literal, quoted
from include.systems.sql.shape import Shape, look_at, tables_of
from include.systems.values import plain, same

if TYPE_CHECKING:
    from include.systems.sql.declared import Table

log = logging.getLogger(__name__)
Found = TypeVar("Found")
_LONGEST = 300
_NOW = {True: "now()", False: "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"}


class TableDestination:
    """One table, read and written in batches, from any thread; SQLite has one writer at a time."""

    def __init__(
        self, engine: Engine, system: System, sink: Table, place: tuple[str | None, str], here: Surroundings
    ) -> None:
        """Nothing is reached yet. `sleep` is there so that tests need not wait."""
        self._engine, self._system, self._sink, self._place, self._here = engine, system, sink, place, here
        self._postgres = engine.dialect.name == "postgresql"
        self.batch_rows = system.batch_rows
        self.in_air = system.calls_at_once if self._postgres else 1
        self.creates = sink.creates
        self.calls = self.retries = 0
        self.sleep: Callable[[float], object] = time.sleep
        self._shape: Shape | None = None
        self._counting, self._making = Lock(), Lock()
        self._target = ".".join(quoted(part) for part in place if part is not None)
        weakref.finalize(self, engine.dispose)

    def check_contract(self) -> None:
        """Raise ContractBroken for a column that is not there or the database fills, and a key that is not unique."""
        sink, shape = self._sink, self._try(self._look)
        if shape is None:
            if sink.make:
                return
            tables = self._try(lambda connection: tables_of(connection, self._place[0]))
            raise self._broken(explain_missing(self._place[1], tables))
        version = [sink.version] if sink.version and not (self._postgres and sink.version == "xmin") else []
        named = [*sink.key, *version, *(() if sink.make else (*sink.fields.values(), *sink.stamps.values()))]
        problems = [explain_missing(name, shape.columns) for name in named if name not in shape.columns]
        written = {*sink.key, *sink.fields.values(), *sink.stamps.values()}
        problems += [f"{name!r} is filled by the database" for name in sorted(written & shape.generated)]
        if not problems and frozenset(sink.key) not in shape.unique:
            problems.append(f"nothing keeps {', '.join(sink.key)} unique, so that a record could be made twice")
        if problems:
            raise self._broken("; ".join(problems))

    def form(self, values: Record) -> Record:
        """Values in JSON types, text visible."""
        return {name: plain(value) for name, value in values.items()}

    def holds(self, current: Record, values: Record) -> bool:
        """Whether a record says the same already, or was written for a later interval, which this never replaces."""
        until = self._sink.stamps.get("interval_end")
        if until and current.get(until) and str(current[until]) > plain(self._here.interval.end):
            return True
        return all(same(current.get(name), value) for name, value in values.items())

    def read(self, ids: Sequence[str]) -> dict[str, Record]:
        """The written columns and stamps of records as they are now, by id; unknown ids are absent."""
        known = [(one, key) for one, key in ((one, self._key_of(one)) for one in ids) if key is not None]
        rows = [(number, Row(key)) for number, (_, key) in enumerate(known)]

        def find(connection: Connection) -> dict[str, Record]:
            shape = self._look(connection)
            if shape is None:
                return {}
            merge = self._merge(shape, ())
            merge.prepare(connection)
            parts = self._in_halves(connection, rows, lambda part: merge.seen(connection, part), {})
            return {known[n][0]: self._state(part.found[n]) for n, part in parts.items() if n in part.found}

        return self._try(find)

    def send(self, writes: Mapping[str, Outgoing]) -> dict[str, Sent]:
        """Update or make records in one transaction; one that is refused is found and left out, alone.

        Sent again, a write finds its own values there and leaves them: so a lost answer is asked for by sending again.
        """
        sent = {one: Sent(None, "rejected_by_destination", "its id is no key of the table") for one in writes}
        groups: dict[tuple[str, ...], list[tuple[str, Row]]] = {}
        for one, write in writes.items():
            key, names = self._key_of(one), tuple(write.values)
            if key is not None:
                before = None if write.before is None else tuple(write.before.get(name) for name in names)
                row = Row(key, tuple(write.values.values()), before, write.version)
                groups.setdefault(names, []).append((one, row))

        def write_all(connection: Connection) -> dict[str, Sent]:
            shape = self._ready(connection, groups)
            done = dict[str, Sent]()
            for names, rows in groups.items():
                done |= self._write(connection, shape, names, rows)
            return done

        if self._sink.make:
            with self._making:
                return sent | self._try(write_all)
        return sent | self._try(write_all)

    def _write(
        self, connection: Connection, shape: Shape, names: Sequence[str], rows: Sequence[tuple[str, Row]]
    ) -> dict[str, Sent]:
        """Merge records that are written the same columns."""
        kept = [at for at, name in enumerate(names) if name in shape.columns or not self._sink.make]
        merge = self._merge(shape, [names[at] for at in kept])
        numbered = [(number, _only(row, kept)) for number, (_, row) in enumerate(rows)]
        refused: dict[int, str] = {}
        merge.prepare(connection)
        parts = self._in_halves(connection, numbered, lambda part: merge.merge(connection, part), refused)
        return {
            one: self._outcome(number, row, parts[number])
            if number in parts
            else Sent(None, "rejected_by_destination", refused[number])
            for number, (one, row) in enumerate(rows)
        }

    def _outcome(self, number: int, row: Row, merged: Merged) -> Sent:
        if number in merged.twice:
            return Sent(None, "rejected_by_destination", "another write of the batch is for the same record")
        state = merged.found.get(number)
        if state is not None and (number in merged.written or number in merged.same):
            return Sent(self._state(state))
        if state is not None:
            return Sent(None, "changed_since_read", "it was changed since it was read, or for a later interval")
        if row.version is not None or row.before is not None:
            cause = "changed_since_read" if self.creates else "record_missing"
            return Sent(None, cause, "it is gone since it was read")
        return Sent(None, "no_result" if self.creates else "record_missing")

    def _in_halves(
        self,
        connection: Connection,
        rows: Sequence[tuple[int, Row]],
        work: Callable[[Sequence[tuple[int, Row]]], Merged],
        refused: dict[int, str],
    ) -> dict[int, Merged]:
        """What came of each row; a part that the database refuses because of a row is halved until that is alone."""
        if not rows:
            return {}
        try:
            with connection.begin_nested():
                merged = work(rows)
            return {number: merged for number, _ in rows}
        except (DBAPIError, psycopg.Error) as error:
            if fault_of(error) != "row":
                raise
            if len(rows) == 1:
                refused[rows[0][0]] = in_words(error)[:_LONGEST]
                return {}
        half = len(rows) // 2
        first = self._in_halves(connection, rows[:half], work, refused)
        return first | self._in_halves(connection, rows[half:], work, refused)

    def _ready(self, connection: Connection, groups: Mapping[tuple[str, ...], list[tuple[str, Row]]]) -> Shape:
        """The table's shape; it is made, or given the columns that it lacks, where the sink says so."""
        shape, sink = self._look(connection), self._sink
        if sink.make:
            values: dict[str, list[Any]] = {}
            for names, rows in groups.items():
                for at, name in enumerate(names):
                    values.setdefault(name, []).extend(row.values[at] for _, row in rows)
            make(connection, self._target, shape, self._types(values), sink.key)
            self._shape = shape = None
            shape = self._look(connection)
        if shape is None:
            raise self._broken("no such table", "Make it, or declare `make` of the sink")
        return shape

    def _types(self, values: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """Types for the columns that can be made now: of one without any value nothing is known yet."""
        sink = self._sink
        kinds = {name: sink.kinds.get(name, "text") for name in sink.key}
        if sink.each and sink.key[-1] not in sink.kinds:
            kinds[sink.key[-1]] = "integer"
        kinds |= {name: "text" if stamp == "run_id" else "datetime" for stamp, name in sink.stamps.items()}
        found = {name: type_of((), kind, postgres=self._postgres) for name, kind in kinds.items()}
        for name, given in values.items():
            found[name] = type_of(given, sink.kinds.get(name), postgres=self._postgres)
        return {name: kind for name, kind in found.items() if kind is not None}

    def _merge(self, shape: Shape, columns: Sequence[str]) -> Merge:
        sink, here = self._sink, self._here
        said = {
            "run_id": literal(here.run_id),
            "interval_start": literal(plain(here.interval.start)),
            "interval_end": literal(plain(here.interval.end)),
            "loaded_at": _NOW[self._postgres],
        }
        shown = [one for one in (*sink.fields.values(), *sink.stamps.values()) if one in shape.columns]
        return Merge(
            self._postgres,
            self._target,
            sink.key,
            columns,
            shown,
            shape.columns,
            version=sink.version,
            strict=sink.guard == "unchanged_since_read",
            creates=sink.creates,
            stamps={name: said[stamp] for stamp, name in sink.stamps.items()},
            until=sink.stamps.get("interval_end", ""),
        )

    def _state(self, values: Record) -> Record:
        return {VERSION if name == VERSION_SHOWN else name: plain(value) for name, value in values.items()}

    def _key_of(self, one: str) -> tuple[str, ...] | None:
        """Values of the key's columns; None for an id that is none."""
        key, number = self._sink.key, []
        if self._sink.each:
            one, slash, last = one.rpartition("/")
            key, number = key[:-1], [last]
            if not slash or not last.isdecimal():
                return None
        found = (one,) if len(key) == 1 and self._sink.target == "key" else split_id(one, len(key))
        return None if found is None else (*found, *number)

    def _look(self, connection: Connection) -> Shape | None:
        if self._shape is None:
            self._shape = look_at(connection, *self._place)
        return self._shape

    def _try(self, work: Callable[[Connection], Found]) -> Found:
        """Do something in one transaction; a database that is away is asked again, by the one ladder."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            with self._counting:
                self.calls += 1
                self.retries += attempt > 1
            try:
                with typed_errors(self._system, self._sink.object), self._engine.begin() as connection:
                    return work(connection)
            except SystemUnavailable as error:
                if attempt == MAX_ATTEMPTS:
                    raise
                seconds = wait_seconds(attempt)
                log.warning("%s; attempt %d, next in %.1f s", error, attempt, seconds)
                self.sleep(seconds)
        raise AssertionError("the last attempt returns or raises")

    def _broken(self, problem: str, action: str = "Correct the sink in the spec, or the table") -> ContractBroken:
        return ContractBroken(problem, system=self._system.name, about=self._sink.object, action=action)


def _only(row: Row, positions: Sequence[int]) -> Row:
    """The row with the values at these positions."""
    before = None if row.before is None else tuple(row.before[at] for at in positions)
    return row._replace(values=tuple(row.values[at] for at in positions), before=before)
