"""The stand-in for a database of the business: an SQLite file with the tables that were seeded."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

FILE = "shop.sqlite"


def add_rows(state: Path, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Add rows to tables, which are made of the first row's columns; the first column is the key.

    A row that is there is replaced, so that a day can be added again.
    """
    if not any(tables.values()):
        return
    (state / "tables").mkdir(parents=True, exist_ok=True, mode=0o700)
    with closing(sqlite3.connect(state / "tables" / FILE)) as database, database:
        database.execute("PRAGMA journal_mode = WAL")
        for table, rows in tables.items():
            if rows:
                _add(database, table, rows)


def _add(database: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    names = list(rows[0])
    columns = ", ".join(f'"{name}" {_kind([row[name] for row in rows])}' for name in names)
    database.execute(f'CREATE TABLE IF NOT EXISTS "{table}" ({columns}, PRIMARY KEY ("{names[0]}"))')
    values = ", ".join(f":{name}" for name in names)
    database.executemany(f'INSERT OR REPLACE INTO "{table}" VALUES ({values})', rows)


def _kind(values: Sequence[Any]) -> str:
    """The type that SQLite gives a column after its first value, which no row needs to have."""
    first = next((value for value in values if value is not None), None)
    return {int: "INTEGER", float: "REAL"}.get(type(first), "TEXT")
