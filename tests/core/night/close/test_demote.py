"""What takes mode auto back by itself, beside people: rows without an answer, and drift of inputs or of answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from include.database import merge_rows, transaction
from include.ledger import tables
from include.ledger.control import Control, change_control, find_control, read_control
from include.ledger.record import DeadLetter, RowOutcome, bury, record_outcomes
from include.models import Mode, Outcome, RunOptions
from include.night.close.answers_drift import watch_answers
from include.night.close.close import close
from include.night.close.demote import demote, demote_overruled
from include.night.gate.decide import FAULTY
from include.night.gate.gate import gate
from include.run import Night
from include.spec.rollout import Rollout
from include.spec.use_case import UseCase, load
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import ask, decide, rows_of, stage_raw
from tests.core.night.gate.answers import answer, stage_enriched
from tests.core.operations.alerts.finding import found as alerts

CASE = load("crm_lead_scoring")
AUTO = RunOptions(mode=Mode.AUTO)
Begin = Callable[..., Night]


@pytest.fixture
def auto(make_night: MakeNight, ledger: Ledger) -> Begin:
    """Nights of a use case that people have set to auto."""
    change_control(ledger.service, CASE, "ada", "a good month", {"mode": Mode.AUTO})
    return lambda **more: make_night(**{"options": AUTO, **more})


def end(night: Night, written: int, *, dead: int = 0, cause: str = "invalid_output", faulty: int = 0) -> None:
    """Rows that were written, dead letters, and answers that fit nothing any more."""
    rows = rows_of(written + dead + faulty)
    good = [RowOutcome(one, one, Outcome.WRITTEN, "write", None, {}) for one in rows[:written]]
    bad = [RowOutcome(one, one, Outcome.REJECTED, "gate", f"{FAULTY}: tier", {}) for one in rows[written + dead :]]
    letters = [DeadLetter(one, one, cause, "why", None, {}, {}, 1) for one in rows[written : written + dead]]
    with transaction(night.ledger) as connection:
        record_outcomes(connection, night.run_id, [*good, *bad])
        bury(connection, night, "enrich", letters, system="model")


def back(night: Night, *, answers: Sequence[str] = (), **rollout: Any) -> str | None:
    case = replace(night.case, rollout=Rollout(**rollout))
    with transaction(night.ledger) as connection:
        return demote(connection, replace(night, case=case), answers)


@pytest.mark.parametrize(
    ("dead", "faulty", "why"),
    [
        (5, 0, None),
        (6, 0, "6 of 100 rows got no answer that can be used (6.0%, more than 5.0%)"),
        (3, 3, "6 of 100 rows got no answer that can be used (6.0%, more than 5.0%)"),
    ],
)
def test_rows_without_an_answer_that_can_be_used(auto: Begin, dead: int, faulty: int, why: str | None) -> None:
    night = auto()
    end(night, 100 - dead - faulty, dead=dead, faulty=faulty)
    assert back(night) == why
    now = read_control(night.ledger, CASE.name)
    assert now.mode is (Mode.GATED if why else Mode.AUTO)
    if why:
        assert (now.changed_by, now.reason) == ("nightledger", f"back to gated: {why}")
        with night.ledger.connect() as connection:
            newest = "SELECT details FROM event WHERE type = 'control.changed' ORDER BY seq DESC LIMIT 1"
            details = connection.scalar(text(newest))
        assert (details["cause"], details["run_id"]) == ("failed", night.run_id)


@pytest.mark.parametrize("cause", ["model_unavailable", "empty_input", "changed_since_read"])
def test_what_says_nothing_of_the_answers_does_not_count(auto: Begin, cause: str) -> None:
    night = auto()
    end(night, 50, dead=50, cause=cause)
    assert back(night) is None


def test_what_a_rule_answered_after_answers_that_did_not_fit_counts(auto: Begin) -> None:
    night, rows = auto(), rows_of(100)
    end(night, 100)
    ask(night, rows[:6], outcome="invalid")
    decide(night, rows[:8], verdict="review")
    assert back(night) == "6 of 100 rows got no answer that can be used (6.0%, more than 5.0%)"


@pytest.mark.parametrize(
    "more",
    [
        {"options": RunOptions(mode=Mode.AUTO, limit=100)},
        {"options": RunOptions(mode=Mode.AUTO, model="another")},
    ],
)
def test_trials_and_other_models_say_nothing_of_the_use_case(auto: Begin, more: Any) -> None:
    night = auto(**more)
    end(night, 10, dead=90)
    drift(night, "industry", "employees", "country")
    assert back(night, answers=["tier"]) is None


def test_few_rows_and_a_bar_of_ones_own(auto: Begin) -> None:
    few = auto()
    end(few, 10, dead=9)
    assert back(few) is None
    night = auto(day=1)
    end(night, 10, dead=10)
    assert back(night, failed=0.5) is None
    assert back(night, failed=0.4) is not None


def drift(night: Night, *columns: str, verdict: str = "drifted") -> None:
    """Findings as the check leaves them."""
    names = ["run_id", "signal", "column_name", "statistic", "verdict", "nights", "detail", "recorded_at"]
    with transaction(night.ledger) as connection:
        now = connection.scalar(text("SELECT clock_timestamp()"))
        rows = [(night.run_id, "category_share", one, "share of rows", verdict, 9, "", now) for one in columns]
        merge_rows(connection, tables.drift_result, names, rows, key=names[:3], update=names[3:])


@pytest.mark.parametrize(
    ("columns", "rollout", "why"),
    [
        (("industry", "country"), {}, None),
        (("industry", "country", "email", ""), {}, None),
        (
            ("industry", "country", "employees"),
            {},
            "what the model sees drifted: category share of country, category share of employees, "
            "category share of industry",
        ),
        (("firm_industry", "company_industry", "country"), {}, "what the model sees drifted"),
        (("industry",), {"watched": ("industry",)}, "what the model sees drifted: category share of industry"),
        (("email",), {"watched": ("email",)}, "what the model sees drifted: category share of email"),
        (("industry", "country", "employees"), {"drifted": None}, None),
    ],
)
def test_what_the_model_sees_drifted(auto: Begin, columns: Sequence[str], rollout: Any, why: str | None) -> None:
    night = auto()
    drift(night, *columns)
    found = back(night, **rollout)
    assert (found is None) if why is None else (found or "").startswith(why)


def test_steady_signals_and_a_backfills_drift_take_nothing_back(auto: Begin) -> None:
    night = auto()
    drift(night, "industry", "country", "employees", verdict="steady")
    assert back(night) is None
    filled = auto(day=1, options=RunOptions(mode=Mode.AUTO, backfill="plan"))
    drift(filled, "industry", "country", "employees")
    assert back(filled, answers=["tier"]) is None


def answered(night: Night, hot: int, cold: int, confidence: float = 0.9) -> list[str]:
    """Let answers through the gate, close the night as succeeded, and say what of them drifted."""
    outputs = {f"{n}": answer(tier="hot" if n < hot else "cold", confidence=confidence) for n in range(hot + cold)}
    gate(night, stage_enriched(night, outputs))
    with transaction(night.ledger) as connection:
        found = watch_answers(connection, night)
        done = text("UPDATE nightledger.run SET status = 'succeeded', finished_at = now() WHERE run_id = :run")
        connection.execute(done, {"run": night.run_id})
    return found


def test_answers_that_drift_take_it_back_by_field_or_by_confidence(auto: Begin) -> None:
    for day in range(8):
        assert answered(auto(day=day), 40 + day % 3, 160) == []
    steady, many_hot, unsure = (auto(day=day) for day in (8, 9, 10))
    assert answered(steady, 43, 157) == []
    (told,) = answered(many_hot, 120, 80)
    assert told == "tier of the answers: 'hot' in 60%, usually 20%"
    (surprised,) = answered(unsure, 41, 159, confidence=0.35)
    assert surprised.startswith("confidence of the answers: stability index")
    assert back(steady) is None
    assert back(many_hot, answers=[told], answers_may_drift=True) is None
    assert back(many_hot, answers=[told]) == f"its answers drifted: {told}"


def test_few_answers_another_prompt_and_trials_are_not_held_against_each_other(auto: Begin) -> None:
    for day in range(7):
        assert answered(auto(day=day), 40, 160) == []
    other = {"version": "2", "hash": "e" * 64, "name": "test", "system": "Answer.", "user": "{{ row }}"}
    assert answered(auto(day=7, prompt=other), 160, 40) == []
    assert answered(auto(day=8, options=RunOptions(mode=Mode.AUTO, limit=200)), 160, 40) == []
    assert answered(auto(day=9), 12, 3) == [], "few answers"
    assert answered(auto(day=10), 160, 40) != []


def test_a_closed_night_is_sealed_with_the_counts_of_its_answers(auto: Begin) -> None:
    night = auto()
    stage_raw(night, [f"crm/contacts/{n}" for n in range(3)])
    gate(night, stage_enriched(night, {str(n): answer() for n in range(3)}))
    end_all = [RowOutcome(f"crm/contacts/{n}", str(n), Outcome.WRITTEN, "write", None, {}) for n in range(3)]
    with transaction(night.ledger) as connection:
        record_outcomes(connection, night.run_id, end_all)
    assert close(night, {}).status == "succeeded"
    with night.ledger.connect() as connection:
        totals = connection.scalar(text("SELECT totals FROM run WHERE run_id = :run"), {"run": night.run_id})
    assert totals["answers"] == {"tier": {"hot": 3}, "next_action": {"call": 3}, "confidence": {"9": 3}}
    assert totals["rows_in"] == 3


def test_a_declared_auto_is_taken_back_too(make_night: MakeNight) -> None:
    declared: UseCase = replace(CASE, mode=Mode.AUTO)
    night = make_night(case=declared, options=AUTO)
    end(night, 10, dead=90)
    assert back(night) is not None
    assert read_control(night.ledger, CASE.name).mode is Mode.GATED


def test_gated_and_shadow_are_left_as_they_are(make_night: MakeNight) -> None:
    night = make_night(options=AUTO)
    end(night, 10, dead=90)
    assert back(night) is None
    change_control(night.ledger, CASE, "ada", "first people", {"mode": Mode.SHADOW})
    assert back(night) is None
    with transaction(night.ledger) as connection:
        assert demote_overruled(connection, night) is None
        assert find_control(connection, CASE.name) != Control()


def test_somebody_is_called_until_a_person_has_set_something(auto: Begin) -> None:
    night = auto()
    assert alerts(night.ledger, "taken_back") == []
    end(night, 10, dead=90)
    back(night)
    (alert,) = alerts(night.ledger, "taken_back")
    assert alert.severity == "severe"
    assert "too many rows of a night got no answer that can be used" in alert.sentence
    assert alert.page.endswith("/control")
    change_control(night.ledger, CASE, "ada", "seen; people decide", {"mode": Mode.GATED})
    assert alerts(night.ledger, "taken_back") == []
