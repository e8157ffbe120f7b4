"""Shares and histograms of one column on a night, and how far they may lie from those of the nights before.

Shares and histograms are held against what chance does to them (`chance`), and against how far the nights before lay
from those before them: what a column does by itself is no drift.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Literal, NamedTuple

from include.night.check.chance import overdispersion, share_by_chance, stability_index
from include.night.check.course import FEWEST_SEEN, beyond, course
from include.night.check.past_nights import PastNight
from include.quality.gathering import MOST_VALUES
from include.quality.profile import ColumnProfile
from include.spec.use_case import Drift

Signal = Literal[
    "schema", "volume", "repeated", "null_share", "category_share", "values", "distribution", "level", "freshness"
]
OTHERS = "all others"
HARDLY_EVER = 0.002
"""Share of a number's rows on earlier nights above which its size is nothing unusual."""


class Measured(NamedTuple):
    """A figure, what it usually is, how far it may lie from that, and whether it lies further."""

    value: float
    expected: float | None
    threshold: float | None
    drifted: bool
    detail: str = ""
    statistic: str = ""


class Usual(NamedTuple):
    """The nights that one column is held against; `mixed` while they are of any weekday.

    Mixed nights differ among themselves (a Sunday is no Monday): by what they do so beyond chance, a night may too.
    `alike` are groups of comparable nights, from which is learnt what chance does: weekdays, or all if mixed. `past`
    are all comparable nights, newest first, and `start` is when tonight begins.
    """

    nights: Sequence[PastNight]
    mixed: bool
    alike: Sequence[Sequence[PastNight]]
    past: Sequence[PastNight]
    start: datetime

    def columns(self, name: str) -> list[ColumnProfile]:
        """One column on each of the nights."""
        return [night.columns[name] for night in self.nights]

    def spread(self, counts: Callable[[PastNight], Sequence[int]]) -> float:
        """By how much variance exceeds that of independent rows, from each night's counts."""
        return overdispersion([[counts(night) for night in group] for group in self.alike])

    def earlier(self) -> list[tuple[PastNight, list[PastNight]]]:
        """Nights with the nights before them that they compare with, as tonight does; at least two each.

        While there are too few of the same weekday, of any.
        """
        groups = self.alike if sum(max(len(group) - 2, 0) for group in self.alike) >= FEWEST_SEEN else [self.known]
        found = []
        for group in groups:
            ordered = sorted(group, key=lambda night: night.start)
            found += [(ordered[at], ordered[:at]) for at in range(2, len(ordered))]
        return found

    @property
    def known(self) -> list[PastNight]:
        """All nights of the groups."""
        return [night for group in self.alike for night in group]


def present_rows(column: ColumnProfile) -> int:
    """Rows that have a value."""
    return column.rows - column.nulls


def usual_nights(nights: Sequence[PastNight], start: datetime, declared: Drift) -> Usual | None:
    """The nights of the same weekday once there are enough, else all once there are enough, else None.

    Where nights come a week apart or rarer, as months do, the weekday that they begin on means nothing.
    """
    if _daily(nights):
        weekdays = [[night for night in nights if night.start.weekday() == day] for day in range(7)]
        same = weekdays[start.weekday()]
        if len(same) >= declared.same_weekday:
            return Usual(same, False, [group for group in weekdays if len(group) > 1], nights, start)
    return Usual(nights, True, [nights], nights, start) if len(nights) >= declared.min_nights else None


def _daily(nights: Sequence[PastNight]) -> bool:
    """Whether most nights (newest first) begin less than a week after the one before."""
    gaps = [(newer.start - older.start) / timedelta(days=1) for newer, older in itertools.pairwise(nights)]
    return not gaps or median(gaps) < 7


def null_share(column: ColumnProfile, usual: Usual, declared: Drift) -> Measured:
    """Missing values as a share of the rows; and in how many places of the file they begin, where they cluster."""
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
        far = (abs(was.null_share - expected) - by for was, by in zip(before, own, strict=True))
        allowed = max(allowed, max(far) + chance)
    if abs(column.null_share - expected) > declared.null_share:
        allowed = min(allowed, _shares_own_limit(column, usual, pooled, spread, declared))
    share = Measured(column.null_share, expected, allowed, abs(column.null_share - expected) > allowed)
    return share if share.drifted else _null_places(column, usual, declared) or share


