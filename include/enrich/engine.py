"""The asyncio engine: every question through the limiter, the journal, the model and the retry ladder."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, Protocol
from uuid import UUID, uuid4

from pydantic import BaseModel

from include.enrich.budget import Budget
from include.enrich.client import Reply
from include.enrich.journal import Journal
from include.enrich.limiter import Limiter
from include.enrich.parse import Parsed, parse_reply
from include.enrich.plan import Question, estimate_tokens
from include.enrich.prices import Price
from include.ledger.audit import Answer, Intent, Result
from include.models import Origin, Record
from include.retry import MAX_ATTEMPTS, wait_seconds

Ending = Literal["answered", "unavailable", "invalid", "empty", "refused", "rejected", "too_large", "deferred"]
OUTAGE_AFTER = 20  # questions in a row that used up their attempts: the rest is not worth 15 s each


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


@dataclass
class Engine:
    """Asks questions; one object per run. `context` and `max_output` are tokens; counts are kept for the report."""

    client: Asks
    journal: Journal
    limiter: Limiter
    budget: Budget
    price: Price
    output: type[BaseModel]
    system_text: str
    stricter: str
    request: Record
    context: int
    max_output: int
    reasks: int
    concurrency: int
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    counts: Counter[str] = field(default_factory=Counter)
    _down: int = 0

    async def ask_all(self, questions: Iterable[Question], settled: Callable[[Settled], None]) -> None:
        """Ask every question, at most `concurrency` at a time, and hand over each as it ends.

        The first error that no retry can help (credential, ledger) cancels the rest and is raised.
        """
        waiting: Iterator[Question] = iter(questions)

        async def work() -> None:
            for question in waiting:
                settled(await self._settle(question))

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(self.concurrency):
                    workers.create_task(work())
        except* Exception as errors:
            raise _first(errors) from None

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
            if self._down >= OUTAGE_AFTER:
                return Settled(question, "unavailable", "the model is down for every row", tries)
            called = await self._call(question, messages, kind, tries + 1)
            if called is None:
                return Settled(question, "deferred", "the run's cost ceiling is reached", tries)
            inference_id, reply, parsed = called
            tries += 1
            if parsed is not None:
                self._down = 0
                if parsed.outcome == "ok":
                    return Settled(question, "answered", "", tries, parsed.answer, inference_id)
                if parsed.outcome == "refused" or reasked >= self.reasks:
                    return Settled(question, parsed.outcome, parsed.problem, tries)
                reasked, kind = reasked + 1, "re-ask"
                messages = [*messages[:2], *self._correction(reply, parsed)]
                continue
            if not reply.retryable:
                return Settled(question, "rejected", reply.detail, tries)
            failures += 1
            if failures >= MAX_ATTEMPTS:
                self._down += 1
                return Settled(question, "unavailable", reply.detail, tries)
            await self._wait(failures, reply)
            kind = "retry"

    def _correction(self, reply: Reply, parsed: Parsed) -> list[Record]:
        said = (reply.text or "(nothing)")[:4_000]
        again = self.stricter.format(problem=parsed.problem)
        return [{"role": "assistant", "content": said}, {"role": "user", "content": again}]

    async def _wait(self, failures: int, reply: Reply) -> None:
        wait = wait_seconds(failures, reply.retry_after, spread=random.random)
        if reply.outcome == "rate_limited":
            self.limiter.pause(reply.retry_after if reply.retry_after is not None else wait)
        await self.sleep(wait)

    async def _call(
        self, question: Question, messages: Sequence[Record], kind: str, attempt: int
    ) -> tuple[UUID, Reply, Parsed | None] | None:
        """One call with its intent before and its result after; None when the budget has no room for it."""
        estimated = estimate_tokens(*(str(message["content"]) for message in messages))
        most = self.price.cost(estimated, self.max_output)
        if not self.budget.reserve(most):
            return None
        item, inference_id, queued = question.item, uuid4(), time.monotonic()
        lease = await self.limiter.acquire(estimated + self.max_output)
        said = list(messages[1:])  # the system part is on record under the prompt's hash
        intent = Intent(
            inference_id, item.row_id, item.row_key, item.inference_key, said, kind, attempt, estimated, most
        )
        await self.journal.commit(intent)
        waited = time.monotonic() - queued
        reply = await self.client.ask({**self.request, "messages": list(messages)})
        self.limiter.observe(reply.headers)
        if reply.outcome == "answered":
            self.limiter.settle(lease, reply.tokens_in + reply.tokens_out)
        cost = self.price.cost(reply.tokens_in, reply.tokens_out, reply.tokens_cached)
        self.budget.settle(most, cost)
        parsed = parse_reply(reply, self.output) if reply.outcome == "answered" else None
        await self.journal.commit(self._entry(question, inference_id, reply, parsed, cost, waited))
        self.counts.update({"calls": 1, kind: 1, parsed.outcome if parsed else reply.outcome: 1})
        return inference_id, reply, parsed

    def _entry(
        self, question: Question, inference_id: UUID, reply: Reply, parsed: Parsed | None, cost: Decimal, waited: float
    ) -> tuple[Result, Answer | None]:
        result = Result(
            inference_id,
            parsed.outcome if parsed else reply.outcome,
            (parsed.problem if parsed else reply.detail) or None,
            reply.status,
            reply.model,
            reply.request_id,
            reply.text,
            parsed.answer if parsed else None,
            reply.tokens_in,
            reply.tokens_out,
            reply.tokens_cached,
            cost,
            self.price.dated,
            round(reply.latency * 1000),
            round(waited * 1000),
        )
        if parsed is None or parsed.answer is None:
            return result, None
        item = question.item
        return result, Answer(item.inference_key, item.input_sha256, parsed.answer, Origin.MODEL, inference_id)


def _first(errors: BaseExceptionGroup[Exception]) -> BaseException:
    inner: BaseException = errors
    while isinstance(inner, BaseExceptionGroup):
        inner = inner.exceptions[0]
    return inner
