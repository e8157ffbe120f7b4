"""Get every row of a run an answer or an ending on record: reuse, claim, ask, fall back."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import TypeVar

import uvloop
from pydantic import BaseModel, ValidationError
from sqlalchemy import func, select

from include.database import Sender, Statement, send, transaction
from include.errors import ConfigurationError, LedgerUnavailable
from include.ledger import audit, budget, claims
from include.ledger.audit import Answer, Intent, Pins
from include.ledger.claims import Claimant
from include.ledger.control import is_off
from include.ledger.conversations import recorded
from include.ledger.record import DeadLetter, bury, note_progress
from include.models import Origin, Record
from include.night.enrich.agent import Conversing
from include.night.enrich.asking import Settled
from include.night.enrich.dispatch import OVER_CEILING, Dispatcher, first_of
from include.night.enrich.flow import Flow
from include.night.enrich.journal import Closed, Ended, Entry, Journal, Taken
from include.night.enrich.prices import assume_price
from include.night.enrich.questions import (
    Item,
    Question,
    context_size,
    estimate_tokens,
    group,
    is_empty,
    most_tokens,
)
from include.night.enrich.request import Asks, Guard, Sending, equip, make_sending, open_client
from include.night.enrich.talk import Talk
from include.night.enrich.toolbox import Toolbox, as_functions
from include.run import Run
from include.spec.prompt import Prompt
from include.systems.connections import ModelEndpoint
from include.systems.in_air import threads
from include.systems.limits.limiter import KeyLimiter
from include.systems.limits.shared import LedgerStore
from include.systems.registry import System

log = logging.getLogger(__name__)
T = TypeVar("T")
_SWEEPS = (5_000, 20, 50)
NOT_ASKED = "was not asked"
PROGRESS_SECONDS = 5.0
CHUNK_ROWS = 1_000  # planned at once; the next chunk is planned while this one is asked
OTHERS_SECONDS = 1.0  # between looks at what another run is asking
CAUSES = {
    "unavailable": "model_unavailable",
    "invalid": "invalid_output",
    "empty": "empty_output",
    "refused": "refused",
    "rejected": "rejected_by_model",
    "too_large": "prompt_too_large",
    "empty_input": "empty_input",
    "steps": "agent_steps",
    "tool_calls": "agent_tool_calls",
    "tokens": "agent_tokens",
    "money": "agent_money",
    "seconds": "agent_seconds",
    "loop": "agent_loop",
    "misused": "agent_misused_tool",
    "unread": "agent_tool_failed",
}


@dataclass
class Answering:
    """One run's (or one shard's) work with one model; `began` is the database's time before anything was asked.

    With `has_next`, rows that end because the model is down are left open for the next one, and counted in `given_up`.
    """

    run: Run
    system: System
    endpoint: ModelEndpoint
    prompt: Prompt
    pins: Pins
    output: type[BaseModel]
    scopes: Sequence[str]
    total: int
    began: datetime
    counts: Counter[str] = field(default_factory=Counter)
    has_next: bool = False
    holder: int = 0
    shard: int = 0
    given_up: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    spent: Decimal = Decimal(0)
    why_deferred: str = NOT_ASKED
    started: float = field(default_factory=time.monotonic)
    questions: asyncio.Queue[Question | None] = field(default_factory=lambda: asyncio.Queue(CHUNK_ROWS))
    sender: Sender | None = None

    def ask(self, items: Iterator[Item]) -> None:
        """Ask what is not on record yet; returns when every key has an answer, a dead letter, or is deferred."""
        with (
            claims.claimant(self.run.ledger, self.run.run_id, self.run.settings.lease_seconds) as ours,
            closing(Sender(self.run.ledger)) as self.sender,
            _rarely_swept(),
        ):
            self.holder = ours.holder
            uvloop.run(self._ask(items, ours))

    async def _ask(self, items: Iterator[Item], ours: Claimant) -> None:
        async with AsyncExitStack() as stack:
            workers = self.run.settings.concurrency
            client = await stack.enter_async_context(open_client(self.endpoint, workers + 8))
            journal = await stack.enter_async_context(Journal(self.commit))
            store = LedgerStore(self.run.ledger, self.system.name, self.system.limits)
            name = self.run.case.name
            limiter = await stack.enter_async_context(KeyLimiter(store, name, self.run.case.priority))
            guard, toolbox = Guard(client, self.sending, self.system), self._open_tools(stack)
            dispatcher = self._dispatcher(guard, journal, limiter, workers, toolbox)

            async def settle(settled: Settled) -> None:
                self.counts[settled.ending] += 1
                if settled.ending not in ("answered", "taken"):
                    await journal.commit(self.end(settled))

            saying = asyncio.create_task(self._say_progress(dispatcher))
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._plan_all(items, ours, journal))
                    tasks.create_task(dispatcher.ask_all(self.questions, settle, workers))
            except ExceptionGroup as errors:
                raise first_of(errors) from None
            finally:
                saying.cancel()
                self.asked, self.spent = dispatcher.counts, dispatcher.spent
        self._say(dispatcher)
        if self.counts["taken"]:
            raise LedgerUnavailable(
                f"{self.counts['taken']} questions were taken over by another process while this one did not answer",
                system="ledger",
                action="All others are on record; run the same again, which waits for those answers",
            )

    def _dispatcher(
        self, client: Asks, journal: Journal, limiter: KeyLimiter, workers: int, toolbox: Toolbox | None = None
    ) -> Dispatcher:
        schema, agent = self.sending.overhead, self.run.case.agent
        parts: Record = {
            "client": client,
            "journal": journal,
            "limiter": limiter,
            "flow": Flow(
                workers, self.run.settings.outage_seconds, silence=self.endpoint.timeout or self.system.timeout_seconds
            ),
            "price": assume_price(self.pins.model),
            "output": self.output,
            "system_text": self.sending.system_text,
            "stricter": self.prompt.stricter,
            "request": self.request(),
            "context": context_size(self.system, self.pins.model),
            "max_output": self.run.case.asked.max_output_tokens,
            "reasks": self.run.case.asked.reasks,
            "timeout": self.endpoint.timeout or self.system.timeout_seconds,
            "overhead": (estimate_tokens(schema), most_tokens(schema)),
            "tokenises": bool(self.run.case.tokenise),
        }
        if agent is None or toolbox is None:
            return Dispatcher(**parts)
        parts |= {"hedges": False, "tokenises": parts["tokenises"] or any(one.tokenise for one in agent.tools)}
        return Conversing(**parts, agent=agent, toolbox=toolbox, recall=self._recall)

    def _recall(self, question: Question) -> Talk:
        """A row's conversation, with what is on record of it in this night."""
        assert self.run.case.agent is not None
        talk = Talk(question, self.run.case.agent, self.run.settings.token_secret)
        talk.take_in(list(recorded(self.run.ledger, self.run, question.item.inference_key)))
        return talk

    def _open_tools(self, stack: AsyncExitStack) -> Toolbox | None:
        """The agent's tools, where the use case has one; raises what is wrong with them before anything is paid."""
        agent = self.run.case.agent
        if agent is None:
            return None
        at_once = sum(self.run.system(name).calls_at_once for name in {tool.reads.system for tool in agent.tools})
        return Toolbox.open(self.run, agent, stack.enter_context(threads(max(at_once, 1))))

    @cached_property
    def sending(self) -> Sending:
        """What every call sends beside the row."""
        case = self.run.case
        return make_sending(
            *(case.name, self.pins, self.system, self.output, self.prompt.system, case.asked.max_output_tokens),
            tools=as_functions(case.agent) if case.agent else (),
        )

    def request(self) -> Record:
        """What every call sends beside its messages."""
        return self.sending.body()

    def measure(self, texts: Sequence[str]) -> tuple[int, int]:
        """Tokens of a question with these messages after the system's, as estimated and at most."""
        whole = (self.sending.system_text, *texts, self.sending.overhead)
        return estimate_tokens(*whole), most_tokens(*whole)

    # What is asked

    async def _plan_all(self, items: Iterator[Item], ours: Claimant, journal: Journal) -> None:
        """Plan chunk by chunk, never far ahead of what is asked; rows that others are asking come last."""
        elsewhere: dict[str, list[Item]] = {}
        while chunk := await asyncio.to_thread(take, items, CHUNK_ROWS):
            elsewhere |= await self._plan(group(chunk), ours, journal)
        while elsewhere:
            await asyncio.sleep(OTHERS_SECONDS)
            elsewhere = await self._plan(elsewhere, ours, journal, again=True)
        await self.questions.put(None)

    async def _plan(
        self, groups: dict[str, list[Item]], ours: Claimant, journal: Journal, *, again: bool = False
    ) -> dict[str, list[Item]]:
        """Queue what must be asked; returns what somebody else is asking now."""
        mine, answers, dead = await asyncio.to_thread(self._look_up, set(groups), ours)
        fresh = [groups[key] for key in groups if key in mine]
        left = groups.keys() - answers.keys() - dead - mine
        if not again:
            rows = sum(map(len, groups.values()))
            plan = {
                "rows": rows,
                "reused": sum(len(groups[key]) for key in answers),
                "dead_before": sum(len(groups[key]) for key in dead),
                "to_ask": len(fresh),
                "identical": rows - len(groups),
                "asked_elsewhere": len(left),
            }
            self.counts.update({f"planned_{name}": number for name, number in plan.items()})
        for rows_of_key in fresh:
            item = rows_of_key[0]
            if is_empty(item):
                self.counts["empty_input"] += 1
                question = Question(rows_of_key, "", 0)
                await journal.commit(
                    self.end(Settled(question, "empty_input", "no column that the model sees has a value"))
                )
                continue
            message = self.prompt.render(item.seen)
            tokens = estimate_tokens(self.sending.system_text, message)
            await self.questions.put(Question(rows_of_key, message, tokens))
        return {key: groups[key] for key in left}

    def _look_up(self, keys: set[str], ours: Claimant) -> tuple[set[str], dict[str, Answer], set[str]]:
        """Which keys are ours to ask, which have an answer, which are dead; claimed before the last look."""
        answers = audit.find_answers(self.run.ledger, self.run, keys)
        dead = set(audit.find_dead(self.run.ledger, self.run, keys - answers.keys()))
        open_keys = keys - answers.keys() - dead
        mine = ours.claim(open_keys) if open_keys else set()
        if mine:  # whoever held one of these until now may have ended it in between
            late = audit.find_answers(self.run.ledger, self.run, mine)
            buried = set(audit.find_dead(self.run.ledger, self.run, mine - late.keys()))
            done = late.keys() | buried
            if done:
                with transaction(self.run.ledger) as connection:
                    send(connection, [claims.release(done, ours.holder)])
            mine, answers, dead = mine - done, answers | late, dead | buried
        return mine, answers, dead

    # How it ends

    def end(self, settled: Settled) -> Ended:
        """What is put on record for a question without a model's answer, by the failure plan."""
        item = settled.question.item
        if settled.ending == "unavailable" and self.has_next:
            self.given_up += 1
            return Ended(item.inference_key)
        if settled.ending == "deferred" or (
            settled.ending == "unavailable" and self.run.case.failure_plan.unavailable == "deferred"
        ):
            self.why_deferred = settled.detail
            return Ended(item.inference_key)
        by_rule = self._fall_back(settled)
        if by_rule is not None:
            self.counts["fallback"] += 1
            return Ended(item.inference_key, by_rule=by_rule)
        letter = letter_of(item, CAUSES[settled.ending], settled.detail, settled.tries)
        return Ended(item.inference_key, letter=letter)

    def _fall_back(self, settled: Settled) -> Answer | None:
        """The rule's answer where the failure plan wants one and the rule can give it, else None."""
        plan = self.run.case.failure_plan
        planned = {"unavailable": plan.unavailable, "refused": plan.refused}.get(settled.ending, plan.invalid)
        if planned != "fallback" or settled.ending == "empty_input":
            return None
        item = settled.question.item
        output = propose(self.run, self.output, item)
        return None if output is None else Answer(item.inference_key, output, Origin.RULE)

    def why_left(self) -> str:
        """Why rows were left for a later night, with the budget named if it was one."""
        if self.why_deferred == OVER_CEILING:
            return budget.exhausted(self.run.ledger, self.scopes)
        return self.why_deferred

    # The ledger

    def commit(self, entries: Sequence[Entry]) -> list[Taken]:
        """One transaction for a group: results and what they free first, then as many intents as the budgets allow.

        None where people have switched the asking off: that counts from the next group on.
        An intent whose question another process has taken, or that has just been answered, is refused by itself.
        """
        closed = [entry for entry in entries if isinstance(entry, Closed)]
        ended = [entry for entry in entries if isinstance(entry, Ended)]
        intents = [entry for entry in entries if isinstance(entry, Intent)]
        by_rule = [entry.by_rule for entry in ended if entry.by_rule is not None]
        letters = [entry.letter for entry in ended if entry.letter is not None]
        over = {entry.inference_key for entry in ended} | {entry.answers for entry in closed if entry.answers}
        run, ours, free = self.run, list[Intent](), list[Intent]()
        taken, ending, off = 0, list[Statement](), False
        if closed:
            released = sum((entry.reserved for entry in closed), Decimal(0))
            paid = sum((entry.result.cost for entry in closed), Decimal(0))
            ending.append(budget.settle(self.scopes, released, paid))
            ending.append(audit.record_results(run, [entry.result for entry in closed]))
        if by_rule:
            ending.append(audit.keep_answers(run, self.pins, by_rule))
        if over:
            ending.append(claims.release(over, self.holder))
        if self.sender is not None and not (letters or intents):
            self.sender.send(ending)
            return [Taken.YES] * len(entries)
        with transaction(run.ledger) as connection:
            if letters:
                bury(connection, run, "enrich", letters, system=self.system.name)
            if ending:
                send(connection, ending)
            if intents and (off := is_off(connection, run.case.name)):
                intents = []
            if intents:
                held = claims.held(connection, {one.claimed or one.inference_key for one in intents}, self.holder)
                mine = [one for one in intents if (one.claimed or one.inference_key) in held]
                free, ours = [one for one in mine if one.by], [one for one in mine if not one.by]
            if ours:
                taken = budget.reserve(connection, self.scopes, [intent.cost_reserved for intent in ours])
            if free or taken:
                audit.record_intents(connection, run, self.sending.on_record, [*free, *ours[:taken]])
        nobody = Taken.OFF if off else Taken.NOT_OURS
        left = {entry.inference_id: nobody for entry in entries if isinstance(entry, Intent)}
        left |= {intent.inference_id: Taken.YES for intent in free}
        left |= {intent.inference_id: Taken.NO_ROOM if at >= taken else Taken.YES for at, intent in enumerate(ours)}
        return [left[entry.inference_id] if isinstance(entry, Intent) else Taken.YES for entry in entries]

    # What is said

    async def _say_progress(self, dispatcher: Dispatcher) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            await asyncio.to_thread(self._say, dispatcher)

    def _say(self, dispatcher: Dispatcher) -> None:
        """One line in the task's log and the same in the ledger."""
        seconds = time.monotonic() - self.started
        facts = {**self.counts, **dispatcher.counts, "rows": self.total, "spent_usd": str(dispatcher.spent)}
        facts["calls_per_minute"] = round(dispatcher.counts["calls"] / max(seconds, 1.0) * 60)
        planned, done = self.counts["planned_rows"], self.counts["planned_reused"] + self._asked()
        if done and planned:
            facts["seconds_left"] = round(seconds / done * max(self.total - done, 0))
        facts["done"] = min(done, self.total)
        log.info("%s", progress_line(facts))
        note_progress(self.run.ledger, self.run.run_id, f"enrich/{self.shard}" if self.shard else "enrich", facts)

    def _asked(self) -> int:
        return sum(self.counts[name] for name in ("answered", "deferred", *CAUSES))


