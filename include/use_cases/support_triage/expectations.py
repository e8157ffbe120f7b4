"""What tickets must satisfy before anybody sorts them, and the answers before anything is written.

Shares are of all rows of the night.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from include.models import Interval
from include.quality.columns import (
    rows_pass,
    text_length,
    text_printable,
    text_there,
    time_before_end,
    value_among,
    value_present,
    value_unique,
)
from include.quality.common import (
    answer_not_told,
    answers_arrived,
    answers_refused,
    columns_present,
    columns_typed,
    confidence_median,
    row_not_to_model,
    rows_arrived,
    rows_as_usual,
    source_fresh,
    value_balance,
)
from include.quality.expectation import Expectation
from include.use_cases.support_triage.spec import SPEC

if TYPE_CHECKING:
    import pandas as pd

TYPES = {"ticket_id": ("str", "text"), "body": ("str", "text"), "created_at": ("Timestamp", "times")}
TEXTS = ("subject", "body")
CHANNELS = ["mail", "form", "chat", "phone note"]
ENOUGH = 200
"""Answers below which their distribution says nothing."""


def _customer_known(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """Whether the day's list has the customer; tickets without one do not count."""
    return rows["customer_plan"].notna() | rows["customer_id"].isna()


EXPECTATIONS = (
    rows_arrived("The night brought between 1 and 1,000,000 tickets", 1, 1_000_000, "tickets"),
    value_present(
        "ticket_id",
        "The ticket has an id, under which it is answered; at least 90 % must",
        "tickets",
        severity="critical",
        rows="quarantine",
        at_least=0.9,
    ),
    value_unique("ticket_id", "No ticket came twice", "tickets", severity="critical"),
    text_there(
        "says_something", "Subject or body holds a letter or digit", TEXTS, "tickets", rows="quarantine", at_least=0.95
    ),
    text_length("body", "The body has at most 20,000 characters", 20_000, "tickets", rows="quarantine", at_least=0.98),
    text_printable(
        "body",
        "The body holds no control characters but line breaks and tabs",
        "tickets",
        rows="quarantine",
        at_least=0.98,
    ),
    value_among("channel", "The channel is one of those in use", CHANNELS, "tickets", severity="info", at_least=0.95),
    rows_pass(
        "customer_known",
        "The customer is in the day's list of customers",
        ("customer_id", "customer_plan"),
        _customer_known,
        "tickets",
        severity="info",
        at_least=0.9,
    ),
    time_before_end(
        "created_before_end",
        "The ticket was not written later than the night",
        "created_at",
        "tickets",
        rows="quarantine",
        at_least=0.95,
    ),
    columns_present("Every column that is checked or read was staged", [*SPEC.model_sees, *TYPES]),
    *columns_typed(TYPES),
    source_fresh(
        "The newest ticket was written at most 24 hours before the end of the night", "created_at", timedelta(hours=24)
    ),
    rows_as_usual(
        "The night brought between half and twice the tickets that this weekday's nights bring", 0.5, 2.0, "tickets"
    ),
    row_not_to_model("Neither subject nor body speaks to the model", TEXTS, "tickets"),
)

ANSWER_EXPECTATIONS = (
    answers_arrived("At least one ticket was to be sorted", "tickets"),
    value_present("category", "The ticket has a category; at least 90 % must", "tickets", at_least=0.9),
    answers_refused("tickets", ENOUGH),
    value_balance("category", 0.8, "answers", ENOUGH),
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
    confidence_median("Half of the answers are at least 50 % certain", 0.5, ENOUGH),
    answer_not_told("No answer is to a ticket that speaks to the model; a person sees such", TEXTS, "tickets"),
)
