"""What is erased is gone, the chain still proves the rest, and nothing else may be passed off as an erasure."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from include.database import transaction
from include.errors import ConfigurationError
from include.ledger import erasure
from include.ledger.erasure import FIND, Target
from include.ledger.verify import verify
from include.run import Night
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import ask
from tests.core.ledger.test_seals import run_night
from tests.core.ledger.test_verify import forge_digests, problems, tamper

NAME = "crm_lead_scoring"
BOTH = Target({NAME: ["1", "3", "4", "bad"]})


@pytest.fixture
def night(make_night: MakeNight) -> Night:
    """A closed night that left something of row 1 (written), 3 (in review), 4 (dead) and `bad` (set aside)."""
    return run_night(make_night)


def erase(ledger: Ledger, target: Target = BOTH, why: str = "asked by letter") -> dict[str, int]:
    request = erasure.ask(ledger.service, target, "kim", why)
    done = erasure.erase(ledger.owner, request)
    erasure.finish(ledger.service, request, done)
    return done


def held(ledger: Ledger, query: str) -> list[object]:
    with transaction(ledger.owner) as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_what_rows_held_is_gone_and_the_ledger_holds(night: Night, ledger: Ledger) -> None:
    with transaction(ledger.service) as connection:
        before = erasure.preview(connection, BOTH)
    done = erase(ledger)
    assert done == before.rows == {
        "inference": 3, "inference_result": 3, "decision": 3, "answer": 3, "quarantine": 1, "dead_letter": 1,
        "review_item": 1, "outcome": 2, "outbox_intent": 1, "outbox_result": 1,
    }  # fmt: skip
    found = verify(ledger.service)
    assert found.holds, found.as_text()
    assert "19 rows erased (answer 3, dead_letter 1, decision 3" in found.as_text()
    assert "by kim: asked by letter" in found.as_text()
    ours = "row_key IN ('1', '3', '4', 'bad')"
    assert held(ledger, f"SELECT DISTINCT messages::text LIKE '%[erased]%' FROM inference WHERE {ours}") == [(True,)]
    assert held(ledger, f"SELECT DISTINCT fields, before FROM outbox WHERE {ours}") == [
        ({"erased": True}, {"erased": True})
    ]
    assert held(ledger, f"SELECT record, status FROM quarantine WHERE {ours}") == [({"erased": True}, "dismissed")]
    assert held(ledger, f"SELECT record, detail, status FROM dead_letter WHERE {ours}") == [
        ({"erased": True}, "[erased]", "dismissed")
    ]
    assert held(ledger, f"SELECT shown, proposed, status FROM review_item WHERE {ours}") == [
        ({"erased": True}, {"erased": True}, "superseded")
    ]
    assert held(ledger, "SELECT count(*) FROM inference WHERE messages::text LIKE '%job_title%'") == [(1,)]


def test_erasing_twice_erases_once(night: Night, ledger: Ledger) -> None:
    erase(ledger)
    assert erase(ledger) == {}
    assert verify(ledger.service).holds


def test_an_erasure_that_was_killed_goes_on(night: Night, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "KEYS_AT_ONCE", 1)
    parts = erasure._parts
    request = erasure.ask(ledger.service, BOTH, "kim", "asked by letter")
    monkeypatch.setattr(erasure, "_parts", lambda target: list(parts(target))[:2])
    some = erasure.erase(ledger.owner, request)
    assert verify(ledger.service).holds
    (left,) = erasure.unfinished(ledger.service)
    monkeypatch.setattr(erasure, "_parts", parts)
    rest = erasure.erase(ledger.owner, left)
    erasure.finish(ledger.service, left, rest)
    assert sum(some.values()) + sum(rest.values()) == 19
    assert erasure.unfinished(ledger.service) == []
    assert verify(ledger.service).holds


def test_a_task_may_not_erase(night: Night, ledger: Ledger) -> None:
    request = erasure.ask(ledger.service, BOTH, "kim", "asked by letter")
    with pytest.raises(ConfigurationError, match="nightledger_db_owner"):
        erasure.erase(ledger.service, request)
    forged = "INSERT INTO erasure (erasure_id) VALUES (gen_random_uuid())"
    with ledger.service.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
        connection.execute(text(forged))


def test_the_owner_erases_nothing_past_the_function(night: Night, ledger: Ledger) -> None:
    blank = """UPDATE inference SET messages = '[{"role": "user", "content": "[erased]"}]' WHERE row_key = '1'"""
    with ledger.owner.connect() as connection, pytest.raises(ProgrammingError, match="append-only"):
        connection.execute(text(blank))


def test_a_run_that_is_going_on_is_refused(make_night: MakeNight, ledger: Ledger) -> None:
    night = make_night()
    ask(night, ["crm/contacts/1"])
    request = erasure.ask(ledger.service, Target({NAME: ["1"]}), "kim", "why")
    with pytest.raises(ConfigurationError, match=f"going on: {night.run_id}"):
        erasure.erase(ledger.owner, request)


def test_a_row_that_was_changed_before_is_not_erased(night: Night, ledger: Ledger) -> None:
    tamper(ledger.owner, "UPDATE inference SET kind = 'retry' WHERE row_key = '1'")
    request = erasure.ask(ledger.service, Target({NAME: ["1"]}), "kim", "why")
    with pytest.raises(ConfigurationError, match="does not match its digest"):
        erasure.erase(ledger.owner, request)
    assert not verify(ledger.service).holds


def test_an_erasure_needs_who_and_why(night: Night, ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="who and why"):
        erasure.ask(ledger.service, BOTH, "kim", " ")
    with pytest.raises(ConfigurationError, match="nothing"):
        erasure.ask(ledger.service, Target({NAME: []}), "kim", "why")


_BLANK = """messages = '[{"role": "user", "content": "[erased]"}]'"""
TAMPERED = {
    "a tombstone that nobody recorded": ("inference", f"UPDATE inference SET {_BLANK} WHERE row_key = '2'"),
    "new content in an erased row": ("inference", "UPDATE inference SET messages = '[]' WHERE row_key = '1'"),
    "another column of an erased row": ("inference", "UPDATE inference SET model = 'x' WHERE row_key = '1'"),
    "an erased decision turned": ("decision", "UPDATE decision SET verdict = 'reject' WHERE row_key = '1'"),
    "an erased row deleted": ("inference", "DELETE FROM inference WHERE row_key = '1'"),
    "an erasure without its row": ("erasure", "DELETE FROM erasure WHERE table_name = 'inference'"),
    "an erasure by somebody else": ("erasure", "UPDATE erasure SET erased_by = 'x' WHERE table_name = 'decision'"),
    "a quarantined row filled": ("quarantine", "UPDATE quarantine SET record = '{\"a\": 1}' WHERE row_key = 'bad'"),
    "a quarantined row put back": ("quarantine", "UPDATE quarantine SET record = '{}', reasons = '{not met}'"),
    "a write filled": ("outbox_intent", "UPDATE outbox_intent SET fields = '{}' WHERE row_key = '1'"),
    "a row that was not erased": ("inference_result", "UPDATE inference_result SET raw_text = '[erased]' WHERE "
                                  "inference_id = (SELECT inference_id FROM inference WHERE row_key = '2')"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_not_erased_by_the_function_is_found(night: Night, ledger: Ledger, name: str) -> None:
    erase(ledger)
    assert verify(ledger.service).holds
    table, change = TAMPERED[name]
    tamper(ledger.owner, change)
    assert table in {table for table, _ in problems(verify(ledger.service))}


def test_a_forged_erasure_that_is_no_tombstone_is_found(night: Night, ledger: Ledger) -> None:
    """As superuser with the triggers on, who knows how an erasure is recorded."""
    columns = "x.inference_id, x.recorded_at, x.batch, x.run_id, x.use_case, x.row_id, x.row_key, x.inference_key"
    columns += ", x.prompt_version, x.prompt_hash, x.model, x.parameters, '[]'::jsonb, x.kind, x.attempt"
    columns += ", x.tokens_estimated, x.cost_reserved, x.batch_job_id"
    with transaction(ledger.owner) as connection:
        connection.execute(
            text(
                "INSERT INTO erasure (erasure_id, batch, run_id, request_id, table_name, row_ref, columns, was, now, "
                "erased_by, reason) SELECT gen_random_uuid(), gen_random_uuid(), run_id, gen_random_uuid(), "
                "'inference', "
                f"inference_id::text, ARRAY['messages'], digest, sha256(record_send(ROW({columns}))), 'x', 'x' "
                "FROM inference x WHERE row_key = '2'"
            )
        )
        connection.execute(text("UPDATE inference SET messages = '[]' WHERE row_key = '2'"))
    found = verify(ledger.service)
    assert {"is on record as erased, but holds content"} == {one.problem for one in found.findings}


def test_an_erased_row_put_back_with_its_digest_is_found(night: Night, ledger: Ledger) -> None:
    was = held(ledger, "SELECT messages::text FROM inference WHERE row_key = '1'")[0]
    erase(ledger)
    tamper(ledger.owner, "UPDATE inference SET messages = CAST(:was AS jsonb) WHERE row_key = '1'", was=was[0])
    assert "inference" in {table for table, _ in problems(verify(ledger.service))}
    forge_digests(ledger.owner, "inference", "row_key = '1'")
    assert "inference" in {table for table, _ in problems(verify(ledger.service))}


def test_an_erased_run_is_verified_from_a_head_on(night: Night, ledger: Ledger) -> None:
    head = verify(ledger.service).head
    erase(ledger)
    found = verify(ledger.service, heads=[head], since=head)
    assert found.holds, found.as_text()
    assert found.gone
    tamper(ledger.owner, "UPDATE decision SET rule = 'x' WHERE row_key = '1'")
    assert not verify(ledger.service, since=head).holds


def test_every_table_that_is_looked_through_can_be_erased(ledger: Ledger) -> None:
    for table in FIND:
        with transaction(ledger.owner) as connection:
            assert connection.execute(text("SELECT ref FROM erasable(:name)"), {"name": table}).scalar_one(), table


@pytest.mark.parametrize("statement", ["UPDATE erasure SET reason = 'x'", "DELETE FROM erasure", "TRUNCATE erasure"])
def test_what_is_on_record_as_erased_stays_so(night: Night, ledger: Ledger, statement: str) -> None:
    erase(ledger, Target({NAME: ["1"]}))
    with ledger.owner.connect() as connection, pytest.raises(ProgrammingError, match="append-only"):
        connection.execute(text(statement))
