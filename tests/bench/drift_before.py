"""The rule for drift that the package had before its figures had a course of their own: the baseline of the bench.

Fixed thresholds, widened by what chance does and by how far nights of any weekday lie apart.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from statistics import median
from typing import Any, NamedTuple

from include.night.check.chance import deviations, overdispersion, share_by_chance, stability_index
from include.night.check.past_nights import PastNight
from include.night.check.signals import aligned_counts
from include.quality.profile import ColumnProfile
from include.spec.use_case import Drift

VOLUME = 0.5


class _Measured(NamedTuple):
    value: float
    expected: float | None
    threshold: float
    drifted: bool
    detail: str = ""


class _Usual(NamedTuple):
    """The nights that one column is held against; `mixed` while they are of any weekday.

    Mixed nights differ among themselves (a Sunday is no Monday): by what they do so beyond chance, a night may too.
    `alike` are groups of comparable nights, from which is learnt what chance does: weekdays, or all if mixed.
    """

    nights: Sequence[PastNight]
    mixed: bool
    alike: Sequence[Sequence[PastNight]]

    def columns(self, name: str) -> list[ColumnProfile]:
        """One column on each of the nights."""
        return [night.columns[name] for night in self.nights]

    def spread(self, counts: Callable[[PastNight], Sequence[int]]) -> float:
        """By how much variance exceeds that of independent rows, from each night's counts."""
        return overdispersion([[counts(night) for night in group] for group in self.alike])


def drifted(tonight: PastNight, past: Sequence[PastNight]) -> list[str]:
    """The signals that drifted by that rule."""
    declared, found = Drift(), []
    whole = _usual(past, tonight.start, declared)
    if whole and _volume(tonight, whole, declared).drifted:
        found.append("volume")
    for name, column in tonight.columns.items():
        if any(name in night.columns and night.columns[name].type != column.type for night in past[:1]):
            found.append(f"schema {name}")
        for signal, compute, comparable in _SIGNALS:
            if (signal != "null_share" and column.nulls == column.rows) or not comparable(column, column):
                continue
            nights = [night for night in past if name in night.columns and comparable(column, night.columns[name])]
            usual = _usual(nights, tonight.start, declared)
            if usual and compute(column, usual, declared).drifted:
                found.append(f"{signal} {name}")
    return found


def _volume(tonight: PastNight, usual: _Usual, declared: Drift) -> _Measured:
    before = [night.rows for night in usual.nights]
    expected = median(before)
    chance = deviations(declared.chance) * math.sqrt(max(expected, 1))
    allowed = max(VOLUME * expected, chance)
    if usual.mixed:
        allowed = max(allowed, max(abs(rows - expected) for rows in before) + chance)
    if min(before) > 0:
        allowed = min(allowed, expected - 0.5) if tonight.rows < expected else allowed
    return _Measured(tonight.rows, expected, allowed, abs(tonight.rows - expected) > allowed)


def _any(now: ColumnProfile, was: ColumnProfile) -> bool:
    return was.rows > 0


def _category(now: ColumnProfile, was: ColumnProfile) -> bool:
    return was.kind == "category" and bool(was.profile["values"])


def _histogram(now: ColumnProfile, was: ColumnProfile) -> bool:
    same = was.kind == now.kind and now.kind in ("number", "time") and was.profile["edges"] == now.profile["edges"]
    return same and sum(was.profile["counts"]) > 0


def _usual(nights: Sequence[PastNight], start: datetime, declared: Drift) -> _Usual | None:
    """The nights of the same weekday once there are enough, else all once there are enough, else None."""
    weekdays = [[night for night in nights if night.start.weekday() == day] for day in range(7)]
    same = weekdays[start.weekday()]
    if len(same) >= declared.same_weekday:
        return _Usual(same, False, [group for group in weekdays if len(group) > 1])
    return _Usual(nights, True, [nights]) if len(nights) >= declared.min_nights else None


def _null_share(column: ColumnProfile, usual: _Usual, declared: Drift) -> _Measured:
    before = usual.columns(column.name)
    shares = [was.null_share for was in before]
    expected, rows = median(shares), sum(was.rows for was in before)
    pooled = (column.nulls + sum(was.nulls for was in before)) / (column.rows + rows)

    def counts(night: PastNight) -> list[int]:
        was = night.columns[column.name]
        return [was.nulls, was.rows - was.nulls]

    spread = math.sqrt(usual.spread(counts))
    chance = spread * share_by_chance(pooled, column.rows, rows, declared.chance)
    allowed = max(declared.null_share, chance)
    if usual.mixed:
        own = (spread * share_by_chance(pooled, was.rows, rows, declared.chance) for was in before)
        beyond = (abs(was.null_share - expected) - by for was, by in zip(before, own, strict=True))
        allowed = max(allowed, max(beyond) + chance)
    return _Measured(column.null_share, expected, allowed, abs(column.null_share - expected) > allowed)


def _category_share(column: ColumnProfile, usual: _Usual, declared: Drift) -> _Measured:
    """The largest change of one value's share; values beyond the frequent ones are taken together."""
    nights = [night for group in usual.alike for night in group]
    now, *each = aligned_counts([column, *(night.columns[column.name] for night in nights)])
    by_run = {night.run_id: counts for night, counts in zip(nights, each, strict=True)}
    names = sorted(set(now).union(*each))
    spread = math.sqrt(usual.spread(lambda night: [by_run[night.run_id][name] for name in names]))
    before = [by_run[night.run_id] for night in usual.nights]
    was = sum(before, Counter[str]())
    rows, rows_before = now.total(), was.total()
    value = max(names, key=lambda name: (abs(now[name] / rows - was[name] / rows_before), name))
    share, expected = now[value] / rows, was[value] / rows_before
    pooled, rare = (now[value] + was[value]) / (rows + rows_before), declared.chance / len(names)
    chance = spread * share_by_chance(pooled, rows, rows_before, rare)
    allowed = max(declared.category_share, chance)
    if usual.mixed:
        own = (spread * share_by_chance(pooled, one.total(), rows_before, rare) for one in before)
        beyond = (_widest(one, was) - by for one, by in zip(before, own, strict=True))
        allowed = max(allowed, max(beyond) + chance)
    return _Measured(share, expected, allowed, abs(share - expected) > allowed, f"value {value!r}")


def _widest(one: Counter[str], all_nights: Counter[str]) -> float:
    rows, total = one.total(), all_nights.total()
    return max(abs(one[value] / rows - all_nights[value] / total) for value in all_nights)


def _distribution(column: ColumnProfile, usual: _Usual, declared: Drift) -> _Measured:
    """Histograms of tonight and before, on the same edges, by the population stability index."""
    each = [was.profile["counts"] for was in usual.columns(column.name)]
    before = [sum(counts) for counts in zip(*each, strict=True)]
    spread = usual.spread(lambda night: night.columns[column.name].profile["counts"])
    value, by_chance = stability_index(column.profile["counts"], before, declared.chance)
    allowed = max(declared.distribution, spread * by_chance)
    if usual.mixed:
        seen = (stability_index(counts, before, declared.chance) for counts in each)
        allowed = max(allowed, max(index - spread * own for index, own in seen) + spread * by_chance)
    detail = "infinite values came" if column.profile.get("infinite") else ""
    return _Measured(value, None, allowed, value > allowed, detail)


_SIGNALS: tuple[tuple[str, Any, Any], ...] = (
    ("null_share", _null_share, _any),
    ("category_share", _category_share, _category),
    ("distribution", _distribution, _histogram),
)
