"""Databases to read from and write to: PostgreSQL and SQLite, both real."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

from tests.core.conftest import Postgres
from tests.core.systems.sql.standing import Standing


class Base:
    """A database as its owner acts on it, and how a run reaches it."""

    def __init__(self, engine: Engine, standing: Standing) -> None:
        self.engine, self.standing = engine, standing

    @property
    def is_postgres(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    def run(self, statement: str, *values: Any) -> list[Any]:
        text = statement.replace("?", "%s") if self.is_postgres and values else statement
        with self.engine.begin() as connection:
            options = {} if values else {"no_parameters": True}
            found = connection.exec_driver_sql(text, values or None, execution_options=options)
            return list(found) if found.returns_rows else []


@pytest.fixture(scope="session")
def shop_database(postgres: Postgres) -> str:
    name = f"shop_{uuid.uuid4().hex[:12]}"
    postgres.execute(f"CREATE DATABASE {name}")
    return name


@pytest.fixture
def postgres_base(postgres: Postgres, shop_database: str) -> Iterator[Base]:
    engine = create_engine(postgres.database(shop_database))
    found = Base(engine, Standing({"host": postgres.socket, "login": "postgres", "schema": shop_database}))
    found.run("DROP SCHEMA public CASCADE")
    found.run("CREATE SCHEMA public")
    yield found
    engine.dispose()


@pytest.fixture
def sqlite_base(tmp_path: Path) -> Iterator[Base]:
    file = tmp_path / "shop.db"
    engine = create_engine(f"sqlite:///{file}")
    yield Base(engine, Standing({"host": str(file), "extra": {"sqlalchemy_scheme": "sqlite"}}))
    engine.dispose()
