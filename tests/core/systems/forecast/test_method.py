"""The parts of the method are those of the books, as statsmodels has them; the whole is pinned to its version."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from include.systems.forecast import method
from include.systems.forecast.declared import Spread
from include.systems.forecast.method import drift, fit, indices, smooth

STEPS = 6


def demand(length: int = 48, swing: float = 0.4) -> np.ndarray[Any, Any]:
    at = np.arange(length)
    return np.asarray(100 * (1 + swing * np.sin(at * np.pi / 6)) * (1 + 0.1 * np.sin(17 * at**2)))


def test_the_level_is_that_of_simple_exponential_smoothing() -> None:
    from statsmodels.tsa import holtwinters

    values = demand(swing=0)
    levels, weight = smooth(values)
    assert weight in method.WEIGHTS
    model = holtwinters.SimpleExpSmoothing(values, initialization_method="known", initial_level=values[0])
    assert np.allclose(levels, model.fit(smoothing_level=weight, optimized=False).level)
    errors = {one: model.fit(smoothing_level=one, optimized=False).sse for one in method.WEIGHTS}
    assert weight == min(errors, key=errors.__getitem__)


def test_the_drift_is_that_of_the_theta_method() -> None:
    from statsmodels.tsa.forecasting import theta

    values = demand(swing=0) + np.arange(48)
    found = theta.ThetaModel(values, period=1, deseasonalize=False).fit()
    weight = found.params["alpha"]
    assert np.allclose(drift(values, weight, STEPS), found.forecast_components(STEPS)["trend"] / 2)


def test_the_season_is_that_of_classical_decomposition_drawn_towards_one() -> None:
    from statsmodels.tsa import seasonal

    for season in (12, 7):
        values = demand(49)
        known = seasonal.seasonal_decompose(values, "multiplicative", period=season).seasonal[:season]
        assert np.allclose(indices(values, season), 1 + method.KEPT * (known - 1))


def test_a_season_counts_from_two_whole_ones_on() -> None:
    short, long = fit(demand(23), 12, 12), fit(demand(24), 12, 12)
    assert (short.seasonal, long.seasonal) == (False, True)
    assert np.ptp(short.middle) == 0
    assert long.middle[:6].min() > long.middle[7:].max()


def test_further_ahead_is_never_surer_and_the_ends_hold_the_middle() -> None:
    for length in (4, 8, 30, 60):
        found = fit(demand(length), 20, None)
        assert (np.diff(found.high) >= 0).all()
        assert (np.diff(found.low) <= 0).all()
        assert ((found.low <= found.middle) & (found.middle <= found.high)).all()
    wide = fit(demand(60), 20, None, Spread(3.0, 3.0))
    assert (wide.high > found.high).all()
    assert (wide.low < found.low).all()


def test_one_order_of_forty_times_the_usual_moves_the_forecast_less_than_the_mean() -> None:
    values = np.full(40, 50.0)
    values[30] = 2_000.0
    assert fit(values, 1, None).middle[0] < 100 < 50 + 1_950 * 0.05


def test_a_series_without_demand_has_none() -> None:
    found = fit(np.zeros(30), 12, 12)
    assert not found.high.any()
    assert found.skill == 1.0


def test_skill_is_what_the_past_says() -> None:
    assert fit(np.full(30, 7.0), 4, None).skill == pytest.approx(1.0)
    wild = np.where(np.arange(40) % 5 == 0, 500.0, 0.0)
    assert fit(wild, 4, None).skill < 0.1 < 0.75 < fit(demand(40, swing=0), 4, None).skill


def test_an_answer_changes_only_with_the_version() -> None:
    """Raise `VERSION` when these numbers change, so that no answer of another method is used again."""
    level, seasonal = fit(demand(20), 2, None), fit(demand(40), 2, 12)
    assert method.VERSION == 1
    found = [np.round(ends, 6).tolist() for one in (level, seasonal) for ends in (one.middle, one.low, one.high)]
    assert found[:3] == [[97.951458, 97.951458], [72.854479, 67.971552], [156.656997, 169.923174]]
    assert found[3:] == [[130.851465, 119.137244], [107.69883, 94.172148], [167.104443, 158.778284]]