def _shares_own_limit(column: ColumnProfile, usual: Usual, pooled: float, spread: float, declared: Drift) -> float:
    """How far a share of missing values lies from the usual one by its own course, to either side."""
    nights = [(n.start, n.columns[column.name].null_share) for n in usual.past]
    own = course(nights, usual.start, [n.columns[column.name].rows for n in usual.past], column.rows)
    if own is None:
        return math.inf
    floor = spread * math.sqrt(pooled * (1 - pooled) / column.rows)
    return max(declared.null_share, *own.limits(declared.course_chance, floor / own.widen))


def _null_places(column: ColumnProfile, usual: Usual, declared: Drift) -> Measured | None:
    """Missing values that stood together and now stand alone, while their share changed too."""
    nights = [
        (night.start, was.profile["null_runs"] / was.rows)
        for night in usual.past
        if "null_runs" in (was := night.columns[column.name]).profile and was.rows
    ]
    own = course(nights, usual.start)
    if own is None or "null_runs" not in column.profile:
        return None
    places, shares = column.profile["null_runs"] / column.rows, [was.null_share for was in usual.columns(column.name)]
    floor = math.sqrt(max(own.expected, 1 / column.rows) / column.rows)
    _, high = own.limits(declared.chance, floor)
    changed = abs(column.null_share - median(shares)) > declared.null_share
    if not changed or places - own.expected <= max(high, declared.null_share):
        return None
    words = f"{column.null_share:.0%} of rows, in {places * column.rows:,.0f} places of the file"
    return Measured(places, own.expected, max(high, declared.null_share), True, words, "places without a value")


def category_share(column: ColumnProfile, usual: Usual, declared: Drift) -> Measured:
    """The largest change of one value's share; values beyond the frequent ones are taken together."""
    if column.kind != "category":
        most = max(int(was.profile["distinct"]) for was in usual.columns(column.name))
        return Measured(1.0, 0.0, declared.category_share, True, f"free text now; at most {most} values before")
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
        far = (widest(one, was) - by for one, by in zip(before, own, strict=True))
        allowed = max(allowed, max(far) + chance)
    if abs(share - expected) > allowed:
        pairs = [(by_run[n.run_id], sum((by_run[b.run_id] for b in e), Counter[str]())) for n, e in usual.earlier()]
        seen = [(one.total(), widest(one, earlier) ** 2) for one, earlier in pairs]
        allowed = max(allowed, math.sqrt(_by_themselves(seen, rows, declared.course_chance)))
    return Measured(share, expected, allowed, abs(share - expected) > allowed, f"value {value!r}")


def _by_themselves(seen: Sequence[tuple[int, float]], rows: int, chance: float) -> float:
    """What a distance of tonight's `rows` rows does not exceed, from rows and distance of nights before.

    Distances of variances: those of a night with few rows are larger in proportion, and count as those of a usual one.
    """
    usual = median(size for size, _ in seen) if seen else 0
    alike = [distance * min(1.0, size / max(usual, 1)) for size, distance in seen]
    return beyond(alike, chance) * max(1.0, usual / max(rows, 1))


def aligned_counts(nights: Sequence[ColumnProfile]) -> list[Counter[str]]:
    """Rows per value of a column on several nights; what may be among the others of some night joins them.

    A value that a night does not name was rare there, unless that night had more values than are named.
    """
    values = [dict(night.profile["values"]) for night in nights]
    named = {name for one in values for name in one}
    named = {name for name in named if all(name in one or len(one) < MOST_VALUES for one in values)}
    found = []
    for night, one in zip(nights, values, strict=True):
        counts = Counter({name: count for name, count in one.items() if name in named})
        counts[OTHERS] += int(night.profile["others"]) + sum(one[name] for name in one if name not in named)
        found.append(+counts)
    return found


def widest(one: Counter[str], all_nights: Counter[str]) -> float:
    """The largest difference of one value's share between a night and others."""
    rows, total = one.total(), all_nights.total()
    return max(abs(one[value] / rows - all_nights[value] / total) for value in {*all_nights, *one})


