"""The asyncio engine: every question through the limiter, the journal, the model and the retry ladder."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, NamedTuple, Protocol
from uuid import UUID, uuid4

from pydantic import BaseModel

from include.errors import ConfigurationError, NightledgerError
from include.ledger.audit import Intent, Result
from include.models import Record
from include.night.enrich.asking import Asking, Called, Ending, Flight, Place, Settled
from include.night.enrich.billing import believe, bill
from include.night.enrich.flow import Flow
from include.night.enrich.hedging import Tail
from include.night.enrich.journal import Closed, Journal, Taken
from include.night.enrich.parse import Parsed, parse_reply
from include.night.enrich.prices import Price
from include.night.enrich.questions import Question, estimate_tokens, most_tokens
from include.privacy.tokens import tokens_in
from include.retry import MAX_ATTEMPTS, wait_seconds
from include.systems.limits.limiter import Lease, Limiter, LimitReached
from include.systems.model.client import Reply

REJECTED_AT_FIRST = 20
"""Questions rejected (400 and the like) without a single answer, after which the request itself is taken for wrong."""
DOWN = "the model is down for every row"
OVER_CEILING = "a cost ceiling is reached"
SWITCHED_OFF = "people have switched the asking off"
_OF_ROW: Mapping[str, Ending] = {"too_large": "too_large", "policy": "refused"}
"""Causes of a rejection that are the row's: it ends alone, and says nothing about the request as such."""
TAKEN = "another process has taken the question over"
HEDGE = "hedge"
"""The kind of a second call for a question whose first one takes too long."""
_OPEN_PER_WORKER = 4  # questions begun per worker at most: one that asks, the others waiting for their retry
_WATCH_SECONDS = 0.25


class Asks(Protocol):
    """Sends one chat completion."""

    async def ask(self, body: Record) -> Reply:
        """What happened to the call."""
        ...


class Heard(NamedTuple):
    """What came back for a question after so many calls for it."""

    tries: int
    inference_id: UUID
    reply: Reply
    parsed: Parsed


class _Stopped(Exception):
    """No call was made for this question, and none will be in this run."""

    def __init__(self, ending: Literal["unavailable", "deferred", "taken"], detail: str) -> None:
        self.ending: Literal["unavailable", "deferred", "taken"] = ending
        super().__init__(detail)


