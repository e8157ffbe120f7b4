"""Heads of the ledger, kept outside of it: whoever has one can tell a ledger that was cut or rewritten as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from sqlalchemy import select
from upath import UPath

from include.database import Database, transaction
from include.errors import ConfigurationError, SystemUnavailable
from include.ledger import tables


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of stream `ledger` after a run was closed: its number, and its hash as hex."""

    at: str
    run_id: str
    seq: int
    hash: str

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read a line as `as_line` writes it; raises ValueError."""
        at, run_id, seq, sha256 = line.split()
        return cls(at, run_id, int(seq), sha256)

    def as_line(self) -> str:
        """Time (UTC), run, number and hash."""
        return f"{self.at} {self.run_id} {self.seq} {self.hash}\n"


def export_head(ledger: Database, run_id: str, place: str) -> None:
    """Append the ledger's head to the file `place`, or add an object below it on an object store; nothing if empty.

    On an object store each head is an object of its own, so that a write-once policy can hold it. Raises
    SystemUnavailable if it cannot be written: the run is closed then, and closing it again exports again.
    """
    if not place:
        return
    event = tables.event.c
    query = select(event.seq, event.hash).where(event.stream == "ledger").order_by(event.seq.desc()).limit(1)
    with transaction(ledger) as connection:
        seq, sha256 = connection.execute(query).one()
    head = Head(datetime.now(UTC).isoformat(timespec="seconds"), run_id, seq, sha256)
    try:
        _append(UPath(place), head)
    except OSError as error:
        action = "The run is closed; mend the place (NIGHTLEDGER_HEAD_FILE) and clear task `close`"
        raise SystemUnavailable("the ledger's head cannot be kept", about=place, action=action) from error


def read_heads(place: str) -> list[Head]:
    """Every head that was exported to a file or below a place; raises ConfigurationError if there is none to read."""
    try:
        return [Head.parse(line) for line in _lines(UPath(place)) if line.strip()]
    except (OSError, ValueError) as error:
        problem = f"holds no heads that can be read ({type(error).__name__})"
        raise ConfigurationError(
            problem, about=place, action="Give the place that NIGHTLEDGER_HEAD_FILE names"
        ) from error


def _append(place: UPath, head: Head) -> None:
    if place.protocol not in ("", "file"):
        (place / f"{head.seq:012}-{head.hash[:16]}.head").write_text(head.as_line(), encoding="utf-8")
        return
    file = os.open(Path(place.path), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, head.as_line().encode())
        os.fsync(file)
    finally:
        os.close(file)


def _lines(place: UPath) -> Iterator[str]:
    files: Sequence[UPath] = sorted(place.glob("*.head"), key=str) if place.is_dir() else [place]
    for file in files:
        yield from file.read_text(encoding="utf-8").splitlines()
