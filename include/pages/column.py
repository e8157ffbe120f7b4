"""One column over the nights: what it held, the expectations on it, and the rows that fail most of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from include.database import Database
from include.errors import ConfigurationError, ContractBroken
from include.ledger.record import find_manifest
from include.pages.quality import NIGHTS, Drift, Trend, show_quality
from include.pages.reading import reading, rows
from include.quality.failures import read_failures
from include.report.wording import figure

MOST_ROWS = 20
_LOOKED_AT = 200
"""Failing rows of an expectation that are looked at for those that fail most."""
FIGURES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "number": (("mean", "mean"), ("min", "smallest"), ("max", "largest")),
    "category": (("distinct", "different values"),),
    "text": (("mean_length", "mean length"), ("longest", "longest"), ("distinct", "different values")),
    "time": (("newest_age_hours", "hours since the newest"),),
}
"""Figures of a profile that are followed over the nights, with their names; the first one is drawn."""


@dataclass(frozen=True, slots=True)
class Profiled:
    """A column in one night: rows, those without a value, and the figures of its kind."""

    day: date
    run_id: str
    rows: int
    nulls: int
    profile: Mapping[str, Any]

    @property
    def null_share(self) -> float:
        """Rows without a value, 0 to 1."""
        return self.nulls / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True)
class WorstRow:
    """A row of the newest night by the expectations on the column that it fails."""

    row_id: str
    row_key: str | None
    expectations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of the column's values: a value, or a range of numbers or ages, and its share of those there are."""

    label: str
    rows: int
    share: float


@dataclass(frozen=True, slots=True)
class ColumnPage:
    """What the page of a column shows; `nights` are oldest first.

    `personal` says that no value of it is kept, only counts and lengths. `looked_at` is how many failing rows of an
    expectation were looked at for `worst`.
    """

    use_case: str
    name: str
    type: str
    kind: str
    personal: bool
    nights: tuple[Profiled, ...]
    bars: tuple[Bar, ...]
    trends: tuple[Trend, ...]
    drift: tuple[Drift, ...]
    worst: tuple[WorstRow, ...]
    looked_at: int = _LOOKED_AT

    @property
    def newest(self) -> Profiled:
        """The newest night that has a profile of it."""
        return self.nights[-1]

    @property
    def figures(self) -> tuple[tuple[str, str], ...]:
        """The figures that any of the nights has, with their names."""
        known = FIGURES.get(self.kind, ())
        return tuple(one for one in known if any(night.profile.get(one[0]) is not None for night in self.nights))


def show_column(ledger: Database, use_case: str, name: str, before: date | None = None) -> ColumnPage:
    """A column over the trailing nights; raises ConfigurationError for one that none of them has a profile of."""
    quality = show_quality(ledger, use_case, before, NIGHTS)
    with reading(ledger) as connection:
        found = rows(connection, _PROFILES, use_case=use_case, name=name, days=list(quality.nights), before=before)
    if not found:
        raise ConfigurationError("no such column in these nights", system="ledger", about=f"{use_case} {name}")
    nights = tuple(Profiled(r["day"], r["run_id"], r["rows"], r["nulls"], r["profile"]) for r in found)
    last = found[-1]
    trends = tuple(trend for trend in quality.trends if name in trend.columns)
    return ColumnPage(
        use_case=use_case,
        name=name,
        type=last["type"],
        kind=str(last["profile"].get("kind", "other")),
        personal=bool(last["profile"].get("personal")),
        nights=nights,
        bars=_bars(nights[-1]),
        trends=trends,
        drift=tuple(one for one in quality.drift if one.column == name),
        worst=_worst(ledger, quality.latest_run, trends),
    )


def _bars(night: Profiled) -> tuple[Bar, ...]:
    """The newest night's values as shares: the frequent ones of a category, else the bins of numbers or ages."""
    held, known = night.profile, max(night.rows - night.nulls, 1)
    if held.get("kind") == "category":
        found = [(str(value), count) for value, count in held.get("values", ())]
        others = [("all others", held["others"])] if held.get("others") else []
        return tuple(Bar(label, count, count / known) for label, count in [*found, *others])
    edges, counts = held.get("edges") or (), held.get("counts") or ()
    if not edges or len(counts) != len(edges) + 1:
        return ()
    unit = " days old" if held.get("kind") == "time" else ""
    ends = [figure(edge) for edge in edges]
    middle = (f"above {low} to {high}{unit}" if low != high else f"{high}{unit}" for low, high in pairwise(ends))
    labels = [f"up to {ends[0]}{unit}", *middle, f"above {ends[-1]}{unit}"]
    return tuple(Bar(label, count, count / known) for label, count in zip(labels, counts, strict=True) if count)


def _worst(ledger: Database, run_id: str | None, trends: Sequence[Trend]) -> tuple[WorstRow, ...]:
    """Rows of the newest night that fail most of the expectations; none where they are not kept any more."""
    failing = [one for one in trends if one.latest.run_id == run_id and one.latest.failing and one.stage == "check"]
    manifest = find_manifest(ledger, run_id, "failures") if run_id and failing else None
    if manifest is None:
        return ()
    fails, keys = dict[str, list[str]](), dict[str, str | None]()
    try:
        for trend in failing:
            for row in read_failures(manifest, trend.expectation, limit=_LOOKED_AT):
                fails.setdefault(row.row_id, []).append(trend.expectation)
                keys[row.row_id] = row.row_key
    except ContractBroken:
        return ()
    most = Counter({row_id: len(names) for row_id, names in fails.items()}).most_common(MOST_ROWS)
    return tuple(WorstRow(row_id, keys[row_id], tuple(fails[row_id])) for row_id, _ in most)


_PROFILES = """
SELECT DISTINCT ON (r.interval_start) r.interval_start::date AS day, r.run_id, p.type, p.rows, p.nulls, p.profile
  FROM nightledger.run r JOIN nightledger.column_profile p ON p.run_id = r.run_id AND p.column_name = :name
 WHERE r.use_case = :use_case AND r.options ->> 'limit' IS NULL AND r.interval_start::date = ANY(:days)
   AND (CAST(:before AS date) IS NULL OR r.interval_start < CAST(:before AS date))
 ORDER BY r.interval_start, r.interval_end DESC, r.attempt DESC"""
