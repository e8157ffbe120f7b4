"""One asking of a question: its calls in the air, which of them counts, and how the question ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from include.ledger.audit import Result
from include.models import Record
from include.night.enrich.parse import Parsed
from include.night.enrich.questions import Question
from include.systems.model.client import Reply

Ending = Literal[
    "answered",
    "unavailable",
    "invalid",
    "empty",
    "refused",
    "rejected",
    "too_large",
    "empty_input",
    "deferred",
    "taken",
    "steps",
    "tool_calls",
    "tokens",
    "money",
    "seconds",
    "loop",
    "misused",
    "unread",
]


@dataclass(frozen=True, slots=True)
class Settled:
    """How one question ended, and after how many calls."""

    question: Question
    ending: Ending
    detail: str = ""
    tries: int = 0
    output: Record | None = None
    inference_id: UUID | None = None


@dataclass(slots=True)
class Called:
    """One call that came to an end."""

    result: Result
    reply: Reply
    parsed: Parsed | None


@dataclass(slots=True, eq=False)
class Flight:
    """One call in the air."""

    started: float
    deadline: asyncio.Timeout | None = None

    def stop(self, now: float) -> None:
        """End the call: the question has its answer."""
        if self.deadline is not None:
            self.deadline.reschedule(now)


@dataclass(slots=True, eq=False)
class Asking:
    """One asking of a question: its call, and the second one if the first takes too long. The first answer counts.

    `seconds` is what the call may take where that is less than any call may.
    """

    question: Question
    messages: Sequence[Record]
    kind: str
    attempt: int
    seconds: float | None = None
    flights: list[Flight] = field(default_factory=list)
    second: asyncio.Task[Called | None] | None = None
    won: bool = False
    over: bool = False

    def win(self, flight: Flight, now: float) -> bool:
        """Whether this call's answer is the first; the other call is then ended."""
        if self.won:
            return False
        self.won = True
        for other in self.flights:
            if other is not flight:
                other.stop(now)
        return True


@dataclass(slots=True)
class Place:
    """A worker's place among those that ask; given up while it waits before a retry, so that others go on."""

    places: asyncio.Semaphore
    held: bool = True

    def give_up(self) -> None:
        """Let another worker begin; more than once is as once."""
        if self.held:
            self.held = False
            self.places.release()
