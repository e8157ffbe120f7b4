"""Values of a column that no earlier night had, and values of every earlier night that are not there tonight.

A value's places say more than its rows where rows come in clusters: a new country of one invoice begins in one place of
the file, a spoiled one in many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from include.night.check.course import TooFewNightsError, beyond
from include.night.check.signals import Measured, Usual, present_rows
from include.quality.gathering import RARE, rare_kind
from include.quality.profile import ColumnProfile
from include.spec.use_case import Drift

NEW_ROWS = 20
"""Rows of a value that was never there which tell however many rows the night has."""
FEWEST_PLACES = 3
"""Places that a new value of a column must have where new values come by themselves."""
_FIRST = 3
"""Nights at the beginning that say nothing of what is new."""


_Counts = Callable[[ColumnProfile], Mapping[str, int]]


class _New(NamedTuple):
    """The values of one night that no night before it had: the most frequent one, rows of all, most places of one."""

    value: str = ""
    rows: int = 0
    places: int = 0


def values(column: ColumnProfile, usual: Usual, declared: Drift) -> Measured:
    """Rows of values that no earlier night had, and a value of every earlier night that is not there tonight."""
    nights = [night.columns[column.name] for night in sorted(usual.past, key=lambda night: night.start)]
    if len(before := [was for was in nights if "rare" in was.profile]) < declared.min_nights:
        raise TooFewNightsError("rare values were not kept on enough nights")
    new = _never_seen(column, before)
    own = [(was, _never_seen(was, before[:at])) for at, was in enumerate(before) if at >= _FIRST]
    seen = beyond([one.rows / was.rows for was, one in own], declared.chance) * column.rows
    allowed = max(min(declared.new_values * column.rows, NEW_ROWS), RARE - 1.0, seen)
    often = sum(one.rows > 0 for _, one in own) > 1
    most = max((one.places for _, one in own), default=0)
    scattered = _counted(before) and new.places >= max(FEWEST_PLACES, 1 + most)
    if (new.rows > allowed and not often) or (scattered and new.rows >= RARE):
        words = f"value {new.value!r} was never there"
        return Measured(new.rows, 0.0, min(allowed, new.rows - 1), True, words, "new value")
    return _gone(column, before, declared) or Measured(new.rows, 0.0, allowed, False, "", "new value")


def _never_seen(column: ColumnProfile, before: Sequence[ColumnProfile]) -> _New:
    """What no earlier night may have had."""
    named = {value for was in before for value, _ in was.profile["values"]}
    rare = {kind for was in before for kind in was.profile["rare"]}
    places = _places(column)
    new = [
        (value, rows) for value, rows in column.profile["values"] if value not in named and rare_kind(value) not in rare
    ]
    if not new:
        return _New()
    return _New(new[0][0], sum(rows for _, rows in new), max(places.get(value, 0) for value, _ in new))


def _rows(column: ColumnProfile) -> Mapping[str, int]:
    return dict(column.profile["values"])


def _counted(nights: Sequence[ColumnProfile]) -> bool:
    """Whether the places of values were counted on each of the nights."""
    return all("places" in was.profile for was in nights)


def _places(column: ColumnProfile) -> Mapping[str, int]:
    """Places of the file where rows of a value begin, by value; none of a night that did not count them."""
    names = [value for value, _ in column.profile["values"]]
    return dict(zip(names, column.profile.get("places", []), strict=False))


def _gone(column: ColumnProfile, before: Sequence[ColumnProfile], declared: Drift) -> Measured | None:
    """A value that every earlier night had and that chance would not leave out."""
    tonight, rare = {value for value, _ in column.profile["values"]}, set(column.profile["rare"])
    always = {value for was in before for value, _ in was.profile["values"] if _always(value, before)}
    rows = present_rows(column)
    for value in sorted(always - tonight):
        if rare_kind(value) not in rare and _absent_by_chance(value, always, before, rows) < declared.gone_chance:
            usual = rows * _varies(value, before, _rows)[0]
            return Measured(0.0, usual, usual / 2, True, f"value {value!r} is not there", "value gone")
    return None


def _absent_by_chance(value: str, always: Iterable[str], nights: Sequence[ColumnProfile], rows: int) -> float:
    """How likely a night of `rows` rows has none of a value, from rows and places of all values on earlier nights.

    Both are taken as negative binomial: by what they vary beyond chance, whole clusters of rows come or stay away.
    """
    found = []
    for counts in (_rows, _places) if _counted(nights) else (_rows,):
        each, own = _varies(value, nights, counts)
        of_all = fmean(_varies(one, nights, counts)[1] for one in always)
        mean, factor = each * rows, max(own, of_all) * _at_most(len(nights) - 1)
        found.append(math.exp(-mean if factor <= 1 else -mean * math.log(factor) / (factor - 1)))
    return max(found)


def _varies(value: str, nights: Sequence[ColumnProfile], counts: _Counts) -> tuple[float, float]:
    """How often a value is counted per row, and by which factor the variance of that exceeds that of chance."""
    sizes = [max(present_rows(was), 1) for was in nights]
    there = [counts(was).get(value, 1) for was in nights]
    each = sum(there) / sum(sizes)
    return each, fmean((found - each * size) ** 2 / (each * size) for found, size in zip(there, sizes, strict=True))


def _at_most(freedom: int) -> float:
    """By how much a variance of so many degrees of freedom may be larger than it was seen to be (95 %)."""
    from scipy.special import chdtri

    return float(freedom / chdtri(freedom, 0.95))


def _always(value: str, before: Sequence[ColumnProfile]) -> bool:
    """Whether a value may have been there on every one of the nights."""
    kind = rare_kind(value)
    return all(kind in was.profile["rare"] or any(value == name for name, _ in was.profile["values"]) for was in before)
