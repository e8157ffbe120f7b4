"""A table as its database describes it, held against what a use case declares of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Boolean, Connection, Date, DateTime, Float, Integer, Numeric, String, inspect
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.types import NullType, TypeEngine

from include.models import Column, Kind
from include.systems.files.formats.values import explain_missing

_HOLD: dict[Kind, tuple[type, ...]] = {
    "integer": (Integer, Numeric),
    "number": (Integer, Numeric, Float),
    "boolean": (Boolean, Integer),
    "datetime": (DateTime, Date),
    "date": (Date, DateTime),
}
"""Types of a database whose values are of a kind; every type has a text."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Columns with their types, those that may be null, those that the database fills, and what is unique."""

    columns: dict[str, TypeEngine[object]]
    nullable: frozenset[str]
    generated: frozenset[str]
    unique: tuple[frozenset[str], ...]

    def names_one(self, columns: Collection[str]) -> bool:
        """Whether the database itself keeps two records from having the same values, none null, in these columns."""
        given = set(columns)
        return any(one and one <= given for one in self.unique) and not given & self.nullable

    def is_time(self, name: str) -> bool:
        """Whether the column holds dates or times by its type."""
        return isinstance(self.columns.get(name), (DateTime, Date))

    def is_naive(self, name: str) -> bool:
        """Whether the column holds times without a zone."""
        found = self.columns.get(name)
        return isinstance(found, DateTime) and not getattr(found, "timezone", False)


def look_at(connection: Connection, schema: str | None, name: str) -> Shape | None:
    """What the database says of a table or view; None if there is none of that name."""
    inspector = inspect(connection)
    try:
        found = inspector.get_columns(name, schema)
        key = frozenset(inspector.get_pk_constraint(name, schema).get("constrained_columns") or ())
        unique = [frozenset(one["column_names"]) for one in inspector.get_unique_constraints(name, schema)]
        unique += [
            frozenset(filter(None, one["column_names"]))
            for one in inspector.get_indexes(name, schema)
            if one.get("unique") and None not in one["column_names"] and not _is_partial(one.get("dialect_options"))
        ]
    except NoSuchTableError:
        return None
    columns = {str(one["name"]): _plain(one["type"]) for one in found}
    loose = connection.dialect.name == "sqlite"  # where a primary key may be null, but for an integer one
    sure = {one for one in key if not loose or isinstance(columns[one], Integer)}
    return Shape(
        columns,
        frozenset(str(one["name"]) for one in found if one.get("nullable", True) and one["name"] not in sure),
        frozenset(str(one["name"]) for one in found if one.get("computed") or _is_always(one.get("identity"))),
        (key, *unique),
    )


def tables_of(connection: Connection, schema: str | None) -> list[str]:
    """Names of tables and views."""
    inspector = inspect(connection)
    return [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]


def breaches(shape: Shape, declared: Iterable[Column], as_text: Collection[str], *, loose: bool) -> list[str]:
    """What is wrong with each declared column, in words: not there (and the likely new name), or of another type.

    A column in `as_text` may hold its values as texts; where the database is `loose`, any may, as SQLite's do.
    """
    problems = []
    for column in declared:
        found = shape.columns.get(column.source_name)
        if found is None:
            problems.append(explain_missing(column.source_name, shape.columns))
        elif not _holds(found, column.kind, texts=loose or column.source_name in as_text):
            problems.append(f"{column.source_name!r} is {_called(found)}, and declared as {column.kind}")
    return problems


def _holds(found: TypeEngine[object], kind: Kind, *, texts: bool) -> bool:
    if kind == "text" or isinstance(found, _HOLD[kind]):
        return True
    return texts and isinstance(found, (String, NullType))


def _called(found: TypeEngine[object]) -> str:
    return str(getattr(found, "__visit_name__", type(found).__name__)).lower().replace("_", " ")


def _plain(found: TypeEngine[object]) -> TypeEngine[object]:
    return found.data_type if isinstance(found, DOMAIN) else found


def _is_partial(options: object) -> bool:
    return isinstance(options, dict) and any(options[name] is not None for name in options if name.endswith("_where"))


def _is_always(identity: object) -> bool:
    return isinstance(identity, dict) and bool(identity.get("always"))
