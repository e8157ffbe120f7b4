"""Personal values of one quarantined row, read where the row was staged, after it is on record who looks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pyarrow.compute as pc

from include.database import Database, transaction
from include.errors import ConfigurationError, ContractBroken
from include.ledger.record import find_manifest, record_event
from include.models import Record
from include.spec.use_case import load
from include.staging import read_chunks


def view_values(
    ledger: Database, use_case: str, run_id: str, row_id: str, actor: str, also: Collection[str] = ()
) -> Record:
    """The personal columns of a staged row in the clear; event `personal.viewed` is committed before they are read.

    `also` are columns that nobody declared, and that hold personal values in this row.
    Raises ConfigurationError for a row that never was staged (it could not be read) or whose dataset is gone.
    """
    with transaction(ledger) as connection:
        seen = {"user": actor, "row_id": row_id, "run_id": run_id}
        record_event(connection, f"personal/{use_case}", "personal.viewed", seen, actor)
    raw = find_manifest(ledger, run_id, "raw")
    if raw is None:
        raise ConfigurationError("the run staged no rows", system="staging", about=run_id)
    columns = [name for name in dict.fromkeys([*load(use_case).personal, *also]) if name in raw.columns]
    try:
        for batch in read_chunks(raw, columns=["row_id", *columns]):
            found = batch.filter(pc.equal(batch.column("row_id"), row_id))
            if found.num_rows:
                values: Record = found.to_pylist()[0]
                return {name: _as_text(values[name]) for name in columns}
    except ContractBroken as error:
        raise ConfigurationError(error.problem, system="staging", about=run_id) from error
    action = "Its record holds what was kept of it; look at the source"
    raise ConfigurationError("the row was never staged, since it could not be read", about=row_id, action=action)


def _as_text(value: Any) -> str | None:
    return None if value is None else str(value)
