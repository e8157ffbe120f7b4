"""Read the ledger for a page: one snapshot, read only, and never for long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from include.database import Database, transaction
from include.errors import LedgerUnavailable

PAGE_ROWS = 50
SECONDS = 5
"""A statement of a page that takes longer is ended, so that pages cannot hold up nights."""


@contextmanager
def reading(ledger: Database) -> Iterator[Connection]:
    """A read-only transaction; raises LedgerUnavailable when the ledger cannot be reached or takes too long."""
    try:
        with transaction(ledger) as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = '{SECONDS}s'; SET TRANSACTION READ ONLY"))
            yield connection
    except LedgerUnavailable as error:
        action = "Nothing is lost; the nights go on or retry by themselves. Check connection `nightledger_db`"
        raise LedgerUnavailable(error.problem, system="ledger", action=action) from error


def rows(connection: Connection, query: str, **values: Any) -> list[RowMapping]:
    """The rows of a query with named parameters."""
    return list(connection.execute(text(query), values).mappings())
