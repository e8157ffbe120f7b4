"""Upsert written rows into a warehouse table: COPY into a temporary table, then one merge."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_origin

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from include.errors import ConfigurationError, SystemUnavailable
from include.ledger.database import to_json
from include.models import Record
from include.night import Night
from include.use_case import WarehouseSink

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_TYPES = {"int": "bigint", "float": "double precision", "bool": "boolean", "str": "text"}


@dataclass
class Upserted:
    """Rows by what the merge did with them."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0


class Warehouse:
    """The table of one use case in the warehouse; made when it is missing."""

    def __init__(self, night: Night, sink: WarehouseSink) -> None:
        """Raises ConfigurationError if the connection or the table's name is missing or wrong."""
        conn_id = night.system(sink.system).connection
        url = night.connections.database(conn_id)
        if url is None:
            raise ConfigurationError("no such connection", system=conn_id, action="Define it, or remove the sink")
        parts = sink.table.split(".")
        if len(parts) > 2 or not all(_NAME.fullmatch(part) for part in parts):
            raise ConfigurationError(f"{sink.table!r} is no table name", system=sink.system)
        self._night, self._system = night, sink.system
        self._table = sql.Identifier(*parts)
        self._url = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._key = night.case.source.key.name
        self._columns = {self._key: "text", **_output_columns(night)}
        self._columns |= {"origin": "text", "inference_key": "text"}
        self._columns |= {"interval_start": "timestamptz", "interval_end": "timestamptz", "run_id": "text"}

    def upsert(self, rows: Iterable[Record]) -> Upserted:
        """Insert or update approved rows in one transaction; a row that says the same keeps its run and load time.

        Raises SystemUnavailable when the warehouse cannot be reached; nothing is half loaded then.
        """
        try:
            with psycopg.connect(self._url, connect_timeout=10) as connection:
                return self._merge(connection, rows)
        except psycopg.OperationalError as error:
            reason = str(error).strip().splitlines()[0]
            action = "Clear task `write` when it is back; what the CRM confirmed is not sent again"
            raise SystemUnavailable(reason, system=self._system, action=action) from error

    def _merge(self, connection: psycopg.Connection[Any], rows: Iterable[Record]) -> Upserted:
        names = sql.SQL(", ").join(map(sql.Identifier, self._columns))
        typed = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(n), sql.SQL(t)) for n, t in self._columns.items()
        )
        create = "CREATE TABLE IF NOT EXISTS {} ({}, loaded_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY ({}))"
        connection.execute(sql.SQL(create).format(self._table, typed, sql.Identifier(self._key)))
        connection.execute(sql.SQL("CREATE TEMP TABLE arriving ({}) ON COMMIT DROP").format(typed))
        count = 0
        with connection.cursor() as cursor, cursor.copy(sql.SQL("COPY arriving ({}) FROM STDIN").format(names)) as copy:
            for row in rows:
                copy.write_row(self._values(row))
                count += 1
        done = connection.execute(self._statement(names)).fetchall()
        inserted = sum(1 for (was_new,) in done if was_new)
        return Upserted(inserted, len(done) - inserted, count - len(done))

    def _statement(self, names: sql.Composed) -> sql.Composed:
        said = [name for name in self._columns if name not in (self._key, "run_id", "interval_start", "interval_end")]
        changed = [name for name in self._columns if name != self._key]
        return sql.SQL(
            "INSERT INTO {table} AS t ({names}) SELECT {names} FROM arriving ON CONFLICT ({key}) DO UPDATE "
            "SET {changes}, loaded_at = now() WHERE t.interval_end <= excluded.interval_end "
            "AND ({old}) IS DISTINCT FROM ({new}) RETURNING xmax = 0"
        ).format(
            table=self._table,
            names=names,
            key=sql.Identifier(self._key),
            changes=_join(changed, "{0} = excluded.{0}"),
            old=_join(said, "t.{0}"),
            new=_join(said, "excluded.{0}"),
        )

    def _values(self, row: Record) -> list[Any]:
        night, output = self._night, json.loads(row["output"])
        known = {
            **{name: to_json(value) if isinstance(value, (list, dict)) else value for name, value in output.items()},
            self._key: row["row_key"],
            "origin": row["origin"],
            "inference_key": row["inference_key"],
            "interval_start": night.interval.start,
            "interval_end": night.interval.end,
            "run_id": night.run_id,
        }
        return [_clean(known.get(name)) for name in self._columns]


def _output_columns(night: Night) -> dict[str, str]:
    fields = night.case.module("output").Output.model_fields
    columns = {}
    for name, field in fields.items():
        is_choice = get_origin(field.annotation) is Literal
        columns[name] = "text" if is_choice else _TYPES.get(str(getattr(field.annotation, "__name__", "")), "jsonb")
    return columns


def _join(names: Sequence[str], form: str) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL(form).format(sql.Identifier(name)) for name in names)


def _clean(value: Any) -> Any:
    return value.replace("\x00", "\ufffd") if isinstance(value, str) else value
