"""How good a use case's forecast is on known series: what lies before a cut is forecast and held against what came.

WAPE is the sum of absolute errors over the sum of quantities. MASE is the mean absolute error of a series in units of
what its own seasonal naive forecast missed before the cut (Hyndman and Koehler 2006). Nothing is asked.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from statistics import median
from typing import Any

import numpy as np

from include.errors import ConfigurationError
from include.models import Record
from include.systems.forecast.declared import Forecast, Spread
from include.systems.forecast.forecaster import Forecaster
from include.systems.forecast.history import read_history
from include.systems.forecast.labels import Series
from include.systems.forecast.method import POWER

_SEASONS = {"day": (7,), "week": (52, 13, 4), "month": (12, 4), "quarter": (4,)}
"""Periods that a seasonal naive forecast looks back: the first number that the history exceeds."""


@dataclass(frozen=True, slots=True)
class Scored:
    """The figures: shares of what came, `coverage` of 0 to 1; `left` are series by why.

    `spread` is what would have covered 80 % of these series, None where nothing was off in both directions. `lines` are
    for a file: id, period, quantity, low and high, or id and why the series was left.
    """

    series: int
    left: Mapping[str, int]
    wape: float
    naive: float
    seasonal: float
    total: float
    mase: float | None
    coverage: float
    spread: Spread | None
    lines: Sequence[Record]


@dataclass
class _Sums:
    """What all series together came to, their errors in units of their own, and each series' MASE."""

    of: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    reached: list[float] = field(default_factory=list)
    mase: list[float] = field(default_factory=list)

    def add(self, declared: Forecast, one: Series, ahead: Sequence[Record], wide: Mapping[str, float]) -> None:
        """Add one series; `wide` is the upper end of an interval of one unit, by period."""
        history = read_history(one.row, declared)
        known = history.quantities
        season = next((n for n in _SEASONS[declared.every] if n < len(known)), 1)
        missed = list[float]()
        for week in ahead:
            came = one.came[week["period"]]
            step = history.calendar.number(date.fromisoformat(week["period"])) - history.last
            missed.append(abs(week["quantity"] - came))
            self.of["periods"] += 1
            self.of["came"] += came
            self.of["said"] += week["quantity"]
            self.of["missed"] += missed[-1]
            self.of["naive"] += abs(float(known[-1]) - came)
            self.of["seasonal"] += abs(float(known[len(known) - season + (step - 1) % season]) - came)
            self.of["covered"] += week["low"] <= came <= week["high"]
            middle = week["quantity"] ** POWER
            if (unit := wide[week["period"]] ** POWER - middle) > 0:
                self.reached.append((came**POWER - middle) / unit)
        usual = float(np.abs(known[season:] - known[:-season]).mean())
        if missed and usual > 0:
            self.mase.append(sum(missed) / len(missed) / usual)

    @property
    def spread(self) -> Spread | None:
        """What 10 % of the errors lie below, and 10 % above."""
        if not self.reached:
            return None
        low, high = np.quantile(np.array(self.reached), (0.1, 0.9))
        return Spread(round(float(-low), 2), round(float(high), 2)) if low < 0 < high else None


def score(declared: Forecast, output: Any, series: Sequence[Series]) -> Scored:
    """Forecast every series; raises ConfigurationError if none is both forecast and known afterwards."""
    forecaster = Forecaster(declared, output)
    unit = Forecaster(replace(declared, spread=Spread(1.0, 1.0)), output)
    left, sums, lines = Counter[str](), _Sums(), list[Record]()
    for one in series:
        answer = forecaster.sort([one.row])
        if not answer.decided:
            why = next(name for name, count in answer.counts.items() if count)
            left[why] += 1
            lines.append({"id": one.name, "left": why})
            continue
        horizon = answer.decided[0]["horizon"]
        lines += [{"id": one.name, **week} for week in horizon]
        wide = {week["period"]: week["high"] for week in unit.sort([one.row]).decided[0]["horizon"]}
        sums.add(declared, one, [week for week in horizon if week["period"] in one.came], wide)
    if not sums.of["periods"]:
        raise ConfigurationError("holds no series that is both forecast and known afterwards", about="labels")
    came = sums.of["came"] or math.nan
    return Scored(
        series=len(series),
        left=left,
        wape=sums.of["missed"] / came,
        naive=sums.of["naive"] / came,
        seasonal=sums.of["seasonal"] / came,
        total=sums.of["said"] / came,
        mase=median(sums.mase) if sums.mase else None,
        coverage=sums.of["covered"] / sums.of["periods"],
        spread=sums.spread,
        lines=lines,
    )
