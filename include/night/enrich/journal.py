"""Group commits: whatever gathered while the last transaction ran goes into the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from types import TracebackType
from typing import Self

from include.ledger.audit import Answer, Intent, Result
from include.ledger.record import DeadLetter

GATHER_SECONDS = 0.004
"""How long the first entry of a group waits for others: a transaction costs about as much as ten rows in it."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A call that is over: its outcome, the inference key that it answers if it does, the reservation to give back."""

    result: Result
    answers: str | None
    reserved: Decimal


@dataclass(frozen=True, slots=True)
class Ended:
    """A question that is over without a model's answer: a rule's answer, a dead letter, or neither (deferred)."""

    inference_key: str
    by_rule: Answer | None = None
    letter: DeadLetter | None = None


class Taken(Enum):
    """Whether an entry is on record, and if not, why: no budget has room for it, its question is not ours, or nobody is
    asked any more.
    """

    YES = auto()
    NO_ROOM = auto()
    NOT_OURS = auto()
    OFF = auto()


Entry = Intent | Closed | Ended
Commit = Callable[[Sequence[Entry]], Sequence[Taken]]
_Waiting = tuple[Entry, "asyncio.Future[Taken]"]


class Journal:
    """Commits entries in groups on one thread; `commit` returns when the entry is durable.

    What has ended goes ahead of what is about to leave, in a group of its own: an answer that is here and not yet on
    record is the only one that a crash makes us pay again. When the ledger fails, every waiting and later
    `commit` raises its error, so no call leaves unrecorded.
    """

    def __init__(self, commit: Commit) -> None:
        """`commit` writes a group in one transaction, outside the event loop, and says which entries it took."""
        self._commit = commit
        self._ended: list[_Waiting] = []
        self._leaving: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._wake.set()
        await self._task

    async def commit(self, entry: Entry) -> Taken:
        """Wait until the entry is durable, or refused by itself; raises what the ledger raised."""
        if self._failure is not None:
            raise self._failure
        future: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        (self._leaving if isinstance(entry, Intent) else self._ended).append((entry, future))
        self._wake.set()
        return await future

    async def _run(self) -> None:
        while True:
            if self._ended:
                if not self._closing:
                    await asyncio.sleep(GATHER_SECONDS)
                group, self._ended = self._ended, []
            elif self._leaving:
                if not self._closing:
                    await asyncio.sleep(GATHER_SECONDS)
                if self._ended:
                    continue
                group, self._leaving = self._leaving, []
            elif self._closing:
                return
            else:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._flush(group)

    async def _flush(self, group: Sequence[_Waiting]) -> None:
        try:
            if self._failure is not None:
                raise self._failure
            taken = await asyncio.to_thread(self._commit, [entry for entry, _ in group])
        except Exception as error:  # handed to every waiter, which raises it
            self._failure = error
            for _, future in group:
                if not future.cancelled():
                    future.set_exception(error)
        else:
            for (_, future), took in zip(group, taken, strict=True):
                if not future.cancelled():
                    future.set_result(took)
