"""A database by its stored connection: PostgreSQL, SQLite, or any other that SQLAlchemy has a driver for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from include.database import to_json
from include.errors import ConfigurationError
from include.systems.connections import database_url
from include.systems.network import as_texts

if TYPE_CHECKING:
    from include.systems.connections import StoredConnection

_POSTGRES = "postgresql+psycopg"
_PG_CONNECT = {
    "connect_timeout": 10,
    "prepare_threshold": None,  # a pooler may lend another session to the next transaction
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
_IDLE_MS = 60_000
"""Milliseconds for which a transaction may do nothing, so that a paused process keeps no lock that others wait for."""
_STEPS = 10_000
"""Instructions of SQLite's machine between two looks at the clock."""


def open_sql(connection: StoredConnection) -> Engine:
    """An engine that connects when first used; its errors quote no values and its representation no password.

    Extra `sqlalchemy_scheme` names dialect and driver (default: PostgreSQL by psycopg), `sqlalchemy_query` more of the
    URL. For `sqlite` the host is the file. Raises ConfigurationError for a dialect or driver that is not installed.
    """
    url = sql_url(connection)
    more: dict[str, Any] = {"connect_args": _PG_CONNECT} if url.get_backend_name() == "postgresql" else {}
    try:
        engine = create_engine(url, pool_pre_ping=True, hide_parameters=True, json_serializer=to_json, **more)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        problem = f"no driver for {url.drivername!r} is installed"
        raise ConfigurationError(
            problem, system=connection.conn_id, action="Install it, or correct the extra"
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _leave_transactions_to_us)
    return engine


def sql_url(connection: StoredConnection) -> URL:
    """The connection as a URL; raises ConfigurationError for a part of it that no URL can hold."""
    name = connection.conn_id
    scheme = str(connection.extra.get("sqlalchemy_scheme") or _POSTGRES)
    given = connection.extra.get("sqlalchemy_query") or {}
    try:
        query = as_texts(name, "sqlalchemy_query", given) if given else {}
        if scheme.partition("+")[0] in ("postgresql", "postgres"):
            driver = scheme if "+" in scheme else _POSTGRES
            return make_url(database_url(connection)).set(drivername=driver).update_query_dict(query)
        if scheme.partition("+")[0] == "sqlite":
            return URL.create(scheme, database=connection.host or connection.schema, query=query)
        return URL.create(
            scheme,
            connection.login or None,
            connection.password or None,
            connection.host or None,
            connection.port,
            connection.schema or None,
            query,
        )
    except (ArgumentError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError("the connection makes no URL of a database", system=name) from error


def bound(engine: Engine, seconds: float, *, reading: bool) -> Engine:
    """The engine, of which every transaction works in UTC and ends when one statement takes longer than that.

    For `reading` the database itself refuses every change: PostgreSQL and SQLite do, other databases are told by the
    rights of the account alone.
    """
    begin = {"postgresql": _begin_postgres, "sqlite": _begin_sqlite}.get(engine.dialect.name)
    if begin is not None:
        event.listen(engine, "begin", lambda connection: begin(connection, seconds, reading))
    return engine


def _begin_postgres(connection: Connection, seconds: float, reading: bool) -> None:
    limit = max(int(seconds * 1000), 1)
    settings = ["timezone = 'UTC'", "datestyle = 'ISO'", "extra_float_digits = 1"]
    settings += [f"statement_timeout = {limit}", f"lock_timeout = {limit}"]
    settings += [f"idle_in_transaction_session_timeout = {_IDLE_MS}"]
    begin = "; ".join(f"SET LOCAL {one}" for one in settings)
    begin += "; SET TRANSACTION READ ONLY" if reading else "; SET CONSTRAINTS ALL IMMEDIATE"
    connection.exec_driver_sql(begin, execution_options={"no_parameters": True})


def _begin_sqlite(connection: Connection, seconds: float, reading: bool) -> None:
    driver: Any = connection.connection.driver_connection
    ends = time.monotonic() + seconds
    driver.set_progress_handler(lambda: time.monotonic() > ends, _STEPS)
    driver.execute(f"PRAGMA busy_timeout = {max(int(seconds * 1000), 1)}")
    driver.execute(f"PRAGMA query_only = {int(reading)}")
    driver.execute("BEGIN" if reading else "BEGIN IMMEDIATE")


def _leave_transactions_to_us(driver: Any, _: object) -> None:
    # https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#enabling-non-legacy-sqlite-transactional-modes-with-the-sqlite3-or-aiosqlite-driver
    driver.isolation_level = None
