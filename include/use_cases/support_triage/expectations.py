"""What tickets must satisfy before anybody sorts them, and the answers before anything is written.

Shares are of all rows of the night.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from include.models import Interval
from include.quality.common import (
    answer_not_told,
    answers_arrived,
    answers_refused,
    columns_present,
    columns_typed,
    row_not_to_model,
    rows_arrived,
    rows_as_usual,
)
from include.quality.expectation import DERIVED, Expectation
from include.quality.usual import newest_within
from include.use_cases.support_triage.spec import SPEC

if TYPE_CHECKING:
    import pandas as pd

TYPES = {"ticket_id": ("str", "text"), "body": ("str", "text"), "created_at": ("Timestamp", "times")}
TEXTS = ("subject", "body")
CHANNELS = ["mail", "form", "chat", "phone note"]
ENOUGH = 200
"""Answers below which their distribution says nothing."""


def _says_something(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    said = rows["subject"].fillna("") + rows["body"].fillna("")
    return said.str.contains(r"\w", regex=True)


def _customer_known(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """Whether the day's list has the customer; tickets without one do not count."""
    return rows["customer_plan"].notna() | rows["customer_id"].isna()


def _created_before_end(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return ~(rows["created_at"] > interval.end)


def _share_of_category(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """The share of the night's answers that have the row's category."""
    return rows["category"].map(rows["category"].value_counts(normalize=True))


EXPECTATIONS = (
    rows_arrived("The night brought between 1 and 1,000,000 tickets", 1, 1_000_000, "tickets"),
    Expectation(
        "ticket_id_present",
        "ExpectColumnValuesToNotBeNull",
        ("ticket_id",),
        "critical",
        "The ticket has an id, under which it is answered; at least 90 % must",
        {"column": "ticket_id"},
        rows="quarantine",
        at_least=0.9,
        unit="tickets",
    ),
    Expectation(
        "ticket_id_unique",
        "ExpectColumnValuesToBeUnique",
        ("ticket_id",),
        "critical",
        "No ticket came twice",
        {"column": "ticket_id"},
        unit="tickets",
    ),
    Expectation(
        "says_something",
        "ExpectColumnValuesToBeInSet",
        ("subject", "body"),
        "warning",
        "Subject or body holds a letter or digit",
        {"column": DERIVED, "value_set": [True]},
        rows="quarantine",
        at_least=0.95,
        derive=_says_something,
        unit="tickets",
    ),
    Expectation(
        "body_length",
        "ExpectColumnValueLengthsToBeBetween",
        ("body",),
        "warning",
        "The body has at most 20,000 characters",
        {"column": "body", "max_value": 20_000},
        rows="quarantine",
        at_least=0.98,
        unit="tickets",
    ),
    Expectation(
        "body_printable",
        "ExpectColumnValuesToNotMatchRegex",
        ("body",),
        "warning",
        "The body holds no control characters but line breaks and tabs",
        {"column": "body", "regex": r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"},
        rows="quarantine",
        at_least=0.98,
        unit="tickets",
    ),
    Expectation(
        "channel_known",
        "ExpectColumnValuesToBeInSet",
        ("channel",),
        "info",
        "The channel is one of those in use",
        {"column": "channel", "value_set": CHANNELS},
        at_least=0.95,
        unit="tickets",
    ),
    Expectation(
        "customer_known",
        "ExpectColumnValuesToBeInSet",
        ("customer_id", "customer_plan"),
        "info",
        "The customer is in the day's list of customers",
        {"column": DERIVED, "value_set": [True]},
        at_least=0.9,
        derive=_customer_known,
        unit="tickets",
    ),
    Expectation(
        "created_before_end",
        "ExpectColumnValuesToBeInSet",
        ("created_at",),
        "warning",
        "The ticket was not written later than the night",
        {"column": DERIVED, "value_set": [True]},
        rows="quarantine",
        at_least=0.95,
        derive=_created_before_end,
        unit="tickets",
    ),
    columns_present("Every column that is checked or read was staged", [*SPEC.model_sees, *TYPES]),
    *columns_typed(TYPES),
    Expectation(
        "source_fresh",
        "ExpectColumnMaxToBeBetween",
        ("created_at",),
        "warning",
        "The newest ticket was written at most 24 hours before the end of the night",
        bounds=newest_within("created_at", timedelta(hours=24)),
        unit="time",
    ),
    rows_as_usual(
        "The night brought between half and twice the tickets that this weekday's nights bring", 0.5, 2.0, "tickets"
    ),
    row_not_to_model("Neither subject nor body speaks to the model", TEXTS, "tickets"),
)

ANSWER_EXPECTATIONS = (
    answers_arrived("At least one ticket was to be sorted", "tickets"),
    Expectation(
        "category_present",
        "ExpectColumnValuesToNotBeNull",
        ("category",),
        "warning",
        "The ticket has a category; at least 90 % must",
        {"column": "category"},
        at_least=0.9,
        unit="tickets",
    ),
    answers_refused("tickets", ENOUGH),
    Expectation(
        "category_balance",
        "ExpectColumnMaxToBeBetween",
        ("category",),
        "critical",
        "No category has more than 80 % of the night's answers",
        {"column": DERIVED, "max_value": 0.8},
        derive=_share_of_category,
        unit="share of answers",
        least_rows=ENOUGH,
    ),
    Expectation(
        "urgent_share",
        "ExpectColumnValuesToNotBeInSet",
        ("priority",),
        "warning",
        "At most four of ten tickets are urgent",
        {"column": "priority", "value_set": ["urgent"]},
        at_least=0.6,
        unit="tickets",
        least_rows=ENOUGH,
    ),
    Expectation(
        "confidence_median",
        "ExpectColumnMedianToBeBetween",
        ("confidence",),
        "warning",
        "Half of the answers are at least 50 % certain",
        {"column": "confidence", "min_value": 0.5, "max_value": 1},
        unit="share",
        least_rows=ENOUGH,
    ),
    answer_not_told("No answer is to a ticket that speaks to the model; a person sees such", TEXTS, "tickets"),
)
