"""The retry ladder, re-asks, budget and fail-closed ledger, with a client that answers what the test queued."""

import asyncio
import json
from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest

from include.enrich.budget import Budget
from include.enrich.client import Reply
from include.enrich.engine import OUTAGE_AFTER, Engine, Settled
from include.enrich.journal import Entry, Journal
from include.enrich.limiter import ProcessLimiter
from include.enrich.plan import Item, Question
from include.enrich.prices import find_price
from include.errors import AccessDenied, LedgerUnavailable
from include.ledger.audit import Answer, Intent, Result
from include.models import Record
from include.retry import MAX_ATTEMPTS
from include.use_cases.crm_lead_scoring.output import Output
from tests.core.enrich.test_parse import GOOD

OK = Reply("answered", 0.01, status=200, text=json.dumps(GOOD), tokens_in=100, tokens_out=50)
PROSE = Reply("answered", 0.01, status=200, text="a fine lead", tokens_in=100, tokens_out=50)
BUSY = Reply("http_error", 0.01, "503 busy", 503, retryable=True)
LIMITED = Reply("rate_limited", 0.01, "429", 429, retry_after=0.5, retryable=True)
WRONG = Reply("http_error", 0.01, "400 bad request", 400)


class Client:
    """Answers from a queue, then with the last reply for ever; remembers what it was sent."""

    def __init__(self, *replies: Reply | Exception) -> None:
        self.replies, self.sent, self.at_once, self.most_at_once = list(replies), list[Record](), 0, 0

    async def ask(self, body: Record) -> Reply:
        self.sent.append(body)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply


