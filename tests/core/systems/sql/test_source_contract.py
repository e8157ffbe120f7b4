"""A table keeps what every source promises, on PostgreSQL and on SQLite."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from include.models import Column
from include.systems.sql.declared import SqlRecords
from include.systems.sql.reading import SqlReader
from tests.core.systems.contracts import SourceWorld, VersionedSourceContract
from tests.core.systems.sql.conftest import Base

SOURCE = SqlRecords(
    system="shop",
    object="orders",
    key=Column("Id", "number", "integer"),
    changed=Column("changed", "changed", "datetime"),
    columns=(Column("name", "name"), Column("amount", "amount", "number")),
    as_text=("amount",),
)
UPSERT = (
    'INSERT INTO orders ("Id", changed, name, amount) VALUES (?, ?, ?, ?) '
    'ON CONFLICT ("Id") DO UPDATE SET changed = excluded.changed, name = excluded.name, amount = excluded.amount'
)


class TableWorld(SourceWorld):
    """Orders of a shop; amounts are texts, as where a table is loaded from files."""

    def __init__(self, base: Base) -> None:
        self.base = base
        time = "timestamptz" if base.is_postgres else "TEXT"
        base.run(f'CREATE TABLE orders ("Id" integer PRIMARY KEY, changed {time} NOT NULL, name text, amount text)')

    def put(self, number: int, changed: datetime, name: str = "Ann", amount: Any = "1.5") -> None:
        self.base.run(
            UPSERT, 1000 + number, changed if self.base.is_postgres else changed.isoformat(), name, str(amount)
        )

    def remove(self, number: int) -> None:
        self.base.run('DELETE FROM orders WHERE "Id" = ?', 1000 + number)

    def rename_column(self, old: str, new: str) -> None:
        self.base.run(f"ALTER TABLE orders RENAME COLUMN {old} TO {new}")

    def id_of(self, number: int) -> str:
        return str(1000 + number)

    def open(self) -> SqlReader:
        return SOURCE.open(self.base.standing)


class TestPostgres(VersionedSourceContract):
    @pytest.fixture
    def world(self, postgres_base: Base) -> TableWorld:
        return TableWorld(postgres_base)


class TestSqlite(VersionedSourceContract):
    @pytest.fixture
    def world(self, sqlite_base: Base) -> TableWorld:
        return TableWorld(sqlite_base)
