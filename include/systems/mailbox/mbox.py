"""Messages of a mailbox in one file, after RFC 4155, one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

_FROM = re.compile(
    rb"From \S.{0,300}? (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) {1,2}"
    rb"(\d{1,2}) (\d\d):(\d\d):(\d\d)(?: [A-Z]{1,5})?( [+-]\d{4})? (\d{4})( [+-]\d{4})?\s*"
)
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_LINE = 1 << 20


class Posted(NamedTuple):
    """A message by its number from 1, when it was delivered, its length, and its bytes (None: it is too long)."""

    number: int
    delivered: datetime | None
    size: int
    data: bytes | None


def read_mailbox(path: Path, most_bytes: int) -> Iterator[Posted]:
    """The messages in their order; at most `most_bytes` of one are held in memory. A file without one gives none.

    A message begins at a line `From <address> <time>` at the file's start or after an empty line; its time is UTC
    unless it names an offset.
    Lines that were quoted as `>From ` are given back as they were.
    """
    number, delivered, size, lines, empty = 0, None, 0, list[bytes](), True
    with path.open("rb") as handle:
        while line := handle.readline(_LINE):
            start = _FROM.fullmatch(line) if empty and line.startswith(b"From ") else None
            empty = not line.strip()
            if start is None:
                size += len(line)
                if size <= most_bytes:
                    lines.append(line)
                continue
            if number:
                yield _posted(number, delivered, size, lines, most_bytes)
            number, delivered, size, lines = number + 1, _moment(start), 0, []
    if number:
        yield _posted(number, delivered, size, lines, most_bytes)


def _posted(number: int, delivered: datetime | None, size: int, lines: list[bytes], most_bytes: int) -> Posted:
    data = _QUOTED.sub(rb"\1", b"".join(lines)) if size <= most_bytes else None
    return Posted(number, delivered, size, data)


def _moment(start: re.Match[bytes]) -> datetime | None:
    month, day, hour, minute, second, before, year, after = start.groups()
    zone = (before or after or b" +0000").decode()
    ahead = timedelta(hours=int(zone[2:4]), minutes=int(zone[4:6])) * (-1 if zone[1] == "-" else 1)
    try:
        at = _MONTHS.index(month) + 1, int(day)
        return datetime(int(year), *at, int(hour), int(minute), int(second), tzinfo=UTC) - ahead
    except (ValueError, OverflowError):
        return None
