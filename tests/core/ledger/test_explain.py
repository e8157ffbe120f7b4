"""From the value of a record back to the line or page it came from."""

from __future__ import annotations

import pytest

from include.ledger.explain import as_text, explain
from include.models import Mode, Outcome, RunOptions
from include.run import Night
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import ask, decide, end_rows, reject_rows, rows_of, write_rows


@pytest.fixture
def night(make_night: MakeNight) -> Night:
    """A night that wrote its two rows."""
    made, rows = make_night(options=RunOptions(mode=Mode.AUTO)), rows_of(2)
    decisions = decide(made, rows, verdict="write", inferences=ask(made, rows, cost="0.0021"))
    write_rows(made, rows, decisions)
    end_rows(made, dict.fromkeys(rows, Outcome.WRITTEN))
    return made


def test_a_written_value_is_traced_to_its_source(night: Night, ledger: Ledger) -> None:
    (found,) = explain(ledger.service, night.case.name, "2")
    assert (found.kind, found.run_id) == ("write", night.run_id)
    told = as_text([found])
    for part in (
        "nl_lead_score: 12 -> 80",
        "written: crm contacts 2",
        "write by gate, rule: mode is shadow",
        "tier: hot, score: 80",
        "sandbox-small",
        "v1 (ffffffffffff)",
        "$0.0021, 40 tokens in, 10 out",
        "req-1",
        "job_title: buyer",
        "page: 3, index: 1",
        f"{night.run_id} (auto, started by cli)",
        "[2026-11-20 02:00, 2026-11-21 02:00) UTC",
    ):
        assert part in told, told


def test_the_newest_word_comes_first(night: Night, make_night: MakeNight, ledger: Ledger) -> None:
    later = make_night(day=1)
    reject_rows(later, "check", {rows_of(2)[1]: "country is missing"})
    found = explain(ledger.service, night.case.name, "2")
    assert [one.kind for one in found] == ["quarantined", "write"]
    assert "country is missing" in as_text(found)


def test_a_shadowed_answer_is_shown(make_night: MakeNight, ledger: Ledger) -> None:
    night, rows = make_night(), rows_of(1)
    decide(night, rows, inferences=ask(night, rows), tier="cold")
    end_rows(night, {rows[0]: Outcome.SHADOWED}, stage="gate")
    (found,) = explain(ledger.service, night.case.name, "1")
    assert found.kind == "shadowed"
    assert "tier: cold" in as_text([found])


def test_a_row_of_another_use_case_is_not_found(night: Night, ledger: Ledger) -> None:
    assert explain(ledger.service, "another", "2") == []


def test_an_unknown_key_says_what_to_check(ledger: Ledger) -> None:
    told = as_text(explain(ledger.service, "crm_lead_scoring", "no such"))
    assert "No run of this use case has met" in told
    assert "quarantine" in told
