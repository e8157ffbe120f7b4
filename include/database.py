"""Open the ledger's database, and the few PostgreSQL idioms that SQLAlchemy Core leaves to us."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, OperationalError

from include.errors import LedgerUnavailable
from include.refusals import without_rows

Database = Engine
"""SQLAlchemy's engine; here an engine is what answers questions."""
_ALIVE = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_UNHEARD_MS = 60_000
"""Milliseconds after which a connection that nothing comes back on is given up, here and by the kernel."""
IDLE_MS = 120_000
"""Milliseconds that a transaction may do nothing: a paused process must not keep a lock that others wait for."""
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
SHORTLY = "set_config('idle_in_transaction_session_timeout', '10000', true)"
"""SQL for a transaction that holds what everybody waits for: a process paused within it loses it after 10 seconds."""
_PAUSED = "25P03"  # the server ended a transaction that did nothing for too long
_BEGIN = (
    "SET LOCAL timezone = 'UTC'; SET LOCAL statement_timeout = 600000; "
    f"SET LOCAL idle_in_transaction_session_timeout = {IDLE_MS}"
)
_TRIED_AFTER = 1.0  # seconds


def open_database(url: str) -> Database:
    """An engine whose transactions work in UTC and end if they hang; it connects when first used.

    Nothing belongs to a session: settings are those of a transaction, tables are named with their schema, and no
    statement is prepared by name. So it may stand behind a pooler that lends a session for one transaction at a time.
    """
    engine = create_engine(
        url,
        pool_pre_ping=True,
        hide_parameters=True,  # an error must not quote a row into a log
        pool_size=3,
        connect_args={"connect_timeout": 10, "prepare_threshold": None, "tcp_user_timeout": _UNHEARD_MS, **_ALIVE},
        json_serializer=to_json,
    )
    event.listen(engine, "begin", _set_up)
    return engine


def _set_up(connection: Connection) -> None:
    connection.exec_driver_sql(_BEGIN, execution_options={"no_parameters": True})  # one trip for all of them


def may_be_idle(connection: Connection) -> None:
    """Let the transaction do nothing for as long as it likes, while it waits for other systems."""
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


@contextmanager
def transaction(engine: Database) -> Iterator[Connection]:
    """One committed transaction; raises LedgerUnavailable when the database cannot be reached or has no room.

    No error that leaves it quotes a row.
    """
    with _told_apart(), engine.begin() as connection:
        yield connection


@contextmanager
def _told_apart() -> Iterator[None]:
    """Errors of a database that is not there from those that are a defect of ours; none of them quotes a row."""
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        reason = without_rows(error)
        cause = error.orig if isinstance(error, DBAPIError) else error
        lost = isinstance(error, (OperationalError, psycopg.OperationalError))
        if not lost and getattr(cause, "sqlstate", None) != _PAUSED:
            raise
        raise LedgerUnavailable(
            reason, system="ledger", action="Nothing was called or written; check connection `nightledger_db` and retry"
        ) from error


def to_json(value: Any) -> str:
    """JSON with times as ISO 8601, money as text, and characters that PostgreSQL refuses made visible."""
    text = _ENCODER.encode(value)
    if "\\u0000" in text:  # and not where it follows a backslash of the text's own
        text = _NUL.sub(r"\1\\ufffd", text)
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    if isinstance(value, (set, frozenset, tuple)):
        return sorted(value) if isinstance(value, (set, frozenset)) else list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_ENCODER = json.JSONEncoder(ensure_ascii=False, default=_jsonable, allow_nan=False)


Statement = tuple[str, Sequence[Any]]
"""SQL with `%s` for each of its values."""
_WHOLE: tuple[Statement, Statement] = (f"BEGIN; {_BEGIN}", ()), ("COMMIT", ())


def send(connection: Connection, statements: Sequence[Statement]) -> None:
    """Run statements that give nothing back, all in one trip: each by itself would cost what ten rows of it do."""
    driver: Any = connection.connection.driver_connection
    _run(driver, statements)


