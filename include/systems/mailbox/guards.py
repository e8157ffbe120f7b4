"""Messages that would cost a parser more than they are worth, told from their bytes before anything is parsed."""

from __future__ import annotations

import re

MOST_PARTS, MOST_NESTED, MOST_HEADER, MOST_LINES = 1_000, 60, 16_384, 1_000_000
"""Boundaries, containers, bytes of one structured header, lines. The standard library's parser holds each line against
the boundary of every container around it, and reads parameters in a time that grows with the square of their length."""
_BOUNDARY = re.compile(rb"^--[^\r\n ]", re.MULTILINE)
_CONTAINER = re.compile(rb"multipart/|message/", re.IGNORECASE)
_STRUCTURED = re.compile(rb"^content-[a-z-]{1,40}[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*", re.IGNORECASE | re.MULTILINE)
_HEADER = re.compile(
    rb"^(?:from|to|cc|bcc|sender|reply-to|subject|date|message-id|received|return-path|delivered-to|mime-version"
    rb"|content-type)[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)
"""Of which every message has one."""


class Refused(ValueError):
    """A file that is no message, or one beyond a bound; says which, without its content."""


def check(data: bytes) -> None:
    """Raise Refused for what must not be parsed."""
    counts = (
        ("lines", data.count(b"\n"), MOST_LINES),
        ("parts", _count(_BOUNDARY, data, MOST_PARTS), MOST_PARTS),
        ("parts within parts", _count(_CONTAINER, data, MOST_NESTED), MOST_NESTED),
    )
    for what, found, most in counts:
        if found > most:
            raise Refused(f"has more than {most} {what}")
    if any(len(header[0]) > MOST_HEADER for header in _STRUCTURED.finditer(data)):
        raise Refused(f"has a header of more than {MOST_HEADER} bytes")
    if not _HEADER.search(data, 0, _head(data)):
        raise Refused("is no message: it has no header")


def _count(what: re.Pattern[bytes], data: bytes, most: int) -> int:
    """How often it is there, at most one more than is allowed."""
    found = 0
    for _ in what.finditer(data):
        found += 1
        if found > most:
            break
    return found


def _head(data: bytes) -> int:
    """Where the headers end: at the first empty line."""
    ends = [at for at in (data.find(b"\n\n"), data.find(b"\r\n\r\n"), data.find(b"\r\r")) if at >= 0]
    return min(ends, default=len(data)) + 1
