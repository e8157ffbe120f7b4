"""The gate of prompts, by counts that can be checked by hand."""

from __future__ import annotations

import pytest

from include.operations.evaluate_gate import Counted, Paired, p_value, rule, smallest_loss


def counted(rows: int = 200, correct: int = 190, schema: int = 0, broken: int = 0) -> Counted:
    return Counted(rows, correct, schema, broken)


@pytest.mark.parametrize(
    ("lost", "differing", "expected"),
    [(0, 0, 1.0), (5, 5, 1 / 32), (4, 4, 1 / 16), (10, 12, (66 + 12 + 1) / 4096), (0, 7, 1.0)],
)
def test_p_values_are_sums_of_binomials(lost: int, differing: int, expected: float) -> None:
    assert p_value(lost, differing) == pytest.approx(expected)


def test_a_version_passes_that_is_as_good_as_the_one_in_use() -> None:
    assert rule(counted(), 0.9, Paired(200, 3, 3)).word == "passed"
    assert rule(counted(), 0.9).passed


def test_a_version_that_loses_eight_points_is_refused_though_it_is_above_the_bar() -> None:
    found = rule(counted(correct=184), 0.9, Paired(200, 16, 0))
    assert found.word == "failed"
    assert found.reasons == ("16 rows that the version in use gets right are lost, 0 are won: worse, p = 1.5e-05",)
    assert rule(counted(correct=184), 0.9, Paired(200, 4, 0)).passed, "four of four are chance: 1/16"
    assert rule(counted(correct=184), 0.9, Paired(200, 5, 0)).word == "failed"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (counted(correct=179), "89.5% of 200 rows are right, 90.0% are needed"),
        (counted(broken=1), "1 rows have an answer that they must not get"),
        (counted(schema=3), "3 of 200 rows have no answer that fits, 1% at most may"),
    ],
)
def test_each_condition_refuses_alone(found: Counted, why: str) -> None:
    ruling = rule(found, 0.9)
    assert (ruling.word, ruling.reasons) == ("failed", (why,))


def test_what_lies_on_a_limit_passes() -> None:
    assert rule(counted(correct=180, schema=2), 0.9).passed


def test_few_rows_are_not_judged_and_say_so() -> None:
    found = rule(counted(rows=19, correct=19), 0.9)
    assert (found.word, found.passed) == ("too_few", False)
    assert found.reasons == ("19 labelled rows say too little: it takes 20",)
    assert rule(counted(rows=20, correct=20), 0.9).passed


def test_the_smallest_loss_that_could_be_told_is_said() -> None:
    assert smallest_loss(200, 0) == pytest.approx(0.025)
    assert smallest_loss(4, 0) is None
    for differing in range(5, 60):
        share = smallest_loss(200, differing)
        assert share is not None
        net = round(share * 200)
        lost = (differing + net) // 2
        assert p_value(lost, differing) < 0.05 <= p_value(lost - 1, differing)
