"""A row through all its nights, as its page shows it."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from include.database import transaction
from include.ledger.explain import as_text, explain
from include.ledger.record import DeadLetter, bury
from include.models import Mode, Outcome, RunOptions
from include.pages.explain import HIDDEN, MOST, _entry, explain_row, look_at_row
from include.run import Night
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import ask, decide, end_rows, key_of, reject_rows, rows_of, write_rows

CASE = "crm_lead_scoring"


def write_one(night: Night, status: str = "written") -> Night:
    rows = rows_of(1)
    decisions = decide(night, rows, verdict="write", inferences=ask(night, rows, cost="0.0021"))
    write_rows(night, rows, decisions, status=status)
    end_rows(night, dict.fromkeys(rows, Outcome.WRITTEN if status == "written" else Outcome.UNCHANGED))
    return night


@pytest.fixture
def written(make_night: MakeNight) -> Night:
    """A night that wrote row 1 to record 1."""
    return write_one(make_night(options=RunOptions(mode=Mode.AUTO)))


def test_a_write_says_what_it_changed_and_how_to_undo_it(written: Night, ledger: Ledger) -> None:
    (one,) = explain_row(ledger.service, CASE, "1").entries
    assert (one.ended, one.run_id) == ("written", written.run_id)
    assert [(c.name, c.before, c.after) for c in one.changes] == [("nl_lead_score", "12", "80")]
    assert one.undo == "Set nl_lead_score to 12"
    assert one.output == {"score": "80", "tier": "hot"}
    assert (one.facts["decided_by"], one.facts["rule"], str(one.facts["cost"])) == ("gate", "mode is shadow", "0.0021")
    assert (one.facts["prompt_version"], one.facts["model_answered"]) == ("v1", "sandbox-small")


def test_every_way_a_night_can_end_is_told_newest_first(written: Night, ledger: Ledger, make_night: MakeNight) -> None:
    (row,) = rows_of(1)
    write_one(make_night(day=1, options=RunOptions(mode=Mode.AUTO)), "unchanged")
    reject_rows(make_night(day=2), "check", {row: "country is missing"})
    dead = make_night(day=3)
    with transaction(ledger.service) as connection:
        bury(connection, dead, "enrich", [DeadLetter(row, key_of(row), "refused", "no", None, {}, {}, 5)])
    end_rows(make_night(day=4), {row: Outcome.DEFERRED}, stage="enrich")
    end_rows(make_night(day=5), {row: Outcome.IN_REVIEW}, stage="gate")
    reject_rows(make_night(day=6), "extract", {row: "came twice"}, counts_as_input=False)
    page = explain_row(ledger.service, CASE, "1")
    assert [one.outcome for one in page.entries] == [
        *("set_aside", "in_review", "deferred", "dead_letter", "quarantined", "unchanged", "written")
    ]
    by_end = {one.outcome: one for one in page.entries}
    assert by_end["quarantined"].facts["quarantine_id"] == 1
    assert by_end["dead_letter"].facts["dead_letter_id"] == 1
    assert by_end["dead_letter"].facts["tries"] == 5
    assert by_end["unchanged"].undo == ""
    assert not page.more
    told = as_text(explain(ledger.service, CASE, "1"))
    assert "SET ASIDE" in told
    assert "came twice" in told


def test_a_write_that_failed_says_why(ledger: Ledger, make_night: MakeNight) -> None:
    night, rows = make_night(options=RunOptions(mode=Mode.AUTO)), rows_of(1)
    write_rows(night, rows, decide(night, rows, verdict="write", inferences=ask(night, rows)), status="failed")
    letter = DeadLetter(rows[0], "1", "record_missing", "there is no contact", None, {}, {}, 1)
    with transaction(ledger.service) as connection:
        bury(connection, night, "write", [letter])
    (one,) = explain_row(ledger.service, CASE, "1").entries
    assert (one.outcome, one.facts["cause"], one.undo) == ("dead_letter", "record_missing", "")
    assert "record_missing: there is no contact (1 tries)" in as_text(explain(ledger.service, CASE, "1"))


def test_a_record_is_found_by_its_id_at_the_destination(written: Night, ledger: Ledger) -> None:
    with ledger.owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE nightledger.outbox_intent SET external_id = 'hs-9'"))
    page = explain_row(ledger.service, CASE, "hs-9")
    assert (page.asked, page.key, len(page.entries)) == ("hs-9", "1", 1)
    assert page.target == "crm contacts"
    assert explain_row(ledger.service, CASE, "hs-8").entries == ()


def test_one_record_of_several_rows_leads_to_each(ledger: Ledger, make_night: MakeNight) -> None:
    for day, row in enumerate(rows_of(2)):
        night = make_night(day=day, options=RunOptions(mode=Mode.AUTO))
        write_rows(night, [row], decide(night, [row], verdict="write", inferences=ask(night, [row])))
        end_rows(night, {row: Outcome.WRITTEN})
    with ledger.owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE nightledger.outbox_intent SET external_id = '1'"))
    page = explain_row(ledger.service, CASE, "1")
    assert (page.key, len(page.entries), page.others) == ("1", 1, ("2",))
    with ledger.owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE nightledger.outbox_intent SET external_id = 'both'"))
    page = explain_row(ledger.service, CASE, "both")
    assert (page.entries, page.others) == ((), ("2", "1"))


def test_personal_values_and_prompts_are_shown_after_it_is_on_record_who_looks(written: Night, ledger: Ledger) -> None:
    with ledger.owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        held = 'UPDATE nightledger.outbox_intent SET before = \'{"nl_lead_score": "ask ada@leak.example"}\''
        connection.execute(text(held))
    looks = "SELECT actor, details ->> 'row_key' FROM nightledger.event WHERE type = 'personal.viewed'"
    (one,) = explain_row(ledger.service, CASE, "1").entries
    assert "leak.example" not in f"{one.changes}{one.undo}{one.output}"
    assert one.changes[0].before == "ask [e-mail]"
    assert one.asked == ()
    with transaction(ledger.service) as connection:
        assert connection.execute(text(looks)).all() == []
    (seen,) = look_at_row(ledger.service, CASE, "1", "kim").entries
    assert seen.changes[0].before == "ask ada@leak.example"
    assert seen.asked == (("user", "job_title: buyer"),)
    with transaction(ledger.service) as connection:
        assert [tuple(row) for row in connection.execute(text(looks))] == [("kim", "1")]


def test_a_field_that_is_there_to_hold_a_personal_value_is_hidden_whole(written: Night, ledger: Ledger) -> None:
    (found,) = explain(ledger.service, CASE, "1")
    one = _entry(found, {"tier", "nl_lead_score"}, clear=False)
    assert one.output == {"score": "80", "tier": HIDDEN}
    assert [(c.before, c.after) for c in one.changes] == [(HIDDEN, HIDDEN)]


def test_so_many_nights_are_shown_and_that_there_are_more_is_said(ledger: Ledger, make_night: MakeNight) -> None:
    for day in range(MOST + 1):
        end_rows(make_night(day=day), {rows_of(1)[0]: Outcome.DEFERRED}, stage="enrich")
    page = explain_row(ledger.service, CASE, "1")
    assert (len(page.entries), page.more) == (MOST, True)


def test_rows_of_another_use_case_stay_there(written: Night, ledger: Ledger, make_night: MakeNight) -> None:
    reject_rows(make_night(day=1), "extract", {rows_of(1)[0]: "came twice"}, counts_as_input=False)
    with ledger.owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE nightledger.outbox_intent SET external_id = 'hs-9'"))
        for table in ("run", "outbox_intent", "quarantine"):
            connection.execute(text(f"UPDATE nightledger.{table} SET use_case = 'churn_of_the_red_team'"))
    for asked in ("1", "hs-9"):
        page = explain_row(ledger.service, CASE, asked)
        assert (page.key, page.entries, page.others) == (asked, (), ())
