"""Hold a night against those before it: columns, volume, missing values, values' shares, distributions, freshness.

What drifted is a warning on the report; it never stops a night. docs/adr/0016 says why these statistics.
"""

from __future__ import annotations

import functools
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median
from typing import Literal, NamedTuple

from sqlalchemy import text

from include.ledger import tables
from include.ledger.database import merge_rows, transaction
from include.models import Manifest
from include.night import Night
from include.personal import tokenise_all
from include.quality.chance import deviations, overdispersion, share_by_chance, stability_index
from include.quality.past_nights import PastNight, keep_profiles, read_past_nights
from include.quality.profile import MOST_DISTINCT, MOST_VALUES, ColumnProfile, profile
from include.use_case import Drift

Signal = Literal["schema", "volume", "null_share", "category_share", "distribution", "freshness"]
Verdict = Literal["steady", "drifted", "no history", "could not run"]
OTHERS = "all others"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DriftFact:
    """One signal of one column (or of the whole night, column `""`), held against `nights` earlier nights.

    Units: rows for volume, shares of 0 to 1 for `null_share` and `category_share`, none for `distribution`, hours for
    freshness. It drifted when `value` lies further from `expected` than `threshold`.
    """

    signal: Signal
    column: str
    statistic: str
    verdict: Verdict
    value: float | None = None
    expected: float | None = None
    threshold: float | None = None
    nights: int = 0
    detail: str = ""


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


def watch_drift(night: Night, raw: Manifest) -> list[DriftFact]:
    """Profile what the night brought, hold it against the nights before, and keep both in the ledger.

    Safe to run again. A signal that cannot be measured says so and stops nothing.
    """
    declared = night.case.drift
    with transaction(night.ledger) as connection:
        past = read_past_nights(connection, night.run_id, declared.nights)
    columns = profile(raw, night.interval.end, personal=night.case.personal, edges=usual_edges(past))
    columns = {n: replace(c, profile=tokenise_all(c.profile, night.settings.token_secret)) for n, c in columns.items()}
    fresh = {night.case.source.modified.name, *declared.fresh}
    tonight = PastNight(night.run_id, night.interval.start, raw.rows, columns)
    findings = measure(tonight, past, declared, fresh=fresh, limited=night.options.limit is not None)
    with transaction(night.ledger) as connection:
        keep_profiles(connection, night.run_id, columns.values())
        now = connection.scalar(text("SELECT clock_timestamp()"))
        names = [
            *("run_id", "signal", "column_name", "statistic", "value", "expected", "threshold", "verdict", "nights"),
            *("detail", "recorded_at"),
        ]
        values = [
            (
                *(night.run_id, f.signal, f.column, f.statistic, f.value, f.expected, f.threshold, f.verdict),
                *(f.nights, f.detail, now),
            )
            for f in findings
        ]
        merge_rows(connection, tables.drift_result, names, values, key=names[:3], update=names[3:])
    if drifted := [f"{f.signal} {f.column}".strip() for f in findings if f.verdict == "drifted"]:
        log.warning("%s drifted: %s", night.run_id, ", ".join(drifted))
    return findings


def usual_edges(past: Sequence[PastNight]) -> dict[str, list[float]]:
    """Histogram edges of the latest night that has some, by column.

    Edges are given up once half of a night's values lie beyond their ends: then they no longer tell values apart, and
    the night that finds out has already been called drifted.
    """
    found: dict[str, list[float]] = {}
    for night in past:
        for name, column in night.columns.items():
            counts = column.profile.get("counts") or [0]
            if column.kind == "number" and name not in found and column.profile["edges"]:
                beyond = counts[0] + counts[-1]
                found[name] = [] if beyond * 2 > sum(counts) else column.profile["edges"]
    return found


def measure(
    tonight: PastNight,
    past: Sequence[PastNight],
    declared: Drift,
    *,
    fresh: Iterable[str] = (),
    limited: bool = False,
) -> list[DriftFact]:
    """Every signal of a night against earlier ones, newest first; `limited` says that rows were cut on purpose."""
    findings = [*_schema(tonight, past), _volume(tonight, past, declared, limited)]
    for column in tonight.columns.values():
        findings += _column(column, tonight, past, declared, fresh=column.name in set(fresh))
    return findings


def _schema(tonight: PastNight, past: Sequence[PastNight]) -> Iterator[DriftFact]:
    """Columns against those of the night before: new, gone, or of another type."""
    if not past:
        yield DriftFact("schema", "", "columns", "no history", len(tonight.columns))
        return
    was, now = past[0].columns, tonight.columns
    changes = [("added", name, f"is new ({now[name].type})") for name in now if name not in was]
    changes += [("removed", name, f"is gone (was {was[name].type})") for name in was if name not in now]
    changes += [
        ("retyped", name, f"is {now[name].type} (was {was[name].type})")
        for name in now
        if name in was and now[name].type != was[name].type
    ]
    words = f"{len(changes)} of them changed since the night before" if changes else ""
    yield DriftFact("schema", "", "columns", "steady", len(now), len(was), None, 1, words)
    for statistic, name, detail in changes:
        yield DriftFact("schema", name, statistic, "drifted", nights=1, detail=detail)


