"""What verifications leave on record, of a ledger that holds and of one that somebody changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from include.errors import ConfigurationError
from include.ledger.heads import export_head
from include.ledger.verifications import MOST_KEPT, verify_on_record
from include.ledger.verify import verify
from include.models import Outcome
from include.pages.verify import find_verdict, list_verdicts
from include.run import Night
from include.stages import close
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import ask, decide, end_rows, rows_of, stage_raw


def close_night(night: Night) -> Night:
    rows = rows_of(3)
    stage_raw(night, rows)
    decide(night, rows, inferences=ask(night, rows))
    end_rows(night, dict.fromkeys(rows, Outcome.SHADOWED))
    close(night)
    return night


def tamper(ledger: Ledger) -> str:
    """One decision changed past all triggers, as a superuser can; returns its key."""
    with ledger.owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        key = connection.execute(text("SELECT decision_id FROM decision LIMIT 1")).scalar_one()
        connection.execute(text("UPDATE decision SET verdict = 'write' WHERE decision_id = :key"), {"key": key})
        return str(key)


def test_a_ledger_that_holds_is_said_to_hold_with_what_was_checked(ledger: Ledger, make_night: MakeNight) -> None:
    assert find_verdict(ledger.service) is None
    close_night(make_night())
    found = verify_on_record(ledger.service, "airflow/page__kim_lee__2026-11-22T02:00:00.1")
    said = find_verdict(ledger.service)
    assert said
    assert (said.holds, said.by, said.rows, said.events, said.head) == (True, "kim_lee", 15, 8, found.head)
    assert verify(ledger.service).holds, "the record of a verification is itself sealed"


def test_a_changed_row_is_kept_on_record_in_the_sentence_of_the_command_line(
    ledger: Ledger, make_night: MakeNight
) -> None:
    close_night(make_night())
    key = tamper(ledger)
    found = verify_on_record(ledger.service, "kim")
    said = find_verdict(ledger.service)
    assert said
    assert not said.holds
    assert [str(one) for one in said.findings] == [str(one) for one in found.findings]
    told = f"decision {key}: its content does not match its digest: it was changed"
    assert told in [str(one) for one in said.findings]
    assert told in found.as_text()


def test_only_what_is_new_is_checked_after_one_that_held_and_all_after_one_that_did_not(
    ledger: Ledger, make_night: MakeNight
) -> None:
    close_night(make_night())
    first = verify_on_record(ledger.service, "kim", everything=False)
    assert first.since is None, "there was none before"
    close_night(make_night(day=1))
    second = verify_on_record(ledger.service, "kim", everything=False)
    assert (second.since, second.rows, second.holds) == (first.head, 15, True)
    tamper(ledger)
    assert not verify_on_record(ledger.service, "kim").holds
    assert verify_on_record(ledger.service, "kim", everything=False).since is None
    assert [one.holds for one in list_verdicts(ledger.service)] == [False, False, True, True]
    assert len(list_verdicts(ledger.service, 2)) == 2


def test_heads_that_are_kept_elsewhere_are_looked_for(ledger: Ledger, make_night: MakeNight, tmp_path: Path) -> None:
    place = str(tmp_path / "heads")
    assert verify_on_record(ledger.service, "kim", kept_at=place).holds, "no run is closed, so no head is kept yet"
    night = close_night(make_night())
    with pytest.raises(ConfigurationError, match="no heads that can be read"):
        verify_on_record(ledger.service, "kim", kept_at=place)
    export_head(ledger.service, night.run_id, place)
    assert verify_on_record(ledger.service, "kim", kept_at=place).holds
    said = find_verdict(ledger.service)
    assert said
    assert said.heads == 1
    Path(place).write_text(Path(place).read_text().rstrip()[:-4] + "beef\n")  # a head of another ledger
    found = verify_on_record(ledger.service, "kim", kept_at=place)
    assert "the ledger was cut or rewritten" in str(found.findings[0])


def test_of_many_findings_the_first_are_kept_and_all_are_counted(ledger: Ledger, make_night: MakeNight) -> None:
    night, rows = make_night(), rows_of(90)
    stage_raw(night, rows)
    decide(night, rows, inferences=ask(night, rows))
    end_rows(night, dict.fromkeys(rows, Outcome.SHADOWED))
    close(night)
    with ledger.owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for change in ("inference SET attempt = 9", "inference_result SET latency_ms = 1", "decision SET rule = 'x'"):
            connection.execute(text(f"UPDATE {change}"))
    found = verify_on_record(ledger.service, "kim")
    said = find_verdict(ledger.service)
    assert said
    assert (said.found, len(said.findings)) == (len(found.findings), MOST_KEPT)
    assert said.found > MOST_KEPT
