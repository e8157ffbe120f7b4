"""Upsert written rows into a warehouse table: COPY into a temporary table, then one merge."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from include.database import to_json
from include.errors import AccessDenied, ConfigurationError, ContractBroken, SystemUnavailable
from include.models import Record
from include.plain import visible, visible_all
from include.systems.port import Surroundings
from include.systems.sql.declared import Mirror

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_TYPES: Mapping[Any, str] = {int: "bigint", float: "double precision", bool: "boolean", str: "text"}
_AFTERWARDS = "Clear task `write` then; what the CRM confirmed is not sent again"


@dataclass
class Upserted:
    """Rows by what the merge did with them."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0


class Said(NamedTuple):
    """What the rows say: the use case, the column with a row's key, and the fields of an answer with their types."""

    use_case: str
    key: str
    fields: Mapping[str, Any]


class MirrorTable:
    """The mirror of one use case; made when it is missing, given the columns that it lacks."""

    def __init__(self, here: Surroundings, sink: Mirror, said: Said) -> None:
        """Nothing is reached yet; raises ConfigurationError if the connection, the table's name or a column is wrong.

        A name without a schema is one of schema `public`.
        """
        system = here.system(sink.system)
        url = here.connections.find("database", system.connection)
        if url is None:
            action = "Define it, or remove `mirror` from the use case"
            raise ConfigurationError("no such connection", system=system.connection, action=action)
        parts = sink.table.split(".") if "." in sink.table else ["public", sink.table]
        if len(parts) > 2 or not all(_NAME.fullmatch(part) for part in parts):
            raise ConfigurationError(f"{sink.table!r} is no table name", system=sink.system)
        self.name, self._here, self._said, self._system = sink.table, here, said, system
        self._table = sql.Identifier(*parts)
        self._url = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._columns = _columns(said)

    def upsert(self, rows: Iterable[Record]) -> Upserted:
        """Insert or update approved rows in one transaction; a row that says the same keeps its run and load time.

        Raises SystemUnavailable when the warehouse cannot be reached, AccessDenied when a right is missing, and
        ContractBroken when the table does not fit; nothing is half loaded then.
        """
        limit = self._system.timeout_seconds
        with self._typed_errors(), psycopg.connect(self._url, connect_timeout=int(limit)) as connection:
            connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{limit}s"])
            self._prepare(connection)
            return self._merge(connection, rows)

    @contextmanager
    def _typed_errors(self) -> Iterator[None]:
        """The errors of PostgreSQL as ours, and without its text where that would quote a row."""
        about = self.name
        try:
            yield
        except psycopg.OperationalError as error:
            reason = str(error).strip().splitlines()[0]
            kind = AccessDenied if "authentication failed" in reason else SystemUnavailable
            raise kind(reason, system=self._system.name, about=about, action=_AFTERWARDS) from None
        except psycopg.errors.InsufficientPrivilege as error:
            action = f"Grant it to the role of connection `{self._system.connection}`. {_AFTERWARDS}"
            primary = str(error.diag.message_primary)
            raise AccessDenied(primary, system=self._system.name, about=about, action=action) from None
        except psycopg.Error as error:
            problem = f"the table or its schema does not fit ({type(error).__name__})"
            action = f"Compare it with the output model of {self._said.use_case}. {_AFTERWARDS}"
            raise ContractBroken(problem, system=self._system.name, about=about, action=action) from None

    def _prepare(self, connection: psycopg.Connection[Any]) -> None:
        """Make the table, or the columns that it lacks; without need no right to do so is needed, and no lock taken.

        Two first nights at once make it one after the other: `IF NOT EXISTS` alone fails for who comes second while the
        first has not committed.
        """
        query = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
        named = self._table.as_string(connection)
        present = {name for (name,) in connection.execute(query, [named])}
        if not self._columns.keys() <= present:
            connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [named])
        if not present:
            form = "CREATE TABLE IF NOT EXISTS {} ({}, loaded_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY ({}))"
            key = sql.Identifier(self._said.key)
            connection.execute(sql.SQL(form).format(self._table, _typed(self._columns), key))
        elif lacking := {name: kind for name, kind in self._columns.items() if name not in present}:
            added = sql.SQL(", ").join(
                sql.SQL("ADD COLUMN IF NOT EXISTS {}").format(_typed({n: k})) for n, k in lacking.items()
            )
            connection.execute(sql.SQL("ALTER TABLE {} {}").format(self._table, added))

    def _merge(self, connection: psycopg.Connection[Any], rows: Iterable[Record]) -> Upserted:
        names = sql.SQL(", ").join(map(sql.Identifier, self._columns))
        connection.execute(sql.SQL("CREATE TEMP TABLE arriving ({}) ON COMMIT DROP").format(_typed(self._columns)))
        count = 0
        with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY arriving ({}) FROM STDIN").format(names)) as copy:
            for row in rows:
                copy.write_row(self._values(row))
                count += 1
        done = connection.execute(self._statement(names)).fetchone()
        inserted, touched = done or (0, 0)
        return Upserted(inserted, touched - inserted, count - touched)

    def _statement(self, names: sql.Composed) -> sql.Composed:
        """One merge: an older interval never replaces a newer one, and a row that says the same is left alone."""
        said = [
            name for name in self._columns if name not in (self._said.key, "run_id", "interval_start", "interval_end")
        ]
        changed = [name for name in self._columns if name != self._said.key]
        return sql.SQL(
            "WITH merged AS (INSERT INTO {table} AS t ({names}) SELECT {names} FROM arriving "
            "ON CONFLICT ({key}) DO UPDATE SET {changes}, loaded_at = now() "
            "WHERE (t.interval_end > excluded.interval_end) IS NOT TRUE AND ({old}) IS DISTINCT FROM ({new}) "
            "RETURNING xmax = 0 AS is_new) SELECT count(*) FILTER (WHERE is_new), count(*) FROM merged"
        ).format(
            table=self._table,
            names=names,
            key=sql.Identifier(self._said.key),
            changes=_join(changed, "{0} = excluded.{0}"),
            old=_join(said, "t.{0}"),
            new=_join(said, "excluded.{0}"),
        )

    def _values(self, row: Record) -> list[Any]:
        here = self._here
        known = {
            **json.loads(row["output"]),
            self._said.key: row["row_key"],
            "use_case": self._said.use_case,
            "origin": row["origin"],
            "inference_key": row["inference_key"],
            "interval_start": here.interval.start,
            "interval_end": here.interval.end,
            "run_id": here.run_id,
        }
        return [_encoded(known.get(name), kind) for name, kind in self._columns.items()]


