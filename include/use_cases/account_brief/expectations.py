"""What accounts must satisfy before a model reads for them, and its notes before anybody is asked."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from include.models import Interval
from include.quality.common import (
    answers_refused,
    columns_present,
    columns_typed,
    row_not_to_model,
    rows_arrived,
    rows_as_usual,
)
from include.quality.expectation import DERIVED, Expectation
from include.quality.usual import newest_within
from include.use_cases.account_brief.spec import SPEC

if TYPE_CHECKING:
    import pandas as pd

TYPES = {"company_id": ("str", "text"), "active_at": ("Timestamp", "times"), "customer_number": ("str", "text")}
ENOUGH = 50
"""Notes below which their distribution says nothing."""


def _active_within(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return (rows["active_at"] >= interval.start) & (rows["active_at"] < interval.end)


def _share_of_health(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """The share of the night's notes that have the row's health."""
    return rows["health"].map(rows["health"].value_counts(normalize=True))


EXPECTATIONS = (
    rows_arrived("At most 20,000 accounts were active; none is a night without work", 0, 20_000, "accounts"),
    Expectation(
        "company_id_present",
        "ExpectColumnValuesToNotBeNull",
        ("company_id",),
        "critical",
        "Every account has an id",
        {"column": "company_id"},
        rows="quarantine",
        unit="accounts",
    ),
    Expectation(
        "company_id_unique",
        "ExpectColumnValuesToBeUnique",
        ("company_id",),
        "critical",
        "No account appears twice in a night",
        {"column": "company_id"},
        rows="quarantine",
        unit="accounts",
    ),
    Expectation(
        "active_in_interval",
        "ExpectColumnValuesToBeInSet",
        ("active_at",),
        "critical",
        "Every account was active within the night's interval",
        {"column": DERIVED, "value_set": [True]},
        rows="quarantine",
        derive=_active_within,
        unit="accounts",
    ),
    Expectation(
        "customer_number_unique",
        "ExpectColumnValuesToBeUnique",
        ("customer_number",),
        "warning",
        "No two companies have one customer number; nobody knows whose invoices they are, so both wait",
        {"column": "customer_number"},
        rows="quarantine",
        at_least=0.95,
        unit="accounts",
    ),
    Expectation(
        "source_fresh",
        "ExpectColumnMaxToBeBetween",
        ("active_at",),
        "warning",
        "The newest activity was at most 12 hours before the end of the night",
        bounds=newest_within("active_at", timedelta(hours=12)),
        unit="time",
    ),
    Expectation(
        "customer_number_form",
        "ExpectColumnValuesToMatchRegex",
        ("customer_number",),
        "warning",
        "A customer number is C- and four to eight digits",
        {"column": "customer_number", "regex": r"^C-\d{4,8}$"},
        rows="quarantine",
        at_least=0.95,
        unit="accounts",
    ),
    row_not_to_model("No account's own fields talk to a model", ("name", "industry", "country"), "accounts"),
    columns_present("Every column that is checked or shown to the model was staged", [*SPEC.model_sees, *TYPES]),
    *columns_typed(TYPES),
    rows_as_usual(
        "The night brought at most three times the accounts that this weekday's nights bring", 0.0, 3.0, "accounts"
    ),
)

ANSWER_EXPECTATIONS = (
    Expectation(
        "note_present",
        "ExpectColumnValuesToNotBeNull",
        ("note",),
        "warning",
        "The account has a note; at least 90 % of those asked must",
        {"column": "note"},
        at_least=0.9,
        unit="accounts",
    ),
    answers_refused("accounts", ENOUGH),
    Expectation(
        "agents_end_well",
        "ExpectColumnValuesToBeInSet",
        ("ending",),
        "warning",
        "The agent has answered or is deferred, and neither ran out nor went in circles; at least 90 % must",
        {"column": "ending", "value_set": ["answered", "fallback", "deferred"]},
        at_least=0.9,
        unit="accounts",
    ),
    Expectation(
        "health_balance",
        "ExpectColumnMaxToBeBetween",
        ("health",),
        "critical",
        "No health has more than 95 % of the night's notes",
        {"column": DERIVED, "max_value": 0.95},
        derive=_share_of_health,
        unit="share of notes",
        least_rows=ENOUGH,
    ),
)
