"""What must hold after every history, over the ledger and over the endpoint's own count."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

from sqlalchemy import text

from include.ledger.database import open_engine
from include.ledger.verify import verify
from tests.faults.history import CONCURRENCY, World

_SPENT = """
SELECT i.run_id, sum(coalesce(r.cost, i.cost_reserved)) AS spent
  FROM nightledger.inference i LEFT JOIN nightledger.inference_result r USING (inference_id) GROUP BY 1"""
_BUDGETS = "SELECT scope, ceiling, spent, reserved FROM nightledger.budget WHERE scope LIKE 'run/%'"
_AFTER_AN_ANSWER = """
SELECT count(*) FROM nightledger.inference i
 WHERE i.recorded_at > (SELECT min(r.recorded_at) FROM nightledger.inference_result r
                          JOIN nightledger.inference o USING (inference_id)
                         WHERE o.inference_key = i.inference_key AND r.outcome = 'ok')"""
_PINS = """
SELECT run_id FROM nightledger.inference GROUP BY 1
HAVING count(DISTINCT (prompt_hash, model, parameters)) > 1"""
_TWO_RESULTS = """
SELECT inference_id FROM nightledger.inference_result GROUP BY 1 HAVING count(*) > 1"""


def check(here: World, workers: int) -> Counter[str]:
    """Assert I1, I3, I4, I5, I6, I7 and that nothing was asked after it had an answer; returns lines by status."""
    rows = lines_of(here, workers)
    engine = open_engine(here.server.url("nightledger"))
    with engine.connect() as connection:
        intents = connection.execute(text("SELECT messages, run_id FROM nightledger.inference")).all()
        budgets = connection.execute(text(_BUDGETS)).all()
        spent = dict(map(tuple, connection.execute(text(_SPENT)).all()))
        after = connection.scalar(text(_AFTER_AN_ANSWER))
        pins = connection.execute(text(_PINS)).all()
        twice = connection.execute(text(_TWO_RESULTS)).all()
        claims = connection.scalar(text("SELECT count(*) FROM nightledger.claim"))
    verified = verify(engine)
    engine.dispose()
    calls = here.calls()
    asked = Counter(call["message"] for call in calls)
    recorded = Counter(hash_of(messages) for messages, _ in intents)
    assert set(rows) <= {"answered", "quarantined", "dead_letter"}, f"I1: {rows}"
    assert rows["quarantined"] == workers, f"I1: {rows}"
    assert not asked - recorded, "I3: calls arrived that no intent announced"
    assert verified.holds, f"I4: {verified.as_text()}"
    for scope, ceiling, paid, reserved in budgets:
        assert paid + reserved == spent.get(scope.removeprefix("run/"), 0), f"I5: {scope}"
        assert paid <= ceiling, f"I5: {scope}"
    refused = [call for call in calls if call["status"] == 429 and not call["fault"]]
    assert len(refused) <= 2, f"I6: {len(refused)} calls over the limit"
    assert pins == [], "I7"
    assert twice == [], "a call has two results"
    in_flight = CONCURRENCY * workers * here.done.count("ledger")  # a session that is lost gives its claims away
    assert after <= in_flight, f"{after} calls for questions that had their answer"
    assert claims == 0, "a question is still claimed"
    return rows


def lines_of(here: World, workers: int) -> Counter[str]:
    """What became of every line, by status; each input line must be there once, in order."""
    found: Counter[str] = Counter()
    for number in range(workers):
        lines = [json.loads(line) for line in here.result(number).read_text().splitlines()]
        given = here.source(number).read_text().splitlines()
        assert [line["line"] for line in lines] == list(range(1, len(given) + 1)), "I1: lines are missing"
        found.update(line["status"] for line in lines)
    return found


def hash_of(messages: list[dict[str, Any]]) -> str:
    """How the endpoint names a question: by its last user message."""
    last = [message["content"] for message in messages if message["role"] == "user"][-1]
    return hashlib.sha256(last.encode()).hexdigest()
