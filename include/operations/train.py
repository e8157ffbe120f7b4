"""Fit a use case's model to labelled rows, and keep it as a new version unless it is worse than the one in use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from include.canonical import digest
from include.errors import ConfigurationError
from include.systems.fitted.declared import Local, labels_of
from include.systems.fitted.fitting import FOLDS, SEED, Labelled, fit
from include.systems.fitted.kept import Kept, load, save
from include.systems.fitted.labels import Columns, LabelledRow, Unusable, read_labels, usable
from include.systems.fitted.model import Fitted
from include.systems.fitted.scores import Answered, Score, answered, score
from include.systems.fitted.texts import text_of

ENOUGH = 100
"""So many rows that the model in use has not learnt are enough to compare both on them."""
_VERSION = re.compile(r"(.*\.v)(\d+)")


@dataclass(frozen=True, slots=True)
class Standing:
    """How the new model stands to the one in use: on which rows, and the shares of either: right, right and alone."""

    split: str
    new: tuple[float, float]
    in_use: tuple[float, float]

    @property
    def worse(self) -> bool:
        """Whether fewer rows are right, or as many are and fewer of them are decided alone."""
        return self.new < self.in_use


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of it: the figures of held-out rows, the rows left out, and the file (None: not kept, it is worse)."""

    score: Score
    rows: int
    unusable: Sequence[Unusable]
    split: str
    standing: Standing | None
    model: str
    place: Path | None
    note: str = ""


def train(
    local: Local, output: Any, folder: Path, labels: Path, columns: Columns, *, into: Path | None, anyway: bool
) -> Trained:
    """Fit a model to the rows of `labels`; the one in use lies in `folder`, the new one goes there or to `into`.

    Raises ConfigurationError for labels that cannot be used, and for a declaration that does not fit the answer.
    """
    for name in local.fills:
        labels_of(output, name)
    rows, unusable = usable(read_labels(labels, local, columns), local, output, FOLDS)
    fitted, held = fit(local, labelled(rows, local, columns))
    inside, outside = apart(rows, local)
    mine = answered(fitted, held.judged, held.truth)
    audit = answered(fitted, fitted.judge([row.row for row in outside]), [None] * len(outside))
    scored, split = score([*mine, *audit]), describe(columns)
    in_use, note = _in_use(folder, local, output)
    standing = _compare(local, inside, mine, in_use) if in_use else None
    place: Path | None = None
    named = replace(local, model=_next(into or folder, local.model))
    if anyway or standing is None or not standing.worse:
        more = {
            "rows": len(inside),
            "out_of_scope_rows": len(outside),
            "most_terms": local.most_terms,
            "data_sha256": digest([[text_of(row.row, local.reads), row.labels] for row in rows]),
            "split": split,
            "folds": FOLDS,
            "seed": SEED,
            "held_out": scored.as_json(),
        }
        place = save(into or folder, named, fitted, more)
    return Trained(scored, len(rows), unusable, split, standing, named.model, place, note)


def describe(columns: Columns) -> str:
    """The split, in words."""
    kept = f", rows of one {columns.group} together" if columns.group else ", stratified"
    return f"{FOLDS} folds{kept}, seed {SEED}"


def labelled(rows: Sequence[LabelledRow], local: Local, columns: Columns) -> Labelled:
    """Rows as a model is fitted to them."""
    labels = {name: [row.labels[name] for row in rows] for name in local.fills}
    return Labelled([row.row for row in rows], labels, [row.group for row in rows] if columns.group else None)


def apart(rows: Sequence[LabelledRow], local: Local) -> tuple[list[LabelledRow], list[LabelledRow]]:
    """Rows in scope, and those labelled as out of it."""
    first = local.fills[0]
    outside = [row for row in rows if local.out_of_scope and row.labels.get(first) == local.out_of_scope]
    numbers = {row.number for row in outside}
    return [row for row in rows if row.number not in numbers], outside


def _in_use(folder: Path, local: Local, output: Any) -> tuple[Kept | None, str]:
    """The model in use, or None with the reason why there is nothing to compare with."""
    if not (folder / f"{local.model}.skops").exists():
        return None, "there is no model in use"
    try:
        return load(folder, local, output), ""
    except ConfigurationError as error:
        return None, f"the model in use cannot be compared with: {error}"


def _compare(local: Local, rows: Sequence[LabelledRow], mine: Sequence[Answered], in_use: Kept) -> Standing:
    """Both on rows that neither has learnt; if too few are new to the one in use, by what each got when held out."""
    seen = in_use.fitted.has_seen([row.row for row in rows])
    fresh = [at for at, known in enumerate(seen) if not known]
    if len(fresh) >= ENOUGH:
        theirs = _judge(in_use.fitted, [rows[at] for at in fresh], local)
        split = f"{len(fresh):,} rows that the one in use has not learnt"
        return Standing(split, _figures(score([mine[at] for at in fresh])), _figures(score(theirs)))
    kept: Mapping[str, Any] = in_use.about["held_out"]
    split = "what each got for its own rows while they were held out"
    return Standing(
        split,
        _figures(score(mine)),
        (kept["right"]["share"], _part_of(kept["decided_right"]["hits"], kept["right"]["of"])),
    )


def _judge(fitted: Fitted, rows: Sequence[LabelledRow], local: Local) -> list[Answered]:
    truth = [{name: row.labels[name] for name in local.fills} for row in rows]
    return answered(fitted, fitted.judge([row.row for row in rows]), truth)


def _figures(scored: Score) -> tuple[float, float]:
    return round(scored.right.value, 4), _part_of(scored.alone.hits, scored.right.of)


def _part_of(hits: int, rows: int) -> float:
    return round(hits / rows, 4) if rows else 0.0


def _next(folder: Path, model: str) -> str:
    """The declared version if there is none yet, else one more than the highest there is."""
    if not (folder / f"{model}.skops").exists():
        return model
    if (parts := _VERSION.fullmatch(model)) is None:
        raise ConfigurationError("needs a name that ends in its version, such as model.v1", about=model)
    there = (_VERSION.fullmatch(path.stem) for path in folder.glob(f"{parts[1]}*.skops"))
    return f"{parts[1]}{1 + max(int(one[2]) for one in there if one and one[1] == parts[1])}"