class Ledger:
    """Keeps entries in the order in which they were committed."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.entries, self._fail_at = list[Entry](), fail_at

    def commit(self, entries: Sequence[Entry]) -> None:
        if self._fail_at is not None and len(self.entries) >= self._fail_at:
            raise LedgerUnavailable("down", system="ledger")
        self.entries += entries

    @property
    def intents(self) -> list[Intent]:
        return [entry for entry in self.entries if isinstance(entry, Intent)]

    @property
    def results(self) -> list[tuple[Result, Answer | None]]:
        return [entry for entry in self.entries if not isinstance(entry, Intent)]


def question(number: int = 0, tokens: int = 50) -> Question:
    item = Item(f"row{number}", f"key{number}", "{}", {}, f"inference{number}", "input")
    return Question([item], "Score this.", tokens)


async def _no_wait(seconds: float) -> None:
    await asyncio.sleep(0)


def ask(
    client: Client,
    ledger: Ledger,
    questions: Sequence[Question] | None = None,
    *,
    ceiling: str = "5",
    concurrency: int = 4,
    sleep: Callable[[float], object] | None = None,
) -> list[Settled]:
    ended: list[Settled] = []

    async def wait(seconds: float) -> None:
        if sleep:
            sleep(seconds)
        await asyncio.sleep(0)

    async def run() -> None:
        async with Journal(ledger.commit) as journal:
            engine = Engine(
                client=client,
                journal=journal,
                limiter=ProcessLimiter([], sleep=_no_wait, clock=lambda: 0.0 if sleep is None else 1e9),
                budget=Budget(Decimal(ceiling)),
                price=find_price("sandbox-small"),
                output=Output,
                system_text="Be fair.",
                stricter="No: {problem}",
                request={"model": "sandbox-small"},
                context=16_384,
                max_output=400,
                reasks=2,
                concurrency=concurrency,
                sleep=wait,
            )
            engine.limiter.pause = lambda seconds: None  # type: ignore[method-assign]
            await engine.ask_all(questions or [question()], ended.append)

    asyncio.run(run())
    return ended


def test_a_good_answer_is_one_call_with_its_intent_before_it() -> None:
    client, ledger = Client(OK), Ledger()
    (ended,) = ask(client, ledger)
    assert (ended.ending, ended.tries, ended.output) == ("answered", 1, GOOD)
    assert isinstance(ledger.entries[0], Intent)
    assert ledger.results[0][0].cost == Decimal("0.000045")


def test_no_call_leaves_before_its_intent_is_committed() -> None:
    client, ledger = Client(OK), Ledger(fail_at=0)
    with pytest.raises(LedgerUnavailable):
        ask(client, ledger, [question(n) for n in range(10)])
    assert client.sent == []


def test_a_ledger_that_dies_midway_stops_every_later_call() -> None:
    client, ledger = Client(OK), Ledger(fail_at=8)
    with pytest.raises(LedgerUnavailable):
        ask(client, ledger, [question(n) for n in range(200)])
    assert len(client.sent) <= 8 + 4


def test_transient_failures_climb_the_ladder_and_are_each_on_record() -> None:
    waits: list[float] = []
    client, ledger = Client(BUSY, BUSY, OK), Ledger()
    (ended,) = ask(client, ledger, sleep=waits.append)
    assert (ended.ending, ended.tries) == ("answered", 3)
    assert [intent.kind for intent in ledger.intents] == ["ask", "retry", "retry"]
    assert 1 <= waits[0] <= 2 <= waits[1] <= 4


def test_the_ladder_ends() -> None:
    client, ledger = Client(BUSY), Ledger()
    (ended,) = ask(client, ledger)
    assert ended.ending == "unavailable"
    assert len(client.sent) == MAX_ATTEMPTS


def test_a_limit_is_waited_out_and_not_counted_against_the_answer() -> None:
    client, ledger = Client(LIMITED, OK), Ledger()
    (ended,) = ask(client, ledger)
    assert ended.ending == "answered"
    assert ledger.results[0][0].outcome == "rate_limited"


def test_what_no_retry_can_help_is_not_retried() -> None:
    client = Client(WRONG)
    (ended,) = ask(client, Ledger())
    assert (ended.ending, len(client.sent)) == ("rejected", 1)


def test_an_unusable_answer_is_asked_again_twice_with_the_problem_named() -> None:
    client, ledger = Client(PROSE, PROSE, OK), Ledger()
    (ended,) = ask(client, ledger)
    assert ended.ending == "answered"
    assert [intent.kind for intent in ledger.intents] == ["ask", "re-ask", "re-ask"]
    assert "no JSON object" in client.sent[1]["messages"][-1]["content"]
    assert [len(body["messages"]) for body in client.sent] == [2, 4, 4]


def test_three_unusable_answers_are_enough() -> None:
    client = Client(PROSE)
    (ended,) = ask(client, Ledger())
    assert (ended.ending, len(client.sent)) == ("invalid", 3)


def test_a_refusal_is_not_argued_with() -> None:
    client = Client(Reply("answered", 0.01, status=200, refusal="no", tokens_in=9))
    (ended,) = ask(client, Ledger())
    assert (ended.ending, len(client.sent)) == ("refused", 1)


def test_a_prompt_over_the_models_size_is_never_sent() -> None:
    client = Client(OK)
    (ended,) = ask(client, Ledger(), [question(tokens=16_000)])
    assert (ended.ending, client.sent) == ("too_large", [])


def test_the_ceiling_is_never_passed_and_the_rest_is_deferred() -> None:
    client, ledger = Client(OK), Ledger()
    ended = ask(client, ledger, [question(n) for n in range(50)], ceiling="0.002")
    paid = sum((result.cost for result, _ in ledger.results), Decimal(0))
    assert paid <= Decimal("0.002")
    assert {e.ending for e in ended} == {"answered", "deferred"}
    assert len(ended) == 50


def test_a_wrong_credential_stops_everything_at_once() -> None:
    client = Client(AccessDenied("expired", system="model"))
    with pytest.raises(AccessDenied):
        ask(client, Ledger(), [question(n) for n in range(100)])
    assert len(client.sent) <= 4


def test_an_outage_is_noticed_before_every_row_has_waited() -> None:
    client = Client(BUSY)
    ended = ask(client, Ledger(), [question(n) for n in range(200)])
    assert {e.ending for e in ended} == {"unavailable"}
    assert len(client.sent) < (OUTAGE_AFTER + 2 * 4) * MAX_ATTEMPTS


def test_no_more_than_the_given_number_of_calls_are_in_flight() -> None:
    client = Client(OK)
    ask(client, Ledger(), [question(n) for n in range(60)], concurrency=3)
    assert client.most_at_once == 3


def test_every_question_ends_exactly_once_under_mixed_faults() -> None:
    replies = [OK, BUSY, PROSE, LIMITED, OK, WRONG, OK, PROSE] * 40 + [OK]
    questions = [question(n) for n in range(100)]
    client, ledger = Client(*replies), Ledger()
    ended = ask(client, ledger, questions)
    assert sorted(e.question.item.row_id for e in ended) == sorted(q.item.row_id for q in questions)
    assert len(ledger.intents) == len(ledger.results) == len(client.sent)
