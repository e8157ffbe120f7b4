"""How good forecasts are on public sets, at the last cut that leaves a whole horizon to hold them against."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from include.operations.evaluate_forecast import score
from include.settings import ROOT
from include.systems.forecast.labels import read_series
from tests.core.systems.forecast.series import Output, declared

DATA = ROOT.parent / "shared" / "data"
WEEKLY = DATA / "demand_online_retail" / "weekly_units_top400_to_2011-10-02.csv"
MONTHLY = DATA / "demand_stallion_beverages" / "stallion_2013_to_2016.csv"
SECONDS = 0.01
"""For one series; it takes a twentieth of it where nothing else runs."""


@pytest.mark.parametrize(
    ("file", "columns", "given", "most"),
    [
        (WEEKLY, {"series": "StockCode", "period": "week_start", "quantity": "units"}, {"horizon": 10}, 0.62),
        (
            MONTHLY,
            {"series": "agency+sku", "period": "date", "quantity": "volume"},
            {"horizon": 12, "every": "month", "season": 12},
            0.185,
        ),
    ],
    ids=["weekly", "monthly"],
)
def test_forecasts_beat_the_naive_ones_and_intervals_cover_what_they_say(
    file: Path, columns: Mapping[str, str], given: Mapping[str, Any], most: float
) -> None:
    if not file.is_file():
        pytest.skip(f"the public set {file.parent.name} is not here")
    forecast, series = read_series(file, declared(**given), columns)
    began = time.process_time()
    found = score(forecast, Output, series)
    took = (time.process_time() - began) / 2 / len(series)
    assert found.left == {}
    assert found.wape <= most
    assert found.wape < min(found.naive, found.seasonal)
    assert 0.75 <= found.coverage <= 0.85
    assert took < SECONDS
