"""How good a use case's fitted model is on labelled rows, and what it leaves to be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from include.errors import ConfigurationError
from include.models import Record
from include.operations.train import apart, describe, labelled
from include.systems.fitted.declared import Local
from include.systems.fitted.fitting import FOLDS, fit
from include.systems.fitted.kept import load
from include.systems.fitted.labels import Columns, LabelledRow, Unusable, read_labels, usable
from include.systems.fitted.model import Fitted, Judged
from include.systems.fitted.scores import Answered, Score, score

Split = Literal["unseen", "all", "folds"]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The figures, on which rows they were had, and every row with what was made of it."""

    score: Score
    split: str
    rows: Sequence[LabelledRow]
    answers: Sequence[Answered]
    unusable: Sequence[Unusable]
    threshold: float | None


def evaluate(local: Local, output: Any, folder: Path, labels: Path, columns: Columns, split: Split) -> Evaluated:
    """Hold the model in `folder` against labelled rows; nothing is asked.

    `unseen` leaves out rows whose text the model has learnt, `all` does not, and `folds` fits the same recipe to these
    rows and judges each while it is held out: it needs no model. Raises ConfigurationError if no row is left.
    """
    rows, unusable = usable(read_labels(labels, local, columns), local, output, FOLDS if split == "folds" else 1)
    if split == "folds":
        fitted, rows, judged = _by_folds(local, rows, columns)
        words = describe(columns)
    else:
        fitted = load(folder, local, output).fitted
        rows, words = _chosen(fitted, rows, split)
        judged = fitted.judge([row.row for row in rows])
    if not rows:
        raise ConfigurationError("holds no row that the model has not learnt", about=str(labels))
    answers = [_answered(local, fitted, row, one) for row, one in zip(rows, judged, strict=True)]
    return Evaluated(score(answers), words, rows, answers, unusable, fitted.threshold)


def predictions(found: Evaluated, local: Local) -> list[Record]:
    """A line for each row: its name, the likeliest label, how probable it is, and who decides the row.

    `label` is the first field's; `labels` are all, where the model fills more. What is left to be asked has the label
    that would have been given, and why it is left.
    """
    lines = []
    for row, one in zip(found.rows, found.answers, strict=True):
        line: Record = {"id": row.name, "label": one.judged.labels[local.fills[0]]}
        if len(local.fills) > 1:
            line["labels"] = dict(one.judged.labels)
        line["confidence"] = round(one.judged.probability, 4)
        line["decided_by"] = "local" if one.ruling == "decided" else "asked"
        if one.ruling != "decided":
            line["why"] = one.ruling
        lines.append(line)
    return lines


def _by_folds(
    local: Local, rows: Sequence[LabelledRow], columns: Columns
) -> tuple[Fitted, list[LabelledRow], list[Judged]]:
    fitted, held = fit(local, labelled(rows, local, columns))
    inside, outside = apart(rows, local)
    return fitted, [*inside, *outside], [*held.judged, *fitted.judge([row.row for row in outside])]


def _chosen(fitted: Fitted, rows: Sequence[LabelledRow], split: Split) -> tuple[list[LabelledRow], str]:
    seen = fitted.has_seen([row.row for row in rows])
    if split == "all":
        return list(rows), f"all rows; the model has learnt {sum(seen):,} of {len(rows):,}"
    left = [row for row, known in zip(rows, seen, strict=True) if not known]
    return left, f"rows that the model has not learnt: {len(left):,} of {len(rows):,}"


def _answered(local: Local, fitted: Fitted, row: LabelledRow, judged: Judged) -> Answered:
    outside = local.out_of_scope is not None and row.labels[local.fills[0]] == local.out_of_scope
    truth = None if outside else {name: row.labels[name] for name in local.fills}
    return Answered(judged, fitted.rule(judged), truth, row.forbidden)
