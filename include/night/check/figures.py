"""Single figures of a night (means, rows per value, repeated rows) against their own course over the nights before."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from statistics import median

from include.night.check.course import FEWEST, TooFewNightsError, course
from include.night.check.past_nights import PastNight
from include.night.check.signals import Measured, Usual, present_rows
from include.quality.gathering import rare_kind
from include.quality.profile import ColumnProfile
from include.spec.use_case import Drift

MOST_PER_VALUE = 5
"""Rows per value above which a column's repeats say no more than its rows do."""
_Figures = dict[str, float]
_Nights = Sequence[tuple[datetime, float]]
_LEAST = {"95 % quantile": 1.0, "largest": 9.0}
"""Figures that jump by themselves where values are few; a change by a smaller share than this is never drift."""


def figures(column: ColumnProfile) -> _Figures:
    """Single figures of a column: mean, 95 % quantile and largest of a number, days of age, characters of a text."""
    found = column.profile
    if column.kind == "number" and found.get("quantiles") and found.get("mean") is not None:
        q = found["quantiles"]
        largest = max(abs(found["min"]), abs(found["max"]))
        return {"mean": found["mean"], "95 % quantile": q[4], "largest": largest}
    if column.kind == "time" and found.get("quantiles"):
        return {"median age": found["quantiles"][2]}
    if "mean_length" in found:
        return {"mean length": found["mean_length"]}
    return {}


def level(column: ColumnProfile, usual: Usual, declared: Drift) -> Measured:
    """The single figure that lies furthest beyond its own course."""
    judged = []
    for name, value in figures(column).items():
        if name == "mean length" and values_stay(usual.columns(column.name)):
            continue
        known = [(n.start, figures(n.columns[column.name])) for n in usual.past]
        nights = [(start, one[name]) for start, one in known if name in one]
        sizes = [
            present_rows(n.columns[column.name]) for n, (_, one) in zip(usual.past, known, strict=True) if name in one
        ]
        if name == "median age":
            found = _age_against_course(name, value, nights, usual.start, declared, sizes, present_rows(column))
        else:
            least = max(_LEAST.get(name, 0.0), declared.level)
            found = against_course(
                *(name, value, nights, usual.start, least, declared.course_chance, sizes, present_rows(column))
            )
        if found is not None:
            judged.append(found)
    if not judged:
        return Measured(len(figures(column)), None, None, False, "its values say more than their length")
    return max(judged, key=lambda one: one[0])[1]


def values_stay(before: Sequence[ColumnProfile]) -> bool:
    """Whether a text has values that come every night; of such a column the values are watched, not their length."""
    named = [{value for value, _ in was.profile["values"]} for was in before if was.kind == "category"]
    return len(named) == len(before) and bool(set.intersection(*named))


def comes_again(column: ColumnProfile, before: Sequence[ColumnProfile]) -> bool:
    """Whether most values of tonight were there on an earlier night, as countries are and numbers of orders are not."""
    tonight = _kinds(column)
    earlier = set[int]().union(*(_kinds(was) for was in before))
    return 2 * len(tonight & earlier) > len(tonight)


def _kinds(column: ColumnProfile) -> set[int]:
    """A few bits of every value of a column of few values, rare ones too."""
    named = {rare_kind(value) for value, _ in column.profile.get("values", [])}
    return named | set(column.profile.get("rare", []))


def _age_against_course(
    name: str,
    value: float,
    nights: _Nights,
    start: datetime,
    declared: Drift,
    sizes: Sequence[int],
    rows: int,
) -> tuple[float, Measured] | None:
    own = course(nights, start, sizes, rows)
    if own is None:
        return None
    below, above = own.limits(declared.course_chance)
    away = value - own.expected
    allowed = max(above if away > 0 else below, declared.age_days)
    return abs(away) / allowed, Measured(value, own.expected, allowed, abs(away) > allowed, f"{name} in days", name)


def repeated(column: ColumnProfile, usual: Usual, declared: Drift) -> Measured:
    """Rows per different value of a column whose values usually repeat little."""
    nights = [
        (night.start, float(night.columns[column.name].profile["per_value"]))
        for night in usual.past
        if night.columns[column.name].profile.get("per_value")
    ]
    found = against_course(
        "rows per value",
        float(column.profile["per_value"]),
        nights,
        usual.start,
        declared.repeated,
        declared.repeated_chance,
        [night.rows for night in usual.past if night.columns[column.name].profile.get("per_value")],
        column.rows,
    )
    if found is None:
        raise TooFewNightsError("no figure that earlier nights have")
    return found[1]


