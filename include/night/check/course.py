"""What a figure of tonight should be by its own course over the nights before, and how far it may lie from that.

Four plain forecasts compete: the median of all nights, of the same weekday, of the last seven, and the night before.
The one that would have been nearest on the nights before is used (naive methods, chosen by their one-step errors: R.
Hyndman and G. Athanasopoulos, Forecasting: Principles and Practice, 2021, chapters 5.2 and 5.8). Its errors on those
nights are the spread: what a figure does by itself from night to night is no drift.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from statistics import median
from typing import NamedTuple

FEWEST = 4
"""Nights below which a forecast has no errors to be judged by."""
FEWEST_SEEN = 10
"""Distances below which they say too little of how far a night may lie."""
MOSTLY = 0.9
"""Share of the nights before that have to be of a kind for a column to be called so."""
_MAD = 1.4826
_NINE_TENTHS = 1.6449


class TooFewNightsError(LookupError):
    """A figure has no course yet."""


class Course(NamedTuple):
    """A forecast for tonight, and what it was wrong by on each of the nights before (figure less forecast).

    A night of few rows errs by more: its error counts as if it had the usual number, and its limits are `widen` times
    as wide.
    """

    expected: float
    errors: Sequence[float]
    widen: float = 1.0

    def limits(self, chance: float, floor: float = 0.0) -> tuple[float, float]:
        """How far below and above `expected` a figure lies with no more than this probability by itself.

        The spread of either side is robust (median of the errors, J. Tukey's 1.4826, but at least what nine tenths of
        them stay within) and at least `floor`; Student's t makes up for how few nights there are. What happened twice
        before is no drift the third time.
        """
        from scipy.special import stdtrit

        times = float(-stdtrit(max(len(self.errors) - 1, 1), chance / 2))
        found = []
        for side in ([-e for e in self.errors if e < 0], [e for e in self.errors if e > 0]):
            own = side if len(side) >= 8 else [abs(e) for e in self.errors]
            spread = max(_spread(own), floor)
            found.append(self.widen * max(times * spread, sorted(side)[-2] if len(side) > 1 else 0.0))
        return found[0], found[1]


def course(
    nights: Sequence[tuple[datetime, float]], start: datetime, sizes: Sequence[int] = (), rows: int = 0
) -> Course | None:
    """The course of a figure over earlier nights (newest first) towards the night that begins at `start`.

    `sizes` are the rows of each night that the figure comes from, and `rows` tonight's; without them all count alike.
    None with fewer than FEWEST nights.
    """
    if len(nights) < FEWEST:
        return None
    past = list(reversed(nights))
    usual = median(sizes) if sizes else 0
    shrink = [min(1.0, math.sqrt(size / usual)) if usual else 1.0 for size in reversed(sizes or [0] * len(past))]
    widen = max(1.0, math.sqrt(usual / rows)) if usual and rows else 1.0
    best: Course | None = None
    for forecast in _FORECASTS:
        errors = []
        for at in range(2, len(past)):
            guess = forecast(past[:at], past[at][0])
            if guess is not None:
                errors.append((past[at][1] - guess) * shrink[at])
        expected = forecast(past, start)
        if expected is None or len(errors) * 2 < len(past) - 2:
            continue
        if best is None or _spread([abs(e) for e in errors]) < 0.9 * _spread([abs(e) for e in best.errors]):
            best = Course(expected, errors, widen)
    return best


def beyond(seen: Sequence[float], chance: float) -> float:
    """What a distance (0 or more) does not exceed by itself, from such distances of nights before; 0 of too few.

    Distances that are sums of squares lie further above their median than below it; their cube roots do not (E. Wilson
    and M. Hilferty, The Distribution of Chi-Square, 1931).
    """
    if len(seen) < FEWEST_SEEN:
        return 0.0
    roots = [math.cbrt(one) for one in seen]
    usually = median(roots)
    _, high = Course(usually, [one - usually for one in roots]).limits(chance)
    return float((usually + high) ** 3)


def _spread(sizes: Sequence[float]) -> float:
    """The standard deviation that errors of these sizes speak of, whatever a tenth of them is."""
    if not sizes:
        return 0.0
    ordered = sorted(sizes)
    return max(_MAD * median(ordered), ordered[math.ceil(0.9 * len(ordered)) - 1] / _NINE_TENTHS)


_Past = Sequence[tuple[datetime, float]]


def _all(past: _Past, start: datetime) -> float | None:
    return median(value for _, value in past)


def _weekday(past: _Past, start: datetime) -> float | None:
    same = [value for at, value in past if at.weekday() == start.weekday()]
    return median(same) if len(same) > 1 else None


def _week(past: _Past, start: datetime) -> float | None:
    return median(value for _, value in past[-7:]) if len(past) > 7 else None


def _before(past: _Past, start: datetime) -> float | None:
    return past[-1][1]


_FORECASTS: tuple[Callable[[_Past, datetime], float | None], ...] = (_all, _weekday, _week, _before)
