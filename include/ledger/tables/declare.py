"""How a table of the ledger is declared, and the columns that many have."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, DateTime, FetchedValue, MetaData, Table, Text, Uuid

metadata = MetaData(schema="nightledger")
TIME = DateTime(timezone=True)
WHEN: dict[str, Any] = {"interval_start": TIME, "interval_end": TIME}
SEALED: dict[str, Any] = {"recorded_at": TIME, "stream": Text, "batch": Uuid}


def table(name: str, key: str, /, **columns: Any) -> Table:
    """A table with the names of its key's columns, whose values the database may make, and all columns by type."""
    keys = set(key.split())
    return Table(
        name,
        metadata,
        *(
            Column(c, t, primary_key=c in keys, server_default=FetchedValue() if c in keys else None)
            for c, t in columns.items()
        ),
    )
