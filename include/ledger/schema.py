"""Bring the ledger's schema up to date, and say what the service may do with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, text

from include.errors import ConfigurationError, LedgerOutdated

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
APPEND_ONLY = ("inference", "inference_result", "decision", "event")
SERVICE_ROLE = "nightledger_service"
_STAMPED = {"recorded_at", "digest", "seq", "prev_hash", "hash"}
_REVISION = {name: re.compile(rf'^{name} = "(\w+)"', re.MULTILINE) for name in ("revision", "down_revision")}
_MIGRATION_LOCK = 0x6E6C_6D69  # any constant that every process agrees on


def head_revision() -> str:
    """The newest revision that this code knows: the one that no other follows.

    Read from the files' text, since every stage asks and Alembic would have to be loaded and import them all.
    """
    files = [file.read_text(encoding="utf-8") for file in MIGRATIONS.glob("versions/*.py")]
    revisions, followed = (set(_REVISION[name].findall("\n".join(files))) for name in ("revision", "down_revision"))
    (head,) = revisions - followed
    return str(head)


def current_revision(engine: Engine) -> str | None:
    """The revision the database is at, or None for an empty one."""
    with engine.connect() as connection:
        return _current(connection)


def upgrade(engine: Engine, service_role: str = SERVICE_ROLE, *, grant_again: bool = True) -> str:
    """Apply what is missing under an advisory lock, then grant the service its rights; safe to call from many tasks.

    `engine` logs in as the owner. Without `grant_again` nothing is touched where another was faster: its tables are in
    use by then, and PostgreSQL refuses two changes of one table's entry at a time. Raises ConfigurationError if the
    service role does not exist.
    """
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        outdated = _current(connection) != head_revision()
        if outdated:
            connection.execute(text("CREATE SCHEMA IF NOT EXISTS nightledger"))
            from alembic import command

            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        if outdated or grant_again:
            _grant(connection, service_role)
    return head_revision()


def require_current(engine: Engine) -> None:
    """Raise LedgerOutdated unless the database is at the revision this code was written for."""
    found, wanted = current_revision(engine), head_revision()
    if found != wanted:
        raise LedgerOutdated(
            f"the schema is at revision {found or 'none'}, this code needs {wanted}",
            system="ledger",
            action="Run `python -m include.cli ledger upgrade` with the owner's connection `nightledger_db_owner`",
        )


def _current(connection: Connection) -> str | None:
    if connection.scalar(text("SELECT to_regclass('nightledger.alembic_version')")) is None:
        return None
    return str(connection.scalar(text("SELECT version_num FROM nightledger.alembic_version")))


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _grant(connection: Connection, role: str) -> None:
    """Read and insert everywhere; update only where a row has a state; delete claims only; stamp nothing itself."""
    if not connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}):
        raise ConfigurationError(
            f"the role {role!r} does not exist",
            system="ledger",
            action=f"Create it: CREATE ROLE {role} LOGIN PASSWORD ...",
        )
    columns: dict[str, list[str]] = {}
    for table, column in connection.execute(
        text(
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
            "WHERE c.relnamespace = 'nightledger'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
            "AND a.attnum > 0 AND NOT a.attisdropped"
        )
    ):
        columns.setdefault(table, []).append(column)
    statements = [
        f"GRANT USAGE ON SCHEMA nightledger TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA nightledger TO {role}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA nightledger TO {role}",
        f"GRANT EXECUTE ON FUNCTION nightledger.ensure_inference_month TO {role}",
        f"GRANT EXECUTE ON FUNCTION nightledger.reserve_budget, nightledger.settle_budget TO {role}",
    ]
    for table, names in columns.items():
        if table in ("chain_head", "alembic_version"):
            continue
        if table in APPEND_ONLY:
            statements.append(
                f"GRANT INSERT ({', '.join(n for n in names if n not in _STAMPED)}) ON nightledger.{table} TO {role}"
            )
        else:
            rights = "INSERT, UPDATE, DELETE" if table == "claim" else "INSERT, UPDATE"
            statements.append(f"GRANT {rights} ON nightledger.{table} TO {role}")
    for statement in statements:
        connection.exec_driver_sql(statement)
