"""What a history must satisfy before anything is forecast, and the forecasts before anything is proposed.

A row is a product in a plant with the weeks of its demand; shares are of all rows of the night.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from include.models import Interval
from include.quality.columns import rows_pass, text_form, value_among, value_present
from include.quality.common import (
    answers_arrived,
    columns_present,
    columns_typed,
    confidence_median,
    rows_arrived,
    rows_as_usual,
)
from include.quality.expectation import DERIVED, Derive, Expectation

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["product", "plant", "history", "history_count", "history_left_out", "this_week"]
TYPES = {"product": ("str", "text"), "plant": ("str", "text"), "history": ("str", "text")}
FRESH, ENOUGH, PLAUSIBLE = 3, 8, 10
"""Weeks after which a history is old, weeks that a forecast needs, and times the largest quantity ever seen."""
MANY = 20
"""Answers below which their distribution says nothing."""
Member = Mapping[str, Any]
Holds = Callable[[list[Member], "pd.Series[Any]"], bool]


def _members(text: Any) -> list[Member]:
    try:
        found = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return []
    return found if isinstance(found, list) and all(isinstance(one, dict) for one in found) else []


def _of_each(column: str, holds: Holds) -> Derive:
    """Whether it holds of the members in a column's JSON text, row by row; no members are no breach."""

    def derive(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
        return rows.apply(lambda row: bool(holds(_members(row[column]), row)), axis=1, result_type="reduce").astype(
            bool
        )

    return derive


def _not_negative(members: list[Member], row: pd.Series[Any]) -> bool:
    return all(one["quantity"] is None or one["quantity"] >= 0 for one in members)


def _once_a_week(members: list[Member], row: pd.Series[Any]) -> bool:
    weeks = [one["week"] for one in members]
    return len(set(weeks)) == len(weeks)


def _mondays(members: list[Member], row: pd.Series[Any]) -> bool:
    return all(date.fromisoformat(one["week"][:10]).weekday() == 0 for one in members)


def _over(members: list[Member], row: pd.Series[Any]) -> bool:
    return all(one["week"][:10] < str(row["this_week"])[:10] for one in members)


def _fresh(members: list[Member], row: pd.Series[Any]) -> bool:
    oldest = date.fromisoformat(str(row["this_week"])[:10]) - timedelta(weeks=FRESH + 1)
    return not members or max(one["week"][:10] for one in members) >= oldest.isoformat()


def _complete(members: list[Member], row: pd.Series[Any]) -> bool:
    """At least four of five weeks from the first to the last are there."""
    weeks = sorted(date.fromisoformat(one["week"][:10]) for one in members if one["quantity"] is not None)
    return not weeks or len(weeks) >= 0.8 * ((weeks[-1] - weeks[0]).days // 7 + 1)


def _in_order(members: list[Member], row: pd.Series[Any]) -> bool:
    return all(0 <= one["low"] <= one["quantity"] <= one["high"] for one in members)


def _plausible(members: list[Member], row: pd.Series[Any]) -> bool:
    return all(one["quantity"] <= PLAUSIBLE * row["largest_seen"] for one in members)


def _consecutive(members: list[Member], row: pd.Series[Any]) -> bool:
    weeks = [date.fromisoformat(one["period"]) for one in members]
    return all(after - before == timedelta(weeks=1) for before, after in pairwise(weeks))


def _share_still(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """The share of the night's answers whose first quantity is zero."""
    first = rows["horizon"].map(lambda text: (_members(text) or [{"quantity": None}])[0]["quantity"])
    return (first == 0).astype(float).groupby(first.notna()).transform("mean")


def _history(name: str, meaning: str, holds: Holds, *, waits: bool = True, at_least: float = 0.95) -> Expectation:
    """An expectation of the weeks of a history; one that fails it waits in quarantine, or goes on with a warning."""
    return rows_pass(
        name,
        meaning,
        ("history", "this_week"),
        _of_each("history", holds),
        "histories",
        rows="quarantine" if waits else "keep",
        at_least=at_least,
    )


def _forecast(name: str, meaning: str, holds: Holds) -> Expectation:
    """An expectation of the weeks to come; one that fails holds the night's answers back."""
    derive = _of_each("horizon", holds)
    return rows_pass(name, meaning, ("horizon", "largest_seen"), derive, "forecasts", severity="critical")


def _series(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return rows["product"] + " / " + rows["plant"]


EXPECTATIONS = (
    rows_arrived("The night brought between 1 and 1,000,000 histories", 1, 1_000_000, "histories"),
    columns_present("Every column that is checked or read was staged", COLUMNS),
    *columns_typed(TYPES),
    text_form(
        "plant",
        "A plant is two letters and two digits",
        r"^[A-Z]{2}[0-9]{2}$",
        "histories",
        rows="quarantine",
        at_least=0.95,
    ),
    value_present("product", "Every history has its product", "histories", severity="critical"),
    Expectation(
        "history_once",
        "ExpectColumnValuesToBeUnique",
        ("product", "plant"),
        "critical",
        "No product and plant has two histories",
        {"column": DERIVED},
        derive=_series,
        whole=True,
        unit="histories",
    ),
    Expectation(
        "longest_history",
        "ExpectColumnMaxToBeBetween",
        ("history_count",),
        "warning",
        "The longest history has at least a quarter of a year",
        {"column": "history_count", "min_value": 13},
        unit="weeks",
    ),
    _history("quantity_not_negative", "No week has a negative quantity; returns belong elsewhere", _not_negative),
    _history("one_row_per_week", "No week is there twice", _once_a_week),
    _history("weeks_begin_on_monday", "Every week is named by its Monday", _mondays),
    _history("weeks_are_over", "No week is there that is not over yet", _over, waits=False, at_least=0.99),
    _history("history_fresh", f"The newest week is at most {FRESH} weeks old", _fresh, waits=False, at_least=0.9),
    _history("few_weeks_absent", "At least four of five weeks are there", _complete, waits=False, at_least=0.9),
    Expectation(
        "history_long_enough",
        "ExpectColumnValuesToBeBetween",
        ("history_count",),
        "warning",
        f"At least {ENOUGH} weeks are known; at least 80 % of the histories must have them",
        {"column": "history_count", "min_value": ENOUGH},
        at_least=0.8,
        unit="histories",
    ),
    Expectation(
        "nothing_left_out",
        "ExpectColumnValuesToBeBetween",
        ("history_left_out",),
        "info",
        "No week was left out because a history is too long",
        {"column": "history_left_out", "max_value": 0},
        unit="histories",
    ),
    rows_as_usual(
        "The night brought between 80 % and 125 % of the histories that this weekday's nights bring",
        0.8,
        1.25,
        "histories",
    ),
)

ANSWER_EXPECTATIONS = (
    answers_arrived("At least one history was to be forecast", "histories"),
    _forecast("interval_in_order", "Low, quantity and high are in order, and not negative", _in_order),
    _forecast("quantity_plausible", f"No week is over {PLAUSIBLE} times the largest quantity ever seen", _plausible),
    _forecast("weeks_follow", "The weeks to come follow each other", _consecutive),
    value_among(
        "ending",
        "At least 80 % of the histories are forecast; the others are left to a rule and a person",
        ["answered"],
        "histories",
        id="share_left",
        at_least=0.8,
        least_rows=MANY,
    ),
    Expectation(
        "not_all_still",
        "ExpectColumnMaxToBeBetween",
        ("horizon",),
        "critical",
        "At most 60 % of the forecasts are of no demand at all",
        {"column": DERIVED, "max_value": 0.6},
        derive=_share_still,
        unit="share of forecasts",
        least_rows=MANY,
    ),
    confidence_median("Half of the forecasts would have met at least 40 % of past demand", 0.4, MANY),
)