def distribution(column: ColumnProfile, usual: Usual, declared: Drift) -> Measured:
    """Histograms of tonight and before, on the same edges, by the population stability index."""
    each = [was.profile["counts"] for was in usual.columns(column.name)]
    before = _summed(each)
    spread = usual.spread(lambda night: night.columns[column.name].profile["counts"])
    value, by_chance = stability_index(column.profile["counts"], before, declared.chance)
    allowed = max(declared.distribution, spread * by_chance)
    if usual.mixed:
        seen = (stability_index(counts, before, declared.chance) for counts in each)
        allowed = max(allowed, max(index - spread * own for index, own in seen) + spread * by_chance)
    if value > allowed:
        own_counts = (
            (night.columns[column.name].profile["counts"], [n.columns[column.name].profile["counts"] for n in earlier])
            for night, earlier in usual.earlier()
        )
        seen_before = [(sum(now), stability_index(now, _summed(was), declared.chance)[0]) for now, was in own_counts]
        allowed = max(allowed, _by_themselves(seen_before, sum(column.profile["counts"]), declared.course_chance))
    detail = "infinite values came" if column.profile.get("infinite") else ""
    if value <= allowed and column.kind == "number" and (far := _far_out(column, usual, declared)):
        return far
    return Measured(value, None, allowed, value > allowed, detail, "population stability index")


def _far_out(column: ColumnProfile, usual: Usual, declared: Drift) -> Measured | None:
    """More values than their course has of a size that was hardly there, or beyond both ends of the first night."""
    known = [night for night in usual.past if night.columns[column.name].profile.get("sizes")]
    before = [dict(night.columns[column.name].profile["sizes"]) for night in known]
    least = _hardly_ever(sum((Counter(one) for one in before), Counter[int]()))

    def large(of: ColumnProfile) -> float:
        sizes = dict(of.profile["sizes"])
        return float(sum(count for size, count in sizes.items() if size >= least) / sum(sizes.values()))

    def beyond_ends(of: ColumnProfile) -> float:
        counts = of.profile["counts"]
        return float((counts[0] + counts[-1]) / sum(counts)) if len(counts) > 1 else 0.0

    of_size = f"of a size that at most {HARDLY_EVER:.1%} of rows had before"
    ends = "beyond the smallest or largest value of the first night"
    found = _more_far_out(large, of_size, column, known, usual.start, declared) if column.profile.get("sizes") else None
    return found or _more_far_out(beyond_ends, ends, column, usual.past, usual.start, declared)


def _more_far_out(
    share: Callable[[ColumnProfile], float],
    words: str,
    column: ColumnProfile,
    past: Sequence[PastNight],
    start: datetime,
    declared: Drift,
) -> Measured | None:
    rows, sizes = present_rows(column), [present_rows(night.columns[column.name]) for night in past]
    own = course([(night.start, share(night.columns[column.name])) for night in past], start, sizes, rows)
    if own is None:
        return None
    floor = math.sqrt(max(own.expected, 1 / rows) / rows)
    allowed = max(declared.far_out, own.limits(declared.course_chance, floor)[1])
    value = share(column)
    if value - own.expected <= allowed:
        return None
    return Measured(value, own.expected, allowed, True, words, "share of rows far out")


def _hardly_ever(sizes: Counter[int]) -> int:
    """The smallest size (power of two) that, with all above it, at most HARDLY_EVER of the rows had."""
    rows, above, least = sizes.total(), 0, max(sizes, default=0) + 1
    for size in sorted(sizes, reverse=True):
        above += sizes[size]
        if above > HARDLY_EVER * rows:
            break
        least = size
    return least


def _summed(each: Sequence[Sequence[int]]) -> list[int]:
    return [sum(counts) for counts in zip(*each, strict=True)]


def freshness(column: ColumnProfile, usual: Usual, declared: Drift) -> Measured:
    """Hours from the newest time to the end of the interval; only older than ever is drift."""
    ages = [float(was.profile["newest_age_hours"]) for was in usual.columns(column.name)]
    age, expected = float(column.profile["newest_age_hours"]), median(ages)
    allowed = max(ages) - expected + declared.freshness_hours
    return Measured(age, expected, allowed, age - expected > allowed)
