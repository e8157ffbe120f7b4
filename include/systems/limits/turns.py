"""What processes that share a key say to each other's document, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["requests", "tokens"]
KINDS: tuple[Kind, Kind] = ("requests", "tokens")
AHEAD_SECONDS = 0.5
"""Leave given ahead may be used this much later, and is counted in sliding windows at that time."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an answer's headers said about one kind of limit.

    `sent` is when the request left, `own_after` what its process sent later (it cannot be counted in `remaining`),
    `own_maybe` what it sent just before and may have arrived later, `own_between` what it sent since the observation
    before this one, unscaled.
    """

    kind: Kind
    limit: float
    remaining: float
    sent: float
    own_after: float
    own_maybe: float
    own_between: float


@dataclass(frozen=True, slots=True)
class Ask:
    """One process's turn: what waits there (tokens of each request, in order), what it gives back, what it saw.

    `heard` says that some answer came since the last turn, `missed` that some call ended without one. `settled` are the
    tokens of finished calls: as estimated, as reported by the vendor, as counted at the grant. What is granted leaves
    within `late` seconds, and is counted then. `moved` are requests by when they were counted and when they arrived at
    the latest, None if they never left.
    """

    holder: str
    group: str = ""
    weight: float = 1.0
    waiting: Sequence[int] = ()
    ahead: Sequence[int] = ()
    unused: tuple[int, int] = (0, 0)
    settled: tuple[int, int, float] = (0, 0, 0.0)
    seen: Sequence[Seen] = ()
    closed_for: float = 0.0
    refused: bool = False
    heard: bool = False
    missed: bool = False
    late: float = 0.0
    moved: Sequence[tuple[float, float | None]] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """The first `granted` requests may leave now, `ahead` more within `AHEAD_SECONDS`; ask again after `wait` seconds.

    `ratio` is what the vendor charges per token of our estimates.
    """

    granted: int
    ahead: int
    wait: float
    ratio: float