def _columns(said: Said) -> dict[str, str]:
    """Name and PostgreSQL type of each column but `loaded_at`."""
    answers = {name: _type(annotation) for name, annotation in said.fields.items()}
    ours = {"use_case": "text", "origin": "text", "inference_key": "text"}
    ours |= {"interval_start": "timestamptz", "interval_end": "timestamptz", "run_id": "text"}
    if taken := set(answers) & {said.key, "loaded_at", *ours}:
        problem = f"the warehouse needs these names for itself: {', '.join(sorted(taken))}"
        raise ConfigurationError(problem, system=said.use_case, about="output.Output")
    return {said.key: "text", **answers, **ours}


def _type(annotation: Any) -> str:
    """PostgreSQL type for a field of an output model; lists and whatever else has no plain type are `jsonb`."""
    arguments = get_args(annotation)
    if get_origin(annotation) in (Union, UnionType):
        some = [argument for argument in arguments if argument is not NoneType]
        return _type(some[0]) if len(some) == 1 else "jsonb"
    if get_origin(annotation) is Literal:
        return "text" if all(isinstance(argument, str) for argument in arguments) else "jsonb"
    return _TYPES.get(annotation, "jsonb")


def _encoded(value: Any, kind: str) -> Any:
    """The value for its column; a formula stays, since a program reads it, and an export quotes what it writes."""
    if value is None:
        return None
    if kind == "jsonb":
        return to_json(visible_all(value))
    return visible(value) if isinstance(value, str) else value


def _typed(columns: Mapping[str, str]) -> sql.Composed:
    parts = (sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in columns.items())
    return sql.SQL(", ").join(parts)


def _join(names: Sequence[str], form: str) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL(form).format(sql.Identifier(name)) for name in names)
