"""Smoothing of a power: the level, the season and the drift of a series, and how far off they were.

Demand varies with its size and is skewed. Its power 2/3, which makes a Poisson count nearly symmetric (Anscombe 1953),
varies more evenly, and a single large order pulls the level less. What is carried back is the middle of what to
expect, not its mean.

* Season: ratios to a centred moving average, averaged by position in the season (classical decomposition, Hyndman and
  Athanasopoulos, Forecasting: Principles and Practice, 3.4), drawn towards 1 as short histories exaggerate them.
* Level: simple exponential smoothing; the weight with the least squared error one step ahead, of a few that are small.
* Drift, with a season only: half of that of the Theta method (Assimakopoulos and Nikolopoulos 2000), which is the mean
  of Theta and of the level alone. Its closed form is Hyndman and Billah's (2003), as statsmodels documents it.

Why so: docs/adr/0038-forecasts-of-a-rows-own-history.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from include.systems.forecast.declared import Spread
from include.systems.forecast.history import Numbers

VERSION = 1
"""Grows with every change here that could change an answer."""
POWER = 2 / 3
"""To which quantities are taken before they are smoothed."""
WEIGHTS = np.array([0.05, 0.1, 0.15, 0.2, 0.25, 0.3])
"""Weights of the newest period that are tried for the level; larger ones follow the noise."""
KEPT = 0.7
"""The share of a seasonal index's distance from 1 that is believed."""
INDEX = (0.1, 10.0)
"""Bounds of a seasonal index."""
SEASONS = 2
"""Whole seasons of history from which on a season is told from chance."""
SETTLED = 8
"""Periods after which a level is good enough for its errors to count."""
FEWEST = 4
"""Errors so many steps ahead that make a figure of their own."""
FLAT, SEASONAL = Spread(0.95, 1.95), Spread(1.65, 2.4)
"""Constants of the 80 % interval without and with a season: about the 10 % and 90 % points of later errors in units of
the scale, over rolling origins of 400 weekly series (Online Retail) and 350 monthly ones (Stallion)."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a series gave: quantities of the steps ahead, 80 % intervals, and how right such forecasts were so far.

    `skill` is 1 less the weighted absolute percentage error of its own past, at least 0.
    """

    middle: Numbers
    low: Numbers
    high: Numbers
    skill: float
    seasonal: bool


def fit(quantities: Numbers, steps: int, season: int | None, spread: Spread | None = None) -> Fitted:
    """Forecast `steps` periods; `quantities` are finite and not negative, at least four."""
    length = len(quantities)
    seasonal = season is not None and length >= SEASONS * season
    factors = np.ones(length + steps)
    if season is not None and seasonal:
        factors = indices(quantities, season)[np.arange(length + steps) % season]
    powers = (quantities / factors[:length]) ** POWER
    levels, weight = smooth(powers)
    ahead = np.full(steps, levels[-1])
    if seasonal:
        ahead = ahead + drift(powers, weight, steps) / 2
    ahead = np.maximum(ahead, 0.0)
    scale, skill = past_errors(levels, powers, quantities, factors, steps)
    reach = spread or (SEASONAL if seasonal else FLAT)
    to_come = factors[length:]
    return Fitted(
        middle=ahead ** (1 / POWER) * to_come,
        low=np.maximum(ahead - reach.low * scale, 0.0) ** (1 / POWER) * to_come,
        high=(ahead + reach.high * scale) ** (1 / POWER) * to_come,
        skill=skill,
        seasonal=seasonal,
    )


def indices(quantities: Numbers, season: int) -> Numbers:
    """What each position in the season is of the usual, on average 1; position 0 is that of the first period."""
    half = season // 2
    window = np.ones(season) / season
    if season % 2 == 0:
        window = np.r_[0.5, np.ones(season - 1), 0.5] / season
    usual = np.convolve(quantities, window, "valid")
    inside = quantities[half : half + len(usual)]
    ratios = np.divide(inside, usual, out=np.full(len(usual), np.nan), where=usual > 0)
    position = (np.arange(len(usual)) + half) % season
    means = np.array([_mean(ratios[position == one]) for one in range(season)])
    means /= means.mean() or 1.0
    return np.asarray(1 + KEPT * (np.clip(means, *INDEX) - 1))


def _mean(values: Numbers) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 1.0


def smooth(values: Numbers) -> tuple[Numbers, float]:
    """The level after each value, under the weight that would have been nearest to the value that came next."""
    levels = np.empty((len(values), len(WEIGHTS)))
    squares = np.zeros(len(WEIGHTS))
    levels[0] = level = np.full(len(WEIGHTS), values[0])
    for at in range(1, len(values)):
        error = values[at] - level
        squares += error**2
        level = level + WEIGHTS * error
        levels[at] = level
    best = int(squares.argmin())
    return levels[:, best], float(WEIGHTS[best])


def drift(values: Numbers, weight: float, steps: int) -> Numbers:
    """What the Theta method (theta 2) adds to the level at each step ahead: half of the slope of a straight line."""
    length = len(values)
    at = np.arange(length) - (length - 1) / 2
    slope = float((values * at).sum() / (at**2).sum())
    return np.asarray(slope / 2 * (np.arange(steps) + (1 - (1 - weight) ** length) / weight), np.float64)


def past_errors(
    levels: Numbers, powers: Numbers, quantities: Numbers, factors: Numbers, steps: int
) -> tuple[Numbers, float]:
    """The root mean square error of the powers at each step ahead, and the skill, over all earlier periods.

    Further ahead is never surer. Steps with too few errors of their own grow from the last that had enough, as those of
    a random walk do.
    """
    length = len(powers)
    scale, missed, demanded, enough, widest = np.empty(steps), 0.0, 0.0, 0, 0.0
    for step in range(1, steps + 1):
        start = min(SETTLED, max(length - step - FEWEST, 0))
        if length - step - start >= FEWEST or step == 1:
            errors = powers[start + step :] - levels[start : length - step]
            widest, enough = max(widest, float(np.sqrt((errors**2).mean()))), step
            came = quantities[start + step :]
            said = levels[start : length - step] ** (1 / POWER) * factors[start + step : length]
            missed, demanded = missed + float(np.abs(said - came).sum()), demanded + float(came.sum())
            scale[step - 1] = widest
        else:
            scale[step - 1] = widest * np.sqrt(step / enough)
    right = 1 - missed / demanded if demanded else float(missed == 0)
    return scale, min(max(right, 0.0), 1.0)
