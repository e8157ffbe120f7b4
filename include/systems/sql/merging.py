"""Records merged into a table by way of a temporary one, in the SQL that PostgreSQL and SQLite have in common.

Every value goes through the temporary table, which has the types of the target's columns, so that the statements have
no parameters and compare values as the database itself does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import JSON, Connection
from sqlalchemy.types import TypeEngine

from include.database import to_json
from include.models import Record

VERSION_SHOWN = "\x00version"
"""Under which a record's version stands beside its columns."""
_NO_PARAMETERS = {"no_parameters": True}


class Row(NamedTuple):
    """One record on its way: its key, its values in the order of the columns, what it was, and its version."""

    key: tuple[Any, ...]
    values: tuple[Any, ...] = ()
    before: tuple[Any, ...] | None = None
    version: str | None = None


@dataclass
class Merged:
    """What became of the rows, by their positions: written now, and the present state of those that are there."""

    written: set[int] = field(default_factory=set)
    twice: set[int] = field(default_factory=set)
    found: dict[int, Record] = field(default_factory=dict)
    same: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Merge:
    """The statements for one table and some of its columns.

    `strict` says that a record must be as it was read, by its version or else by what it held. `stamps` are SQL
    expressions by column; `until` is the column that says up to when a record is known.
    """

    postgres: bool
    target: str
    key: Sequence[str]
    columns: Sequence[str]
    shown: Sequence[str]
    types: Mapping[str, TypeEngine[object]]
    version: str = ""
    strict: bool = False
    creates: bool = True
    stamps: Mapping[str, str] = field(default_factory=dict)
    until: str = ""

    def prepare(self, connection: Connection) -> None:
        """Make the temporary table; on PostgreSQL it ends with the transaction."""
        names = [f"t.{quoted(one)} AS k{at}" for at, one in enumerate(self.key)]
        names += [f"t.{quoted(one)} AS c{at}" for at, one in enumerate(self.columns)]
        names += [f"t.{quoted(one)} AS b{at}" for at, one in enumerate(self._compared)]
        first = "0 AS n, CAST('' AS text) AS version, 0 AS known"
        source = f"SELECT {first}, {', '.join(names)} FROM {self.target} AS t"
        run(connection, "DROP TABLE IF EXISTS arriving" if self.postgres else "DROP TABLE IF EXISTS temp.arriving")
        if self.postgres:  # a batch is small: look its keys up in the index, instead of reading all of the target
            run(connection, "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
            run(connection, f"CREATE TEMP TABLE arriving ON COMMIT DROP AS {source} WITH NO DATA")
        else:
            run(connection, f"CREATE TEMP TABLE arriving AS {source} WHERE 0")

    def load(self, connection: Connection, rows: Iterable[tuple[int, Row]]) -> None:
        """Fill the temporary table anew."""
        run(connection, "DELETE FROM arriving")
        width = 3 + len(self.key) + len(self.columns) + len(self._compared)
        lines = (self._line(number, row) for number, row in rows)
        driver: Any = connection.connection.driver_connection
        if not self.postgres:
            driver.executemany(f"INSERT INTO arriving VALUES ({', '.join('?' * width)})", lines)
            return
        with driver.cursor() as cursor, cursor.copy("COPY arriving FROM STDIN") as copy:
            for line in lines:
                copy.write_row(line)

    def merge(self, connection: Connection, rows: Sequence[tuple[int, Row]]) -> Merged:
        """Update what is there and may be, insert what is not, and look at what is there then."""
        self.load(connection, rows)
        merged = Merged()
        keys = ", ".join(f"k{at}" for at in range(len(self.key)))
        first = f"SELECT min(n) FROM arriving GROUP BY {keys}"
        merged.twice = {n for (n,) in run(connection, f"DELETE FROM arriving WHERE n NOT IN ({first}) RETURNING n")}
        numbers = {tuple(key): n for n, *key in run(connection, f"SELECT n, {keys} FROM arriving")}
        merged.written = {numbers[tuple(key)] for key in run(connection, self._update())}
        if self.creates:
            merged.written |= {numbers[tuple(key)] for key in run(connection, self._insert())}
        self.look(connection, merged)
        return merged

    def seen(self, connection: Connection, rows: Sequence[tuple[int, Row]]) -> Merged:
        """The present state of records, of which only the keys need to be given."""
        self.load(connection, rows)
        merged = Merged()
        self.look(connection, merged)
        return merged

    def look(self, connection: Connection, merged: Merged) -> None:
        """The present state of the loaded records, and which of them hold what was to be written."""
        names = [quoted(one) for one in self.shown]
        version = [self._version] if self.version else []
        columns = ", ".join(["a.n", f"NOT ({self._differs()})", *(f"t.{one}" for one in names), *version])
        question = f"SELECT {columns} FROM arriving AS a JOIN {self.target} AS t ON {self._on()}"
        for number, holds, *values in run(connection, question):
            merged.found[number] = dict(zip([*self.shown, *([VERSION_SHOWN] if version else [])], values, strict=True))
            if holds:
                merged.same.add(number)

    def _update(self) -> str:
        changes = [f"{quoted(one)} = a.c{at}" for at, one in enumerate(self.columns)]
        changes += [f"{quoted(one)} = {said}" for one, said in self.stamps.items()]
        where = " AND ".join([self._on(), f"({self._differs()})", *self._guards()])
        given = ", ".join(f"t.{quoted(one)}" if self.postgres else quoted(one) for one in self.key)
        return f"UPDATE {self.target} AS t SET {', '.join(changes)} FROM arriving AS a WHERE {where} RETURNING {given}"

    def _insert(self) -> str:
        names = ", ".join(quoted(one) for one in (*self.key, *self.columns, *self.stamps))
        given = [*(f"a.k{at}" for at in range(len(self.key))), *(f"a.c{at}" for at in range(len(self.columns)))]
        given += self.stamps.values()
        key = ", ".join(quoted(one) for one in self.key)
        there = f"EXISTS (SELECT 1 FROM {self.target} AS t WHERE {self._on()})"
        return (
            f"INSERT INTO {self.target} ({names}) SELECT {', '.join(given)} FROM arriving AS a "
            f"WHERE a.version IS NULL AND a.known = 0 AND NOT {there} ON CONFLICT ({key}) DO NOTHING RETURNING {key}"
        )

    def _guards(self) -> list[str]:
        """Conditions under which a record that is there may be changed."""
        guards = []
        if self.version:
            guards.append(f"({'' if self.strict else 'a.version IS NULL OR '}{self._version} = a.version)")
        elif self.strict:
            held = (f"{self._old(at)} IS NOT DISTINCT FROM {self._new(at, 'b')}" for at in range(len(self.columns)))
            guards += ["a.known = 1", *held]
        if self.until:
            guards.append(f"(t.{quoted(self.until)} > {self.stamps[self.until]}) IS NOT TRUE")
        return guards

    @property
    def _compared(self) -> Sequence[str]:
        return self.columns if self.strict and not self.version else ()

    @property
    def _version(self) -> str:
        return f"CAST(t.{self.version if self.version == 'xmin' else quoted(self.version)} AS text)"

    def _old(self, at: int) -> str:
        return self._comparable(at, f"t.{quoted(self.columns[at])}")

    def _new(self, at: int, kind: str = "c") -> str:
        return self._comparable(at, f"a.{kind}{at}")

    def _comparable(self, at: int, expression: str) -> str:
        """The type json has no equality."""
        return f"CAST({expression} AS jsonb)" if self._is_json(self.columns[at]) else expression

    def _is_json(self, name: str) -> bool:
        return self.postgres and isinstance(self.types.get(name), JSON)

    def _on(self) -> str:
        return " AND ".join(f"t.{quoted(one)} = a.k{at}" for at, one in enumerate(self.key))

    def _differs(self) -> str:
        parts = (f"{self._old(at)} IS DISTINCT FROM {self._new(at)}" for at in range(len(self.columns)))
        return " OR ".join(parts) or "false"

    def _line(self, number: int, row: Row) -> list[Any]:
        values = [self._given(name, one) for name, one in zip(self.columns, row.values, strict=True)]
        compared = self._compared
        before = row.before if row.before and compared else (None,) * len(compared)
        held = [self._given(name, one) for name, one in zip(compared, before, strict=True)]
        return [number, row.version, int(row.before is not None), *row.key, *values, *held]

    def _given(self, name: str, value: Any) -> Any:
        """The value as the driver takes it."""
        if value is None:
            return None
        if isinstance(self.types.get(name), JSON) or isinstance(value, dict):
            return to_json(value)
        return json.dumps(value) if isinstance(value, list) and not self.postgres else value


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"


def run(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    """The rows of a statement that has its values in it."""
    found = connection.exec_driver_sql(statement, execution_options=_NO_PARAMETERS)
    return [tuple(row) for row in found] if found.returns_rows else []
