"""The engine before providers as they are: long tails, isolated failures, overload, outages, one slow slot.

On virtual time, with the whole engine; the baseline is the same engine with 64 calls in flight whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from statistics import mean

import pytest

from include.ledger.audit import Intent
from include.models import Record
from include.night.enrich.asking import Settled
from include.night.enrich.dispatch import Dispatcher
from include.night.enrich.flow import Flow
from include.night.enrich.hedging import SHARE
from include.night.enrich.journal import Closed, Entry, Taken
from include.night.enrich.prices import find_price
from include.night.enrich.questions import Question
from include.systems.limits.limiter import Lease
from include.systems.model.client import Reply
from include.use_cases.crm_lead_scoring.output import Output
from tests.core.night.enrich.test_dispatch import question
from tests.core.night.enrich.test_parse import GOOD
from tests.core.night.enrich.virtual import now, run

AT_ONCE = 64
TEXT = json.dumps(GOOD)
FAILED = Reply("http_error", 0.05, "500 server_error", 500, retryable=True)


class Rigid(Flow):
    """As many calls in flight as are allowed, whatever happens."""

    def __post_init__(self) -> None:
        self.limit = float(self.most)

    def _learn(self, latency: float) -> None: ...

    def _fail(self, late: float) -> None: ...

    def watch(self) -> None: ...


@dataclass
class Journal:
    """Refuses an intent for a question that has its answer, as the ledger does when a claim is gone."""

    entries: list[Entry] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)

    async def commit(self, entry: Entry) -> Taken:
        await asyncio.sleep(0.01)
        if isinstance(entry, Intent) and entry.inference_key in self.answered:
            return Taken.NOT_OURS
        if isinstance(entry, Closed) and entry.answers is not None:
            assert entry.answers not in self.answered, "two answers were accepted for one question"
            self.answered.add(entry.answers)
        self.entries.append(entry)
        return Taken.YES


class Unlimited:
    """A key without limits."""

    async def acquire(self, tokens: int) -> Lease:
        return Lease(0, now(), tokens, tokens)

    def settle(self, lease: Lease, tokens: int) -> None: ...

    def observe(self, lease: Lease, headers: Mapping[str, str]) -> None: ...

    def miss(self) -> None: ...

    def refuse(self, seconds: float) -> None: ...


@dataclass
class Provider:
    """Answers after a drawn latency (seconds), or fails; `at_once` is what is in the air now."""

    latency: Callable[[random.Random], float]
    failing: float = 0.0
    outage: tuple[float, float] = (0.0, 0.0)
    capacity: float = math.inf
    since: float = 0.0
    slots: asyncio.Semaphore | None = None
    chance: random.Random = field(default_factory=lambda: random.Random(5))
    at_once: int = 0
    calls: int = 0
    seen: list[tuple[float, int]] = field(default_factory=list)

    async def ask(self, body: Record) -> Reply:
        started = now()
        self.calls += 1
        self.at_once += 1
        self.seen.append((started, self.at_once))
        try:
            overloaded = started >= self.since and self.at_once > self.capacity
            if overloaded or self.chance.random() < self.failing or self.outage[0] <= started < self.outage[1]:
                await asyncio.sleep(0.05)
                return FAILED
            async with self.slots or contextlib.nullcontext():
                await asyncio.sleep(self.latency(self.chance))
            return Reply("answered", now() - started, status=200, text=TEXT, tokens_in=100, tokens_out=50)
        finally:
            self.at_once -= 1


@dataclass
class Course:
    """How a run ended, after so many seconds."""

    seconds: float
    endings: Counter[str]
    details: Counter[str]
    engine: Dispatcher
    journal: Journal


def spread(p50: float, p99: float) -> Callable[[random.Random], float]:
    """A log-normal latency."""
    return lambda chance: p50 * math.exp(math.log(p99 / p50) / 2.326 * chance.gauss(0, 1))


def ask(provider: Provider, rows: int, *, flow: type[Flow] = Flow, timeout: float = 60.0) -> Course:
    """Ask so many questions with the whole engine."""
    random.seed(3)

    async def main() -> Course:
        questions: asyncio.Queue[Question | None] = asyncio.Queue()
        for number in range(rows):
            questions.put_nowait(replace(question(number), message=f"Score row {number}."))
        questions.put_nowait(None)
        endings, details, journal = Counter[str](), Counter[str](), Journal()

        async def settled(one: Settled) -> None:
            endings[one.ending] += 1
            details[one.detail] += 1

        engine = Dispatcher(
            client=provider,
            journal=journal,  # type: ignore[arg-type]
            limiter=Unlimited(),
            flow=flow(AT_ONCE, silence=timeout, clock=now),
            price=find_price("sandbox-small"),
            output=Output,
            system_text="Be fair.",
            stricter="No: {problem}",
            request={"model": "sandbox-small"},
            context=16_384,
            max_output=400,
            reasks=2,
            timeout=timeout,
        )
        await engine.ask_all(questions, settled, AT_ONCE)
        return Course(now(), endings, details, engine, journal)

    found: Course = run(main())
    return found


@pytest.mark.parametrize(("ratio", "failing"), [(1.5, 0.03), (4, 0.0), (4, 0.01), (10, 0.0), (10, 0.03)])
def test_tails_and_isolated_failures_cost_at_most_a_fifth_of_the_speed(ratio: float, failing: float) -> None:
    def seconds(flow: type[Flow], seed: int) -> float:
        ended = ask(Provider(spread(1.0, ratio), failing, chance=random.Random(seed)), 1_000, flow=flow)
        assert ended.endings == {"answered": 1_000}
        return ended.seconds

    ours, rigid = (sum(seconds(flow, seed) for seed in (1, 2)) for flow in (Flow, Rigid))
    assert ours / rigid <= 1.2


def test_an_overloaded_provider_has_fewer_calls_within_two_seconds() -> None:
    provider = Provider(spread(0.5, 1.5), capacity=8, since=15.0)
    ended = ask(provider, 2_500)
    assert ended.endings["answered"] >= 0.995 * 2_500  # some fail five times running
    before = max(at_once for moment, at_once in provider.seen if moment < 15)
    after = [at_once for moment, at_once in provider.seen if 17 < moment < 60]
    assert before == AT_ONCE
    assert max(after) <= 4 * 8
    assert mean(after) <= 2 * 8


def test_a_provider_that_gets_narrow_is_not_sent_all_that_was_usual() -> None:
    class Narrowing(Provider):
        """Takes any number at once, and after a thousand calls only six; the others wait in its line."""

        async def ask(self, body: Record) -> Reply:
            self.slots = self.slots or (asyncio.Semaphore(6) if self.calls > 1_000 else None)
            return await super().ask(body)

    provider = Narrowing(spread(0.1, 0.2))
    ask(provider, 2_500)
    assert max(at_once for _, at_once in provider.seen[:1_000]) >= AT_ONCE - 4
    assert mean(at_once for _, at_once in provider.seen[1_300:]) < 0.6 * AT_ONCE


def test_after_an_outage_the_speed_is_back_within_four_seconds() -> None:
    def seconds(seed: int, outage: float) -> float:
        provider = Provider(spread(0.5, 1.5), outage=(10.0, 10.0 + outage), chance=random.Random(seed))
        ended = ask(provider, 1_800)
        assert ended.endings == {"answered": 1_800}
        return ended.seconds

    assert seconds(1, 23.0) - seconds(1, 0.0) - 23.0 <= 4.0


def test_a_single_slow_slot_is_served_and_not_given_up() -> None:
    provider = Provider(lambda _: 21.0)

    async def single() -> None:
        provider.slots = asyncio.Semaphore(1)

    run(single())
    ended = ask(provider, 30)
    assert ended.endings == {"answered": 30}
    assert ended.seconds <= 1.25 * 30 * 21


def stalling(share: float, usual: float = 0.07, stalled: float = 8.0) -> Callable[[random.Random], float]:
    return lambda chance: stalled if chance.random() < share else usual * chance.uniform(0.6, 1.4)


@pytest.mark.parametrize("share", [0.015, 0.03])
def test_slow_calls_do_not_end_the_run(share: float) -> None:
    ended = ask(Provider(stalling(share, stalled=1.3)), 2_000)
    assert ended.endings == {"answered": 2_000}
    assert ended.engine.tail.sent > 0, "no second call was sent, so nothing was shown"
    assert ended.engine.counts["hedge"] <= SHARE * 2_000 + 1


def test_second_calls_cost_one_in_a_hundred_at_most_and_take_the_tail_away() -> None:
    provider = Provider(stalling(0.005))
    ended = ask(provider, 2_000)
    alone = ask(Provider(stalling(0.005)), 2_000, flow=Rigid)
    sent = ended.engine.counts["hedge"]
    assert 0 < sent <= SHARE * provider.calls + 1
    assert ended.engine.tail.won >= 0.9 * sent
    assert ended.seconds < alone.seconds + 8.0
    results = [entry.result.outcome for entry in ended.journal.entries if isinstance(entry, Closed)]
    assert results.count("cancelled") == ended.engine.tail.won


def test_a_long_answer_is_not_slow_for_its_size() -> None:
    class Lengthy(Provider):
        async def ask(self, body: Record) -> Reply:
            self.calls += 1
            number = int(body["messages"][1]["content"].split()[-1].rstrip("."))
            tokens = 2_000 if number % 12 == 0 else 50
            seconds = 0.3 + 0.004 * tokens
            await asyncio.sleep(seconds)
            return Reply("answered", seconds, status=200, text=TEXT, tokens_in=100, tokens_out=tokens)

    ended = ask(Lengthy(spread(1.0, 2.0)), 2_500)
    before_one_was_seen = 8.3 * AT_ONCE / 0.5
    assert ended.engine.counts["hedge"] <= SHARE * before_one_was_seen + 1


def test_second_calls_that_never_help_are_given_up() -> None:
    class Slow(Provider):
        """Questions are slow, not calls: whoever asks one of these waits."""

        async def ask(self, body: Record) -> Reply:
            number = int(body["messages"][1]["content"].split()[-1].rstrip("."))
            seconds = 5.0 if number % 40 == 0 else 0.1
            await asyncio.sleep(seconds)
            return Reply("answered", seconds, status=200, text=TEXT, tokens_in=100, tokens_out=50)

    ended = ask(Slow(spread(1.0, 2.0)), 2_500)
    assert ended.endings == {"answered": 2_500}
    assert 0 < ended.engine.tail.sent <= 12
    assert ended.engine.tail.won == 0


def test_what_fails_while_the_model_is_down_is_not_held_against_the_question() -> None:
    ended = ask(Provider(spread(0.5, 1.5), outage=(0.0, 90.0)), 8)
    assert ended.endings == {"answered": 8}


def test_rows_that_end_because_the_model_is_down_carry_its_last_error() -> None:
    ended = ask(Provider(spread(0.5, 1.5), outage=(0.0, 10_000.0)), 50)
    assert ended.details == {"the model is down for every row: 500 server_error": 50}
