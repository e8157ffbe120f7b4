"""Series of numbers: where orders or invoices are numbered one by one, a number that no row has was lost."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from include.night.check.course import FEWEST_SEEN, MOSTLY, TooFewNightsError, course
from include.night.check.figures import against_course, comes_again
from include.night.check.signals import Measured, Usual, present_rows
from include.quality.profile import ColumnProfile
from include.spec.use_case import Drift

DENSE = 0.5
"""Share of a series that nights usually have, below which its gaps say nothing."""


def numbered(column: ColumnProfile) -> bool:
    """Whether the values of a night may be numbers of one series."""
    return bool(column.profile.get("span")) and bool(column.profile.get("per_value"))


def is_series(column: ColumnProfile, before: Sequence[ColumnProfile]) -> bool:
    """Whether a column has numbers of a series, on nearly every night and others every night."""
    if not numbered(column) or len(before) < FEWEST_SEEN:
        return False
    there = [numbered(was) for was in before if was.rows > was.nulls]
    return not comes_again(column, before) and sum(there) >= MOSTLY * len(there)


def lost_numbers(column: ColumnProfile, usual: Usual, declared: Drift) -> Measured:
    """Numbers between the first and the last of the night that no row has; and rows per number, lost ones included.

    How many rows a night should have nobody knows, but how many a number should have the nights before say.
    """
    nights = [(night.start, night.columns[column.name]) for night in usual.past]
    if median(_there(was) / _span(was) for _, was in nights) < DENSE:
        raise TooFewNightsError("no series that nights have most of")
    span, lost = _span(column), _lost(column)
    own = course([(start, _lost(was) / _span(was)) for start, was in nights], usual.start)
    per = [(start, present_rows(was) / _span(was)) for start, was in nights]
    rows = against_course("", present_rows(column) / span, per, usual.start, declared.volume, declared.volume_chance)
    if own is None or rows is None:
        raise TooFewNightsError("no course of so few nights")
    rate = (sum(_lost(was) for _, was in nights) + 1) / sum(_span(was) for _, was in nights)
    allowed = max(own.limits(declared.course_chance)[1], declared.lost_numbers)
    share, words = lost / span, f"{lost:,.0f} of {span:,} numbers are missing"
    far = share - own.expected > allowed and _at_least(lost, rate * span) < declared.repeated_chance
    if not far and rows[1].drifted and rows[1].value < (rows[1].expected or 0.0):
        return rows[1]._replace(detail=f"fewer rows per number, {words}", statistic="rows per number")
    return Measured(share, own.expected, allowed, far, words, "share of numbers")


def _span(column: ColumnProfile) -> int:
    return int(column.profile["span"])


def _there(column: ColumnProfile) -> float:
    """Different values; those beyond what is counted exactly are within 2 % or so."""
    return float(round(column.rows / column.profile["per_value"]) - (1 if column.nulls else 0))


def _lost(column: ColumnProfile) -> float:
    return max(_span(column) - _there(column), 0.0)


def _at_least(count: float, usual: float) -> float:
    """How likely chance makes `count` or more of what is usually `usual` (Poisson)."""
    from scipy.special import gammainc

    return float(gammainc(count, usual)) if count > 0 else 1.0