def against_course(
    name: str,
    value: float,
    nights: _Nights,
    start: datetime,
    least: float,
    chance: float,
    sizes: Sequence[int] = (),
    rows: int = 0,
) -> tuple[float, Measured] | None:
    """A figure against its own course, by ratio where it is always above zero; and how far beyond its limit it lies.

    `least` is the change, as a share of what is usual, below which there is no drift. None with too few nights.
    """
    scale = median(abs(one) for _, one in nights) if nights else 0.0
    positive = value > 0 and all(one > 0 for _, one in nights)
    there, back = (math.log, math.exp) if positive else _about(scale)
    own = course([(at, there(one)) for at, one in nights], start, sizes, rows)
    if own is None:
        return None
    below, above = own.limits(chance)
    away = there(value) - own.expected
    allowed = max(above if away > 0 else below, math.log1p(least))
    expected = back(own.expected)
    far = back(own.expected + math.copysign(min(allowed, 700.0), away))
    return abs(away) / allowed, Measured(value, expected, abs(far - expected), abs(away) > allowed, name, name)


def _about(scale: float) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """A scale that is straight near zero and by ratio far from it, for figures of either sign."""
    unit = scale or 1.0
    return (lambda value: math.asinh(value / unit)), (lambda value: math.sinh(min(value, 700.0)) * unit)


def repeated_rows(tonight: PastNight, usual: Usual, declared: Drift) -> Measured:
    """Rows per different row of the night; the row identity is no part of a row."""
    nights = [night for night in usual.past if night.whole.get("per_row")]
    if not tonight.whole.get("per_row"):
        raise TooFewNightsError("whole rows were not counted")
    known = [(night.start, float(night.whole["per_row"])) for night in nights]
    sizes, value = [night.rows for night in nights], float(tonight.whole["per_row"])
    given = (usual.start, declared.repeated, declared.chance, sizes, tonight.rows)
    if (found := against_course("", value, known, *given)) is None:
        raise TooFewNightsError("whole rows were not counted on enough nights")
    return found[1]


def missing_together(tonight: PastNight, usual: Usual, declared: Drift) -> Measured:
    """The columns without a value in the same row whose share of rows changed most beyond its own course."""
    nights = [night for night in usual.past if "missing" in night.whole and night.rows]
    if "missing" not in tonight.whole or len(nights) < FEWEST:
        raise TooFewNightsError("what is missing together was not counted on enough nights")
    each = [(night, _patterns(night)) for night in nights]
    now, judged = _patterns(tonight), []
    for pattern in {*now, *itertools.chain.from_iterable(seen for _, seen in each)}:
        shares = [(night.start, seen.get(pattern, 0.0)) for night, seen in each]
        value, own = now.get(pattern, 0.0), course(shares, usual.start, [n.rows for n, _ in each], tonight.rows)
        if own is None:
            continue
        likely = max(own.expected, 1 / tonight.rows)
        below, above = own.limits(declared.chance, math.sqrt(likely / tonight.rows))
        allowed = max(declared.null_share, above if value > own.expected else below)
        words = f"no value in {', '.join(pattern)} of the same row"
        far = abs(value - own.expected)
        judged.append((far / allowed, Measured(value, own.expected, allowed, far > allowed, words)))
    return max(judged, key=lambda one: one[0])[1] if judged else Measured(0.0, 0.0, declared.null_share, False)


def _patterns(night: PastNight) -> dict[tuple[str, ...], float]:
    """Columns without a value in the same row, two or more, and the share of the night's rows."""
    return {tuple(names): rows / night.rows for names, rows in night.whole["missing"] if len(names) > 1}


def rows_and_repeats(tonight: PastNight, past: Sequence[PastNight]) -> tuple[str, float, _Nights] | None:
    """Rows times the square of rows per value, of the column whose values repeat most steadily; and on earlier nights.

    Where an order's lines are lost, rows become fewer and lines per order too: together they say it sooner than each.
    """
    best: tuple[float, str] | None = None
    for name, column in tonight.columns.items():
        before = [night.columns[name].profile.get("per_value") for night in past if name in night.columns]
        known = [float(one) for one in before if one]
        if not column.profile.get("per_value") or len(known) < max(len(past), FEWEST):
            continue
        usually = median(known)
        away = median(abs(one / usually - 1) for one in known)
        if 1.2 <= usually <= MOST_PER_VALUE and (best is None or away < best[0]):
            best = away, name
    if best is None:
        return None
    name = best[1]

    def of(night: PastNight) -> float:
        return max(float(night.rows), 0.5) * float(night.columns[name].profile["per_value"]) ** 2

    return name, of(tonight), [(night.start, of(night)) for night in past]
