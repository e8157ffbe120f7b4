"""Names of tables and columns, always quoted."""

from __future__ import annotations

from sqlalchemy import ColumnElement, FromClause, column, table
from sqlalchemy.sql.elements import quoted_name

from include.errors import ConfigurationError


def place_of(name: str, system: str) -> tuple[str | None, str]:
    """Schema (None: the account's own) and table of `[schema.]table`; raises ConfigurationError for what is none."""
    schema, _, plain = name.rpartition(".")
    if not plain or "." in schema or (not schema and "." in name) or "\x00" in name:
        raise ConfigurationError(f"{name!r} is no table, as [schema.]table", system=system)
    return schema or None, plain


def table_of(schema: str | None, name: str) -> FromClause:
    """A table by its exact name."""
    found = table(quoted_name(name, True))
    found.schema = None if schema is None else quoted_name(schema, True)
    return found


def column_of(name: str) -> ColumnElement[object]:
    """A column by its exact name, its values as the driver gives them."""
    return column(quoted_name(name, True))
