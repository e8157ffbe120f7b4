"""A fitted model: what it learnt, and how it judges rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from include.systems.fitted.classifier import Classifier, probabilities
from include.systems.fitted.texts import Counts, Floats, Rarity, Vocabulary, text_of, words_of

Ruling = Literal["decided", "doubt", "out_of_scope"]
"""What becomes of a row: decided alone, or sent on for doubt, or because it is like nothing that was learnt."""

BLOCK_ROWS = 1_000
"""Rows whose vectors are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whether a row is like what was learnt.

    `familiarity` is the first field's highest decision value, less half the share of the row's words that nobody knows,
    each in units of its own spread over held-out rows; a row below `least` is out of scope.
    """

    value_spread: float
    strange_spread: float
    least: float

    def familiarity(self, values: Floats, strangeness: Floats) -> Floats:
        """How like the rows that were learnt each row is; it has no unit and no bounds."""
        return np.asarray(values.max(axis=1) / self.value_spread - 0.5 * strangeness / self.strange_spread)


@dataclass(frozen=True, slots=True)
class Judged:
    """The likeliest label of each field with its probability, and whether the row is like what was learnt."""

    labels: Mapping[str, str]
    each: Mapping[str, float]
    familiar: bool

    @property
    def probability(self) -> float:
        """That all labels are right, as if their errors did not depend on each other; 0 to 1."""
        return float(np.prod(list(self.each.values())))


@dataclass(frozen=True)
class Fitted:
    """What was learnt from labelled rows.

    It decides alone above `threshold` (None: nothing). `seen` are the digests of the texts that it learnt from, sorted.
    """

    reads: tuple[str, ...]
    classifiers: Mapping[str, Classifier]
    vocabulary: Vocabulary
    rarity: Rarity
    scope: Scope
    threshold: float | None
    seen: npt.NDArray[np.uint64]

    @cached_property
    def _single(self) -> npt.NDArray[np.bool_]:
        return single_words(self.vocabulary)

    def judge(self, rows: Sequence[Mapping[str, Any]]) -> list[Judged]:
        """What it makes of each row, in the same order; a row without any word is out of scope."""
        texts = [text_of(row, self.reads) for row in rows]
        blocks = (texts[at : at + BLOCK_ROWS] for at in range(0, len(texts), BLOCK_ROWS))
        return [one for block in blocks for one in self._judge(block)]

    def _judge(self, texts: Sequence[str]) -> Iterator[Judged]:
        counts = self.vocabulary.count(texts)
        vectors = self.rarity.weigh(counts)
        values = {name: one.decide(vectors) for name, one in self.classifiers.items()}
        familiar = self._familiar(values, counts)
        given = {name: probabilities(values[name], one.temperature) for name, one in self.classifiers.items()}
        best = {name: shares.argmax(axis=1) for name, shares in given.items()}
        for row in range(len(texts)):
            labels = {name: one.labels[best[name][row]] for name, one in self.classifiers.items()}
            each = {name: float(given[name][row, best[name][row]]) for name in labels}
            yield Judged(labels, each, bool(familiar[row]))

    def _familiar(self, values: Mapping[str, Floats], counts: Counts) -> npt.NDArray[np.bool_]:
        first = next(iter(self.classifiers))
        score = self.scope.familiarity(values[first], self.rarity.strangeness(counts, self._single))
        return np.asarray((score >= self.scope.least) & (counts.length > 0))

    def rule(self, judged: Judged) -> Ruling:
        """Whether the model decides a row alone, and if not, why."""
        if not judged.familiar:
            return "out_of_scope"
        return "decided" if self.threshold is not None and judged.probability >= self.threshold else "doubt"

    def has_seen(self, rows: Sequence[Mapping[str, Any]]) -> list[bool]:
        """Whether it learnt from a row with the same text."""
        digests = digests_of([text_of(row, self.reads) for row in rows])
        return [bool(one) for one in np.isin(digests, self.seen)]


def single_words(vocabulary: Vocabulary) -> npt.NDArray[np.bool_]:
    """Which columns of words are no pairs."""
    return np.array([words_of(term) == [term] for term in vocabulary.words], dtype=bool)


def digests_of(texts: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Eight bytes of each text's sha256: enough to tell rows that were learnt, too little to find their text."""
    whole = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8] for text in texts)
    return np.array([int.from_bytes(one, "big") for one in whole], dtype=np.uint64)
