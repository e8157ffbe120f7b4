"""The asyncio engine: every question through the limiter, the journal, the model and the retry ladder."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, Protocol
from uuid import UUID, uuid4

from pydantic import BaseModel

from include.enrich.billing import believe, bill
from include.enrich.client import Reply
from include.enrich.flow import Flow
from include.enrich.journal import Closed, Journal
from include.enrich.limiter import Lease, Limiter, LimitReached
from include.enrich.parse import Parsed, parse_reply
from include.enrich.plan import Question, estimate_tokens, most_tokens
from include.enrich.prices import Price
from include.errors import ConfigurationError
from include.ledger.audit import Answer, Intent
from include.models import Origin, Record
from include.retry import MAX_ATTEMPTS, wait_seconds

Ending = Literal[
    "answered", "unavailable", "invalid", "empty", "refused", "rejected", "too_large", "empty_input", "deferred"
]
HEDGE_AFTER = 4.0
"""Times the latency that 99 % of calls stay under, after which a second call is sent for the same question."""
SHORTEST_HEDGE = 1.0  # seconds; below that a second call costs more than it saves
HEDGED_SHARE = 0.02  # of all calls, at most: a slow provider must not be paid twice
REJECTED_AT_FIRST = 20
"""Questions rejected (400 and the like) without a single answer, after which the request itself is taken for wrong."""
DOWN = "the model is down for every row"
OVER_CEILING = "a cost ceiling is reached"
_WATCH_SECONDS = 0.25


class Asks(Protocol):
    """Sends one chat completion."""

    async def ask(self, body: Record) -> Reply:
        """What happened to the call."""
        ...


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
class _Called:
    """One call that came to an end."""

    inference_id: UUID
    reply: Reply
    parsed: Parsed | None


@dataclass(slots=True, eq=False)
class _Flight:
    """One call in the air, and the second one sent for the same question because it took too long."""

    question: Question
    messages: Sequence[Record]
    attempt: int
    started: float
    deadline: asyncio.Timeout | None = None
    original: _Flight | None = None
    hedge: _Flight | None = None
    hedged: bool = False
    over: bool = False
    won_by: _Called | None = None

    @property
    def beaten(self) -> bool:
        """Whether the other call for the same question came first."""
        return self.won_by is not None or (self.original is not None and self.original.over)

    def stop(self, now: float) -> None:
        """End the call: the question has its answer."""
        if self.deadline is not None and not self.over:
            self.deadline.reschedule(now)


class _Stopped(Exception):
    """No call was made for this question, and none will be in this run."""

    def __init__(self, ending: Literal["unavailable", "deferred"], detail: str) -> None:
        self.ending: Literal["unavailable", "deferred"] = ending
        super().__init__(detail)


@dataclass
class Engine:
    """Asks questions; one object per run and event loop. `context` and `max_output` are tokens, `timeout` seconds.

    `request` is what every call sends beside its messages. Counts are kept for the report.
    """

    client: Asks
    journal: Journal
    limiter: Limiter
    flow: Flow
    price: Price
    output: type[BaseModel]
    system_text: str
    stricter: str
    request: Record
    context: int
    max_output: int
    reasks: int
    timeout: float
    overhead: tuple[int, int] = (0, 0)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    counts: Counter[str] = field(default_factory=Counter)
    spent: Decimal = Decimal(0)
    _rejected: int = field(default=0, init=False)
    _hedges: int = field(default=0, init=False)
    _flights: set[_Flight] = field(default_factory=set, init=False)
    _reserved: int = field(default=0, init=False)
    _settled_one: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _scarce: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _stopped: _Stopped | None = field(default=None, init=False)

    async def ask_all(
        self, questions: asyncio.Queue[Question | None], settled: Callable[[Settled], Awaitable[None]], workers: int
    ) -> None:
        """Ask until the queue gives None, with so many workers, and hand over each question as it ends.

        The first error that no retry can help (credential, ledger) cancels the rest and is raised.
        """

        async def work() -> None:
            while (question := await questions.get()) is not None:
                await settled(await self._settle(question))
            questions.put_nowait(None)

        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch(group))
                async with asyncio.TaskGroup() as workers_group:
                    for _ in range(workers):
                        workers_group.create_task(work())
                watching.cancel()
        except* Exception as errors:
            raise first_of(errors) from None

    async def _settle(self, question: Question) -> Settled:
        if question.tokens + self.max_output > self.context:
            size = f"about {question.tokens} tokens and {self.max_output} for the answer do not fit {self.context}"
            return Settled(question, "too_large", size)
        messages: list[Record] = [
            {"role": "system", "content": self.system_text},
            {"role": "user", "content": question.message},
        ]
        kind, failures, reasked, tries = "ask", 0, 0, 0
        while True:
            try:
                called = await self._call(question, messages, kind, tries + 1)
            except _Stopped as stopped:
                return Settled(question, stopped.ending, str(stopped), tries)
            tries, reply, parsed = tries + 1, called.reply, called.parsed
            if parsed is not None:
                if parsed.outcome == "ok":
                    return Settled(question, "answered", "", tries, parsed.answer, called.inference_id)
                if parsed.outcome == "refused" or reasked >= self.reasks:
                    return Settled(question, parsed.outcome, parsed.problem, tries)
                reasked, kind = reasked + 1, "re-ask"
                messages = [*messages[:2], *self._correction(reply, parsed)]
                continue
            if not reply.retryable:
                self._refuse_to_go_on(reply)
                return Settled(question, "rejected", reply.detail, tries)
            failures += 1
            if failures >= MAX_ATTEMPTS:
                return Settled(question, "unavailable", reply.detail, tries)
            await self._wait(failures, reply)
            kind = "retry"

    def _refuse_to_go_on(self, reply: Reply) -> None:
        """Raise when not one question was accepted so far: the request is wrong, not the rows."""
        self._rejected += 1
        if self._rejected >= REJECTED_AT_FIRST and not self.counts["ok"]:
            raise ConfigurationError(
                f"the first {self._rejected} questions were all rejected: {reply.detail}",
                system="model",
                action="Correct the prompt, the output class or the parameters; nothing was paid",
            )

    def _correction(self, reply: Reply, parsed: Parsed) -> list[Record]:
        said = (reply.text or "(nothing)")[:4_000]
        again = self.stricter.format(problem=parsed.problem)
        return [{"role": "assistant", "content": said}, {"role": "user", "content": again}]

    async def _wait(self, failures: int, reply: Reply) -> None:
        wait = wait_seconds(failures, reply.retry_after, spread=random.random)
        if reply.outcome == "rate_limited":
            self.limiter.refuse(reply.retry_after if reply.retry_after is not None else wait)
        await self.sleep(wait)

    async def _call(
        self, question: Question, messages: Sequence[Record], kind: str, attempt: int, of: _Flight | None = None
    ) -> _Called:
        """One call with its intent before and its result after; raises _Stopped when none may leave any more."""
        texts = [str(message["content"]) for message in messages]
        estimated = estimate_tokens(*texts) + self.overhead[0]
        most = self.price.cost(most_tokens(*texts) + self.overhead[1], self.max_output)
        item, inference_id, queued = question.item, uuid4(), time.monotonic()
        said = list(messages[1:])  # the system part is on record under the prompt's hash
        intent = Intent(
            inference_id, item.row_id, item.row_key, item.inference_key, said, kind, attempt, estimated, most
        )
        lease = await self._leave_to_send(intent, estimated)
        flight = _Flight(question, messages, attempt, time.monotonic(), original=of)
        if of is not None:
            of.hedge = flight
        waited = flight.started - queued
        reply = await self._fly(flight, {**self.request, "messages": list(messages)})
        self._hear(reply, lease, estimated)
        parsed = parse_reply(reply, self.output) if reply.outcome == "answered" else None
        result = bill(intent, reply, parsed, self.price, waited, max_output=self.max_output)
        answer = None
        if parsed is not None and parsed.answer is not None and not flight.won_by:
            answer = Answer(item.inference_key, item.input_sha256, parsed.answer, Origin.MODEL, inference_id)
        await self.journal.commit(Closed(result, answer, most))
        self._reserved -= 1
        self._settled_one.set()
        self.spent += result.cost
        self.counts.update({"calls": 1, kind: 1, result.outcome: 1})
        return flight.won_by or _Called(inference_id, reply, parsed)

    async def _leave_to_send(self, intent: Intent, estimated: int) -> Lease:
        """A place within the limits, a place in the air, and the intent on record with its money set aside."""
        lease = await self._try_to_leave(intent, estimated)
        if lease is not None:
            return lease
        async with self._scarce:  # one at a time: what comes back from calls in the air may be room enough
            while self._stopped is None:
                self._settled_one.clear()
                alone = self._reserved == 0
                lease = await self._try_to_leave(intent, estimated)
                if lease is not None:
                    return lease
                if alone:
                    self._stopped = _Stopped("deferred", OVER_CEILING)
                    break
                await self._settled_one.wait()
        raise self._stopped

    async def _try_to_leave(self, intent: Intent, estimated: int) -> Lease | None:
        if self._stopped is not None:
            raise self._stopped
        if self.flow.down:
            raise _Stopped("unavailable", DOWN)
        try:
            lease = await self.limiter.acquire(estimated + self.max_output)
        except LimitReached as reached:
            raise _Stopped("deferred", str(reached)) from None
        if not await self.flow.enter():
            self.limiter.miss()
            raise _Stopped("unavailable", DOWN)
        self._reserved += 1
        try:
            if await self.journal.commit(intent):
                return lease
        except BaseException:
            self.flow.step_back()
            raise
        self._reserved -= 1
        self._settled_one.set()
        self.flow.step_back()
        return None

    async def _fly(self, flight: _Flight, body: Record) -> Reply:
        """Send and wait; ends early when the second call for the same question is answered first."""
        self._flights.add(flight)
        try:
            async with asyncio.timeout(self.timeout) as flight.deadline:
                if flight.beaten:
                    flight.stop(asyncio.get_running_loop().time())
                reply = await self.client.ask(body)
        except TimeoutError:
            late = time.monotonic() - flight.started
            if flight.beaten:
                reply = Reply("cancelled", late, "another call for the same row came first", maybe_billed=True)
            else:
                reply = Reply("timeout", late, "no answer in time", retryable=True, maybe_billed=True)
        except BaseException:
            self.flow.step_back()
            raise
        finally:
            flight.over = True
            self._flights.discard(flight)
        if flight.hedge is not None:
            flight.hedge.stop(asyncio.get_running_loop().time())
        ended: Literal["answered", "refused", "failed"] = "refused"
        if reply.outcome == "answered":
            ended = "answered"
        elif reply.outcome in ("timeout", "http_error") and reply.retryable:
            ended = "failed"
        self.flow.leave(ended, reply.latency)
        return reply

    def _hear(self, reply: Reply, lease: Lease, estimated: int) -> None:
        if reply.status is None:
            self.limiter.miss()
        else:
            self.limiter.observe(lease, reply.headers)
        if reply.outcome == "answered" and reply.usage_reported:
            used = believe(reply, estimated, self.max_output)
            self.limiter.settle(lease, used.tokens_in + used.tokens_out)

    async def _watch(self, group: asyncio.TaskGroup) -> None:
        """Now and then: is the system silent, and does a call take so long that a second one is worth it?"""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self.flow.watch()
            usual = self.flow.slowest_usual()
            if usual is None:
                continue
            late = time.monotonic() - max(HEDGE_AFTER * usual, SHORTEST_HEDGE)
            for flight in [one for one in self._flights if one.started < late and not (one.hedged or one.original)]:
                if self._hedges < HEDGED_SHARE * self.counts["calls"]:
                    flight.hedged = True
                    self._hedges += 1
                    group.create_task(self._hedge(flight))

    async def _hedge(self, flight: _Flight) -> None:
        try:
            called = await self._call(flight.question, flight.messages, "hedge", flight.attempt, flight)
        except _Stopped:
            return
        if called.parsed is not None and called.parsed.outcome == "ok" and not flight.over:
            flight.won_by = called
            flight.stop(asyncio.get_running_loop().time())


def first_of(errors: BaseExceptionGroup[Exception]) -> BaseException:
    """The first error of a group of tasks, which the others were cancelled for."""
    inner: BaseException = errors
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner
