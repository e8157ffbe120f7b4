"""What every declared suite has, whoever wrote it."""

from __future__ import annotations

import pytest

from include.night.extract.extract import raw_schema
from include.quality.expectation import Expectation
from include.quality.gx import prepare
from include.spec.names import names
from include.spec.use_case import load
from tests.core.quality.suites import HISTORY

CASES = names()


def suites(name: str) -> dict[str, tuple[Expectation, ...]]:
    module = load(name).module("expectations")
    return {"check": module.EXPECTATIONS, "answers": getattr(module, "ANSWER_EXPECTATIONS", ())}


@pytest.mark.parametrize("name", CASES)
def test_a_suite_says_what_it_means_and_can_be_built(name: str) -> None:
    both = [expectation for suite in suites(name).values() for expectation in suite]
    assert len({expectation.id for expectation in both}) == len(both)
    for expectation in both:
        assert prepare(expectation, HISTORY).could_not_run is None, expectation.id
        assert expectation.meaning[:1].isupper(), expectation.id
        assert len(expectation.meaning.split()) > 3, expectation.id
        assert expectation.unit, expectation.id


@pytest.mark.parametrize("name", CASES)
def test_a_suite_counts_rows_and_names_staged_columns(name: str) -> None:
    before = suites(name)["check"]
    assert any(e.type.startswith("ExpectTableRowCount") and e.severity == "critical" for e in before)
    staged = set(raw_schema(load(name)).names)
    assert {column for expectation in before for column in expectation.columns} <= staged


@pytest.mark.parametrize("name", CASES)
def test_a_suite_covers_every_kind_of_expectation(name: str) -> None:
    types = {expectation.type for expectation in suites(name)["check"]}
    wanted = ("NotBeNull", "BeOfType", "InSet", "MatchRegex", "BeBetween", "BeUnique", "ColumnsToMatchSet", "MaxToBe")
    assert [part for part in wanted if not any(part in kind for kind in types)] == []
    assert any(expectation.bounds for expectation in suites(name)["check"])
    assert any(len(expectation.columns) > 1 and expectation.derive for expectation in suites(name)["check"])
    assert any(expectation.severity == "critical" for expectation in suites(name)["answers"])
