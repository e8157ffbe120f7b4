"""Texts become counted and weighted terms, the same as scikit-learn makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from include.systems.fitted.model import single_words
from include.systems.fitted.texts import (
    APART,
    CUTS,
    MOST_CHARS,
    WIDE_APART,
    WIDE_FROM,
    Rarity,
    Vocabulary,
    terms_of,
    text_of,
    wide_terms_of,
)

TEXTS = [
    "where is my parcel",
    "my parcel is late",
    "cancel my plan",
    "please cancel the plan",
    "the invoice is wrong",
    "wrong invoice, please",
    "the parcel and the invoice",
]


def test_long_numbers_are_alike_and_short_ones_are_not() -> None:
    rows = [{"a": "Order 48213 of 3"}, {"a": "order 999 of 3"}, {"a": "order 999 of 4"}]
    texts = [text_of(row, ("a",)) for row in rows]
    assert texts[0] == texts[1] != texts[2]


def test_columns_are_read_in_their_order_without_those_that_are_empty() -> None:
    row = {"body": "Ｂｏｄｙ", "subject": "Subject", "none": None}
    assert text_of(row, ("subject", "none", "body")) == "subject\nbody"


def test_only_the_beginning_of_a_long_text_is_read() -> None:
    assert len(text_of({"a": "word " * 10_000}, ("a",))) <= MOST_CHARS


def test_pairs_stand_close() -> None:
    assert terms_of("a b c") == ["a", "b", "c", "a b", "a~c", "b c"]
    far = " ".join(f"w{n}" for n in range(APART + 2))
    assert f"w0~w{APART}" in terms_of(far)
    assert f"w0~w{APART + 1}" not in terms_of(far)


def test_wide_pairs_stand_further_apart_and_know_the_ends_of_a_text() -> None:
    assert wide_terms_of("a b") == ["a", "b", "< a", "<~b", "<~>", "a b", ">~a", "b >"]
    far = " ".join(f"w{n}" for n in range(WIDE_APART + 2))
    assert f"w0~w{WIDE_APART}" in wide_terms_of(far)
    assert f"w0~w{WIDE_APART + 1}" not in wide_terms_of(far)
    assert wide_terms_of("?!") == []


def test_wide_neighbours_keep_their_order_and_others_do_not() -> None:
    common = set(wide_terms_of("top up to card")) & set(wide_terms_of("card to top up"))
    assert "to card" not in common
    assert "card~up" in common


def test_words_in_wide_pairs_count_by_their_beginning() -> None:
    common = set(wide_terms_of("cancelling orders")) & set(wide_terms_of("cancelled ordering"))
    assert common >= {"< canc", "canc orde"}


@pytest.mark.parametrize(("most", "cut", "least"), [(WIDE_FROM - 1, "close", 3), (WIDE_FROM, "wide", 2)])
def test_wide_terms_are_learnt_where_there_is_room_for_them(most: int, cut: str, least: int) -> None:
    vocabulary, counts = Vocabulary.learn(TEXTS, most)
    assert vocabulary.cut is CUTS[cut]
    assert min(map(len, vocabulary.pieces)) == least
    assert ("<~invo" in vocabulary.words) == (cut == "wide")
    again = Vocabulary.of(vocabulary.cut, vocabulary.words, vocabulary.pieces).count(TEXTS)
    assert (again.words != counts.words).nnz == (again.pieces != counts.pieces).nnz == 0


def test_weights_of_some_rows_are_those_of_scikit_learn_on_these_rows() -> None:
    """A fold's weights come from its own rows alone, though all rows were counted together."""
    vocabulary, counts = Vocabulary.learn(TEXTS, 1_000)
    learnt = np.array([0, 1, 2, 3, 4])
    ours = Rarity.learn(counts.take(learnt)).weigh(counts)
    words = TfidfVectorizer(analyzer=terms_of, sublinear_tf=True, min_df=2)
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=2)
    at = 0
    for theirs, names in ((words, vocabulary.words), (pieces, vocabulary.pieces)):
        theirs.fit(TEXTS[:5])
        expected = theirs.transform(TEXTS).toarray()
        block = ours[:, at : at + len(names)].toarray()
        known = [names.index(term) for term in theirs.get_feature_names_out()]
        np.testing.assert_allclose(block[:, known], expected)
        assert block.sum() == pytest.approx(expected.sum()), "a term that the fold does not know weighs something"
        at += len(names)


def test_strangeness_is_the_share_of_words_that_nobody_knows() -> None:
    vocabulary, counts = Vocabulary.learn(TEXTS, 1_000)
    rarity = Rarity.learn(counts)
    single = single_words(vocabulary)
    found = rarity.strangeness(vocabulary.count(["my parcel", "my zebra", "quantum zebra", ""]), single)
    assert found[0] == 0
    assert 0 < found[1] < 1
    assert list(found[2:]) == [1, 1]