def progress_line(facts: Record) -> str:
    """How far the asking is: `enrich 120 of 220, 96 calls/min, $0.012, about 2 min left`."""
    parts = [f"enrich {facts['done']:,} of {facts['rows']:,}", f"{facts['calls_per_minute']:,} calls/min"]
    parts.append(f"${Decimal(facts['spent_usd']):.3f}")
    if left := facts.get("seconds_left"):
        parts.append(f"about {left // 60} min left" if left >= 90 else f"about {left} s left")
    return ", ".join(parts)


@contextmanager
def _rarely_swept() -> Iterator[None]:
    """Let the collector look for circles less often: every call makes hundreds of objects, and none of these is left.

    With Python's own thresholds it takes a tenth of a call's CPU.
    """
    usual = gc.get_threshold()
    gc.set_threshold(*_SWEEPS)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def prepare(run: Run, system: System, endpoint: ModelEndpoint, prompt: Prompt, pins: Pins, total: int) -> Answering:
    """Open the budgets that the run counts against."""
    scopes = budget.open_for(run, system)
    output: type[BaseModel] = run.case.module("output").Output
    with transaction(run.ledger) as connection:
        began = connection.execute(select(func.clock_timestamp())).scalar_one()
    return Answering(run, system, equip(endpoint, system, pins.model), prompt, pins, output, scopes, total, began)


def propose(run: Run, output: type[BaseModel], item: Item) -> Record | None:
    """The rule's answer, or None where it has none; raises ConfigurationError if that does not fit the output."""
    proposed = run.case.module("fallback").answer(item.seen)
    if proposed is None:
        return None
    try:
        return output.model_validate(proposed).model_dump(mode="json")
    except ValidationError:
        raise ConfigurationError(
            "fallback.answer() does not fit the output model", about=run.case.name
        ) from None  # its own words quote the row


def letter_of(item: Item, cause: str, detail: str, tries: int) -> DeadLetter:
    """The dead letter of a row that has no answer."""
    lineage: Record = json.loads(item.lineage)
    return DeadLetter(item.row_id, item.row_key, cause, detail, item.inference_key, lineage, item.record, tries)


def take(items: Iterator[T], most: int) -> list[T]:
    """The next items, at most so many; none when there are no more."""
    return [item for _, item in zip(range(most), items, strict=False)]