@dataclass
class Dispatcher:
    """Asks questions; one object per run and event loop. `context` and `max_output` are tokens, `timeout` seconds.

    `request` is what every call sends beside its messages. `tokenises` says that questions hold tokens for personal
    values, and answers no others; `hedges`, that a second call may be sent for one that takes too long. Counts are kept
    for the report.
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
    tokenises: bool = False
    hedges: bool = True
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    counts: Counter[str] = field(default_factory=Counter)
    spent: Decimal = Decimal(0)
    tail: Tail = field(default_factory=Tail)
    _rejected: int = field(default=0, init=False)
    _askings: set[Asking] = field(default_factory=set, init=False)
    _reserved: int = field(default=0, init=False)
    _settled_one: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _scarce: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _stopped: _Stopped | None = field(default=None, init=False)
    _ended: NightledgerError | None = field(default=None, init=False)

    async def ask_all(
        self, questions: asyncio.Queue[Question | None], settled: Callable[[Settled], Awaitable[None]], workers: int
    ) -> None:
        """Ask until the queue gives None, with so many workers, and hand over each question as it ends.

        While a question waits for its retry another one is begun, so that isolated failures do not empty the line.
        The first error that no retry can help (credential, quota, model) is raised when the calls in the air are over;
        one of the ledger cancels them, since what they bring could not be put on record.
        """
        places = asyncio.Semaphore(workers)

        async def work() -> None:
            while True:
                await places.acquire()
                place = Place(places)
                try:
                    question = await questions.get() if self._ended is None else None
                    if question is None:
                        questions.put_nowait(None)
                        return
                    await settled(await self._settle(question, place))
                except NightledgerError as error:
                    self._end(error)
                finally:
                    place.give_up()

        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch(group))
                async with asyncio.TaskGroup() as workers_group:
                    for _ in range(workers * _OPEN_PER_WORKER):
                        workers_group.create_task(work())
                watching.cancel()
        except ExceptionGroup as errors:
            raise first_of(errors) from None
        if self._ended is not None:
            raise self._ended

    def _end(self, error: NightledgerError) -> None:
        """Send nothing more; what is in the air comes to its end, since it is paid. Raises what a retry may help."""
        if error.verdict == "retry":
            raise error
        self._ended = self._ended or error
        self._stopped = _Stopped("taken", str(error))
        self._settled_one.set()

    async def _settle(self, question: Question, place: Place) -> Settled:
        if question.tokens + self.max_output > self.context:
            size = f"about {question.tokens} tokens and {self.max_output} for the answer do not fit {self.context}"
            return Settled(question, "too_large", size)
        messages = self.opening(question)
        kind, reasked, tries = "ask", 0, 0
        while True:
            heard = await self._until_heard(question, messages, kind, tries, place)
            if isinstance(heard, Settled):
                return heard
            tries, reply, parsed = heard.tries, heard.reply, heard.parsed
            if parsed.outcome == "ok":
                return Settled(question, "answered", "", tries, parsed.answer, heard.inference_id)
            if parsed.outcome in ("refused", "tools") or parsed.in_vain or reasked >= self.reasks:
                return Settled(question, ending_of(parsed), parsed.problem, tries)
            reasked, kind = reasked + 1, "re-ask"
            messages = [*messages[:2], *self._correction(reply, parsed)]

    def opening(self, question: Question) -> list[Record]:
        """The messages that a question begins with."""
        return [{"role": "system", "content": self.system_text}, {"role": "user", "content": question.message}]

    async def _until_heard(
        self, question: Question, messages: Sequence[Record], kind: str, tries: int, place: Place
    ) -> Heard | Settled:
        """Ask, and again while it fails and may be tried again; what was heard, or how the question ended."""
        failures = 0
        while True:
            if (over := self.over(question, messages, tries)) is not None:
                return over
            try:
                called = await self._ask(Asking(question, messages, kind, tries + 1, self.seconds_left(question)))
            except _Stopped as stopped:
                return Settled(question, stopped.ending, str(stopped), tries)
            tries, reply = tries + 1, called.reply
            self.count(question, called.result)
            if called.parsed is not None:
                return Heard(tries, called.result.inference_id, reply, called.parsed)
            if not reply.retryable:
                return Settled(question, self._reject(reply), reply.detail, tries)
            failures += not self.flow.open  # what fails while the system is down says nothing about the question
            if failures >= MAX_ATTEMPTS:
                return Settled(question, "unavailable", reply.detail, tries)
            place.give_up()
            await self._wait(max(failures, 1), reply)
            kind = "retry"

    def over(self, question: Question, messages: Sequence[Record], tries: int) -> Settled | None:
        """How a question ends that may not be asked any more; None: it may."""
        return None

    def seconds_left(self, question: Question) -> float | None:
        """What the next call for a question may take, where that is less than any call may."""
        return None

    def count(self, question: Question, result: Result) -> None:
        """Take note of what a call for a question has taken."""

    def read(self, asking: Asking, reply: Reply) -> Parsed:
        """Judge an answered call."""
        tokens = tokens_in(asking.question.message) if self.tokenises else None
        return parse_reply(reply, self.output, tokens)

    def _reject(self, reply: Reply) -> Ending:
        """How a rejected question ends; raises when not one was accepted so far and it is not the rows' fault."""
        if reply.cause in _OF_ROW:
            return _OF_ROW[reply.cause]
        self._rejected += 1
        if self._rejected >= REJECTED_AT_FIRST and not self.counts["ok"]:
            raise ConfigurationError(
                f"the first {self._rejected} questions were all rejected: {reply.detail}",
                system="model",
                action="Correct the prompt, the output class or the parameters; nothing was paid",
            )
        return "rejected"

    def _correction(self, reply: Reply, parsed: Parsed) -> list[Record]:
        said = (reply.text or "(nothing)")[:4_000]
        again = self.stricter.format(problem=parsed.problem)
        return [{"role": "assistant", "content": said}, {"role": "user", "content": again}]

    async def _wait(self, failures: int, reply: Reply) -> None:
        wait = wait_seconds(failures, reply.retry_after, spread=random.random)
        if reply.outcome == "rate_limited":
            self.limiter.refuse(reply.retry_after if reply.retry_after is not None else wait)
        await self.sleep(wait)

    async def _ask(self, asking: Asking) -> Called:
        """Ask once, or twice if the first call takes too long; raises _Stopped when no call may leave any more."""
        self._askings.add(asking)
        try:
            called = await self._call(asking, asking.kind)
            if asking.second is not None and not _is_good(called):
                second = await asking.second
                called = second if second is not None and _is_good(second) else called
        finally:
            asking.over = True
            self._askings.discard(asking)
        if called is None:
            raise _Stopped("taken", TAKEN)
        return called

    async def _call(self, asking: Asking, kind: str) -> Called | None:
        """One call with its intent before and its result after; None if the question is not ours to ask any more."""
        question, messages, now = asking.question, asking.messages, asyncio.get_running_loop().time
        texts = [said_in(message) for message in messages]
        estimated = estimate_tokens(*texts) + self.overhead[0]
        most = self.price.cost(most_tokens(*texts) + self.overhead[1], self.max_output)
        item, inference_id, queued = question.item, uuid4(), now()
        said = list(messages[1:])  # the system part is on record under the prompt's hash
        intent = Intent(
            *(inference_id, item.row_id, item.row_key, item.inference_key, said, kind),
            *(asking.attempt, estimated, most),
        )
        lease = await self._leave_to_send(asking, intent, estimated)
        if lease is None:
            return None
        flight = Flight(now())
        waited = flight.started - queued
        try:
            reply = await self._fly(asking, flight, {**self.request, "messages": list(messages)})
        except NightledgerError as error:
            self._end(error)
            reply = Reply("http_error", now() - flight.started, error.problem)
        self._hear(reply, lease, estimated)
        parsed = self.read(asking, reply) if reply.outcome == "answered" else None
        result = bill(intent, reply, parsed, self.price, waited, max_output=self.max_output)
        answers = None
        if parsed is not None and parsed.outcome == "ok" and asking.win(flight, now()):
            answers = item.inference_key
            if kind == HEDGE:
                self.tail.won += 1
            else:
                self.tail.learn(reply.latency, reply.tokens_out)
        await self.journal.commit(Closed(result, answers, most))
        self._reserved -= 1
        self._settled_one.set()
        self.spent += result.cost
        for counted in ("calls", kind, result.outcome):
            self.counts[counted] += 1
        if self._ended is not None and parsed is None:
            raise _Stopped("taken", self._ended.problem)
        return Called(result, reply, parsed)

    async def _leave_to_send(self, asking: Asking, intent: Intent, estimated: int) -> Lease | None:
        """A place within the limits, a place in the air, and the intent on record with its money set aside.

        None if the question is over, or another process has taken it.
        """
        lease = await self._try_to_leave(asking, intent, estimated)
        if lease != "no room":
            return lease
        async with self._scarce:  # one at a time: what comes back from calls in the air may be room enough
            while self._stopped is None:
                self._settled_one.clear()
                alone = self._reserved == 0
                lease = await self._try_to_leave(asking, intent, estimated)
                if lease != "no room":
                    return lease
                if alone:
                    self._stopped = _Stopped("deferred", OVER_CEILING)
                    break
                await self._settled_one.wait()
        raise self._stopped

    async def _try_to_leave(self, asking: Asking, intent: Intent, estimated: int) -> Lease | Literal["no room"] | None:
        if self._stopped is not None:
            raise self._stopped
        try:
            lease = await self.limiter.acquire(estimated + self.max_output)
        except LimitReached as reached:
            raise _Stopped("deferred", str(reached)) from None
        if not await self.flow.enter():
            self.limiter.miss()
            raise _Stopped("unavailable", f"{DOWN}: {self.flow.why}")
        if intent.kind == HEDGE and (asking.won or asking.over):
            self._turn_back()
            return None
        self._reserved += 1
        try:
            taken = await self.journal.commit(intent)
        except BaseException:
            self.flow.step_back()
            raise
        if taken is Taken.YES:
            return lease
        self._reserved -= 1
        self._settled_one.set()
        self._turn_back()
        if taken is Taken.OFF:
            self._stopped = _Stopped("unavailable", SWITCHED_OFF)
            raise self._stopped
        return "no room" if taken is Taken.NO_ROOM else None

    def _turn_back(self) -> None:
        """Nothing is sent after all."""
        self.limiter.miss()
        self.flow.step_back()

    async def _fly(self, asking: Asking, flight: Flight, body: Record) -> Reply:
        """Send and wait; ends early when the other call for the same question is answered first."""
        now = asyncio.get_running_loop().time
        if asking.won or self._ended is not None:
            self.flow.step_back()
            why = "another call for the same row came first" if asking.won else "the run is over"
            return Reply("cancelled", 0.0, f"not sent: {why}")
        asking.flights.append(flight)
        try:
            async with asyncio.timeout(min(self.timeout, asking.seconds or self.timeout)) as flight.deadline:
                reply = await self.client.ask(body)
        except TimeoutError:
            late = now() - flight.started
            if asking.won:
                reply = Reply("cancelled", late, "another call for the same row came first", maybe_billed=True)
            else:
                reply = Reply("timeout", late, "no answer in time", retryable=True, maybe_billed=True)
        except BaseException:
            self.flow.step_back()
            raise
        finally:
            flight.deadline = None
        ended: Literal["answered", "refused", "failed", "late"] = "refused"
        if reply.outcome in ("answered", "timeout"):
            ended = "answered" if reply.outcome == "answered" else "late"
        elif reply.outcome == "http_error" and reply.retryable:
            ended = "failed"
        self.flow.leave(ended, reply.latency, reply.detail)
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
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self.flow.watch()
            slow = self.tail.slow_after() if self.hedges else None
            if slow is None or self.flow.open:
                continue
            waiting = [one for one in self._askings if one.flights and one.second is None and not one.won]
            for asking in sorted(waiting, key=lambda one: one.flights[0].started):
                if now() - asking.flights[0].started < slow or not self.tail.may_send(self.counts["calls"]):
                    break
                self.tail.sent += 1
                asking.second = group.create_task(self._hedge(asking))

    async def _hedge(self, asking: Asking) -> Called | None:
        try:
            return await self._call(asking, HEDGE)
        except _Stopped:
            return None


def said_in(message: Record) -> str:
    """Everything of a message that counts as tokens."""
    calls = message.get("tool_calls")
    return f"{message['content'] or ''}{json.dumps(calls) if calls else ''}"


def ending_of(parsed: Parsed) -> Ending:
    """How a question ends by an answer that does not count."""
    return parsed.outcome if parsed.outcome in ("invalid", "empty", "refused") else "misused"


def _is_good(called: Called | None) -> bool:
    return called is not None and called.parsed is not None and called.parsed.outcome == "ok"


def first_of(errors: BaseExceptionGroup[Exception]) -> BaseException:
    """The first error of a group of tasks, which the others were cancelled for."""
    inner: BaseException = errors
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner
