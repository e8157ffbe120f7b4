"""A forecast, as a use case declares it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from include.errors import ConfigurationError
from include.systems.forecast.calendar import Every

if TYPE_CHECKING:
    from include.systems.port import Decider

LEAST = 4
"""Periods of history without which nothing can be said of how far off a forecast is."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How far an 80 % interval reaches below and above, in units of the row's own errors so far (see `method.py`)."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Quantities of the next `horizon` periods, of the history that lies in column `of`.

    The column holds JSON text, as `Group` makes it: a list of members with a `period` (a date that lies in it) and a
    `quantity` (a number, or null for unknown), in any order. `after` names a column with a date: the period that it
    lies in is running, what is known of it does not count, and the first one answered is the next. Without it the
    answer begins after the last period of the history.

    `season` is how many periods make a season (None: there is none); it counts from two whole seasons of history on.
    Rows with fewer than `least` known periods are left. Periods that are absent are filled `between` their neighbours,
    up to a share `most_gaps` of all, or are a quantity of `zero`, for sources that have no row where nothing was sold.
    With `between`, a history that ends more than `late` periods before the running one is left. `spread` replaces the
    constants of the interval, which come from public data, by those that `evaluate` prints for your own.
    """

    of: str
    period: str
    quantity: str
    every: Every
    horizon: int
    after: str | None = None
    season: int | None = None
    least: int = 8
    fill: Literal["between", "zero"] = "between"
    most_gaps: float = 0.2
    late: int = 3
    spread: Spread | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be computed."""
        problems = {
            "`horizon` must be 1 to 366": not 1 <= self.horizon <= 366,
            "`season` must be 2 to 366, or None": self.season is not None and not 2 <= self.season <= 366,
            f"`least` must be at least {LEAST}": self.least < LEAST,
            "`most_gaps` must be at least 0 and less than 1": not 0 <= self.most_gaps < 1,
            "`late` must not be negative": self.late < 0,
            "`spread` must be positive": self.spread is not None and min(self.spread.low, self.spread.high) <= 0,
        }
        for problem, holds in problems.items():
            if holds:
                raise ConfigurationError(problem, about=f"forecast of {self.of}", action="Correct the use case's spec")

    @property
    def reads(self) -> Sequence[str]:
        """The history, and the date that says where it ends."""
        return (self.of, self.after) if self.after else (self.of,)

    def open(self, folder: Path, output: Any) -> Decider:
        """The forecaster; raises ConfigurationError for an answer that it cannot fill."""
        from include.systems.forecast.forecaster import Forecaster

        return Forecaster(self, output)
