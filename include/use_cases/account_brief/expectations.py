"""What accounts must satisfy before a model reads for them, and its notes before anybody is asked."""

from __future__ import annotations

from datetime import timedelta

from include.quality.columns import text_form, time_in_interval, value_among, value_present, value_unique
from include.quality.common import (
    answers_refused,
    columns_present,
    columns_typed,
    row_not_to_model,
    rows_arrived,
    rows_as_usual,
    source_fresh,
    value_balance,
)
from include.use_cases.account_brief.spec import SPEC

TYPES = {"company_id": ("str", "text"), "active_at": ("Timestamp", "times"), "customer_number": ("str", "text")}
ENOUGH = 50
"""Notes below which their distribution says nothing."""

EXPECTATIONS = (
    rows_arrived("At most 20,000 accounts were active; none is a night without work", 0, 20_000, "accounts"),
    value_present("company_id", "Every account has an id", "accounts", severity="critical", rows="quarantine"),
    value_unique(
        "company_id", "No account appears twice in a night", "accounts", severity="critical", rows="quarantine"
    ),
    time_in_interval(
        "active_in_interval",
        "Every account was active within the night's interval",
        "active_at",
        "accounts",
        severity="critical",
        rows="quarantine",
    ),
    value_unique(
        "customer_number",
        "No two companies have one customer number; nobody knows whose invoices they are, so both wait",
        "accounts",
        rows="quarantine",
        at_least=0.95,
    ),
    source_fresh(
        "The newest activity was at most 12 hours before the end of the night", "active_at", timedelta(hours=12)
    ),
    text_form(
        "customer_number",
        "A customer number is C- and four to eight digits",
        r"^C-\d{4,8}$",
        "accounts",
        rows="quarantine",
        at_least=0.95,
    ),
    row_not_to_model("No account's own fields talk to a model", ("name", "industry", "country"), "accounts"),
    columns_present("Every column that is checked or shown to the model was staged", [*SPEC.model_sees, *TYPES]),
    *columns_typed(TYPES),
    rows_as_usual(
        "The night brought at most three times the accounts that this weekday's nights bring", 0.0, 3.0, "accounts"
    ),
)

ANSWER_EXPECTATIONS = (
    value_present("note", "The account has a note; at least 90 % of those asked must", "accounts", at_least=0.9),
    answers_refused("accounts", ENOUGH),
    value_among(
        "ending",
        "The agent has answered or is deferred, and neither ran out nor went in circles; at least 90 % must",
        ["answered", "fallback", "deferred"],
        "accounts",
        id="agents_end_well",
        at_least=0.9,
    ),
    value_balance("health", 0.95, "notes", ENOUGH),
)
