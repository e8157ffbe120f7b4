"""Passages that a question is about: found, referred to so that a person can look them up, the same every time."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from include.errors import ConfigurationError
from include.models import Record
from include.spec.text.pieces import Cut
from include.spec.text.retrieval import Index, Own, Passage, Retrieve, Texts
from tests.core.spec.text.contracts_labelled import CUAD, asked

END = datetime(2026, 11, 20, 2, tzinfo=UTC)
FOUND_AT_FIVE = 0.78
"""Measured .803 on 152 clauses of ten contracts; the first five pieces hold .31, five at random .34."""


def row(question: str | None, **columns: Any) -> Record:
    return {"row_id": "desk/tickets/1", "row_key": "1", "lineage": {"desk": "page 1"}, "question": question, **columns}


def answers() -> Iterator[Passage]:
    yield Passage("returns.md", "Goods may be returned within thirty days.", 2, 40, 81)
    yield Passage("refunds.md", "A refund is paid to the card within five days.", 1, 0, 46)
    yield Passage("hours.md", "The desk answers on weekdays.", 1, 0, 29)


def none() -> Iterator[Passage]:
    yield from ()


def context(applied: list[Record]) -> list[list[Record]]:
    return [json.loads(one["context"]) for one in applied]


def test_the_best_passages_come_first_with_what_a_person_needs_to_look_them_up() -> None:
    retrieve = Retrieve("question", answers, k=2)
    assert retrieve.columns({"question": "text"}) == {"question": "text", "context": "text"}
    assert retrieve.whole
    applied = retrieve.apply([row("Within how many days can I return goods?")], END)
    ((first, second),) = context(applied)
    assert {name: first[name] for name in ("id", "page", "span", "text")} == {
        "id": "returns.md",
        "page": 2,
        "span": [40, 81],
        "text": "Goods may be returned within thirty days.",
    }
    assert first["score"] > second["score"] > 0
    assert second["id"] == "refunds.md"


def test_passages_without_a_word_of_the_question_are_not_context() -> None:
    applied = Retrieve("question", answers).apply([row("refund"), row("Xylophon"), row("?!"), row(None)], END)
    assert [[one["id"] for one in found] for found in context(applied)] == [["refunds.md"], [], [], []]
    assert applied.counts == {"nothing_found": 3}


def test_equal_scores_are_ordered_by_id_and_place_however_the_corpus_comes() -> None:
    passages = [Passage(f"{n % 7}", "the same words" if n % 3 else "others", 1, n, n + 14) for n in range(600)]
    expected = [(one.id, one.start) for one in sorted(passages) if one.text == "the same words"]
    for seed in range(3):
        random.Random(seed).shuffle(passages)
        found = Index(passages).find("same words", 600)
        assert [(one.id, one.start) for one, _ in found] == expected
        assert len({score for _, score in found}) == 1


def test_the_lineage_changes_with_the_corpus_and_only_with_it() -> None:
    def of(*passages: Passage) -> str:
        (one,) = Retrieve("question", lambda: passages).apply([row("refund")], END)
        return str(one["lineage"]["corpus"])

    known = list(answers())
    assert of(*known) == of(*reversed(known))
    assert of(*known) != of(*known[1:])
    assert of(*known) != of(*known[1:], known[0]._replace(page=3))


def test_a_row_asks_its_own_text() -> None:
    retrieve = Retrieve("question", Own("text", cut=Cut(4, 0)), k=1)
    assert not retrieve.whole
    text = "# Price\nIt costs ten euros.\f# Term\nIt ends in May."
    applied = retrieve.apply(
        [row("ends", text=text), row("price", text=text), row("price", text="price of another"), row("x", text=None)],
        END,
    )
    found = [[(one["id"], one["page"], one["span"], one["text"]) for one in each] for each in context(applied)]
    assert found == [
        [("1", 1, [21, 42], "# Price\neuros.\f# Term\nIt ends")],
        [("1", 1, [2, 20], "Price\nIt costs ten")],
        [("1", 1, [0, 16], "price of another")],
        [],
    ]


def test_texts_of_a_folder_are_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "returns.md").write_text("\ufeff# Returns\nWithin thirty days.", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("thirty days", encoding="utf-8")
    corpus = Texts(tmp_path)
    ((one,),) = context(Retrieve("question", corpus).apply([row("thirty")], END))
    assert (one["id"], one["text"]) == ("more/returns.md", "Returns\nWithin thirty days")
    (tmp_path / "odd.md").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"odd\.md.*cannot be read"):
        Retrieve("question", corpus).apply([row("thirty")], END)


@pytest.mark.parametrize(
    ("retrieve", "words"),
    [
        (Retrieve("nothing", answers), "not there"),
        (Retrieve("number", answers), "must be text"),
        (Retrieve("question", Own("nothing")), "not there"),
        (Retrieve("question", Own("question", id="nothing")), "not there"),
        (Retrieve("question", Own("question", cut=Cut(5, 5))), "cannot overlap"),
        (Retrieve("question", "no.such:corpus"), "there is no function"),
        (Retrieve("question", answers, into="number"), "declared twice"),
        (Retrieve("question", answers, k=0), "at least 1"),
    ],
)
def test_what_cannot_work_is_refused_before_a_row_is_read(retrieve: Retrieve, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        retrieve.columns({"question": "text", "number": "number"})


def test_a_shared_corpus_without_a_passage_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the corpus has no passage"):
        Retrieve("question", none).apply([row("refund")], END)


def test_a_corpus_of_signs_only_gives_nothing() -> None:
    assert Index([Passage("a", "...")]).find("refund", 5) == []


def test_nothing_is_drawn_or_logged_while_it_works(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    Retrieve("question", answers).apply([row("refund")], END)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


@pytest.mark.skipif(not CUAD.is_dir(), reason=f"the public sets are not in {CUAD.parent}")
def test_clauses_of_real_contracts_are_among_the_first_five() -> None:
    clauses = list(asked())
    assert len(clauses) > 150
    rows = [row(one.question, text=one.text) for one in clauses]
    found = context(Retrieve("question", Own("text"), k=5).apply(rows, END))
    hits = [one.is_in([each["text"] for each in passages]) for one, passages in zip(clauses, found, strict=True)]
    assert sum(hits) / len(hits) >= FOUND_AT_FIVE
