"""How far a use case may go: what is set counts for every run from then on, with who and why on record."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from statsmodels.stats.proportion import proportion_confint

from include.database import transaction
from include.errors import ConfigurationError
from include.ledger import reviews
from include.ledger.comparisons import Counted, Shadowed
from include.ledger.control import (
    Agreement,
    Control,
    Progress,
    as_controlled,
    change_control,
    falls_short,
    find_control,
    lower_bound,
    measure_agreement,
    propose_mode,
    read_control,
    with_prompt,
)
from include.ledger.door import begin_night
from include.ledger.record import record_event
from include.ledger.reviews import Choice
from include.ledger.verify import verify
from include.models import Interval, Mode, RunKey, RunOptions
from include.night.close.demote import demote
from include.night.gate.gate import gate
from include.run import Night
from include.settings import Settings
from include.spec.rollout import Rollout
from include.spec.use_case import load
from include.systems.connections import EnvironmentConnections
from tests.core.commands.test_cli import connection
from tests.core.conftest import Ledger, MakeNight
from tests.core.night.gate.answers import answer, stage_enriched

CASE = load("crm_lead_scoring")


def test_nothing_is_set_until_somebody_sets_it(ledger: Ledger) -> None:
    assert read_control(ledger.service, CASE.name) == Control()


def test_each_change_is_an_event_with_who_and_why_and_keeps_the_rest(ledger: Ledger) -> None:
    change_control(ledger.service, CASE, "ada", "a good month", {"mode": Mode.GATED})
    now = change_control(ledger.service, CASE, "bob", "it answers nonsense", {"off": True})
    assert (now.mode, now.off, now.changed_by, now.reason) == (Mode.GATED, True, "bob", "it answers nonsense")
    with ledger.service.connect() as connection:
        found = connection.execute(text("SELECT actor, details FROM event WHERE type = 'control.changed' ORDER BY seq"))
        first, second = found.all()
    assert (first.actor, first.details["mode"], first.details["reason"]) == ("ada", "gated", "a good month")
    assert (second.actor, second.details["off"], second.details["mode"]) == ("bob", True, "gated")


@pytest.mark.parametrize(
    ("case", "changes", "reason", "words"),
    [
        (CASE, {"off": True}, " ", "needs a reason"),
        (load("ap_invoices"), {"mode": Mode.AUTO}, "why not", "can never be auto: an invoice is money"),
        (CASE, {"prompt": "v99"}, "back", r"has no prompt\.v99\.md"),
    ],
)
def test_what_must_not_be_set_is_refused(ledger: Ledger, case: Any, changes: Any, reason: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        change_control(ledger.service, case, "ada", reason, changes)
    assert read_control(ledger.service, case.name) == Control()


@pytest.mark.parametrize(
    ("asked", "rolled_out", "runs"),
    [
        (None, None, "shadow"),
        (None, "auto", "auto"),
        (None, "gated", "gated"),
        ("shadow", "auto", "shadow"),
        ("gated", "auto", "gated"),
        ("auto", "gated", "gated"),
        ("auto", "shadow", "shadow"),
        ("auto", None, "auto"),
    ],
)
def test_a_run_goes_no_further_than_its_use_case(asked: str | None, rolled_out: str | None, runs: str) -> None:
    options = RunOptions.from_params({"mode": asked}, Mode.SHADOW)
    assert as_controlled(options, Control(mode=Mode(rolled_out) if rolled_out else None)).mode == runs


@pytest.mark.parametrize("asked", [None, "auto"])
@pytest.mark.parametrize(("rolled_out", "runs"), [(None, "gated"), ("auto", "gated"), ("shadow", "shadow")])
def test_what_may_never_go_out_alone_is_at_most_gated(asked: str | None, rolled_out: str | None, runs: str) -> None:
    options = RunOptions.from_params({"mode": asked}, Mode.AUTO)
    set_by_somebody = Control(mode=Mode(rolled_out) if rolled_out else None)
    assert as_controlled(options, set_by_somebody, "an invoice is money").mode == runs


def test_a_row_that_was_set_to_auto_behind_the_pages_lets_no_invoice_go_alone(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", connection(ledger.urls.service))
    with ledger.owner.begin() as told:
        told.execute(
            text("INSERT INTO control (use_case, mode, reason, changed_by) VALUES ('ap_invoices', 'auto', '', '')")
        )
    key = RunKey("ap_invoices", Interval.parse("2026-11-20T02:00", "2026-11-21T02:00"))
    settings = Settings.read({"NIGHTLEDGER_HOME": str(tmp_path), "NIGHTLEDGER_TOKEN_SECRET": "test secret"})
    for form in ({}, {"mode": "auto"}):
        options = RunOptions.from_params(form, Mode.SHADOW)
        night = begin_night(replace(key, external_ref=str(form)), options, EnvironmentConnections(), settings)
        assert night.options.mode is Mode.GATED
        with night.ledger.connect() as found:
            assert found.scalar(text("SELECT mode FROM run WHERE run_id = :r"), {"r": night.run_id}) == "gated"
    (finding,) = [one for one in verify(ledger.service).findings if one.table == "control"]
    assert "nobody is on record" in finding.problem


def test_an_earlier_prompt_is_used_where_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    shutil.copy(CASE.prompt_file, folder / "prompt.v2.md")
    monkeypatch.setattr("include.spec.use_case.folder_of", lambda _: folder)
    assert with_prompt(CASE, "v2").asked.prompt == with_prompt(CASE, "2").asked.prompt == "prompt.v2.md"
    assert with_prompt(CASE, "v3") is CASE
    assert with_prompt(CASE, "v1") is CASE
    assert with_prompt(CASE, None) is CASE
    asks_nobody = load("erp_reorder")
    assert with_prompt(asks_nobody, "v1") is asks_nobody


@pytest.mark.parametrize(("good", "of"), [(0, 10), (10, 10), (95, 100), (450, 500)])
def test_the_lower_end_of_a_share_is_wilsons(good: int, of: int) -> None:
    wilson = proportion_confint(good, of, alpha=0.1, method="wilson")[0]
    assert lower_bound(good, of) == pytest.approx(wilson, abs=1e-5)
    assert lower_bound(0, 0) == 0.0


@pytest.fixture
def decided(make_night: MakeNight) -> Callable[..., Night]:
    """A night whose answers people approved, edited and rejected, as many as are given."""

    def make(approved: int = 0, edited: int = 0, rejected: int = 0, origin: str = "model", **more: Any) -> Night:
        total = approved + edited + rejected
        night = make_night(options=RunOptions(mode=Mode.GATED), **more)
        answers = {f"{night.run_id}{n}": answer(score=n % 100) for n in range(total)}
        gate(night, stage_enriched(night, answers, origin=origin))
        with night.ledger.connect() as connection:
            query = text(
                "SELECT review_item_id, shown_sha256, proposed FROM review_item WHERE run_id = :run ORDER BY 1"
            )
            items = connection.execute(query, {"run": night.run_id}).all()
        choices = [
            Choice(one.review_item_id, one.shown_sha256, "approve")
            if at < approved
            else Choice(one.review_item_id, one.shown_sha256, "edit", {**one.proposed, "tier": "cold"})
            if at < approved + edited
            else Choice(one.review_item_id, one.shown_sha256, "reject")
            for at, one in enumerate(items)
        ]
        done = reviews.decide(night.ledger, night.case.name, "ada", choices, "why")
        assert not done.refused
        return night

    return make


def prompt_of(night: Night) -> str:
    with night.ledger.connect() as connection:
        return str(connection.scalar(text("SELECT prompt_hash FROM run WHERE run_id = :r"), {"r": night.run_id}))


def test_agreement_counts_what_was_approved_as_it_was_of_this_prompt_and_model(decided: Any) -> None:
    night = decided(approved=8, edited=1, rejected=1)
    with night.ledger.connect() as connection:
        found = measure_agreement(connection, CASE.name, prompt_of(night), night.model_name, 500)
        other = measure_agreement(connection, CASE.name, "another", night.model_name, 500)
        newest = measure_agreement(connection, CASE.name, prompt_of(night), night.model_name, 2)
    assert (found.decided, found.agreed) == (10, 8)
    assert other.decided == 0
    assert newest.decided == 2


def test_what_the_rule_answered_is_no_merit_of_the_prompt(decided: Any) -> None:
    night = decided(approved=3, origin="rule")
    with night.ledger.connect() as connection:
        found = measure_agreement(connection, CASE.name, prompt_of(night), night.model_name, 500)
    assert found.decided == 0


@pytest.mark.parametrize(
    ("nights", "compared", "agreed", "short"),
    [
        (2, 60, 60, "1 more nights in mode shadow"),
        (3, 49, 49, "1 more records that people have filled in"),
        (3, 100, 86, "an agreement of 80%"),
        (3, 100, 87, ""),
        (3, 0, 0, "50 more records that people have filled in"),
    ],
)
def test_gated_is_proposed_once_shadow_agrees_with_people(nights: int, compared: int, agreed: int, short: str) -> None:
    shadow = Shadowed(nights, Counted(compared, agreed), Counted(1_000, 1_000))
    assert falls_short(CASE, shadow) == short
    found = Progress(Agreement(0, 0, 0.0), shadow)
    assert propose_mode(CASE, Mode.SHADOW, found) is (None if short else Mode.GATED)
    assert propose_mode(load("ap_invoices"), Mode.SHADOW, found) is (None if short else Mode.GATED)
    assert propose_mode(CASE, Mode.GATED, found) is None


def test_auto_is_proposed_once_people_approved_and_never_for_money() -> None:
    found = Progress(Agreement(500, 480, 0.94), Shadowed())
    assert propose_mode(CASE, Mode.GATED, found) is Mode.AUTO
    assert propose_mode(load("ap_invoices"), Mode.GATED, found) is None
    assert propose_mode(CASE, Mode.SHADOW, found) is None


@pytest.mark.parametrize(("edited", "back"), [(4, None), (5, "people overruled 5 of 20 answers")])
def test_what_people_overrule_goes_back_to_asking_them(decided: Any, edited: int, back: str | None) -> None:
    night = decided(approved=20 - edited, edited=edited)
    change_control(night.ledger, CASE, "ada", "a good month", {"mode": Mode.AUTO})
    with transaction(night.ledger) as connection:
        assert demote(connection, night) == back
        now = find_control(connection, CASE.name)
    assert now.mode is (Mode.GATED if back else Mode.AUTO)
    assert now.changed_by == ("nightledger" if back else "ada")


def test_few_decisions_demote_nobody(decided: Any) -> None:
    night = decided(edited=19)
    change_control(night.ledger, CASE, "ada", "a good month", {"mode": Mode.AUTO})
    with transaction(night.ledger) as connection:
        assert demote(connection, night) is None


def test_answers_that_an_expectation_stopped_demote_at_once(decided: Any) -> None:
    night = decided(approved=1)
    change_control(night.ledger, CASE, "ada", "a good month", {"mode": Mode.AUTO})
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "answers.stopped", {"expectations": 1, "failed": ["x"]})
        assert demote(connection, night) == "an expectation on its answers stopped a night"


def test_only_what_people_let_go_alone_is_demoted(decided: Any) -> None:
    night = decided(edited=30)
    with transaction(night.ledger) as connection:
        assert demote(connection, night) is None
        assert find_control(connection, CASE.name) == Control()


def test_a_use_case_declares_when(decided: Any) -> None:
    night = decided(approved=2, edited=1)
    strict = replace(night, case=replace(night.case, rollout=Rollout(few=3, overruled=0.3)))
    change_control(night.ledger, CASE, "ada", "a good month", {"mode": Mode.AUTO})
    with transaction(night.ledger) as connection:
        assert demote(connection, strict) == "people overruled 1 of 3 answers"


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE control SET mode = 'auto'", "is not what event control/crm_lead_scoring/1 set"),
        ("UPDATE control SET off = false", "is not what event control/crm_lead_scoring/1 set"),
        ("DELETE FROM control", "was deleted, though event control/crm_lead_scoring/1 set it"),
        ("INSERT INTO control (use_case, reason, changed_by) VALUES ('x', '', '')", "nobody is on record"),
    ],
)
def test_what_was_set_without_a_word_is_found(ledger: Ledger, statement: str, problem: str) -> None:
    change_control(ledger.service, CASE, "ada", "first people", {"mode": Mode.GATED, "off": True})
    assert verify(ledger.service).holds
    with ledger.owner.begin() as connection:
        connection.execute(text(statement))
    (found,) = verify(ledger.service).findings
    assert (found.table, found.problem.startswith(problem)) == ("control", True)
