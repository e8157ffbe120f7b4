"""What a database says when it refuses, as our errors and without the rows that it quotes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, NoSuchTableError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from include.errors import AccessDenied, ContractBroken, NightledgerError, SystemUnavailable
from include.refusals import without_rows
from include.systems.registry import System

Fault = Literal["access", "away", "row", "shape"]
"""Nobody may; nobody can just now; this row cannot; this statement cannot."""

# https://www.postgresql.org/docs/current/errcodes-appendix.html, by code, then by class
_BY_STATE: dict[str, Fault] = {
    "42501": "access",
    "25006": "access",  # read-only transaction
    "28": "access",
    "08": "away",
    "40": "away",
    "53": "away",
    "55": "away",
    "57": "away",
    "58": "away",
    "25P03": "away",
    "22": "row",
    "23": "row",
    "44": "row",  # a view's WITH CHECK OPTION
    "P0": "row",  # a trigger's own refusal
}
# https://www.sqlite.org/rescode.html
_BY_NAME: dict[str, Fault] = {
    "SQLITE_BUSY": "away",
    "SQLITE_LOCKED": "away",
    "SQLITE_IOERR": "away",
    "SQLITE_FULL": "away",
    "SQLITE_CANTOPEN": "away",
    "SQLITE_INTERRUPT": "away",
    "SQLITE_READONLY": "access",
    "SQLITE_PERM": "access",
    "SQLITE_AUTH": "access",
    "SQLITE_CONSTRAINT": "row",
    "SQLITE_MISMATCH": "row",
    "SQLITE_TOOBIG": "row",
}
_NO_ENTRY = ("authentication failed", "no pg_hba.conf entry", "no password supplied", "is not permitted to log in")
_ODD = frozenset({"SQLITE_CONSTRAINT_TRIGGER"})
"""Refusals whose words are a trigger's own, which may quote a row."""


def fault_of(error: BaseException) -> Fault:
    """Whom a refusal is about."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    state, name = getattr(cause, "sqlstate", None), getattr(cause, "sqlite_errorname", None)
    if state:
        return _BY_STATE.get(state) or _BY_STATE.get(state[:2], "shape")
    if name:
        short = "_".join(name.split("_")[:2])
        return _BY_NAME.get(short, "shape")
    if isinstance(error, (OperationalError, InterfaceError, psycopg.OperationalError, NoConnectionFree)):
        return "access" if any(words in str(cause) for words in _NO_ENTRY) else "away"
    if isinstance(error, DBAPIError) and type(cause).__name__ in ("DataError", "IntegrityError"):
        return "row"
    return "shape"


def in_words(error: BaseException) -> str:
    """What the database said, its main sentence without values."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if str(getattr(cause, "sqlstate", "")).startswith("P0") or getattr(cause, "sqlite_errorname", "") in _ODD:
        return "refused by a trigger"
    if getattr(cause, "sqlite_errorname", None):
        return str(cause)
    return without_rows(error)


@contextmanager
def typed_errors(system: System, about: str) -> Iterator[None]:
    """Errors of a database as ours: AccessDenied, SystemUnavailable, ContractBroken; none of them quotes a row."""
    try:
        yield
    except NoSuchTableError:
        raise ContractBroken("no such table", system=system.name, about=about) from None
    except (DBAPIError, psycopg.Error, NoConnectionFree) as error:
        raise _as_ours(system, about, error) from None


def _as_ours(system: System, about: str, error: BaseException) -> NightledgerError:
    fault, said = fault_of(error), in_words(error)
    if fault == "access":
        action = f"Grant it to the account of connection `{system.connection}`"
        return AccessDenied(said, system=system.name, about=about, action=action)
    if fault == "away":
        return SystemUnavailable(said, system=system.name, about=about, action="Retry later")
    problem = f"{said} ({type(getattr(error, 'orig', None) or error).__name__})"
    return ContractBroken(problem, system=system.name, about=about, action="Compare the spec with the table")
