"""What a run left is sealed when it closes: whatever a superuser changes afterwards is found and named."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert

from include.database import send, transaction
from include.errors import ConfigurationError, SystemUnavailable
from include.ledger import dead_letters, quarantine, tables
from include.ledger.audit import Answer, keep_answers
from include.ledger.budget import open_budgets
from include.ledger.closing import close_run
from include.ledger.dead_letters import Selection
from include.ledger.heads import export_head, read_heads
from include.ledger.record import DeadLetter, bury, record_event
from include.ledger.verify import verify
from include.models import Origin, Outcome
from include.night.close.totals import record_totals
from include.run import Night
from include.stages import close
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import PINS, ask, decide, end_rows, reject_rows, rows_of, stage_raw, write_rows
from tests.core.ledger.test_verify import problems, tamper


def run_night(make_night: MakeNight, **more: Any) -> Night:
    """A closed night that left something in every table."""
    night = make_night(**more)
    rows = rows_of(4)
    stage_raw(night, [*rows, "crm/contacts/bad"])
    ids = ask(night, rows)
    open_budgets(night.ledger, {f"run/{night.run_id}": Decimal(5)})
    with transaction(night.ledger) as connection:
        said = {"score": 80, "tier": "hot"}
        answers = [Answer(f"key-{row}", said, Origin.RULE) for row in rows]
        send(connection, [keep_answers(night, PINS, answers)])
        for table, values in _others(night).items():
            new = insert(tables.metadata.tables[f"nightledger.{table}"]).values(values)
            connection.execute(new.on_conflict_do_nothing())
        bury(connection, night, "write", [DeadLetter(rows[3], "4", "no_result", "x", None, {}, {}, 1)], system="crm")
    reject_rows(night, "check", {"crm/contacts/bad": "not met"})
    write_rows(night, rows[:2], decide(night, rows, verdict="write", inferences=ids)[:2])
    end_rows(night, {rows[0]: Outcome.WRITTEN, rows[1]: Outcome.WRITTEN, rows[2]: Outcome.IN_REVIEW})
    if night.settings.head_file:
        close(night)
    else:  # what `close` does in the ledger, without its reports
        with transaction(night.ledger) as connection:
            record_totals(connection, night.run_id, 5)
            close_run(connection, night.run_id, "succeeded", {"written": 2}, rows_in=5)
    return night


def _others(night: Night) -> dict[str, dict[str, Any]]:
    when = {"interval_start": night.interval.start, "interval_end": night.interval.end}
    mine = {"run_id": night.run_id}
    seen = {"row_id": "crm/contacts/3", "row_key": "3", "inference_key": "key-3", "shown": {}, "shown_sha256": "s"}
    file = {"system": "sftp", "path": f"/{night.run_id}.csv", "sha256": "a" * 64, "bytes": 1, "rows": 1}
    met = {"columns": ["email"], "severity": "info", "meaning": "m", "success": True, "rows_checked": 1}
    return {
        "source_file": mine | file,
        "review_item": mine | when | seen | {"use_case": night.case.name, "proposed": {}, "reason": "unsure"},
        "quality_result": mine | met | {"expectation": "e", "type": "t", "unexpected_count": 0},
        "column_profile": mine | {"column_name": "c", "type": "text", "rows": 1, "nulls": 0, "profile": {}},
        "drift_result": mine | {"signal": "volume", "statistic": "rows", "verdict": "steady", "nights": 3},
    }


@pytest.fixture
def nights(make_night: MakeNight) -> Sequence[Night]:
    """Two closed nights: whatever is done to the second must be told from the first."""
    return run_night(make_night), run_night(make_night, external_ref="again", day=1)


_OF_RUN = "outbox_id IN (SELECT outbox_id FROM outbox_intent WHERE run_id = :run)"
CHANGES = {
    "answer": "UPDATE answer SET output = '{\"score\": 99}' WHERE run_id = :run",
    "outcome": "UPDATE outcome SET outcome = 'rejected' WHERE run_id = :run AND outcome = 'written'",
    "outbox_result": f'UPDATE outbox_result SET differs = \'{{"nl_lead_score": "99"}}\' WHERE {_OF_RUN}',
    "outbox_intent": 'UPDATE outbox_intent SET fields = \'{"nl_lead_score": "99"}\' WHERE run_id = :run',
    "review_item": "UPDATE review_item SET proposed = '{\"score\": 99}' WHERE run_id = :run",
    "quarantine": "UPDATE quarantine SET reasons = '{other}' WHERE run_id = :run",
    "manifest": "UPDATE manifest SET sha256 = repeat('b', 64) WHERE run_id = :run",
    "source_file": "UPDATE source_file SET sha256 = repeat('b', 64) WHERE run_id = :run",
    "quality_result": "UPDATE quality_result SET success = false WHERE run_id = :run",
    "column_profile": "UPDATE column_profile SET nulls = 7 WHERE run_id = :run",
    "drift_result": "UPDATE drift_result SET verdict = 'drifted' WHERE run_id = :run",
    "dead_letter": "UPDATE dead_letter SET cause = 'refused' WHERE run_id = :run",
    "budget": "UPDATE budget SET spent = spent + 1 WHERE scope = 'run/' || :run",
    "run (mode)": "UPDATE run SET mode = 'auto' WHERE run_id = :run",
    "run (model)": "UPDATE run SET model = 'another' WHERE run_id = :run",
    "run (prompt)": "UPDATE run SET prompt_version = '9' WHERE run_id = :run",
    "run (sums)": "UPDATE run SET totals = jsonb_set(totals, '{cost_usd}', '\"0\"') WHERE run_id = :run",
    "outcome (deleted)": "DELETE FROM outcome WHERE run_id = :run AND outcome = 'written'",
    "outbox_intent (deleted)": "DELETE FROM outbox_intent WHERE run_id = :run",
    "outbox_result (deleted)": f"DELETE FROM outbox_result WHERE {_OF_RUN}",
    "outcome (slipped in)": "INSERT INTO outcome (run_id, row_id, outcome, stage) VALUES (:run, 'x', 'written', 'w')",
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_by_a_superuser_is_named(nights: Sequence[Night], ledger: Ledger, name: str) -> None:
    assert verify(ledger.service).holds
    tamper(ledger.owner, CHANGES[name], run=nights[1].run_id)
    named = {name.partition(" ")[0]} | ({"outbox_result"} if name == "outbox_intent (deleted)" else set())
    assert problems(verify(ledger.service)) == {(table, nights[1].run_id) for table in named}


def test_a_changed_prompt_is_named_for_every_run_that_asked_with_it(nights: Sequence[Night], ledger: Ledger) -> None:
    tamper(ledger.owner, "UPDATE prompt SET user_text = 'Score this lead with 100.'")
    assert problems(verify(ledger.service)) == {("prompt", night.run_id) for night in nights}


def test_a_look_at_personal_values_cannot_be_forgotten(nights: Sequence[Night], ledger: Ledger) -> None:
    for row in ("1", "2"):
        with transaction(ledger.service) as connection:
            record_event(connection, "personal/crm_lead_scoring", "personal.viewed", {"row_id": row}, "kim")
    assert verify(ledger.service).holds
    tamper(ledger.owner, "DELETE FROM event WHERE stream LIKE 'personal/%'")
    tamper(ledger.owner, "DELETE FROM chain_head WHERE stream LIKE 'personal/%'")
    found = problems(verify(ledger.service))
    assert found == {("event", f"personal/crm_lead_scoring/{seq}") for seq in (1, 2)}


def test_a_run_that_is_under_way_cannot_be_deleted_either(make_night: MakeNight, ledger: Ledger) -> None:
    night = make_night()
    for statement in ("DELETE FROM event WHERE stream = :run", "DELETE FROM chain_head WHERE stream = :run"):
        tamper(ledger.owner, statement, run=night.run_id)
    tamper(ledger.owner, "DELETE FROM run WHERE run_id = :run", run=night.run_id)
    assert problems(verify(ledger.service)) == {("event", f"{night.run_id}/1")}


def forget(ledger: Ledger, night: Night) -> None:
    """Delete a run everywhere, and cut stream `ledger` back to where it was before."""
    since = "SELECT min(seq) FROM event WHERE stream = 'ledger' AND details ->> 'run_id' = :run"
    head = "(SELECT seq, hash FROM event WHERE stream = 'ledger' ORDER BY seq DESC LIMIT 1)"
    tamper(ledger.owner, f"DELETE FROM event WHERE stream = 'ledger' AND seq >= ({since})", run=night.run_id)
    tamper(ledger.owner, f"UPDATE chain_head SET (seq, hash) = {head} WHERE stream = 'ledger'")
    tamper(ledger.owner, CHANGES["outbox_result (deleted)"], run=night.run_id)
    kept = {"quarantine_count", "column_profile", "drift_result", *CHANGES, "inference", "inference_result", "decision"}
    elsewhere = ("run", "budget", "outbox_result")
    for table in sorted(table for table in kept if " " not in table and table not in elsewhere):
        tamper(ledger.owner, f"DELETE FROM {table} WHERE run_id = :run", run=night.run_id)
    for statement in ("event WHERE stream", "chain_head WHERE stream", "run WHERE run_id"):
        tamper(ledger.owner, f"DELETE FROM {statement} = :run", run=night.run_id)


def test_the_newest_run_deleted_everywhere_is_found_by_the_head(nights: Sequence[Night], ledger: Ledger) -> None:
    head = verify(ledger.service).head
    assert verify(ledger.service, heads=[head]).holds
    forget(ledger, nights[1])
    assert verify(ledger.service).holds, "nothing inside the ledger can tell"
    found = verify(ledger.service, heads=[head])
    assert problems(found) == {("ledger", head)}
    assert "cut or rewritten" in found.as_text()


def test_a_truncated_ledger_is_found_by_the_head(nights: Sequence[Night], ledger: Ledger) -> None:
    head = verify(ledger.service).head
    with ledger.owner.begin() as connection:
        names = [name for name in tables.metadata.tables if not name.endswith("alembic_version")]
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"TRUNCATE {', '.join(names)} CASCADE"))
    assert verify(ledger.service).holds
    assert problems(verify(ledger.service, heads=[head])) == {("ledger", head)}


_UNDO = """
WITH undone AS (
INSERT INTO outbox_intent (run_id, use_case, external_id, undo_of, interval_start, interval_end, row_id, row_key,
       decision_id, destination, object, fields)
SELECT run_id, use_case, external_id || '/undone', outbox_id, interval_start, interval_end, row_id, row_key,
       decision_id, destination, object, fields FROM outbox RETURNING outbox_id)
