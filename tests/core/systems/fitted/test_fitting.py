"""A model claims of itself only what holds on rows that it has not learnt."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest

from include.errors import ConfigurationError
from include.systems.fitted.fitting import HeldOut, Labelled, fit, threshold_of
from include.systems.fitted.model import Judged
from include.systems.fitted.scores import answered, score
from tests.core.systems.fitted.rows import LOCAL, fitted, labelled, others, tickets

WORDS = list(itertools.islice(itertools.permutations("bdfgklmn", 3), 120))


def scored(rows: list[dict[str, str]]):
    model, _ = fitted()
    truth = [None if row["category"] == "other" else {name: row[name] for name in LOCAL.fills} for row in rows]
    return score(answered(model, model.judge(rows), truth))


def test_what_it_decides_alone_holds_on_other_rows() -> None:
    found = scored(others())
    assert found.decided.value > 0.5
    assert found.alone.value >= LOCAL.certain


def test_held_out_figures_are_no_better_than_those_of_other_rows() -> None:
    model, held = fitted()
    mine, theirs = score(answered(model, held.judged, held.truth)), scored(others())
    assert mine.right.value <= theirs.right.value + 0.06
    assert len(held.truth) == sum(row["category"] != "other" for row in tickets()[:700])


def test_the_same_rows_give_the_same_model() -> None:
    small = labelled(tickets()[:250], *LOCAL.fills)
    one, other = (fit(LOCAL, small, folds=3)[0] for _ in range(2))
    assert one.threshold == other.threshold
    assert one.scope == other.scope
    for name, classifier in one.classifiers.items():
        np.testing.assert_array_equal(classifier.weights, other.classifiers[name].weights)
        assert classifier.temperature == other.classifiers[name].temperature


def test_labels_that_mean_nothing_are_never_decided() -> None:
    rows = [row for row in tickets() if row["category"] != "other"][:400]
    labels = [row["category"] for row in rows]
    random.Random(5).shuffle(labels)
    model, held = fit(replace(LOCAL, fills=("category",)), Labelled(rows, {"category": labels}), folds=3)
    assert model.threshold is None
    assert {model.rule(one) for one in held.judged} <= {"doubt", "out_of_scope"}


def test_rows_of_a_group_are_not_held_out_from_each_other() -> None:
    """Copies of a text in one group teach nothing about it; copies apart would."""
    rows = [{"text": f"{word} {word}x {word}y"} for word in map("".join, WORDS) for _ in range(4)]
    chance = random.Random(1)
    labels = [label for label in chance.choices("ab", k=len(WORDS)) for _ in range(4)]
    local = replace(LOCAL, reads=("text",), fills=("category",), copies={}, out_of_scope=None)
    together = [f"text {at // 4}" for at in range(len(rows))]

    def right(groups: list[str] | None) -> float:
        model, held = fit(local, Labelled(rows, {"category": labels}, groups), folds=4)
        return score(answered(model, held.judged, held.truth)).right.value

    assert right(None) > 0.95
    assert right(together) < 0.7


def test_probabilities_are_what_they_say() -> None:
    model, held = fitted()
    assert score(answered(model, held.judged, held.truth)).calibration < 0.05


def test_at_most_the_given_share_in_scope_is_sent_on_as_strange() -> None:
    _, held = fitted()
    assert sum(not one.familiar for one in held.judged) <= LOCAL.strange * len(held.judged) + 1


def test_rows_about_nothing_of_ours_are_sent_on() -> None:
    model, _ = fitted()
    odd = [
        {"subject": "Recipe", "body": "Simmer the lentils with cumin, carrots and a spoonful of vinegar."},
        {"subject": "", "body": "Il treno per Napoli parte dal binario quattro alle sette."},
        {"subject": None, "body": "!!! ... ???"},
        {"subject": None, "body": None},
    ]
    assert [model.rule(one) for one in model.judge(odd)] == ["out_of_scope"] * 4


def test_a_field_of_two_labels_is_learnt() -> None:
    rows = [row for row in tickets() if row["priority"] in ("urgent", "low") and row["category"] != "other"]
    local = replace(LOCAL, fills=("priority",))
    model, held = fit(local, labelled(rows, "priority"), folds=3)
    assert model.classifiers["priority"].labels == ("low", "urgent")
    assert score(answered(model, held.judged, held.truth)).right.value > 0.9


def test_a_row_without_words_is_out_of_scope_whatever_the_line() -> None:
    model = replace(fitted()[0], scope=replace(fitted()[0].scope, least=-1e9))
    assert [model.rule(one) for one in model.judge([{"subject": "?!", "body": ""}])] == ["out_of_scope"]


def test_rows_that_look_strange_say_nothing_about_the_threshold() -> None:
    """They are never decided, so that they are wrong costs nothing."""
    familiar = [Judged({"category": "a"}, {"category": 0.8}, True)] * 300
    strange = [Judged({"category": "a"}, {"category": 0.99}, False)] * 200
    truth = [{"category": "a"}] * 300 + [{"category": "b"}] * 200
    assert threshold_of(HeldOut([*familiar, *strange], truth), 0.95) == 0.8
    assert threshold_of(HeldOut([*familiar, *(replace(one, familiar=True) for one in strange)], truth), 0.95) is None


@pytest.mark.parametrize(
    ("labels", "said"),
    [(["a"] * 20, "two labels"), (["a"] * 18 + ["b"] * 2, "too few of b")],
)
def test_too_few_labels_are_refused(labels: list[str], said: str) -> None:
    rows = [{"subject": "some words", "body": f"more words {at % 3}"} for at in range(20)]
    with pytest.raises(ConfigurationError, match=said):
        fit(replace(LOCAL, fills=("category",)), Labelled(rows, {"category": labels}))


def test_texts_without_a_common_word_are_refused() -> None:
    rows = [{"subject": chr(0x4E00 + at), "body": ""} for at in range(20)]
    with pytest.raises(ConfigurationError, match="share a word"):
        fit(replace(LOCAL, fills=("category",)), Labelled(rows, {"category": ["a", "b"] * 10}))


def test_fewer_groups_than_folds_are_refused() -> None:
    rows = list(tickets()[:60])
    given = Labelled(rows, {"category": ["a", "b"] * 30}, ["one", "two"] * 30)
    with pytest.raises(ConfigurationError, match="as many groups"):
        fit(replace(LOCAL, fills=("category",)), given)
