"""A transaction sets itself up, leaves nothing behind in its session, and ends if it hangs."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, Engine, TextClause, event, text
from sqlalchemy.exc import OperationalError

from include.database import may_be_idle, open_database, transaction
from include.errors import LedgerUnavailable
from tests.core.conftest import Ledger

SETTINGS = ("timezone", "statement_timeout", "idle_in_transaction_session_timeout")


def settings(connection: Connection) -> list[Any]:
    return [connection.scalar(text(f"SHOW {name}")) for name in SETTINGS]


def test_settings_are_those_of_a_transaction_and_stay_in_no_session(ledger: Ledger) -> None:
    engine = open_database(ledger.urls.service)
    with transaction(engine) as connection:
        assert settings(connection) == ["UTC", "10min", "2min"]
        may_be_idle(connection)
        assert settings(connection)[2] == "0"
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
    driver = engine.raw_connection()
    session: Any = driver.dbapi_connection
    assert session.info.backend_pid == pid
    assert [session.execute(f"SHOW {name}").fetchone()[0] for name in SETTINGS[1:]] == ["0", "0"]
    driver.close()
    engine.dispose()


def test_a_process_that_is_stopped_within_a_transaction_keeps_no_lock(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.database._BEGIN", "SET LOCAL idle_in_transaction_session_timeout = 300")
    stopped = open_database(ledger.urls.service)
    lock = text("SELECT pg_advisory_xact_lock(7)")
    with pytest.raises(LedgerUnavailable, match="idle-in-transaction"):
        _stop_within(stopped, lock, ledger)
    stopped.dispose()


def _stop_within(stopped: Engine, lock: TextClause, ledger: Ledger) -> None:
    with transaction(stopped) as connection:
        connection.execute(lock)
        with transaction(ledger.owner) as other:
            other.execute(text("SET LOCAL statement_timeout = '20s'"))
            other.execute(lock)  # waits until the server has ended the other
        connection.execute(text("SELECT 1"))


def test_a_connection_on_which_nothing_comes_back_is_given_up(ledger: Ledger) -> None:
    engine = open_database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    given: dict[str, object] = {}
    event.listen(engine, "do_connect", lambda *parts: given.update(parts[3]))
    with pytest.raises(OperationalError):
        engine.connect()
    assert given["tcp_user_timeout"] == 60_000
    assert (given["keepalives"], given["keepalives_idle"], given["prepare_threshold"]) == (1, 30, None)
