"""Tables as sinks of a use case."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mirror:
    """A table that is kept in step: every row that the first sink holds now is upserted into it."""

    system: str
    table: str
