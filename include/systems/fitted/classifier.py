"""One field of an answer: a linear classifier whose probabilities are held against rows that it has not learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from sklearn.svm import LinearSVC

Floats = npt.NDArray[np.float64]

NEVER = -10.0
"""The decision value of a label that a classifier has not learnt; margins of a linear SVM lie near -1 to 1."""
_TOLERANCE = 0.1
"""When fitting stops: a tenth of liblinear's default work, at the same accuracy on held-out rows."""


@dataclass(frozen=True)
class Classifier:
    """Weights of each label's terms; `temperature` turns decision values into probabilities.

    Weights have 11 significant bits, which changes no answer and halves the file.
    """

    labels: tuple[str, ...]
    weights: npt.NDArray[np.float16]
    base: npt.NDArray[np.float32]
    temperature: float = 1.0

    @classmethod
    def fit(cls, vectors: Any, labels: Sequence[str], seed: int) -> Self:
        """The mean of two linear SVMs: each label against all others, and all labels against each other.

        Both are as in https://www.jmlr.org/papers/v9/fan08a.html (LIBLINEAR; the second one after Crammer and Singer,
        https://www.jmlr.org/papers/v2/crammer01a.html). They are wrong about different rows; since both are linear,
        their mean costs no more than one. The second one's values are stretched to the spread of the first one's.
        """
        names = np.asarray(labels)
        apart = LinearSVC(C=1.0, tol=_TOLERANCE, random_state=seed).fit(vectors, names)
        weights, base = apart.coef_, apart.intercept_
        if len(apart.classes_) == 2:
            weights, base = np.vstack([-weights, weights]), np.concatenate([-base, base])
        else:
            joint = LinearSVC(C=1.0, tol=_TOLERANCE, random_state=seed, multi_class="crammer_singer")
            joint.fit(vectors, names)
            stretch = apart.decision_function(vectors).std() / joint.decision_function(vectors).std()
            weights = (weights + stretch * joint.coef_) / 2
            base = (base + stretch * joint.intercept_) / 2
        return cls(tuple(map(str, apart.classes_)), weights.astype(np.float16), base.astype(np.float32))

    @cached_property
    def _columns(self) -> npt.NDArray[np.float32]:
        return np.ascontiguousarray(self.weights.T, dtype=np.float32)

    def decide(self, vectors: Any) -> Floats:
        """A decision value for each row and label."""
        return np.asarray(vectors @ self._columns + self.base)

    def decide_among(self, vectors: Any, labels: Sequence[str]) -> Floats:
        """Decision values in the order of `labels`, of which it may not have learnt some."""
        values = np.full((vectors.shape[0], len(labels)), NEVER)
        values[:, [labels.index(one) for one in self.labels]] = self.decide(vectors)
        return values


def probabilities(values: Floats, temperature: float) -> Floats:
    """Decision values as probabilities that add up to 1 in each row: a softmax at that temperature."""
    scaled = values / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def temperature_of(values: Floats, truth: npt.NDArray[np.intp]) -> float:
    """The temperature at which held-out rows are most likely: https://arxiv.org/abs/1706.04599 section 4.2."""
    rows = np.arange(len(truth))

    def surprise(power: float) -> float:
        given = probabilities(values, float(np.exp(power)))[rows, truth]
        return float(-np.log(np.maximum(given, 1e-12)).mean())

    return float(np.exp(minimize_scalar(surprise, bounds=(-5.0, 3.0), method="bounded", options={"xatol": 1e-3}).x))
