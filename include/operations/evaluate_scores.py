"""What answers are worth against labels, in counts and shares: no row, no text of one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from include.canonical import canonical
from include.ledger.evaluations import SCHEMA_FAILURES
from include.models import Record
from include.operations.evaluate_labels import Label
from include.spec.closed_lists import has_list

BINS = 10
_Z = 1.959964
"""The standard normal's 97.5 % quantile: bounds that hold together with 95 %."""


@dataclass(frozen=True, slots=True)
class Told:
    """One labelled row and what became of it: an answer, or why there is none (`ended`).

    `kept` is what is expected as the ledger keeps it, personal values as tokens. `cost` in US dollars and `latency` in
    milliseconds are those of the calls that it took, whenever they were made; None where nobody was asked. `paid` is
    what this run paid for it.
    """

    label: Label
    key: str
    answer: Record | None
    ended: str
    kept: Mapping[str, Any] = field(default_factory=dict)
    cost: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    latency: int | None = None
    asked_again: bool = False
    by_engine: bool = False

    def fits(self, name: str) -> bool:
        """Whether a field of the answer is the expected one."""
        if self.answer is None or name not in self.answer:
            return False
        said = self.answer[name]
        return bool(said == self.label.expected[name] or said == self.kept.get(name))

    @property
    def breaks(self) -> bool:
        """Whether the answer has a value that it must not get."""
        said = self.answer or {}
        return any(name in said and said[name] in values for name, values in self.label.must_not.items())

    @property
    def verdict(self) -> str:
        """`right`, `wrong`, `broken` (a value that must not be), or why there is no answer."""
        if self.answer is None:
            return self.ended
        if self.breaks:
            return "broken"
        return "right" if all(map(self.fits, self.label.expected)) else "wrong"


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `of` rows."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        """The share, 0 to 1; 0 of no rows."""
        return self.hits / self.of if self.of else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """Bounds that hold together with 95 % probability (Wilson, J. Am. Stat. Assoc. 22 (1927) 209)."""
        if not self.of:
            return 0.0, 1.0
        square, share = _Z * _Z / self.of, self.value
        middle = share + square / 2
        reach = _Z * math.sqrt(share * (1 - share) / self.of + square / (4 * self.of))
        return max((middle - reach) / (1 + square), 0.0), min((middle + reach) / (1 + square), 1.0)

    def as_json(self) -> Record:
        """Counts, share and bounds."""
        low, high = self.bounds
        return {
            "hits": self.hits,
            "of": self.of,
            "share": round(self.value, 4),
            "bounds": [round(low, 4), round(high, 4)],
        }


@dataclass(frozen=True, slots=True)
class Scores:
    """The figures of one evaluation.

    `right` counts rows with every expected field right and no value that must not be. `fields` are exact matches,
    `macro_f1` the mean of F1 over the values of a field with a closed list that rows expect. `calibration` is the
    expected calibration error in ten bins of equal width (https://arxiv.org/abs/1706.04599), None without confidences.
    `latency` are the median and 95 % quantile in milliseconds of the calls that answered, `row_cost` US dollars.
    """

    right: Share
    fields: Mapping[str, Share]
    macro_f1: Mapping[str, float]
    calibration: float | None
    schema_failures: int
    not_answered: Mapping[str, int]
    must_not_broken: int
    asked_again: int
    by_engine: int
    latency: tuple[int, int] | None
    row_cost: Decimal
    slices: Mapping[str, Share]

    def as_json(self) -> Record:
        """The figures as they are kept."""
        return {
            "right": self.right.as_json(),
            "fields": {name: share.as_json() for name, share in self.fields.items()},
            "macro_f1": {name: round(value, 4) for name, value in self.macro_f1.items()},
            "calibration_error": None if self.calibration is None else round(self.calibration, 4),
            "schema_failures": self.schema_failures,
            "not_answered": dict(self.not_answered),
            "must_not_broken": self.must_not_broken,
            "asked_again": self.asked_again,
            "by_engine": self.by_engine,
            "latency_ms": None if self.latency is None else {"p50": self.latency[0], "p95": self.latency[1]},
            "row_cost_usd": str(self.row_cost),
            "slices": {name: share.as_json() for name, share in self.slices.items()},
        }


def score(rows: Sequence[Told], schema: Mapping[str, Any]) -> Scores:
    """The figures of labelled rows; `schema` is the JSON schema of an answer, which says what fields have a list."""
    names = sorted({name for one in rows for name in one.label.expected})
    parts = sorted({one.label.slice for one in rows if one.label.slice is not None})
    asked = [one for one in rows if not one.by_engine]
    latencies = [one.latency for one in asked if one.latency is not None]
    return Scores(
        right=_share(rows),
        fields={name: _exact(rows, name) for name in names},
        macro_f1={name: _macro_f1(rows, name) for name in names if has_list(schema, name)},
        calibration=_calibration(rows),
        schema_failures=sum(one.verdict in SCHEMA_FAILURES for one in rows),
        not_answered=dict(Counter(one.verdict for one in rows if one.answer is None)),
        must_not_broken=sum(one.breaks for one in rows),
        asked_again=sum(one.asked_again for one in asked),
        by_engine=len(rows) - len(asked),
        latency=(_quantile(latencies, 0.5), _quantile(latencies, 0.95)) if latencies else None,
        row_cost=sum((one.cost for one in rows), Decimal(0)) / len(rows),
        slices={name: _share([one for one in rows if one.label.slice == name]) for name in parts}
        | _by_whom(rows, asked),
    )


def _by_whom(rows: Sequence[Told], asked: Sequence[Told]) -> dict[str, Share]:
    """How the engine in the process and the model did apart, where there are both."""
    decided = [one for one in rows if one.by_engine]
    return {"decided in the process": _share(decided), "asked": _share(asked)} if decided and asked else {}


def _share(rows: Sequence[Told]) -> Share:
    return Share(sum(one.verdict == "right" for one in rows), len(rows))


def _exact(rows: Sequence[Told], name: str) -> Share:
    known = [one for one in rows if name in one.label.expected]
    return Share(sum(one.fits(name) for one in known), len(known))


def _macro_f1(rows: Sequence[Told], name: str) -> float:
    known = [one for one in rows if name in one.label.expected]
    wanted = Counter(canonical(one.label.expected[name]) for one in known)
    given = Counter(canonical((one.answer or {}).get(name)) for one in known)
    right = Counter(canonical(one.label.expected[name]) for one in known if one.fits(name))
    return sum(2 * right[value] / (wanted[value] + given[value]) for value in wanted) / len(wanted)


def _calibration(rows: Sequence[Told]) -> float | None:
    """How far confidence and share of right rows lie apart, on average over rows with a confidence."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for one in rows:
        sure = (one.answer or {}).get("confidence")
        if one.label.expected and isinstance(sure, int | float) and 0 <= sure <= 1:
            bins.setdefault(min(int(sure * BINS), BINS - 1), []).append((float(sure), one.verdict == "right"))
    total = sum(map(len, bins.values()))
    if not total:
        return None
    return sum(abs(sum(sure for sure, _ in here) - sum(right for _, right in here)) for here in bins.values()) / total


def _quantile(values: Sequence[int], share: float) -> int:
    """The smallest value that at least such a share of values does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]
