"""Names of tables and columns, always quoted, and the ids of records that have one or several columns as their key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

from sqlalchemy import ColumnElement, FromClause, column, table
from sqlalchemy.sql.elements import quoted_name

from include.errors import ConfigurationError

_RESERVED = re.compile(r"[%,/\x00-\x1f\x7f]")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


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


def join_id(parts: Sequence[str]) -> str:
    """The id of a record by the texts of its key's columns; `%`, `,`, `/` and control characters are escaped."""
    return ",".join(_RESERVED.sub(lambda hit: f"%{ord(hit[0]):02X}", part) for part in parts)


def split_id(text: str, parts: int) -> tuple[str, ...] | None:
    """The reverse of `join_id`; None for what is no id of so many columns."""
    found = text.split(",")
    if len(found) != parts or _PERCENT.search(text):
        return None
    return tuple(unquote(part) for part in found)
