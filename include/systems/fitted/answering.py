"""A fitted model of a use case, opened: it answers rows in the process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.systems.fitted.declared import Local
from include.systems.fitted.kept import load
from include.systems.fitted.model import Fitted


@dataclass(frozen=True, slots=True)
class Decided:
    """Labels decided alone: the probability that all are right, 0 to 1, and the least that was needed."""

    labels: Mapping[str, str]
    each: Mapping[str, float]
    probability: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Answerer:
    """`name` is the model on record: its version and the first twelve digits of its sha256."""

    fitted: Fitted
    name: str

    def answer(self, rows: Sequence[Mapping[str, Any]]) -> list[Decided | None]:
        """What is decided alone, in the order of the rows; None is for somebody else to decide."""
        threshold = self.fitted.threshold
        if threshold is None:
            return [None] * len(rows)
        return [
            Decided(one.labels, one.each, one.probability, threshold) if self.fitted.rule(one) == "decided" else None
            for one in self.fitted.judge(rows)
        ]


def open_local(folder: Path, local: Local, output: Any) -> Answerer:
    """The kept model of a use case; raises ConfigurationError as `load` does."""
    kept = load(folder, local, output)
    return Answerer(kept.fitted, f"{local.model}@{kept.sha256[:12]}")
