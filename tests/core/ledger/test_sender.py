"""What ends together is one transaction in one trip, on a connection that may be lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from include import database
from include.database import Sender, Statement, transaction
from include.errors import LedgerUnavailable
from tests.core.conftest import Ledger

WORD = "ada@example.com"


@pytest.fixture
def sender(ledger: Ledger) -> Iterator[Sender]:
    with closing(Sender(ledger.service)) as made:
        yield made


def note(what: str) -> Statement:
    return "INSERT INTO nightledger.event (stream, type, actor, details) VALUES ('s', %s, 'a', '{}')", [what]


def noted(ledger: Ledger) -> list[str]:
    with transaction(ledger.service) as connection:
        return list(connection.scalars(text("SELECT type FROM nightledger.event WHERE actor = 'a' ORDER BY seq")))


def end_sessions(ledger: Ledger) -> None:
    """As a restart of the server does."""
    with ledger.owner.begin() as connection:
        ended = connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database() AND state = 'idle'"
            )
        )
        assert ended.all()


def test_all_of_it_or_nothing(ledger: Ledger, sender: Sender) -> None:
    sender.send([note("one"), note("two")])
    with pytest.raises(Exception, match="division") as caught:
        sender.send([note(WORD), ("SELECT 1 / %s", [0])])
    assert WORD not in str(caught.value)
    sender.send([note("three")])
    assert noted(ledger) == ["one", "two", "three"]


def test_a_transaction_has_the_settings_of_every_other(ledger: Ledger, sender: Sender) -> None:
    shown = "('timezone'), ('statement_timeout'), ('idle_in_transaction_session_timeout')"
    put = (
        "INSERT INTO nightledger.event (stream, type, actor, details) SELECT 's', current_setting(name), 'a', '{}' FROM"
    )
    sender.send([(f"{put} (VALUES {shown}) AS v (name)", [])])
    assert noted(ledger) == ["UTC", "10min", "2min"]


def test_a_connection_that_was_lost_while_idle_is_made_anew(
    ledger: Ledger, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_TRIED_AFTER", 0.0)
    sender.send([note("one")])
    end_sessions(ledger)
    sender.send([note("two")])
    assert noted(ledger) == ["one", "two"]


def test_one_that_is_lost_in_the_middle_is_worth_a_retry(ledger: Ledger, sender: Sender) -> None:
    sender.send([note("one")])
    end_sessions(ledger)
    with pytest.raises(LedgerUnavailable) as caught:
        sender.send([note("two")])
    assert caught.value.verdict == "retry"
    sender.send([note("three")])
    assert noted(ledger) == ["one", "three"]


def test_what_it_holds_is_given_up(ledger: Ledger) -> None:
    sender = Sender(ledger.service)
    sender.send([note("one")])
    query = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ~ 'COMMIT$'")
    with ledger.owner.connect() as connection:
        assert connection.scalar(query) == 1
        sender.close()
    for _ in range(50):
        with ledger.owner.connect() as connection:
            left = connection.scalar(query)
            if not left:
                return
            connection.execute(text("SELECT pg_sleep(0.1)"))
    raise AssertionError(f"{left} connections are left")


def test_an_error_of_the_database_is_no_other_than_that_of_a_transaction(ledger: Ledger, sender: Sender) -> None:
    kinds = []
    for run in (lambda: sender.send([("SELECT nothing", [])]), lambda: _in_transaction(ledger)):
        with pytest.raises(Exception, match="nothing") as caught:
            run()
        kinds.append(isinstance(caught.value, LedgerUnavailable))
    assert kinds == [False, False]


def _in_transaction(ledger: Ledger) -> None:
    with pytest.raises(DBAPIError) as caught, transaction(ledger.service) as connection:
        connection.execute(text("SELECT nothing"))
    raise caught.value
