"""Whatever a superuser does to an audit table, the verification names the table and the row."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from include.ledger.verify import Verification, verify
from include.ledger.verify_sql import parts
from include.models import Outcome
from include.run import Night
from include.stages import close
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import ask, decide, end_rows, rows_of, stage_raw


@pytest.fixture
def night(make_night: MakeNight) -> Night:
    """A closed night of three rows, each with intent, result and decision."""
    made = make_night()
    rows = rows_of(3)
    stage_raw(made, rows)
    decide(made, rows, inferences=ask(made, rows))
    end_rows(made, dict.fromkeys(rows, Outcome.SHADOWED))
    close(made)
    return made


def tamper(owner: Engine, statement: str, **values: object) -> None:
    """Change what no one may change: as superuser, with triggers off."""
    with owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        done = connection.execute(text(statement), values)
        assert done.rowcount > 0, "nothing was tampered with"


def forge_digests(owner: Engine, table: str, where: str) -> None:
    """Give changed rows the digest that belongs to them, as somebody would who has read the code."""
    digest = parts(table, "true")["digest"]
    tamper(owner, f"UPDATE {table} x SET digest = {digest} WHERE {where}")


def first(owner: Engine, query: str) -> UUID:
    with owner.connect() as connection:
        found: UUID = connection.execute(text(query)).scalar_one()
    return found


def problems(found: Verification) -> set[tuple[str, str]]:
    return {(finding.table, finding.row) for finding in found.findings}


def test_an_untouched_ledger_holds(night: Night, ledger: Ledger) -> None:
    found = verify(ledger.service)
    assert found.holds, found.as_text()
    assert (found.rows, found.batches, found.streams) == (15, 3, 2)  # nine audit rows, three outcomes, three of the run
    assert found.events == 8  # opened, three batches, sealed, closed; two anchors in stream `ledger`
    assert len(found.head) == 64
    assert found.as_text().startswith("The ledger holds.")


def test_an_empty_ledger_holds(ledger: Ledger) -> None:
    assert verify(ledger.service).holds


@pytest.mark.parametrize(
    ("table", "key", "change"),
    [
        ("inference", "inference_id", "tokens_estimated = tokens_estimated + 1"),
        ("inference", "inference_id", "messages = jsonb_set(messages, '{1,content}', '\"job_title: cuyer\"')"),
        ("inference", "inference_id", "recorded_at = recorded_at + interval '1 microsecond'"),
        ("inference_result", "inference_id", "raw_text = '{}x'"),
        ("inference_result", "inference_id", "cost = cost + 0.000001"),
        ("inference_result", "inference_id", "digest = overlay(digest PLACING decode('7a', 'hex') FROM 1)"),
        ("decision", "decision_id", "verdict = 'write'"),
        ("decision", "decision_id", "decided_by = 'Gate'"),
    ],
)
def test_a_flipped_byte_is_named(night: Night, ledger: Ledger, table: str, key: str, change: str) -> None:
    row = first(ledger.owner, f"SELECT {key} FROM {table} LIMIT 1")
    tamper(ledger.owner, f"UPDATE {table} SET {change} WHERE {key} = :row", row=row)
    assert (table, str(row)) in problems(verify(ledger.service))


@pytest.mark.parametrize(
    "change",
    ["actor = 'nightledgex'", "details = details || '{\"x\": 1}'", "type = 'run.reopened'", "hash = 'a' || hash"],
)
def test_a_changed_event_is_named(night: Night, ledger: Ledger, change: str) -> None:
    tamper(ledger.owner, f"UPDATE event SET {change} WHERE stream = :run AND seq = 1", run=night.run_id)
    assert ("event", f"{night.run_id}/1") in problems(verify(ledger.service))


def test_an_event_changed_together_with_its_hash_breaks_the_next(night: Night, ledger: Ledger) -> None:
    tamper(ledger.owner, "UPDATE event SET actor = 'x' WHERE stream = :run AND seq = 2", run=night.run_id)
    forged = "UPDATE event e SET hash = event_hash(to_jsonb(e)) WHERE stream = :run AND seq = 2"
    tamper(ledger.owner, forged, run=night.run_id)
    assert ("event", f"{night.run_id}/3") in problems(verify(ledger.service))


def test_a_deleted_event_is_named(night: Night, ledger: Ledger) -> None:
    tamper(ledger.owner, "DELETE FROM event WHERE stream = :run AND seq = 3", run=night.run_id)
    found = {finding.row: finding.problem for finding in verify(ledger.service).findings}
    assert found[f"{night.run_id}/4"] == "follows 2: 1 deleted"


def test_a_deleted_tail_is_named(night: Night, ledger: Ledger) -> None:
    tamper(ledger.owner, "DELETE FROM event WHERE stream = :run AND seq = 6", run=night.run_id)
    assert ("chain_head", night.run_id) in problems(verify(ledger.service))


def test_a_tail_deleted_together_with_its_head_is_found_by_the_anchor(night: Night, ledger: Ledger) -> None:
    tamper(ledger.owner, "DELETE FROM event WHERE stream = :run AND seq = 6", run=night.run_id)
    tamper(
        ledger.owner,
        "UPDATE chain_head h SET seq = 5, hash = (SELECT hash FROM event WHERE stream = h.stream AND seq = 5) "
        "WHERE stream = :run",
        run=night.run_id,
    )
    found = verify(ledger.service)
    assert ("chain_head", night.run_id) not in problems(found)
    assert ("event", f"{night.run_id}/6") in problems(found)


def test_a_deleted_stream_is_named(night: Night, ledger: Ledger) -> None:
    tamper(ledger.owner, "DELETE FROM event WHERE stream = :run", run=night.run_id)
    assert ("chain_head", night.run_id) in problems(verify(ledger.service))


@pytest.mark.parametrize("table", ["inference", "inference_result", "decision"])
def test_a_deleted_row_is_named_by_its_batch(night: Night, ledger: Ledger, table: str) -> None:
    batch = first(ledger.owner, f"SELECT batch FROM {table} LIMIT 1")
    tamper(ledger.owner, f"DELETE FROM {table} WHERE ctid = (SELECT min(ctid) FROM {table})")
    found = [finding for finding in verify(ledger.service).findings if finding.row.startswith("batch")]
    assert [(finding.table, finding.row) for finding in found] == [(table, f"batch {batch}")]
    assert "sealed 3 rows, it holds 2" in found[0].problem


def test_a_wholly_deleted_batch_is_named(night: Night, ledger: Ledger) -> None:
    tamper(ledger.owner, "DELETE FROM decision")
    assert any("it holds 0" in finding.problem for finding in verify(ledger.service).findings)


@pytest.mark.parametrize("table", ["inference", "inference_result", "decision"])
def test_a_row_inserted_past_the_triggers_is_named(night: Night, ledger: Ledger, table: str) -> None:
    key = "decision_id" if table == "decision" else "inference_id"
    new = "00000000-0000-4000-8000-000000000001"
    tamper(
        ledger.owner,
        f"INSERT INTO {table} SELECT (jsonb_populate_record(x, "
        f"jsonb_build_object('{key}', '{new}', 'batch', '{new}'))).* "
        f"FROM {table} x LIMIT 1",
    )
    forge_digests(ledger.owner, table, f"{key} = '{new}'")
    found = verify(ledger.service)
    assert problems(found) == {(table, f"batch {new}")}
    assert "past the triggers" in found.findings[0].problem


def test_a_row_changed_together_with_its_digest_is_found_by_the_seal(night: Night, ledger: Ledger) -> None:
    batch = first(ledger.owner, "SELECT batch FROM decision LIMIT 1")
    tamper(ledger.owner, "UPDATE decision SET verdict = 'write' WHERE row_key = '1'")
    forge_digests(ledger.owner, "decision", "row_key = '1'")
    found = verify(ledger.service)
    assert problems(found) == {("decision", f"batch {batch}")}
    assert "together with its digest" in found.findings[0].problem


@pytest.mark.parametrize("change", ["status = 'failed'", "counts = '{\"written\": 3}'"])
def test_a_closed_run_changed_afterwards_is_named(night: Night, ledger: Ledger, change: str) -> None:
    tamper(ledger.owner, f"UPDATE run SET {change} WHERE run_id = :run", run=night.run_id)
    assert problems(verify(ledger.service)) == {("run", night.run_id)}


def test_a_run_marked_closed_without_its_event_is_named(make_night: MakeNight, ledger: Ledger) -> None:
    made = make_night()
    tamper(
        ledger.owner, "UPDATE run SET status = 'succeeded', finished_at = now() WHERE run_id = :run", run=made.run_id
    )
    assert problems(verify(ledger.service)) == {("run", made.run_id)}


@pytest.mark.parametrize("change", ["UPDATE run SET mode = 'auto'", "UPDATE run SET options = '{}'", "DELETE FROM run"])
def test_a_run_under_way_is_held_against_the_event_that_opened_it(
    make_night: MakeNight, ledger: Ledger, change: str
) -> None:
    made = make_night()
    tamper(ledger.owner, f"{change} WHERE run_id = :run", run=made.run_id)
    assert ("run", made.run_id) in problems(verify(ledger.service))


def test_a_closed_run_that_is_not_anchored_is_named(night: Night, ledger: Ledger) -> None:
    for statement in ("DELETE FROM event WHERE stream = 'ledger'", "DELETE FROM chain_head WHERE stream = 'ledger'"):
        tamper(ledger.owner, statement)
    assert problems(verify(ledger.service)) == {("event", f"{night.run_id}/6")}


def test_a_wholly_rewritten_table_does_not_flood_the_report(make_night: MakeNight, ledger: Ledger) -> None:
    made = make_night()
    ask(made, rows_of(300))
    tamper(ledger.owner, "UPDATE inference SET attempt = 9")
    found = [finding for finding in verify(ledger.service).findings if finding.table == "inference"]
    assert len(found) == 101
    assert found[-1].row == "(more)"


def test_nothing_is_verified_against_the_session_s_time_zone(night: Night, ledger: Ledger) -> None:
    with ledger.owner.connect() as connection:
        connection.execute(text("SET timezone = 'Asia/Tokyo'"))
        connection.commit()
    assert verify(ledger.owner).holds
