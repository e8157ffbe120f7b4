"""What is older than the policy goes, on record: the chain proves what is left, and finds what went without a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from include.database import transaction
from include.errors import ConfigurationError
from include.ledger import erasure
from include.ledger.erasure import Target
from include.ledger.holds import set_hold
from include.ledger.removal import GROUPS, drop_empty_months, find_old, remove
from include.ledger.verify import verify
from include.operations import retain as retaining
from include.operations.retain import Removed, find_due, read_policy, retain
from include.run import Night
from include.systems.connections import EnvironmentConnections
from tests.core.commands.test_cli import connection
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import decide, rows_of
from tests.core.ledger.test_seals import run_night
from tests.core.ledger.test_verify import problems, tamper

NAME = "crm_lead_scoring"


@pytest.fixture
def nights(make_night: MakeNight) -> Sequence[Night]:
    """Two closed nights with something in every table."""
    return run_night(make_night), run_night(make_night, external_ref="again", day=1)


def take(ledger: Ledger, night: Night, *groups: str) -> dict[str, int]:
    done: dict[str, int] = {}
    for group in groups or GROUPS:
        done |= remove(ledger.owner, night.run_id, group, f"{group} are kept for 1 day", "kim")
    return done


def count(ledger: Ledger, table: str, night: Night) -> int:
    query = text(f"SELECT count(*) FROM {table} WHERE run_id = :run")
    with transaction(ledger.owner) as connection:
        return int(connection.scalar(query, {"run": night.run_id}) or 0)


def test_a_run_is_removed_and_the_ledger_holds(nights: Sequence[Night], ledger: Ledger) -> None:
    done = take(ledger, nights[0])
    assert (done["inference"], done["decision"], done["quarantine"], done["outbox_result"]) == (4, 4, 1, 2)
    for table in ("inference", "decision", "outcome", "answer", "outbox_intent", "quarantine", "review_item"):
        assert count(ledger, table, nights[0]) == 0
        assert count(ledger, table, nights[1]) > 0
    assert count(ledger, "run", nights[0]) == 1
    found = verify(ledger.service)
    assert found.holds, found.as_text()
    assert "1 runs with" in found.as_text()
    assert "removed from" in found.as_text()
    assert take(ledger, nights[0]) == {}


@pytest.mark.parametrize("group", GROUPS)
def test_one_group_goes_without_the_other(nights: Sequence[Night], ledger: Ledger, group: str) -> None:
    assert set(take(ledger, nights[0], group)) <= set(GROUPS[group])
    assert verify(ledger.service).holds


def test_a_run_with_erased_rows_is_removed_too(nights: Sequence[Night], ledger: Ledger) -> None:
    request = erasure.ask(ledger.service, Target({NAME: ["1", "bad"]}), "kim", "why")
    erasure.erase(ledger.owner, request)
    take(ledger, nights[0])
    found = verify(ledger.service)
    assert found.holds, found.as_text()


WITHOUT_A_WORD = {
    "a row of another run": ("inference", "DELETE FROM inference WHERE run_id = :other AND row_key = '1'"),
    "a removal": ("inference", "DELETE FROM removal WHERE run_id = :run"),
    "fewer rows": ("removal", "UPDATE removal SET rows = 1 WHERE run_id = :run AND table_name = 'inference'"),
    "an event of it": ("event", "DELETE FROM event WHERE stream = :run AND seq = 3"),
}


@pytest.mark.parametrize("what", WITHOUT_A_WORD)
def test_what_went_without_a_word_is_found(nights: Sequence[Night], ledger: Ledger, what: str) -> None:
    take(ledger, nights[0])
    table, change = WITHOUT_A_WORD[what]
    run, other = (night.run_id for night in nights)
    tamper(ledger.owner, change.replace(":run", f"'{run}'").replace(":other", f"'{other}'"))
    assert table in {table for table, _ in problems(verify(ledger.service))}


@pytest.mark.parametrize(
    ("said", "found"),
    [(4, "is on record as removed, but rows of it are there"), (2, "was removed with 2 rows, its events had sealed 4")],
)
def test_a_forged_removal_of_one_batch_is_found(make_night: MakeNight, ledger: Ledger, said: int, found: str) -> None:
    """As superuser who knows how a removal is recorded, and takes the whole of one batch."""
    night, rows = make_night(), rows_of(4)
    decide(night, rows[:2])
    decide(night, rows[2:])
    with transaction(ledger.owner) as connection:
        put = (
            "INSERT INTO removal (removal_id, batch, run_id, table_name, rows, held, policy, removed_by) "
            "VALUES (gen_random_uuid(), gen_random_uuid(), :run, 'decision', :said, '', 'x', 'x')"
        )
        connection.execute(text(put), {"run": night.run_id, "said": said})
        gone = "DELETE FROM decision WHERE run_id = :run AND row_key IN ('1', '2')"
        connection.execute(text(gone), {"run": night.run_id})
    assert found in {one.problem for one in verify(ledger.service).findings}


def test_a_forged_removal_is_found_by_its_batch(nights: Sequence[Night], ledger: Ledger) -> None:
    """As superuser who knows how a removal is recorded, and takes one row only."""
    with transaction(ledger.owner) as connection:
        connection.execute(
            text(
                "INSERT INTO removal (removal_id, batch, run_id, table_name, rows, held, policy, removed_by) "
                "VALUES (gen_random_uuid(), gen_random_uuid(), :run, 'decision', 1, '', 'x', 'x')"
            ),
            {"run": nights[0].run_id},
        )
        connection.execute(
            text("DELETE FROM decision WHERE run_id = :run AND row_key = '1'"), {"run": nights[0].run_id}
        )
    assert "decision" in {table for table, _ in problems(verify(ledger.service))}


def test_a_run_that_was_tampered_with_is_not_removed(nights: Sequence[Night], ledger: Ledger) -> None:
    tamper(ledger.owner, f"UPDATE decision SET verdict = 'reject' WHERE run_id = '{nights[0].run_id}'")
    with pytest.raises(ConfigurationError, match="does not match its digest"):
        take(ledger, nights[0])
    assert count(ledger, "decision", nights[0]) == 4


@pytest.mark.parametrize("held", [{}, {"use_case": NAME}, {"use_case": NAME, "row_key": "1"}], ids=str)
def test_a_run_under_hold_stays(nights: Sequence[Night], ledger: Ledger, held: dict[str, str]) -> None:
    hold = set_hold(ledger.service, "ada", "a lawsuit", **held)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=f"under legal hold {hold.hold_id}"):
        take(ledger, nights[0], "calls")
    assert {one.held for one in find_old(ledger.service, "calls", NAME, 0)} == {(hold.hold_id,)}


def test_a_decision_on_an_answer_that_went_is_not_taken_for_forged(
    make_night: MakeNight, ledger: Ledger, nights: Sequence[Night]
) -> None:
    with transaction(ledger.owner) as connection:
        query = text("SELECT inference_id FROM inference WHERE run_id = :run ORDER BY row_key LIMIT 1")
        first = connection.execute(query, {"run": nights[0].run_id}).scalar_one()
    decide(make_night(day=2), ["crm/contacts/1"], inferences=[first])
    take(ledger, nights[0])
    found = verify(ledger.service)
    assert found.holds, found.as_text()


def test_neither_a_task_nor_the_owner_deletes_past_the_function(nights: Sequence[Night], ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="nightledger_db_owner"):
        remove(ledger.service, nights[0].run_id, "calls", "x", "kim")
    for engine, said in ((ledger.service, "permission denied"), (ledger.owner, "append-only")):
        with engine.connect() as connection, pytest.raises(ProgrammingError, match=said):
            connection.execute(text("DELETE FROM inference"))


def test_empty_months_of_the_past_are_dropped(ledger: Ledger) -> None:
    with transaction(ledger.owner) as connection:
        for day in ("2020-01-05", "2020-02-05"):
            connection.execute(text("SELECT ensure_inference_month(CAST(:day AS date))"), {"day": day})
    with ledger.owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(
            text(
                "INSERT INTO inference_202002 SELECT gen_random_uuid(), '2020-02-05', NULL, gen_random_uuid(), 'r', "
                "'n', '1', '1', 'k', '1', 'p', 'm', '{}', '[]', 'ask', 1, 1, 0, '', NULL"
            )
        )
    assert drop_empty_months(ledger.owner) == ["inference_202001"]


def owner(ledger: Ledger) -> EnvironmentConnections:
    return EnvironmentConnections({"AIRFLOW_CONN_NIGHTLEDGER_DB_OWNER": connection(ledger.urls.owner)})


def test_the_policy_is_applied_run_by_run(
    nights: Sequence[Night], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = nights[0].settings
    assert find_due(ledger.service, settings) == [], "nothing is declared: everything is kept"
    monkeypatch.setattr(retaining, "read_policy", lambda _: {"": {"staged": 0}, NAME: {"calls": 0, "entries": 0}})
    set_hold(ledger.service, "ada", "a lawsuit", use_case=NAME, starts_at=nights[1].interval.start)
    due = {one.group: (len(one.runs), len(one.held)) for one in find_due(ledger.service, settings)}
    assert due == {"staged": (1, 1), "calls": (1, 1), "entries": (1, 1)}
    done = retain(ledger.service, owner(ledger), settings, "kim")
    assert (done.rows["inference"], done.files) == (4, 1)
    assert list(done.problems) == [nights[1].run_id]
    there = {place.parent.name for place in Path(settings.staging).rglob("raw.parquet")}
    assert there == {nights[1].run_id}
    assert verify(ledger.service).holds
    again = retain(ledger.service, owner(ledger), settings, "kim")
    assert again == Removed(problems=done.problems)


POLICIES: dict[str, Any] = {
    "[all]\nstaged = 0": "1 to",
    "[all]\nstaged = true": "number of days",
    "[all]\nletters = 3": "no group 'letters'",
    "[some]\nstaged = 3": "no table `some`",
    "[use_cases]\nx = 3": "no group",
    "[all": "cannot be read",
}


@pytest.mark.parametrize("said", POLICIES)
def test_a_policy_that_says_nothing_clear_is_refused(tmp_path: Path, said: str) -> None:
    place = tmp_path / "retention.toml"
    place.write_text(said)
    with pytest.raises(ConfigurationError, match=POLICIES[said]):
        read_policy(place)


def test_the_policy_of_no_use_case_is_refused(nights: Sequence[Night], ledger: Ledger, tmp_path: Path) -> None:
    place = tmp_path / "retention.toml"
    place.write_text("[use_cases.crm_lead_scorin]\ncalls = 365")
    with pytest.raises(ConfigurationError, match=r"no use case crm_lead_scorin; known: .*crm_lead_scoring"):
        find_due(ledger.service, replace(nights[0].settings, retention_file=place))


def test_the_policy_of_a_use_case_is_stronger(tmp_path: Path) -> None:
    place = tmp_path / "retention.toml"
    place.write_text("[all]\nstaged = 90\n[use_cases.support_triage]\ncalls = 365")
    assert read_policy(place) == {"": {"staged": 90}, "support_triage": {"calls": 365}}
