"""The retry ladder, re-asks, budget and fail-closed ledger, with a client that answers what the test queued."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from include.errors import AccessDenied, ConfigurationError, LedgerUnavailable, NightledgerError, QuotaUsedUp
from include.ledger.audit import Intent
from include.models import Record
from include.night.enrich.asking import Settled
from include.night.enrich.dispatch import REJECTED_AT_FIRST, Dispatcher
from include.night.enrich.flow import OPEN_AFTER_FAILURES, Flow
from include.night.enrich.journal import Closed, Entry, Journal, Taken
from include.night.enrich.prices import find_price
from include.night.enrich.questions import Item, Question
from include.retry import MAX_ATTEMPTS
from include.systems.limits.limiter import KeyLimiter, ProcessStore
from include.systems.model.client import Reply
from include.use_cases.crm_lead_scoring.output import Output
from tests.core.night.enrich.test_parse import GOOD

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
    """Keeps entries in the order in which they were committed, and money under a ceiling."""

    def __init__(self, fail_at: int | None = None, ceiling: str = "5") -> None:
        self.entries, self._fail_at = list[Entry](), fail_at
        self.room = Decimal(ceiling)

    def commit(self, entries: Sequence[Entry]) -> list[Taken]:
        if self._fail_at is not None and len(self.entries) >= self._fail_at:
            raise LedgerUnavailable("down", system="ledger")
        return [self._take(entry) for entry in entries]

    def _take(self, entry: Entry) -> Taken:
        if isinstance(entry, Intent):
            if entry.cost_reserved > self.room:
                return Taken.NO_ROOM
            self.room -= entry.cost_reserved
        if isinstance(entry, Closed):
            self.room += entry.reserved - entry.result.cost
        self.entries.append(entry)
        return Taken.YES

    @property
    def intents(self) -> list[Intent]:
        return [entry for entry in self.entries if isinstance(entry, Intent)]

    @property
    def results(self) -> list[Closed]:
        return [entry for entry in self.entries if isinstance(entry, Closed)]


def question(number: int = 0, tokens: int = 50) -> Question:
    item = Item(f"row{number}", f"key{number}", "{}", {}, f"inference{number}")
    return Question([item], "Score this.", tokens)


async def _no_wait(seconds: float) -> None:
    await asyncio.sleep(0)


def ask(
    client: Client,
    ledger: Ledger,
    questions: Sequence[Question] | None = None,
    *,
    workers: int = 4,
    patience: float = 0.3,
    timeout: float = 60.0,
    flow: Flow | None = None,
    sleep: Callable[[float], object] | None = None,
) -> list[Settled]:
    ended: list[Settled] = []

    async def wait(seconds: float) -> None:
        if sleep:
            sleep(seconds)
        await asyncio.sleep(0)

    async def settled(one: Settled) -> None:
        ended.append(one)

    async def run() -> None:
        asked: asyncio.Queue[Question | None] = asyncio.Queue()
        for one in questions or [question()]:
            asked.put_nowait(one)
        asked.put_nowait(None)
        async with Journal(ledger.commit) as journal, KeyLimiter(ProcessStore([])) as limiter:
            engine = Dispatcher(
                client=client,
                journal=journal,
                limiter=limiter,
                flow=flow or Flow(workers, patience),
                price=find_price("sandbox-small"),
                output=Output,
                system_text="Be fair.",
                stricter="No: {problem}",
                request={"model": "sandbox-small"},
                context=16_384,
                max_output=400,
                reasks=2,
                timeout=timeout,
                sleep=wait,
            )
            limiter.refuse = lambda seconds: None  # type: ignore[method-assign]
            await engine.ask_all(asked, settled, workers)

    asyncio.run(run())
    return ended


def test_a_good_answer_is_one_call_with_its_intent_before_it() -> None:
    client, ledger = Client(OK), Ledger()
    (ended,) = ask(client, ledger)
    assert (ended.ending, ended.tries, ended.output) == ("answered", 1, GOOD)
    assert isinstance(ledger.entries[0], Intent)
    assert ledger.results[0].result.cost == Decimal("0.000045")


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
    assert ledger.results[0].result.outcome == "rate_limited"


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
    client, ledger = Client(OK), Ledger(ceiling="0.002")
    ended = ask(client, ledger, [question(n) for n in range(50)])
    paid = sum((closed.result.cost for closed in ledger.results), Decimal(0))
    assert Decimal("0.0015") <= paid <= Decimal("0.002")
    assert {e.ending for e in ended} == {"answered", "deferred"}
    assert len(ended) == 50


def test_money_that_comes_back_is_used_before_anything_is_deferred() -> None:
    ledger = Ledger(ceiling="0.0007")  # room for two reservations at once, but for fifteen answers
    ended = ask(Client(OK), ledger, [question(n) for n in range(10)])
    assert {e.ending for e in ended} == {"answered"}


def test_a_wrong_credential_stops_everything_at_once() -> None:
    client = Client(AccessDenied("expired", system="model"))
    with pytest.raises(AccessDenied):
        ask(client, Ledger(), [question(n) for n in range(100)])
    assert len(client.sent) <= 4


@pytest.mark.parametrize("error", [QuotaUsedUp("used up", system="model"), AccessDenied("expired", system="model")])
def test_what_is_in_the_air_when_a_run_ends_is_kept(error: NightledgerError) -> None:
    class Ending(Client):
        async def ask(self, body: Record) -> Reply:
            self.sent.append(body)
            if len(self.sent) == 3:
                raise error
            await asyncio.sleep(0.05)
            return OK

    client, ledger = Ending(OK), Ledger()
    with pytest.raises(type(error)):
        ask(client, ledger, [question(n) for n in range(100)])
    assert len(client.sent) <= 4
    assert len(ledger.results) == len(ledger.intents), "a call has no result on record"
    assert sum(1 for closed in ledger.results if closed.answers) == len(client.sent) - 1
    others = [closed.result for closed in ledger.results if not closed.answers]
    assert {(one.outcome, one.cost, one.cost_basis) for one in others} <= {
        ("http_error", 0, "none"),
        ("cancelled", 0, "none"),  # never sent
    }


def test_an_outage_is_noticed_before_every_row_has_waited() -> None:
    client = Client(BUSY)
    ended = ask(client, Ledger(), [question(n) for n in range(200)])
    assert {e.ending for e in ended} == {"unavailable"}
    assert len(ended) == 200
    assert len(client.sent) < OPEN_AFTER_FAILURES + 20


def test_rows_wait_for_a_model_that_comes_back() -> None:
    client = Client(*[BUSY] * 14, OK)
    flow = Flow(4, patience=30.0)
    ended = ask(client, Ledger(), [question(n) for n in range(40)], flow=flow)
    assert {e.ending for e in ended} == {"answered"}


def test_no_more_than_the_given_number_of_calls_are_in_flight() -> None:
    client = Client(OK)
    ask(client, Ledger(), [question(n) for n in range(60)], workers=3)
    assert client.most_at_once == 3


def test_a_request_that_is_wrong_for_every_row_stops_the_run() -> None:
    client = Client(WRONG)
    with pytest.raises(ConfigurationError, match="were all rejected: 400 bad request"):
        ask(client, Ledger(), [question(n) for n in range(200)])
    assert REJECTED_AT_FIRST <= len(client.sent) <= REJECTED_AT_FIRST + 4


def test_rejections_that_belong_to_rows_never_count_as_a_wrong_request() -> None:
    class Choosy(Client):
        async def ask(self, body: Record) -> Reply:
            self.sent.append(body)
            large = "long" in body["messages"][1]["content"]
            return Reply("http_error", 0.01, "400 context", 400, cause="too_large") if large else OK

    long = [replace(question(n), message="a long one") for n in range(25)]
    ended = ask(Choosy(OK), Ledger(), [*long, *(question(n) for n in range(25, 35))])
    assert Counter(one.ending for one in ended) == {"too_large": 25, "answered": 10}


def test_a_question_that_another_process_has_taken_ends_alone() -> None:
    class Lost(Ledger):
        def _take(self, entry: Entry) -> Taken:
            lost = isinstance(entry, Intent) and entry.row_id == "row3"
            return Taken.NOT_OURS if lost else super()._take(entry)

    client = Client(OK)
    ended = ask(client, Lost(), [question(n) for n in range(10)])
    assert Counter(one.ending for one in ended) == {"answered": 9, "taken": 1}
    assert len(client.sent) == 9


class Hanging(Client):
    """Answers at once, but the calls of one message hang until they are cancelled."""

    def __init__(self, message: str, hang: int = 1) -> None:
        super().__init__(OK)
        self.message, self.hang = message, hang

    async def ask(self, body: Record) -> Reply:
        if self.message in body["messages"][1]["content"] and self.hang:
            self.hang -= 1
            self.sent.append(body)
            await asyncio.sleep(3_600)
        return await super().ask(body)


def test_a_call_that_hangs_ends_at_its_deadline_and_is_paid_at_its_most() -> None:
    client, ledger = Hanging("Score"), Ledger()
    (ended,) = ask(client, ledger, timeout=0.2)
    assert (ended.ending, ended.tries) == ("answered", 2)
    late = ledger.results[0].result
    assert (late.outcome, late.cost_basis, late.cost) == ("timeout", "estimated", ledger.intents[0].cost_reserved)


def test_a_second_call_overtakes_one_that_hangs_and_both_are_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.night.enrich.hedging.SHORTEST", 0.2)
    questions = [question(n) for n in range(120)]
    slow = question(999)
    slow.message = "A slow one."
    client, ledger = Hanging("A slow one"), Ledger()
    ended = ask(client, ledger, [*questions, slow])
    assert {e.ending for e in ended} == {"answered"}
    by_kind = [intent.kind for intent in ledger.intents if intent.row_id == "row999"]
    assert by_kind == ["ask", "hedge"]
    of_slow = {i.inference_id for i in ledger.intents if i.row_id == "row999"}
    outcomes = {c.result.outcome: c.result.cost_basis for c in ledger.results if c.result.inference_id in of_slow}
    assert outcomes == {"ok": "reported", "cancelled": "estimated"}
    assert sum(1 for c in ledger.results if c.answers == "inference999") == 1


def test_missing_usage_is_estimated_never_free() -> None:
    client, ledger = Client(replace(OK, tokens_in=0, tokens_out=0, usage_reported=False)), Ledger()
    ask(client, ledger)
    result = ledger.results[0].result
    assert result.cost > 0
    assert result.cost_basis == "estimated"


def test_every_question_ends_exactly_once_under_mixed_faults() -> None:
    replies = [OK, BUSY, PROSE, LIMITED, OK, WRONG, OK, PROSE] * 40 + [OK]
    questions = [question(n) for n in range(100)]
    client, ledger = Client(*replies), Ledger()
    ended = ask(client, ledger, questions)
    assert sorted(e.question.item.row_id for e in ended) == sorted(q.item.row_id for q in questions)
    assert len(ledger.intents) == len(ledger.results) == len(client.sent)
