"""Open the ledger's database, and the few PostgreSQL idioms that SQLAlchemy Core leaves to us."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, Table, create_engine, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, OperationalError

from include.errors import LedgerUnavailable
from include.ledger.refusals import without_rows


def open_engine(url: str) -> Engine:
    """An engine whose sessions work in schema `nightledger` and in UTC; it connects when first used."""
    options = "-c search_path=nightledger -c timezone=UTC -c statement_timeout=600000"
    return create_engine(
        url,
        pool_pre_ping=True,
        hide_parameters=True,  # an error must not quote a row into a log
        pool_size=3,
        connect_args={"options": options, "connect_timeout": 10},
        json_serializer=to_json,
    )


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One committed transaction; raises LedgerUnavailable when the database cannot be reached or has no room.

    No error that leaves it quotes a row.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except (DBAPIError, psycopg.Error) as error:
        reason = without_rows(error)
        if not isinstance(error, (OperationalError, psycopg.OperationalError)):
            raise
        raise LedgerUnavailable(
            reason, system="ledger", action="Nothing was called or written; check connection `nightledger_db` and retry"
        ) from error


def to_json(value: Any) -> str:
    """JSON with times as ISO 8601, money as text, and characters that PostgreSQL refuses made visible."""
    text = json.dumps(value, ensure_ascii=False, default=_jsonable, allow_nan=False).replace("\\u0000", "\\ufffd")
    return text.encode("utf-8", "replace").decode("utf-8")


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (set, frozenset, tuple)):
        return sorted(value) if isinstance(value, (set, frozenset)) else list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


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
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_visible(item) for item in value]
    return value
