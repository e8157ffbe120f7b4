"""From texts to counted terms: words, pairs of words that stand close, and pieces of words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

Floats = npt.NDArray[np.float64]

MOST_CHARS = 2_000
"""Of a row's text at most so much is read: what a text is about is said at its beginning."""
LEAST_ROWS = 2
"""A term that fewer rows have says nothing."""
APART = 4
"""Two words that stand at most so far apart make a pair."""
_WORD = re.compile(r"\w{1,40}")
_NUMBER = re.compile(r"\d{3,}")


def text_of(row: Mapping[str, Any], reads: Sequence[str]) -> str:
    """The row's text as it is learnt: lower case, long numbers alike, since no order number is seen twice."""
    whole = "\n".join(str(row[name]) for name in reads if row.get(name) is not None)[:MOST_CHARS]
    return _NUMBER.sub("000", unicodedata.normalize("NFKC", whole).lower()).strip()


def words_of(text: str) -> list[str]:
    """Runs of letters and digits."""
    return _WORD.findall(text)


def terms_of(text: str) -> list[str]:
    """Words, neighbours, and pairs of words with up to `APART` - 1 others between them."""
    return list(_terms(words_of(text)))


def _terms(words: list[str]) -> Iterator[str]:
    yield from words
    for at, word in enumerate(words):
        for apart, other in enumerate(words[at + 1 : at + 1 + APART]):
            yield f"{word}~{other}" if apart else f"{word} {other}"


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each row has each term; `length` is its number of words, known or not."""

    words: Any
    pieces: Any
    length: Floats

    def take(self, rows: npt.NDArray[np.intp]) -> Counts:
        """The counts of some rows."""
        return Counts(self.words[rows], self.pieces[rows], self.length[rows])


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The terms that are counted."""

    _words: CountVectorizer
    _pieces: CountVectorizer

    @classmethod
    def learn(cls, texts: Sequence[str], most: int) -> tuple[Self, Counts]:
        """The `most` frequent terms of either sort that more than one text has, and the texts' counts."""
        made = cls(_count_words(LEAST_ROWS, most), _count_pieces(LEAST_ROWS, most))
        return made, Counts(made._words.fit_transform(texts), made._pieces.fit_transform(texts), _lengths(texts))

    @classmethod
    def of(cls, words: Sequence[str], pieces: Sequence[str]) -> Self:
        """The vocabulary with these terms, in this order."""
        return cls(_count_words(1, None, words), _count_pieces(1, None, pieces))

    @property
    def words(self) -> list[str]:
        """Words and pairs, by column."""
        return list(self._words.get_feature_names_out())

    @property
    def pieces(self) -> list[str]:
        """Pieces of words, by column."""
        return list(self._pieces.get_feature_names_out())

    def count(self, texts: Sequence[str]) -> Counts:
        """The texts' counts of the terms."""
        return Counts(self._words.transform(texts), self._pieces.transform(texts), _lengths(texts))


def _count_words(least: int, most: int | None, terms: Sequence[str] | None = None) -> CountVectorizer:
    return CountVectorizer(analyzer=terms_of, min_df=least, max_features=most, vocabulary=terms, dtype=np.float64)


def _count_pieces(least: int, most: int | None, terms: Sequence[str] | None = None) -> CountVectorizer:
    how = {"analyzer": "char_wb", "ngram_range": (3, 5), "lowercase": False}
    return CountVectorizer(**how, min_df=least, max_features=most, vocabulary=terms, dtype=np.float64)


def _lengths(texts: Sequence[str]) -> Floats:
    return np.array([len(words_of(text)) for text in texts], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Rarity:
    """What each term weighs, as learnt from some rows: the rarer the more, nothing if too few of them have it."""

    words: Floats
    pieces: Floats
    unknown: float

    @classmethod
    def learn(cls, counts: Counts) -> Self:
        """Weights by smoothed inverse document frequency, ln((1 + rows) / (1 + rows with it)) + 1."""
        rows = counts.words.shape[0]
        return cls(_idf(counts.words), _idf(counts.pieces), float(np.log(1 + rows) + 1))

    def weigh(self, counts: Counts) -> Any:
        """A row's terms as a vector: 1 + ln(count), times its weight; words and pieces of length 1 each."""
        return sparse.hstack([_weighed(counts.words, self.words), _weighed(counts.pieces, self.pieces)], format="csr")

    def strangeness(self, counts: Counts, single: npt.NDArray[np.bool_]) -> Floats:
        """The share of a row's words that are unknown, by weight, 0 to 1; 1 for a row without words.

        `single` says which columns are words rather than pairs.
        """
        weights = np.where(single, self.words, 0.0)
        known = np.asarray(counts.words @ weights).ravel()
        unknown = (counts.length - np.asarray(counts.words @ (weights > 0).astype(float)).ravel()) * self.unknown
        return np.where(counts.length > 0, unknown / np.maximum(known + unknown, 1e-12), 1.0)


def _idf(counts: Any) -> Floats:
    rows, having = counts.shape[0], np.bincount(counts.indices, minlength=counts.shape[1])
    return np.where(having >= LEAST_ROWS, np.log((1 + rows) / (1 + having)) + 1, 0.0)


def _weighed(counts: Any, weights: Floats) -> Any:
    scaled = counts.copy()
    scaled.data = (1 + np.log(scaled.data)) * weights[scaled.indices]
    return normalize(scaled)
