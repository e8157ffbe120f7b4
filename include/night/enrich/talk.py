"""One row's conversation with an agent's model: what it has taken, what it has read, and when it is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from include.canonical import digest
from include.ledger.audit import Result
from include.ledger.conversations import Recorded
from include.models import Record
from include.night.enrich.asking import Ending
from include.night.enrich.questions import Question
from include.personal import tokenise_all
from include.spec.agent import Agent

MOST_REPEATED = 1
"""Calls of a tool with arguments that it was given before, which are answered with that word; the next ends the row."""
MOST_FAILED = 1
"""Reads that may fail, each after its system's own retries; the next ends the row."""


@dataclass
class Talk:
    """A conversation; `known` is what the model asked for on record, by what had been said until then.

    `ids` are the records that it was shown, `had` the calls that were answered, `unread` the tools whose last read
    failed.
    """

    question: Question
    agent: Agent
    secret: str
    known: dict[str, Record] = field(default_factory=dict)
    steps: int = 0
    tool_calls: int = 0
    tokens: int = 0
    cost: Decimal = Decimal(0)
    seconds: float = 0.0
    ids: set[str] = field(default_factory=set)
    had: set[str] = field(default_factory=set)
    unread: dict[str, str] = field(default_factory=dict)
    reads: int = 0
    repeated: int = 0
    failed: int = 0
    misused: int = 0

    def take_in(self, calls: Sequence[Recorded]) -> None:
        """Count what the row has taken so far, and remember which tools its model asked for."""
        for one in calls:
            self.tokens, self.cost = self.tokens + one.tokens, self.cost + one.cost
            self.seconds += one.seconds
            if one.outcome == "tools" and one.answer:
                self.known.setdefault(digest(one.messages), one.answer)

    def recall(self, messages: Sequence[Record]) -> Record | None:
        """What the model asked for when it was told this, by the record; None if it was not, or did not say."""
        if not self.known:
            return None
        return self.known.get(digest(tokenise_all(list(messages[1:]), self.secret)))

    def count(self, result: Result) -> None:
        """Take note of what a call has taken."""
        self.tokens += result.tokens_in + result.tokens_out
        self.cost += result.cost
        self.seconds += result.latency_ms / 1000

    def over(self, tokens: int, cost: Decimal) -> tuple[Ending, str] | None:
        """Why the next question may not leave, given the most that it can take; None if it may."""
        agent = self.agent
        if self.steps >= agent.steps:
            return "steps", f"{self.steps} questions and no answer; it may have {agent.steps}"
        if self.tokens + tokens > agent.tokens:
            return "tokens", f"{self.tokens:,} tokens so far, the next question may take {tokens:,} of {agent.tokens:,}"
        if self.cost + cost > agent.usd:
            return "money", f"${self.cost:f} so far, the next question may cost ${cost:f} of ${agent.usd:f}"
        return self.late()

    def late(self) -> tuple[Ending, str] | None:
        """Whether its time is used up."""
        if self.seconds < self.agent.seconds:
            return None
        return "seconds", f"{self.seconds:.0f} s of calls and reads; it may take {self.agent.seconds:g}"

    def objects_to(self, answer: Mapping[str, object]) -> str:
        """What is wrong with an answer that fits the schema, in words without a value of it; empty if nothing is."""
        if self.reads < self.agent.least_reads:
            return f"nothing was read before it: read with the tools first ({self.reads} of {self.agent.least_reads})"
        cited = answer.get(self.agent.cites) or ()
        cited = [cited] if isinstance(cited, str) else list(cited) if isinstance(cited, (list, tuple)) else []
        foreign = sum(str(one) not in self.ids for one in cited)
        if foreign:
            return f"{self.agent.cites}: {foreign} of {len(cited)} are no ids of records that the tools have shown"
        return "" if cited else f"{self.agent.cites}: it names no record that it rests on"
