"""A table that is made for the answers, and given the columns that it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from include.models import Kind
from include.systems.sql.merging import literal, quoted, run
from include.systems.sql.shape import Shape

_TYPES: Mapping[str, tuple[str, str]] = {
    "text": ("text", "TEXT"),
    "integer": ("bigint", "INTEGER"),
    "number": ("double precision", "REAL"),
    "datetime": ("timestamptz", "TIMESTAMP"),
    "date": ("date", "DATE"),
    "boolean": ("boolean", "BOOLEAN"),
    "nested": ("jsonb", "JSON"),
}
"""Types of PostgreSQL and of SQLite."""


def type_of(values: Iterable[Any], kind: Kind | None, *, postgres: bool) -> str | None:
    """The type for a column of these values, or of a declared kind; None where no value says."""
    named: str | None = kind
    for value in values if named is None else ():
        found = _named(value)
        if found and named not in (None, found):
            named = "number" if {named, found} == {"integer", "number"} else "text"
        else:
            named = found or named
    return None if named is None else _TYPES[named][0 if postgres else 1]


def _named(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "boolean"
    by_type = {int: "integer", float: "number", dict: "nested", list: "nested"}
    return by_type.get(type(value), "text")


def make(
    connection: Connection, target: str, shape: Shape | None, types: Mapping[str, str], key: Sequence[str]
) -> None:
    """Make the table, or add the columns that it lacks; one at a time, whoever else wants to."""
    lacking = {name: kind for name, kind in types.items() if shape is None or name not in shape.columns}
    if not lacking:
        return
    if connection.dialect.name == "postgresql":
        run(connection, f"SELECT pg_advisory_xact_lock(hashtext({literal(target)}))")
    if shape is None:
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in types.items())
        named = ", ".join(map(quoted, key))
        run(connection, f"CREATE TABLE IF NOT EXISTS {target} ({columns}, PRIMARY KEY ({named}))")
        return
    exists = "IF NOT EXISTS " if connection.dialect.name == "postgresql" else ""
    for name, kind in lacking.items():
        run(connection, f"ALTER TABLE {target} ADD COLUMN {exists}{quoted(name)} {kind}")