def _run(driver: psycopg.Connection[Any], statements: Sequence[Statement]) -> None:
    with psycopg.ClientCursor(driver) as cursor:
        cursor.execute("; ".join(sql for sql, _ in statements), [value for _, values in statements for value in values])


class Sender:
    """A connection of its own on which whole transactions are one trip; for one thread at a time, and to be closed."""

    def __init__(self, engine: Database) -> None:
        """Connects when first used, and anew after an error."""
        self._engine = engine
        self._driver: psycopg.Connection[Any] | None = None
        self._used = 0.0

    def send(self, statements: Sequence[Statement]) -> None:
        """One committed transaction of statements that give nothing back; raises what `transaction` does."""
        with _told_apart():
            driver = self._connected()
            try:
                _run(driver, [_WHOLE[0], *statements, _WHOLE[1]])
            except BaseException:
                self.close()
                raise
            self._used = time.monotonic()

    def _connected(self) -> psycopg.Connection[Any]:
        """The connection; tried first if it was not used for a while, since the server may have gone meanwhile."""
        if self._driver is not None and time.monotonic() - self._used > _TRIED_AFTER:
            try:
                self._driver.execute("SELECT 1")
            except psycopg.OperationalError:
                self.close()
        if self._driver is None:
            pooled = self._engine.raw_connection()
            driver: Any = pooled.driver_connection
            pooled.detach()
            driver.autocommit = True
            self._driver = driver
        return self._driver

    def close(self) -> None:
        """Give the connection up."""
        if self._driver is not None:
            self._driver.close()
            self._driver = None


def as_text(keys: Iterable[str]) -> str:
    """Keys in order as one text, for `string_to_array(..., ',')`: a list costs 2 microseconds for each key in it."""
    return ",".join(sorted(keys))


def insertion(table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Statement:
    """Append few rows; many are cheaper by `copy_rows`."""
    names, target = ", ".join(f'"{name}"' for name in columns), f"nightledger.{table.name}"
    records = to_json([dict(zip(columns, row, strict=True)) for row in rows])
    return (
        f"INSERT INTO {target} ({names}) SELECT {names} FROM jsonb_populate_recordset(NULL::{target}, %s)",
        [records],
    )


def copy_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Append rows by COPY, the cheapest way in; returns how many. Values of JSON columns are plain Python values."""
    return _copy(connection, f"nightledger.{table.name}", table, columns, rows)


def merge_rows(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    key: Sequence[str],
    update: Sequence[str] = (),
) -> int:
    """COPY into a temporary table, then insert what is new; on a conflict over `key`, set `update` or keep the old row.

    Returns the number of rows inserted or updated.
    """
    names = ", ".join(f'"{name}"' for name in columns)
    connection.execute(text("DROP TABLE IF EXISTS pg_temp.arriving"))
    connection.execute(
        text(f"CREATE TEMP TABLE arriving ON COMMIT DROP AS SELECT {names} FROM nightledger.{table.name} WITH NO DATA")
    )
    _copy(connection, "pg_temp.arriving", table, columns, rows)
    action = "DO UPDATE SET " + ", ".join(f'"{c}" = excluded."{c}"' for c in update) if update else "DO NOTHING"
    result = connection.execute(
        text(
            f"INSERT INTO nightledger.{table.name} ({names}) SELECT {names} FROM pg_temp.arriving "
            f"ON CONFLICT ({', '.join(key)}) {action}"
        )
    )
    return int(result.rowcount)


def _copy(
    connection: Connection, target: str, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    encoders = [to_json if isinstance(table.c[name].type, JSONB) else _visible for name in columns]
    names = ", ".join(f'"{name}"' for name in columns)
    count = 0
    driver: Any = connection.connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {target} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([None if v is None else encode(v) for encode, v in zip(encoders, row, strict=True)])
            count += 1
    return count


def _visible(value: Any) -> Any:
    """The value with characters that PostgreSQL's text cannot hold made visible."""
    if isinstance(value, str):
        if value.isascii() and "\x00" not in value:
            return value
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_visible(item) for item in value]
    return value
