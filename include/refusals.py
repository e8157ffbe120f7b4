"""What PostgreSQL says when it refuses, without the rows and values that it quotes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
from sqlalchemy.exc import DBAPIError

from include.personal import scrub

_QUOTED = re.compile(r'"[^"]*"?')


def without_rows(error: BaseException) -> str:
    """Take what the server quotes out of a database error and all that it came from, in place; returns what is left.

    The server's DETAIL and CONTEXT quote whole rows (`COPY inference, line 1: "..."`), and they would be printed with
    the traceback. What stays is its main sentence, with names of tables and constraints.
    """
    for one in _all_of(error):
        if isinstance(one, psycopg.Error):
            one.args = (_main_sentence(one),)
        elif isinstance(one, DBAPIError):
            one.args = (_main_sentence(one.orig) if isinstance(one.orig, psycopg.Error) else type(one.orig).__name__,)
    return str(error.args[0]) if error.args else type(error).__name__


def _all_of(error: BaseException) -> Iterator[BaseException]:
    """The error, what it wraps and what it was raised from."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            others = (getattr(one, "orig", None), one.__cause__, one.__context__)
            waiting += [other for other in others if isinstance(other, BaseException)]


def _main_sentence(error: psycopg.Error) -> str:
    lines = str(error.diag.message_primary or error).strip().splitlines() or [type(error).__name__]
    said = lines[0]
    if (error.sqlstate or "").startswith("22"):  # a value that does not fit: it is quoted in the sentence itself
        said = _QUOTED.sub("[value]", said)
    return scrub(said)
