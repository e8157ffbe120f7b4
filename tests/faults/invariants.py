"""What must hold after every history: over the ledger, over what the systems themselves have counted, over files."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from include.database import open_database
from include.ledger.verify import verify
from tests.faults import files, nights
from tests.faults.world import CONCURRENCY, World

_SPENT = """
SELECT i.run_id, sum(coalesce(r.cost, i.cost_reserved)) AS spent
  FROM nightledger.inference i LEFT JOIN nightledger.inference_result r USING (inference_id) GROUP BY 1"""
_BUDGETS = "SELECT scope, ceiling, spent, reserved FROM nightledger.budget WHERE scope LIKE 'run/%'"
_OTHER_DAYS = """
SELECT scope FROM nightledger.budget
 WHERE scope ~ '/[0-9]{4}-[0-9]{2}-[0-9]{2}$'
   AND right(scope, 10)::date NOT BETWEEN (opened_at AT TIME ZONE 'UTC')::date AND (now() AT TIME ZONE 'UTC')::date
    OR scope ~ '/[0-9]{4}-[0-9]{2}$'
   AND right(scope, 7) NOT BETWEEN to_char(opened_at AT TIME ZONE 'UTC', 'YYYY-MM')
                               AND to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')"""
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
_UNDECIDED = """
SELECT o.row_id FROM nightledger.outbox o LEFT JOIN nightledger.decision d USING (decision_id)
 WHERE o.status = 'written' AND d.decision_id IS NULL"""
_WRITTEN = """
SELECT DISTINCT ON (external_id) external_id, fields FROM nightledger.outbox
 WHERE destination = 'crm' AND status IN ('written', 'unchanged') ORDER BY external_id, outbox_id DESC"""
_BELIEVED = """
SELECT count(*) FROM nightledger.inference_result WHERE tokens_out > 10000"""
_KINDS = "SELECT kind, count(*) FROM nightledger.inference GROUP BY 1"
_UNANSWERED = """
SELECT count(*) FROM nightledger.inference WHERE inference_id NOT IN
       (SELECT inference_id FROM nightledger.inference_result WHERE outcome <> 'cancelled')"""


@dataclass(frozen=True)
class Seen:
    """What the ledger and the endpoint say about a history."""

    calls: int
    retries: int
    hedges: int
    lost: int
    repeated: int

    def as_text(self) -> str:
        """In one line."""
        return ", ".join(f"{name} {count}" for name, count in vars(self).items())


def count(here: World) -> Seen:
    """Calls that arrived, those sent as retry or hedge, those without an answer on record, and answers paid again."""
    kinds = Counter(dict(ask(here, _KINDS)))
    calls = here.calls()
    paid = Counter(call["message"] for call in calls if call["billed"])
    lost = int(ask(here, _UNANSWERED)[0][0])
    return Seen(len(calls), kinds["retry"], kinds["hedge"], lost, paid.total() - len(paid))


def check(here: World) -> None:
    """Assert I3 to I7, that nothing was asked after it had an answer, and that nothing is left claimed."""
    _check_calls(here)
    _check_money(here)
    engine = open_database(here.server.url("nightledger"))
    verified = verify(engine)
    engine.dispose()
    assert verified.holds, f"I4: {verified.as_text()}"
    refused = [call for call in here.calls() if call["status"] == 429 and not call["fault"]]
    assert len(refused) <= 2, f"I6: {len(refused)} calls over the limit"
    assert ask(here, _PINS) == [], "I7"
    assert ask(here, "SELECT count(*) FROM nightledger.claim") == [(0,)], "a question is still claimed"


def check_closed(here: World) -> None:
    """Assert that no run stays open for ever, whoever was killed."""
    running = [run for (run,) in ask(here, "SELECT run_id FROM nightledger.run WHERE status = 'running'")]
    assert not running, f"a run is still open: {', '.join(running)}"


def check_orphans(here: World) -> None:
    """As of files, and that what killed workers had opened is closed."""
    check_files(here)
    check_closed(here)


def _check_calls(here: World) -> None:
    asked = Counter(call["message"] for call in here.calls())
    recorded = Counter(hash_of(messages) for (messages,) in ask(here, "SELECT messages FROM nightledger.inference"))
    assert not asked - recorded, "I3: calls arrived that no intent announced"
    assert ask(here, _TWO_RESULTS) == [], "a call has two results"
    effects = here.all_effects()
    in_flight = CONCURRENCY * files.WORKERS * (effects["ledger restart"] + effects["ledger disk full"])
    after = ask(here, _AFTER_AN_ANSWER)[0][0]  # a ledger that is lost gives claims away
    hedges = Counter(dict(ask(here, _KINDS)))["hedge"]
    assert after <= in_flight + hedges, f"{after} calls for questions that had their answer"


