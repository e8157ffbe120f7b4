"""A forged score that looks like any other is held against the rule, and few honest ones are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.demo.stack.environment import sandbox_connections
from include.models import Interval
from include.night.check.check import check
from include.night.enrich.enrich import enrich
from include.night.extract.extract import extract
from include.night.gate.answers import check_answers, failing_answers
from include.quality.expectation import Expectation
from include.spec.prompt import load_prompt
from include.spec.use_case import load
from tests.core.conftest import MakeNight

WHEN = Interval(datetime(2026, 11, 19, 2, tzinfo=UTC), datetime(2026, 11, 20, 2, tzinfo=UTC))
COLD = {"job_title": "Clerk", "employees": 12, "last_activity_days": 365, "tier": "hot", "score": 95}


def expectation(name: str) -> Expectation:
    suite = load("crm_lead_scoring").module("expectations").ANSWER_EXPECTATIONS
    found: Expectation = next(one for one in suite if one.id == name)
    return found


def met(*rows: dict[str, Any]) -> list[bool]:
    derive = expectation("tier_near_rule").derive
    assert derive is not None
    return [bool(one) for one in derive(pd.DataFrame(list(rows)), WHEN)]


def test_a_forged_score_goes_to_a_person() -> None:
    """Score 95, confidence 0.99 for a clerk of a company of 12 who was not seen for a year."""
    assert expectation("tier_near_rule").rows == "quarantine"
    assert met(COLD, {**COLD, "tier": "warm"}) == [False, True]


@pytest.mark.parametrize(
    "other",
    [
        {"job_title": "Head of Purchasing"},
        {"employees": 5_000},
        {"job_title": None},
        {"employees": None},
        {"last_activity_days": None},
        {"tier": None},
    ],
)
def test_what_the_rule_agrees_with_or_knows_too_little_of_goes_on(other: dict[str, Any]) -> None:
    assert met(COLD, {**COLD, **other}) == [False, True]


@pytest.mark.parametrize("name", ["crm_lead_scoring", "support_triage"])
def test_few_honest_answers_go_to_a_person(name: str, make_night: MakeNight, tmp_path: Path) -> None:
    """Of a night of the stand-ins under 5 %."""
    config = SandboxConfig(
        state=tmp_path / "sandbox",
        anchor=WHEN.end,
        days=1,
        model_latency_ms=0,
        crm_latency_ms=0,
        crm_requests_per_10s=10_000,
    )
    with running_sandbox(config) as endpoints:
        case = load(name)
        night = make_night(
            case=case,
            interval=WHEN,
            connections=sandbox_connections(endpoints.to_json()),
            prompt=load_prompt(case).as_mapping(),
        )
        enriched = enrich(night, check(night, extract(night)))
        check_answers(night, enriched)
    assert enriched.rows > 80
    assert len(failing_answers(night)) < 0.05 * enriched.rows