def _volume(tonight: PastNight, past: Sequence[PastNight], declared: Drift, limited: bool) -> DriftFact:
    if limited:
        return DriftFact("volume", "", "rows", "could not run", tonight.rows, detail="the run was limited to some rows")
    usual = _usual(past, tonight.start, declared)
    if usual is None:
        return DriftFact("volume", "", "rows", "no history", tonight.rows, nights=len(past))

    def compute() -> _Measured:
        before = [night.rows for night in usual.nights]
        expected = median(before)
        chance = deviations(declared.chance) * math.sqrt(max(expected, 1))
        allowed = max(declared.volume * expected, chance)
        if usual.mixed:
            allowed = max(allowed, max(abs(rows - expected) for rows in before) + chance)
        if min(before) > 0:
            allowed = min(allowed, expected - 0.5) if tonight.rows < expected else allowed
        return _Measured(tonight.rows, expected, allowed, abs(tonight.rows - expected) > allowed)

    return _judge("volume", "", "rows", usual, compute)


def _column(
    column: ColumnProfile, tonight: PastNight, past: Sequence[PastNight], declared: Drift, *, fresh: bool
) -> Iterator[DriftFact]:
    if unread := column.profile.get("unread"):
        yield DriftFact("distribution", column.name, "", "could not run", detail=str(unread))
    signals: list[Signal] = ["null_share"]
    if column.kind == "category" or _was_category(column, past):
        signals.append("category_share")
    if column.kind in ("number", "time"):
        signals.append("distribution")
    if fresh and column.kind == "time":
        signals.append("freshness")
    for signal in signals:
        statistic, compute, comparable = _OF_COLUMNS[signal]
        if not tonight.rows:
            yield DriftFact(signal, column.name, statistic, "could not run", detail="the night has no rows")
            continue
        if signal != "null_share" and column.nulls == column.rows:
            yield DriftFact(signal, column.name, statistic, "could not run", detail="no row has a value")
            continue
        nights = [night for night in past if _compares(column, night, comparable)]
        usual = _usual(nights, tonight.start, declared)
        if usual is None:
            yield DriftFact(signal, column.name, statistic, "no history", nights=len(nights))
            continue
        yield _judge(signal, column.name, statistic, usual, functools.partial(compute, column, usual, declared))


def compared_nights(
    signal: Signal, column: ColumnProfile, start: datetime, past: Sequence[PastNight], declared: Drift
) -> Sequence[PastNight]:
    """The earlier nights that a column's signal is held against; none when there are too few."""
    comparable = _OF_COLUMNS[signal][2]
    usual = _usual([night for night in past if _compares(column, night, comparable)], start, declared)
    return usual.nights if usual else ()


def _judge(signal: Signal, column: str, statistic: str, usual: _Usual, compute: Callable[[], _Measured]) -> DriftFact:
    nights = len(usual.nights)
    try:
        found = compute()
    except (ArithmeticError, ValueError, TypeError, LookupError) as error:
        log.warning("drift of %s %s could not be measured: %s", signal, column, type(error).__name__)
        return DriftFact(signal, column, statistic, "could not run", nights=nights, detail=type(error).__name__)
    verdict: Verdict = "drifted" if found.drifted else "steady"
    return DriftFact(
        signal, column, statistic, verdict, found.value, found.expected, found.threshold, nights, found.detail
    )


def _any(now: ColumnProfile, was: ColumnProfile) -> bool:
    return was.rows > 0


def _category(now: ColumnProfile, was: ColumnProfile) -> bool:
    return was.kind == "category" and bool(was.profile["values"])


def _histogram(now: ColumnProfile, was: ColumnProfile) -> bool:
    same = was.kind == now.kind and was.profile["edges"] == now.profile["edges"]
    return same and sum(was.profile["counts"]) > 0


def _time(now: ColumnProfile, was: ColumnProfile) -> bool:
    return was.kind == "time" and "newest_age_hours" in was.profile


def _compares(column: ColumnProfile, night: PastNight, comparable: _Comparable) -> bool:
    was = night.columns.get(column.name)
    return was is not None and was.type == column.type and comparable(column, was)


def _was_category(column: ColumnProfile, past: Sequence[PastNight]) -> bool:
    """Whether a text of many different values had clearly few of them on every night before."""
    before = [night.columns[column.name] for night in past if column.name in night.columns]
    few = [was.kind == "category" and was.profile["distinct"] * 2 <= MOST_DISTINCT for was in before]
    many = column.kind == "text" and not column.profile.get("personal") and "distinct" not in column.profile
    return many and bool(few) and all(few)


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
    if column.kind != "category":
        most = max(int(was.profile["distinct"]) for was in usual.columns(column.name))
        return _Measured(1.0, 0.0, declared.category_share, True, f"free text now; at most {most} values before")
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


def _freshness(column: ColumnProfile, usual: _Usual, declared: Drift) -> _Measured:
    """Hours from the newest time to the end of the interval; only older than ever is drift."""
    ages = [float(was.profile["newest_age_hours"]) for was in usual.columns(column.name)]
    age, expected = float(column.profile["newest_age_hours"]), median(ages)
    allowed = max(ages) - expected + declared.freshness_hours
    return _Measured(age, expected, allowed, age - expected > allowed)


_Comparable = Callable[[ColumnProfile, ColumnProfile], bool]
_Compute = Callable[[ColumnProfile, _Usual, Drift], _Measured]
_OF_COLUMNS: dict[Signal, tuple[str, _Compute, _Comparable]] = {
    "null_share": ("share of rows", _null_share, _any),
    "category_share": ("share of rows", _category_share, _category),
    "distribution": ("population stability index", _distribution, _histogram),
    "freshness": ("hours since the newest", _freshness, _time),
}