def _check_money(here: World) -> None:
    spent = dict(map(tuple, ask(here, _SPENT)))
    for scope, ceiling, paid, reserved in ask(here, _BUDGETS):
        assert paid + reserved == spent.get(scope.removeprefix("run/"), 0), f"I5: {scope}"
        assert paid <= ceiling, f"I5: {scope}: {paid} of {ceiling} USD"
    assert ask(here, _BELIEVED) == [(0,)], "usage is believed that no answer of 400 tokens can have"
    other = ask(here, _OTHER_DAYS)
    assert other == [], f"ceilings of other days were opened by wrong clocks: {other}"


def check_files(here: World) -> None:
    """Assert I1, that everything is answered in the end, and I8."""
    check(here)
    assert _lines(here)["quarantined"] == files.WORKERS, "I1"
    if _lines(here)["dead_letter"] + _lines(here)["deferred"]:
        files.again(here)  # what died while the model was broken is asked once more, and nothing else
        check(here)
    rows = _lines(here)
    assert set(rows) == {"answered", "quarantined"}, f"I1: {dict(rows)}"
    calls = len(here.calls())
    files.again(here)
    assert len(here.calls()) == calls, "I8: a finished file was asked again"


def _lines(here: World) -> Counter[str]:
    """What became of every line, by status; each input line must be there once, in order."""
    found: Counter[str] = Counter()
    for number in range(files.WORKERS):
        lines = [json.loads(line) for line in (here.folder / f"result-{number}.jsonl").read_text().splitlines()]
        given = (here.folder / f"rows-{number}.jsonl").read_text().splitlines()
        assert [line["line"] for line in lines] == list(range(1, len(given) + 1)), "I1: lines are missing"
        found.update(line["status"] for line in lines)
    return found


def check_night(here: World) -> None:
    """Assert I1, I2 against the CRM's own records, that nothing stays dead, and I8."""
    check(here)
    check_closed(here)
    _check_writes(here)
    if _dead(here):
        nights.again(here)  # what the model or the CRM refused while it was broken
        check(here)
        _check_writes(here)
        assert not _dead(here), "a row stays dead although nothing is broken any more"
    calls, written = len(here.calls()), here.crm_counts()["records_written"]
    nights.again(here)
    assert len(here.calls()) == calls, "I8: a finished night was asked again"
    assert here.crm_counts()["records_written"] == written, "I8: a finished night was written again"


def check_decided(here: World) -> None:
    """Assert that every write goes back to a decision."""
    assert ask(here, _UNDECIDED) == [], "I2: a write without a decision"


def _check_writes(here: World) -> None:
    statuses = ask(here, "SELECT status, count(*) FROM nightledger.run GROUP BY 1")
    assert "succeeded" in dict(map(tuple, statuses)), f"I1: {statuses}"
    check_decided(here)
    held = nights.records(here)
    written = dict(map(tuple, ask(here, _WRITTEN)))
    assert written, "nothing was written"
    for external_id, fields in written.items():
        differs = [name for name, value in held[external_id].items() if name in fields and fields[name] != value]
        assert not differs, f"I2: record {external_id} holds another {', '.join(differs)} than the outbox says"


def _dead(here: World) -> int:
    query = """SELECT count(*) FROM nightledger.outcome WHERE outcome IN ('dead_letter', 'deferred') AND run_id =
               (SELECT run_id FROM nightledger.run WHERE status = 'succeeded' ORDER BY attempt DESC LIMIT 1)"""
    return int(ask(here, query)[0][0])


def ask(here: World, query: str) -> list[Any]:
    """Rows of the ledger."""
    engine = open_database(here.server.url("nightledger"))
    try:
        with engine.connect() as connection:
            return list(connection.execute(text(query)).all())
    finally:
        engine.dispose()


def hash_of(messages: list[dict[str, Any]]) -> str:
    """How the endpoint names a question: by its last user message."""
    last = [message["content"] for message in messages if message["role"] == "user"][-1]
    return hashlib.sha256(last.encode()).hexdigest()
