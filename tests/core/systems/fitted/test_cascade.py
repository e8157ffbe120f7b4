"""Every row is decided or left, once, and what is decided is a whole answer."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from include.errors import ConfigurationError
from include.systems.fitted.answering import Answerer
from include.systems.fitted.cascade import Cascade
from tests.core.systems.fitted.rows import LOCAL, Output, fitted, others

ANSWERER = Answerer(fitted()[0], "model.v1@0123456789ab")


def test_rows_are_decided_or_left_and_the_counts_add_up() -> None:
    rows = [*others(), {"subject": "Weather", "body": "Snow above 1,500 metres, föhn in the valleys"}]
    found = Cascade(LOCAL, ANSWERER, Output).sort(rows)
    assert sum(found.counts.values()) == len(rows)
    assert found.counts["decided"] == len(found.decided) > 50
    assert found.counts["doubt"] > 0
    assert found.counts["out_of_scope"] > 0
    assert len(rows) - 1 not in found.decided


def test_an_answer_is_whole_and_valid() -> None:
    rows = others()
    found = Cascade(LOCAL, ANSWERER, Output).sort(rows)
    judged = ANSWERER.fitted.judge(rows)
    assert found.counts["unfit"] == 0
    for at, answer in found.decided.items():
        assert Output.model_validate(answer)
        assert {name: answer[name] for name in LOCAL.fills} == judged[at].labels
        assert answer["summary"] == rows[at]["subject"].strip()[:12]
        assert answer["confidence"] == pytest.approx(judged[at].probability, abs=1e-4)


def test_a_row_whose_answer_would_not_be_valid_is_left() -> None:
    rows = others()
    at = next(iter(Cascade(LOCAL, ANSWERER, Output).sort(rows).decided))
    silent = {**rows[at], "body": f"{rows[at]['subject']}\n{rows[at]['body']}", "subject": "\u200b"}
    found = Cascade(LOCAL, ANSWERER, Output).sort([silent])
    assert (found.counts["unfit"], found.decided) == (1, {})


def test_no_rows_are_no_trouble() -> None:
    found = Cascade(LOCAL, ANSWERER, Output).sort([])
    assert (found.decided, sum(found.counts.values())) == ({}, 0)


class Wordy(BaseModel):
    category: str
    priority: str
    summary: str
    reasons: list[str]
    note: str = ""


def test_an_answer_that_needs_more_than_it_gives_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="nothing gives reasons"):
        Cascade(LOCAL, ANSWERER, Wordy)
