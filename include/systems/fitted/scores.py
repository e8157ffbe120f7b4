"""How good judgements are, against the labels that people gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from include.models import Record
from include.systems.fitted.bounds import bounds
from include.systems.fitted.model import Fitted, Judged, Ruling

_BINS = 15


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `of` rows, with bounds that each hold with 95 % probability."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        """The share, 0 to 1; 0 of no rows."""
        return self.hits / self.of if self.of else 0.0

    def as_json(self) -> Record:
        """The counts, the share and its bounds (Clopper and Pearson)."""
        low, high = bounds(self.hits, self.of) if self.of else (0.0, 1.0)
        return {"share": round(self.value, 4), "low": round(low, 4), "high": round(high, 4), **asdict(self)}


@dataclass(frozen=True, slots=True)
class LabelScore:
    """One label of a field: rows that have it, rows that got it, both, and the same among rows decided alone."""

    field: str
    label: str
    rows: int
    given: int
    right: int
    decided: int
    decided_right: int

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall, 0 to 1."""
        return 2 * self.right / (self.rows + self.given) if self.rows + self.given else 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """Figures of one set of labelled rows.

    `right` counts rows in scope of which every labelled field is right, decided or not; `alone` of those decided alone;
    `calibration` is the expected calibration error in 15 bins of equal width (https://arxiv.org/abs/1706.04599).
    `doubt` and `strange` count rows in scope that were sent on; `outside` are rows labelled as out of scope, and how
    many of them were sent on. `forbidden` counts rows decided alone with an answer that must not be given.
    """

    right: Share
    alone: Share
    calibration: float
    doubt: int
    strange: int
    outside: Share
    forbidden: int
    fields: Mapping[str, Share] = field(default_factory=dict)
    labels: Sequence[LabelScore] = ()

    @property
    def decided(self) -> Share:
        """How many rows in scope are decided alone."""
        return Share(self.alone.of, self.right.of)

    def macro_f1(self, name: str) -> float:
        """The mean of F1 over the labels of a field that rows have, each counting the same; 0 to 1."""
        found = [one.f1 for one in self.labels if one.field == name and one.rows]
        return sum(found) / len(found) if found else 0.0

    def as_json(self) -> Record:
        """The figures, each with its counts and bounds."""
        return {
            "right": self.right.as_json(),
            "decided": self.decided.as_json(),
            "decided_right": self.alone.as_json(),
            "calibration_error": round(self.calibration, 4),
            "sent_on_for_doubt": self.doubt,
            "sent_on_as_out_of_scope": self.strange,
            "out_of_scope_sent_on": self.outside.as_json(),
            "forbidden_decided": self.forbidden,
            "fields": {
                name: {**share.as_json(), "macro_f1": round(self.macro_f1(name), 4)}
                for name, share in self.fields.items()
            },
            "labels": [asdict(one) for one in self.labels],
        }


@dataclass(frozen=True, slots=True)
class Answered:
    """One labelled row: what was made of it, and the fields that are known to be right (None: it is out of scope).

    `forbidden` are labels that a field must not get.
    """

    judged: Judged
    ruling: Ruling
    truth: Mapping[str, str] | None
    forbidden: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """Whether every field that is known is right."""
        return self.truth is not None and all(self.judged.labels.get(name) == one for name, one in self.truth.items())

    @property
    def breaks(self) -> bool:
        """Whether it was decided alone with a label that a field must not get."""
        return self.ruling == "decided" and any(
            self.judged.labels.get(name) in labels for name, labels in self.forbidden.items()
        )


def answered(fitted: Fitted, judged: Iterable[Judged], truth: Iterable[Mapping[str, str] | None]) -> list[Answered]:
    """Judgements with their ruling and the truth, in the same order."""
    return [Answered(one, fitted.rule(one), known) for one, known in zip(judged, truth, strict=True)]


def score(rows: Sequence[Answered]) -> Score:
    """The figures of labelled rows; all that is not about rows out of scope is about the others."""
    inside = [one for one in rows if one.truth is not None]
    outside = [one for one in rows if one.truth is None]
    decided = [one for one in inside if one.ruling == "decided"]
    names = sorted({name for one in inside for name in one.truth or {}})
    return Score(
        right=Share(sum(one.right for one in inside), len(inside)),
        alone=Share(sum(one.right for one in decided), len(decided)),
        calibration=_calibration(inside),
        doubt=sum(one.ruling == "doubt" for one in inside),
        strange=sum(one.ruling == "out_of_scope" for one in inside),
        outside=Share(sum(one.ruling != "decided" for one in outside), len(outside)),
        forbidden=sum(one.breaks for one in rows),
        fields={name: _field_share(inside, name) for name in names},
        labels=[one for name in names for one in _labels(inside, name)],
    )


def _calibration(rows: Sequence[Answered]) -> float:
    """How far probability and share of right rows lie apart, on average over rows."""
    if not rows:
        return 0.0
    given = np.array([one.judged.probability for one in rows])
    right = np.array([one.right for one in rows], dtype=float)
    edges, apart = np.linspace(0, 1, _BINS + 1), 0.0
    for low, high in pairwise(edges):
        here = (given > low) & (given <= high)
        if here.any():
            apart += float(here.mean()) * abs(float(given[here].mean() - right[here].mean()))
    return apart


def _field_share(rows: Sequence[Answered], name: str) -> Share:
    known = [one for one in rows if one.truth and name in one.truth]
    return Share(sum(one.judged.labels.get(name) == (one.truth or {})[name] for one in known), len(known))


def _labels(rows: Sequence[Answered], name: str) -> list[LabelScore]:
    counts: dict[str, Counter[str]] = {}
    for one in rows:
        if not one.truth or name not in one.truth:
            continue
        truth, given, alone = one.truth[name], one.judged.labels.get(name, ""), one.ruling == "decided"
        counts.setdefault(truth, Counter())["rows"] += 1
        mine: Any = counts.setdefault(given, Counter())
        mine.update(given=1, right=truth == given, decided=alone, decided_right=alone and truth == given)
    return [
        LabelScore(name, label, *(found[what] for what in ("rows", "given", "right", "decided", "decided_right")))
        for label, found in sorted(counts.items())
    ]
