"""Bring the ledger's schema up to date, and say what the service may do with it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from include.database import Database
from include.errors import ConfigurationError, LedgerOutdated

if TYPE_CHECKING:
    from alembic.config import Config

logging.getLogger("alembic").setLevel(logging.WARNING)  # it would log lines about itself in every task
MIGRATIONS = Path(__file__).parent / "migrations"
APPEND_ONLY = (
    *("inference", "inference_result", "decision", "event", "answer", "evaluation", "evaluation_row"),
    "comparison",
)
OWNERS = ("erasure", "removal")
"""Append-only as well, and filled by the owner's functions alone: no task may say that something was erased."""
SERVICE_ROLE = "nightledger_service"
BUDGET_FUNCTIONS = ", ".join(
    f"nightledger.{name}" for name in ("open_budget", "reserve_budget", "settle_budget", "correct_budget")
)
UPDATED: Mapping[str, str] = {
    "run": "status detail counts progress finished_at totals heard_at",
    "manifest": "uri rows bytes sha256 columns facts",
    "source_file": "archived_to",
    "outcome": "row_key outcome stage reason lineage",
    "quality_result": "type columns severity meaning success could_not_run rows_checked unexpected_count threshold "
    "observed examples stage handling unit",
    "column_profile": "type rows nulls profile recorded_at",
    "drift_result": "statistic value expected threshold verdict nights detail recorded_at",
    "quarantine": "reasons record stage expectations owner status history released",
    "quarantine_count": "rows",
    "review_item": "status assigned_to agreed_by output decision_id decided_by decided_at comment applied_at "
    "held_sha256",
    "outbox_intent": "row_id decision_id fields before",
    "outbox_result": "status after differs attempts error updated_at",
    "dead_letter": "status replays",
    "batch_job": "status input_file_id provider_batch_id output_file_id error_file_id provider_status detail counts "
    "updated_at",
    "backfill_plan": "status detail nights sums updated_at",
    "quota": "state updated_at",
    "control": "mode off prompt reason changed_by changed_at",
    "alert": "severity sentence page last_seen notified_at channels resolved_at",
    "silence": "ended_at ended_by",
    "alert_look": "looked_at by seconds channels problem",
    "erasure_request": "counts done_at",
    "legal_hold": "lifted_by lifted_at lifted_why",
}
"""The columns that the service may change, by table: those with a state, and those that a stage run again restates."""
PASSING = ("claim", "lease")
"""Tables of what is going on just now, where the service may also change and delete everything."""
_STAMPED = {"recorded_at", "digest", "seq", "prev_hash", "hash"}
_REVISION = {name: re.compile(rf'^{name} = "(\w+)"', re.MULTILINE) for name in ("revision", "down_revision")}
_MIGRATION_LOCK = 0x6E6C_6D69  # any constant that every process agrees on


def head_revision() -> str:
    """The newest revision that this code knows: the one that no other follows.

    Read from the files' text, since every stage asks and Alembic would have to be loaded and import them all.
    """
    (head,) = _known("revision") - _known("down_revision")
    return head


def _known(name: str) -> set[str]:
    files = [file.read_text(encoding="utf-8") for file in MIGRATIONS.glob("versions/*.py")]
    return {str(found) for found in _REVISION[name].findall("\n".join(files))}


def current_revision(ledger: Database) -> str | None:
    """The revision the database is at, or None for an empty one."""
    with ledger.connect() as connection:
        return _current(connection)


def upgrade(ledger: Database, service_role: str = SERVICE_ROLE, *, grant_again: bool = True) -> str:
    """Apply what is missing under an advisory lock, then grant the service its rights; safe to call from many tasks.

    `ledger` logs in as the owner. Without `grant_again` nothing is touched where another was faster: its tables are in
    use by then, and PostgreSQL refuses two changes of one table's entry at a time. Raises ConfigurationError if the
    service role does not exist, and LedgerOutdated if a newer version made the ledger.
    """
    with ledger.connect() as connection, connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        found = _current(connection)
        outdated = found != head_revision()
        if found and found not in _known("revision"):
            raise LedgerOutdated(
                f"made by a newer Nightledger: the schema is at revision {found}, which this code does not know",
                system="ledger",
                action="Use the version that made it, or another ledger",
            )
        if outdated:
            connection.execute(text("CREATE SCHEMA IF NOT EXISTS nightledger"))
            from alembic import command

            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        if outdated or grant_again:
            _grant(connection, service_role)
    return head_revision()


def require_current(ledger: Database) -> None:
    """Raise LedgerOutdated unless the database is at the revision this code was written for."""
    found, wanted = current_revision(ledger), head_revision()
    if found != wanted:
        raise LedgerOutdated(
            f"the schema is at revision {found or 'none'}, this code needs {wanted}",
            system="ledger",
            action="Run `nightledger ledger upgrade` with the owner's connection `nightledger_db_owner`",
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
    """Read and insert; update only columns that have a state; delete claims and leases only; stamp nothing itself.

    What was granted by earlier versions is taken back first.
    """
    if not connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}):
        raise ConfigurationError(
            f"the role {role!r} does not exist",
            system="ledger",
            action=f"Create it: CREATE ROLE {role} LOGIN PASSWORD ...",
        )
    statements = [
        f"GRANT USAGE ON SCHEMA nightledger TO {role}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA nightledger FROM {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA nightledger TO {role}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA nightledger TO {role}",
        f"GRANT EXECUTE ON FUNCTION nightledger.ensure_inference_month TO {role}",
        f"GRANT EXECUTE ON FUNCTION {BUDGET_FUNCTIONS} TO {role}",
        f"REVOKE INSERT, UPDATE ON nightledger.budget FROM {role}",  # earlier revisions let it change any sum unseen
    ]
    for table, names in _columns(connection).items():
        if rights := _rights(table, names):
            statements.append(f"GRANT {rights} ON nightledger.{table} TO {role}")
    for statement in statements:
        connection.exec_driver_sql(statement)


def _columns(connection: Connection) -> dict[str, list[str]]:
    """Every table of the ledger with its columns."""
    query = (
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.relnamespace = 'nightledger'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
        "AND a.attnum > 0 AND NOT a.attisdropped"
    )
    columns: dict[str, list[str]] = {}
    for table, column in connection.execute(text(query)):
        columns.setdefault(table, []).append(column)
    return columns


def _rights(table: str, columns: Sequence[str]) -> str:
    """What the service may do with a table beside reading it."""
    if table in ("chain_head", "alembic_version", "budget", *OWNERS):
        return ""
    if table in APPEND_ONLY:
        return f"INSERT ({', '.join(name for name in columns if name not in _STAMPED)})"
    if table in PASSING:
        return "INSERT, UPDATE, DELETE, TRUNCATE"
    changing = ", ".join(f'"{name}"' for name in UPDATED.get(table, "").split())
    return f"INSERT, UPDATE ({changing})" if changing else "INSERT"
