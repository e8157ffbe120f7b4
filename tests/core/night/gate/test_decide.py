"""The rule of the gate: every verdict, and the values where one turns into another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from include.models import Mode, Origin
from include.night.gate.decide import Verdict, decide
from include.spec.use_case import load
from tests.core.night.gate.answers import answer

CASE = replace(load("crm_lead_scoring"), confidence_threshold=0.75)


def judge(mode: Mode = Mode.AUTO, origin: Origin = Origin.MODEL, **changes: Any) -> Verdict:
    output = answer(**changes)
    return decide(CASE, mode, origin, output["confidence"], output)


@pytest.mark.parametrize("origin", Origin)
@pytest.mark.parametrize("confidence", [0.0, 0.75, 1.0])
def test_shadow_only_records(origin: Origin, confidence: float) -> None:
    assert judge(Mode.SHADOW, origin, confidence=confidence).verdict == "shadow"


@pytest.mark.parametrize("origin", Origin)
@pytest.mark.parametrize("confidence", [0.0, 0.75, 1.0])
def test_gated_asks_a_person_about_every_row(origin: Origin, confidence: float) -> None:
    assert judge(Mode.GATED, origin, confidence=confidence).verdict == "review"


def test_what_may_never_go_out_alone_goes_to_a_person_however_sure_it_is() -> None:
    output = answer(confidence=1.0)
    found = decide(replace(CASE, never_alone="money"), Mode.AUTO, Origin.MODEL, 1.0, output)
    assert (found.verdict, found.rule) == ("review", "never alone: money")


@pytest.mark.parametrize(
    ("confidence", "verdict"), [(0.0, "review"), (0.7499, "review"), (0.75, "write"), (0.7501, "write"), (1.0, "write")]
)
def test_auto_writes_from_the_threshold_on(confidence: float, verdict: str) -> None:
    assert judge(confidence=confidence).verdict == verdict


def test_a_low_confidence_says_the_numbers_beside_a_rule_that_can_be_counted() -> None:
    low, lower = judge(confidence=0.7499), judge(confidence=0.5)
    assert (low.rule, low.reason) == ("confidence below 0.75", "confidence below 0.75 (0.7499 < 0.75)")
    assert lower.rule == low.rule


@pytest.mark.parametrize("confidence", [None, float("nan"), -0.1, 1.1, float("inf")])
def test_auto_asks_a_person_when_the_confidence_is_missing_or_no_share(confidence: float | None) -> None:
    verdict = decide(CASE, Mode.AUTO, Origin.MODEL, confidence, answer())
    assert (verdict.verdict, verdict.rule) == ("review", "no confidence between 0 and 1")


def test_auto_has_a_person_confirm_the_fallback_rule_however_sure_it_is() -> None:
    verdict = judge(origin=Origin.RULE, confidence=1.0)
    assert (verdict.verdict, verdict.rule) == ("review", "answered by the fallback rule")


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"score": 101}, "score"),
        ({"score": -1}, "score"),
        ({"tier": "lukewarm"}, "tier"),
        ({"summary": ""}, "summary"),
        ({"reasons": []}, "reasons"),
        ({"confidence": 1.01}, "confidence"),
    ],
)
def test_an_output_that_no_longer_fits_is_rejected_in_every_mode(
    mode: Mode, changes: dict[str, Any], field: str
) -> None:
    verdict = judge(mode, **changes)
    assert (verdict.verdict, verdict.rule) == ("reject", f"no longer fits the output model: {field}")


def test_a_rejection_does_not_repeat_what_the_model_made_up() -> None:
    output = answer(tier="lukewarm") | {"anna@example.com": 1}
    verdict = decide(CASE, Mode.AUTO, Origin.MODEL, 0.9, output)
    assert verdict.rule == "no longer fits the output model: tier, something undeclared"


@pytest.mark.parametrize(("score", "verdict"), [(0, "write"), (100, "write")])
def test_border_scores_are_valid(score: int, verdict: str) -> None:
    assert judge(score=score).verdict == verdict
