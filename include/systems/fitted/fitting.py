"""Fit a model to labelled rows; everything that it claims of itself comes from rows that were held out.

Rows are split into folds; each fold is judged by classifiers, weights and temperatures that never saw it. From these
held-out rows come the temperatures, the line below which a row is out of scope, the threshold above which the model
decides alone, and the figures that are kept with it. The model itself then learns from all rows.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from include.errors import ConfigurationError
from include.systems.fitted.bounds import certain_above
from include.systems.fitted.classifier import Classifier, probabilities, temperature_of
from include.systems.fitted.declared import Local
from include.systems.fitted.model import Fitted, Judged, Scope, digests_of, single_words
from include.systems.fitted.texts import Counts, Floats, Rarity, Vocabulary, text_of

FOLDS = 5
SEED = 20_261_122
_LEAST_SPREAD = 0.05

Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows with the label of every field, in the same order; rows of one group are never held out from each other."""

    rows: Sequence[Mapping[str, Any]]
    labels: Mapping[str, Sequence[str]]
    groups: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What the rows in scope got while they were held out, in the order of the training rows in scope."""

    judged: list[Judged]
    truth: list[Mapping[str, str]]


@dataclass
class _Field:
    """One field's labels by number, and its decision values for rows while they are held out."""

    labels: list[str]
    truth: Ints
    values: Floats

    @classmethod
    def of(cls, given: Sequence[str]) -> _Field:
        labels = sorted(set(given))
        place = {label: at for at, label in enumerate(labels)}
        truth = np.array([place[one] for one in given], dtype=np.intp)
        return cls(labels, truth, np.zeros((len(given), len(labels))))


def fit(local: Local, given: Labelled, folds: int = FOLDS, seed: int = SEED) -> tuple[Fitted, HeldOut]:
    """The model and what its held-out rows got; the same rows, folds and seed give the same model.

    Rows with the label `out_of_scope` are left out. Raises ConfigurationError if a field has fewer than two labels, a
    label fewer rows than there are folds, there are fewer groups than folds, or no two texts share a word.
    """
    given = in_scope(local, given)
    _refuse_too_few(local, given, folds)
    texts = [text_of(row, local.reads) for row in given.rows]
    vocabulary, counts = _learn_terms(local, texts)
    found = {name: _Field.of(given.labels[name]) for name in local.fills}
    strangeness = _hold_out(found, vocabulary, counts, _split(local, given, folds, seed), seed)
    scope = _scope(local, found[local.fills[0]].values, strangeness)
    temperatures = {name: temperature_of(one.values, one.truth) for name, one in found.items()}
    familiar = scope.familiarity(found[local.fills[0]].values, strangeness) >= scope.least
    held = _held_out(found, temperatures, familiar)
    rarity = Rarity.learn(counts)
    vectors = rarity.weigh(counts)
    classifiers = {
        name: replace(Classifier.fit(vectors, given.labels[name], seed), temperature=temperatures[name])
        for name in local.fills
    }
    threshold = threshold_of(held, local.certain)
    seen = np.unique(digests_of(texts))
    return Fitted(local.reads, classifiers, vocabulary, rarity, scope, threshold, seen), held


def _learn_terms(local: Local, texts: Sequence[str]) -> tuple[Vocabulary, Counts]:
    try:
        return Vocabulary.learn(texts, local.most_terms)
    except ValueError as error:  # what scikit-learn says of texts none of whose terms stands twice
        raise ConfigurationError("no two of the texts share a word", about=local.model) from error


def in_scope(local: Local, given: Labelled) -> Labelled:
    """The rows without those labelled as out of scope."""
    kept = [at for at, label in enumerate(given.labels[local.fills[0]]) if label != local.out_of_scope]
    return Labelled(
        [given.rows[at] for at in kept],
        {name: [given.labels[name][at] for at in kept] for name in local.fills},
        None if given.groups is None else [given.groups[at] for at in kept],
    )


def _refuse_too_few(local: Local, given: Labelled, folds: int) -> None:
    for name in local.fills:
        rows = Counter(given.labels[name])
        if len(rows) < 2:
            raise ConfigurationError(f"needs rows of two labels at least, has {len(rows)}", about=name)
        if few := sorted(label for label, many in rows.items() if many < folds):
            raise ConfigurationError(f"needs {folds} rows of each label; too few of {', '.join(few)}", about=name)


def _split(local: Local, given: Labelled, folds: int, seed: int) -> Iterator[tuple[Ints, Ints]]:
    """Numbers of the rows that are learnt and of those held out, for each fold; by the first field's labels."""
    labels = given.labels[local.fills[0]]
    if given.groups is None:
        yield from StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
        return
    if (groups := len(set(given.groups))) < folds:
        raise ConfigurationError(f"{folds} folds need as many groups; there are {groups}", about=local.model)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        yield from StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, given.groups)


def _hold_out(
    found: Mapping[str, _Field], vocabulary: Vocabulary, counts: Counts, split: Iterator[tuple[Ints, Ints]], seed: int
) -> Floats:
    """Fill in every field's values fold by fold; returns the rows' strangeness."""
    single, strangeness = single_words(vocabulary), np.zeros(len(counts.length))
    for learnt, out in split:
        rarity = Rarity.learn(counts.take(learnt))
        left = counts.take(out)
        strangeness[out] = rarity.strangeness(left, single)
        vectors, others = rarity.weigh(counts.take(learnt)), rarity.weigh(left)
        for one in found.values():
            known = [one.labels[at] for at in one.truth[learnt]]
            one.values[out] = Classifier.fit(vectors, known, seed).decide_among(others, one.labels)
    return strangeness


def _scope(local: Local, values: Floats, strangeness: Floats) -> Scope:
    """The line that the share `strange` of the held-out rows in scope fall below."""
    spread = max(float(values.max(axis=1).std()), _LEAST_SPREAD)
    scope = Scope(spread, max(float(strangeness.std()), _LEAST_SPREAD), 0.0)
    least = np.quantile(scope.familiarity(values, strangeness), local.strange, method="lower")
    return replace(scope, least=float(least))


def _held_out(
    found: Mapping[str, _Field], temperatures: Mapping[str, float], familiar: npt.NDArray[np.bool_]
) -> HeldOut:
    given = {name: probabilities(one.values, temperatures[name]) for name, one in found.items()}
    best = {name: shares.argmax(axis=1) for name, shares in given.items()}
    judged, truth = list[Judged](), list[Mapping[str, str]]()
    for row in range(len(familiar)):
        each = {name: float(given[name][row, best[name][row]]) for name in found}
        labels = {name: one.labels[best[name][row]] for name, one in found.items()}
        judged.append(Judged(labels, each, bool(familiar[row])))
        truth.append({name: one.labels[one.truth[row]] for name, one in found.items()})
    return HeldOut(judged, truth)


def threshold_of(held: HeldOut, certain: float) -> float | None:
    """Above which probability whole answers are right often enough, among held-out rows that look familiar."""
    pairs = [(one, truth) for one, truth in zip(held.judged, held.truth, strict=True) if one.familiar]
    probability = np.array([one.probability for one, _ in pairs], dtype=np.float64)
    right = np.array([one.labels == truth for one, truth in pairs], dtype=bool)
    return certain_above(probability, right, certain)