INSERT INTO outbox_result (outbox_id, status) SELECT outbox_id, 'written' FROM undone"""


def test_what_people_do_later_is_no_finding(nights: Sequence[Night], ledger: Ledger, make_night: MakeNight) -> None:
    assert dead_letters.dismiss(ledger.service, Selection(cause="no_result"), "kim", "known") == 2
    waiting = quarantine.list_rows(ledger.service, quarantine.Filter(run_id=nights[0].run_id))
    assert quarantine.dismiss(ledger.service, [row.number for row in waiting], "kim", "known") == 1
    with ledger.service.begin() as connection:
        connection.execute(text("UPDATE review_item SET status = 'approved'"))
        connection.execute(text("UPDATE source_file SET archived_to = '/archive/a.csv'"))
        connection.execute(text(_UNDO))
    run_night(make_night, external_ref="a later attempt")
    assert verify(ledger.service).holds, verify(ledger.service).as_text()


def test_a_run_closed_again_is_held_against_its_last_seal(nights: Sequence[Night], ledger: Ledger) -> None:
    end_rows(nights[0], {"crm/contacts/4": Outcome.WRITTEN})
    assert problems(verify(ledger.service)) == {("outcome", nights[0].run_id)}
    with transaction(ledger.service) as connection:
        close_run(connection, nights[0].run_id, "succeeded", {"written": 3}, rows_in=5)
    assert verify(ledger.service).holds


def test_what_came_after_a_head_is_verified_alone(make_night: MakeNight, ledger: Ledger) -> None:
    first = run_night(make_night)
    whole = verify(ledger.service)
    nothing = verify(ledger.service, since=whole.head)
    assert (nothing.holds, nothing.rows, nothing.events) == (True, 0, 0)
    second = run_night(make_night, day=1)
    new = verify(ledger.service, since=whole.head)
    assert (new.holds, new.rows, new.head) == (True, whole.rows, verify(ledger.service).head)
    for night, known in ((first, False), (second, True)):
        tamper(ledger.owner, CHANGES["outcome"], run=night.run_id)
        tamper(ledger.owner, "UPDATE decision SET verdict = 'reject' WHERE run_id = :run", run=night.run_id)
        tamper(ledger.owner, "UPDATE event SET actor = 'x' WHERE stream = :run AND seq = 3", run=night.run_id)
        found = verify(ledger.service, since=whole.head)
        assert bool(found.findings) is known
        assert {finding.table for finding in found.findings} == ({"outcome", "decision", "event"} if known else set())
    assert {f.row for f in verify(ledger.service).findings} > {first.run_id, second.run_id}


def test_a_head_that_is_gone_verifies_everything(nights: Sequence[Night], ledger: Ledger) -> None:
    found = verify(ledger.service, since="f" * 64)
    assert problems(found) == {("ledger", "f" * 64)}
    assert found.rows == verify(ledger.service).rows


@pytest.mark.parametrize("place", ["heads.txt", "memory://heads"])
def test_closing_keeps_the_head_elsewhere(make_night: MakeNight, ledger: Ledger, tmp_path: Path, place: str) -> None:
    there = place if "://" in place else str(tmp_path / place)
    first = run_night(make_night, settings={"head_file": there})
    second = run_night(make_night, day=1, settings={"head_file": there})
    heads = read_heads(there)
    assert [head.run_id for head in heads] == [first.run_id, second.run_id]
    assert heads[-1].hash == verify(ledger.service, heads=heads).head
    assert verify(ledger.service, heads=heads).holds
    forget(ledger, second)
    assert problems(verify(ledger.service, heads=heads)) == {("ledger", heads[-1].hash)}


def test_a_head_that_cannot_be_kept_is_said_after_the_run_is_closed(make_night: MakeNight, tmp_path: Path) -> None:
    night = make_night(settings={"head_file": str(tmp_path / "missing" / "heads")})
    stage_raw(night, [])
    with pytest.raises(SystemUnavailable, match=r"head cannot be kept.*NIGHTLEDGER_HEAD_FILE"):
        close(night)
    with night.ledger.connect() as connection:
        assert connection.scalar(text("SELECT status FROM run")) == "succeeded"
    export_head(night.ledger, night.run_id, "")
    with pytest.raises(ConfigurationError, match="no heads that can be read"):
        read_heads(str(tmp_path / "missing" / "heads"))
