"""Shared fixtures: a throw-away PostgreSQL server, a fresh ledger for each test, and a run opened in it."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url

from include.database import open_database
from include.demo.stack.postgres import embedded_postgres
from include.ledger.record import open_run
from include.ledger.schema import SERVICE_ROLE, upgrade
from include.models import Interval, Mode, RunKey, RunOptions
from include.run import Night
from include.settings import Settings
from include.spec.use_case import UseCase, load
from include.systems.connections import Connections, EnvironmentConnections

TEMPLATE = "ledger_template"
MEMORY = Path("/dev/shm")
ROOM_BYTES = 4_000_000_000
PROMPT = {"version": "1", "hash": "f" * 64, "name": "test", "system": "Answer.", "user": "{{ row }}"}


@dataclass(frozen=True)
class Postgres:
    """A running server; `url` logs in as superuser to its maintenance database.

    `engine` keeps one connection there: a new one costs as much as a small database.
    """

    url: str
    engine: Engine

    def execute(self, *statements: str) -> None:
        """Run statements as superuser, each in autocommit."""
        with self.engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def database(self, name: str, user: str = "postgres") -> str:
        """SQLAlchemy URL of a database on this server, as that user (all are trusted)."""
        url = make_url(self.url).set(database=name, username=user)
        return url.render_as_string(hide_password=False)

    @property
    def socket(self) -> str:
        """Folder of the server's Unix socket, which clients take as host."""
        return str(make_url(self.url).query["host"])


@dataclass(frozen=True)
class LedgerUrls:
    """The same ledger by two credentials: `owner` may do anything, `service` is what the pipeline runs as."""

    owner: str
    service: str


@dataclass(frozen=True)
class Ledger:
    """A migrated, empty ledger of its own for one test."""

    owner: Engine
    service: Engine
    urls: LedgerUrls


def place_of_databases() -> Path | None:
    """Memory where it is roomy, else the usual place for temporary files.

    A database is 300 files. ext4 looks long for an inode where so many were given back a moment ago, at three times
    the cost of all else in making one.
    """
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    return MEMORY if roomy else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One embedded server for the session, without durability: it is thrown away."""
    place = place_of_databases()
    with (
        tempfile.TemporaryDirectory(prefix="nightledger-test-", dir=place, ignore_cleanup_errors=True) as folder,
        embedded_postgres(Path(folder) / "data") as server,
    ):
        url = server.url("postgres")
        engine = create_engine(url, isolation_level="AUTOCOMMIT", pool_size=1)
        running = Postgres(url, engine)
        quick = (
            "fsync = off",
            "synchronous_commit = off",
            "full_page_writes = off",
            "log_statement = 'none'",
            "max_wal_size = '128MB'",
        )
        running.execute(*(f"ALTER SYSTEM SET {setting}" for setting in quick), "SELECT pg_reload_conf()")
        running.execute(f"CREATE ROLE {SERVICE_ROLE} LOGIN")
        # For the tests' own short statements; the project's name the schema themselves, as a test of them holds.
        running.execute(*(f"ALTER ROLE {r} SET search_path = nightledger, public" for r in ("postgres", SERVICE_ROLE)))
        yield running
        engine.dispose()


@pytest.fixture(scope="session")
def ledger_template(postgres: Postgres) -> str:
    """Name of a database migrated once, which each test's ledger is copied from."""
    postgres.execute(f"CREATE DATABASE {TEMPLATE}")
    engine = open_database(postgres.database(TEMPLATE))
    upgrade(engine)
    engine.dispose()
    return TEMPLATE


@pytest.fixture
def empty_database(postgres: Postgres) -> Iterator[str]:
    """URL, as superuser, of a new database without a schema."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    postgres.execute(f"CREATE DATABASE {name}")
    yield postgres.database(name)
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def ledger_urls(postgres: Postgres, ledger_template: str) -> Iterator[LedgerUrls]:
    """A fresh ledger database (about 50 ms), dropped after the test."""
    name = f"ledger_{uuid.uuid4().hex[:12]}"
    postgres.execute(f"CREATE DATABASE {name} TEMPLATE {ledger_template} STRATEGY FILE_COPY")
    yield LedgerUrls(owner=postgres.database(name), service=postgres.database(name, SERVICE_ROLE))
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def ledger(ledger_urls: LedgerUrls) -> Iterator[Ledger]:
    """Engines on a fresh ledger."""
    found = Ledger(open_database(ledger_urls.owner), open_database(ledger_urls.service), ledger_urls)
    yield found
    found.owner.dispose()
    found.service.dispose()


@pytest.fixture
def warehouse_url(postgres: Postgres) -> Iterator[str]:
    """URL of an empty database that plays the warehouse."""
    name = f"warehouse_{uuid.uuid4().hex[:12]}"
    postgres.execute(f"CREATE DATABASE {name}")
    yield postgres.database(name)
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


MakeNight = Callable[..., Night]


@pytest.fixture
def make_night(ledger: Ledger, tmp_path: Path) -> MakeNight:
    """A factory of nights whose run is open in the ledger; every part may be given.

    `day` shifts the interval, `connections` is a `Connections` or the variables of one, `settings` overrides fields,
    and anything else overrides fields of the use case. Nights with equal `day` are attempts for the same interval.
    """

    def make(
        *,
        case: UseCase | None = None,
        day: int = 0,
        interval: Interval | None = None,
        options: RunOptions | None = None,
        connections: Connections | Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        prompt: Mapping[str, str] = PROMPT,
        external_ref: str = "cli",
        **spec: Any,
    ) -> Night:
        start = datetime(2026, 11, 20, 2, tzinfo=UTC) + timedelta(days=day)
        when = interval or Interval(start, start + timedelta(days=1))
        used = replace(case or load("crm_lead_scoring"), **spec)
        chosen = options or RunOptions(mode=Mode.SHADOW)
        key = RunKey(used.name, when, external_ref)
        run_id = open_run(ledger.service, key, used, chosen, prompt=prompt, git_sha="")
        reach = EnvironmentConnections(connections or {}) if isinstance(connections, Mapping | None) else connections
        base = Settings.read({"NIGHTLEDGER_HOME": str(tmp_path), "NIGHTLEDGER_TOKEN_SECRET": "test secret"})
        tuned = replace(base, **(settings or {}))
        return Night(used, when, run_id, chosen, ledger.service, reach, tuned)

    return make
