"""What a run leaves in tables that are no audit tables, sealed when it closes: one digest for each table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from include.ledger.record import record_event
from include.ledger.verify_erased import REFS, counted
from include.models import Record


@dataclass(frozen=True, slots=True)
class Sealed:
    """The rows of a run in one table, and those of their columns that never change after the run is closed."""

    columns: tuple[str, ...]
    rows: str
    run: str = "x.run_id"


def _of_run(table: str, columns: str, also: str = "") -> Sealed:
    return Sealed(("run_id", *columns.split()), f"nightledger.{table} x WHERE true {also}")


_NIGHT = "use_case interval_start interval_end"
_PERSON = f"{_NIGHT} row_id row_key inference_key shown shown_sha256 proposed reason recorded_at"
_WRITE = f"{_NIGHT} row_id row_key decision_id destination object external_id fields before"
SEALED: Mapping[str, Sealed] = {
    "run": _of_run(
        "run",
        f"{_NIGHT} attempt external_ref mode options model prompt_version prompt_hash contract_hash code_version "
        "git_sha status detail counts totals started_at finished_at",
    ),
    "prompt": Sealed(
        ("prompt_hash", "name", "version", "system_text", "user_text", "recorded_at"),
        "nightledger.run u JOIN nightledger.prompt x ON x.prompt_hash = u.prompt_hash WHERE true",
        "u.run_id",
    ),
    "manifest": _of_run("manifest", "dataset uri rows bytes sha256 columns facts recorded_at"),
    "source_file": _of_run("source_file", "system path sha256 bytes rows recorded_at"),
    "quality_result": _of_run(
        "quality_result",
        "expectation type columns severity meaning success could_not_run rows_checked unexpected_count threshold "
        "observed examples recorded_at stage handling unit",
    ),
    "column_profile": _of_run("column_profile", "column_name type rows nulls profile recorded_at"),
    "drift_result": _of_run(
        "drift_result",
        "signal column_name statistic value expected threshold verdict nights detail recorded_at",
    ),
    "quarantine": _of_run(
        "quarantine",
        f"{_NIGHT} row_id row_key source stage reasons record counts_as_input recorded_at expectations owner",
    ),
    "answer": _of_run("answer", "inference_key input_sha256 output origin inference_id model recorded_at"),
    "dead_letter": _of_run(
        "dead_letter",
        f"{_NIGHT} row_id row_key stage cause detail inference_key record tries system recorded_at",
    ),
    "review_item": _of_run("review_item", _PERSON),
    "outcome": _of_run("outcome", "row_id row_key outcome stage reason lineage inference_key recorded_at"),
    "outbox_intent": _of_run("outbox_intent", f"{_WRITE} recorded_at", "AND x.undo_of IS NULL"),
    "outbox_result": Sealed(
        ("outbox_id", "status", "after", "differs", "attempts", "error", "updated_at"),
        "nightledger.outbox_result x JOIN nightledger.outbox_intent i USING (outbox_id) WHERE i.undo_of IS NULL",
        "i.run_id",
    ),
    "budget": Sealed(
        ("scope", "ceiling", "spent"), "nightledger.budget x WHERE x.scope LIKE 'run/%'", "substr(x.scope, 5)"
    ),
}
"""What people or later nights may still change is left out: who looked at a row in quarantine, at a dead letter or in
review, where a file was archived to, undone writes, money set aside."""
FORMERLY = {
    "outbox": _of_run(
        "outbox", f"{_WRITE} fields_sha256 after status attempts error recorded_at updated_at", "AND x.undo_of IS NULL"
    )
}
"""What runs were sealed over that were closed while it was a table."""


def digests(table: str, columns: Sequence[str], only: str = "true") -> str:
    """A query for number and digest of the rows of each run in a table; `only` is a condition on `run_id`.

    Rows are hashed in PostgreSQL's binary form, which no setting of the session changes but the client's encoding. An
    erased row counts with the digest that it had.
    """
    sealed = SEALED.get(table) or FORMERLY[table]
    ref, names = REFS.get(table), names_of(columns)
    held = f"""
SELECT {sealed.run} AS run_id, {f"{ref} AS row_ref, " if ref else ""}sha256(record_send(ROW({names}))) AS digest
  FROM {sealed.rows}"""
    return f"""
SELECT run_id, count(*) AS rows, encode(sha256(string_agg(digest, ''::bytea ORDER BY digest)), 'hex') AS digest
  FROM ({counted(table, columns, held, only) if ref else held}) held
 WHERE {only} GROUP BY run_id"""


def names_of(columns: Sequence[str]) -> str:
    """Columns of a row as its digest takes them."""
    return ", ".join(f'x."{name}"' for name in columns)


def seal_run(connection: Connection, run_id: str) -> None:
    """Append event `run.sealed`: rows, digest and columns of every table, as they are in the caller's transaction."""
    connection.execute(text("SET LOCAL client_encoding = 'UTF8'"))
    found: Record = {}
    for table, sealed in SEALED.items():
        query = digests(table, sealed.columns, "run_id = :run")
        row = connection.execute(text(query), {"run": run_id}).first()
        counted = {"rows": row.rows, "digest": row.digest} if row else {"rows": 0, "digest": ""}
        found[table] = {**counted, "columns": list(sealed.columns)}
    record_event(connection, run_id, "run.sealed", {"tables": found})
