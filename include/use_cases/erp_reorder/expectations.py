"""What must hold before an order is worked out, and of the proposals before a planner sees them.

Shares are of all rows of the night.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from include.models import Interval
from include.quality.columns import rows_pass, text_form, value_present, value_unique
from include.quality.common import (
    answers_arrived,
    columns_present,
    columns_typed,
    rows_arrived,
    rows_as_usual,
    source_fresh,
)
from include.quality.expectation import Expectation
from include.use_cases.erp_reorder.spec import SPEC

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    "series": ("str", "text"),
    "on_hand": ("float64", "numbers"),
    "supply_lead_days": ("float64", "numbers"),
    "stock_changed_at": ("Timestamp", "times"),
}
STALE_AFTER = timedelta(days=120)
ENOUGH = 50
"""Proposals below which their distribution says nothing."""


def _counted_lately(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    counted = rows["stock_counted_on"].map(lambda day: day is not None and day >= (interval.end - STALE_AFTER).date())
    return counted | ~rows["stock_found"].astype(bool)


def _within_bounds(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """No order is more than a pack and what is needed, in reserve, and the smallest order could explain."""
    return rows["order"] <= 10 * (rows["needed"] + rows["safety"]).clip(lower=1)


EXPECTATIONS = (
    rows_arrived("The night of the forecasts brought between 1 and 1,000,000 series", 1, 1_000_000, "series"),
    value_unique("series", "No series came twice", "series", severity="critical"),
    value_present(
        "horizon", "The series has a forecast", "series", id="forecast_there", rows="quarantine", at_least=0.95
    ),
    value_present(
        "on_hand", "The stock of the product in the plant is known", "series", id="stock_known", at_least=0.9
    ),
    Expectation(
        "stock_not_negative",
        "ExpectColumnValuesToBeBetween",
        ("on_hand",),
        "warning",
        "Stock is not negative",
        {"column": "on_hand", "min_value": 0},
        rows="quarantine",
        at_least=0.95,
        unit="series",
    ),
    rows_pass(
        "counted_lately",
        "The stock was counted within 120 days",
        ("stock_counted_on", "stock_found"),
        _counted_lately,
        "series",
        severity="info",
        at_least=0.8,
    ),
    value_present("supply_lead_days", "The lead time is known", "series", id="supply_known", at_least=0.9),
    Expectation(
        "lead_time_plausible",
        "ExpectColumnValuesToBeBetween",
        ("supply_lead_days",),
        "warning",
        "The lead time is 0 to 365 days",
        {"column": "supply_lead_days", "min_value": 0, "max_value": 365},
        rows="quarantine",
        at_least=0.95,
        unit="series",
    ),
    columns_present("Every column that an order is worked out of was staged", SPEC.model_sees),
    *columns_typed(TYPES),
    text_form(
        "plant",
        "A plant is two letters and two digits",
        r"^[A-Z]{2}[0-9]{2}$",
        "series",
        rows="quarantine",
        at_least=0.95,
    ),
    source_fresh(
        "The newest stock record is at most thirty days old",
        "stock_changed_at",
        timedelta(days=30),
    ),
    rows_as_usual(
        "The night brought between half and twice the series that this weekday's nights bring", 0.5, 2.0, "series"
    ),
)

ANSWER_EXPECTATIONS = (
    answers_arrived("At least one order was to be worked out", "series"),
    rows_pass(
        "order_within_bounds",
        "No more than one in twenty orders is over ten times what is needed and kept in reserve",
        ("order", "needed", "safety"),
        _within_bounds,
        "proposals",
        severity="critical",
        at_least=0.95,
        least_rows=ENOUGH,
    ),
    Expectation(
        "not_all_ordered",
        "ExpectColumnValuesToBeBetween",
        ("order",),
        "warning",
        "At least one in twenty series needs no order",
        {"column": "order", "max_value": 0},
        at_least=0.05,
        unit="proposals",
        least_rows=ENOUGH,
    ),
)
