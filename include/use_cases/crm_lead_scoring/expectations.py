"""What leads must satisfy before a model sees them; what its answers must is in `answers.py`.

Shares are of all rows of the night.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from include.models import Interval
from include.quality.columns import (
    rows_pass,
    text_form,
    text_length,
    text_printable,
    time_before_end,
    time_in_interval,
    value_among,
    value_present,
    value_unique,
)
from include.quality.common import (
    columns_present,
    columns_typed,
    row_not_to_model,
    rows_arrived,
    rows_as_usual,
    source_fresh,
)
from include.quality.expectation import Expectation
from include.use_cases.crm_lead_scoring.answers import ANSWER_EXPECTATIONS, TEXTS
from include.use_cases.crm_lead_scoring.spec import SPEC

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ANSWER_EXPECTATIONS", "EXPECTATIONS"]

STAGES = [
    *("subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead"),
    *("opportunity", "customer", "evangelist", "other"),
]
TYPES = {
    "lead_id": ("str", "text"),
    "modified_at": ("Timestamp", "times"),
    "page_views": ("int64", "whole numbers"),
    "employees": ("int64", "whole numbers"),
    "annual_revenue": ("float64", "numbers"),
    "size_known_at": ("Timestamp", "times"),
}
STALE_AFTER = timedelta(days=730)


def _size_fresh(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """Whether the company's size is known and was confirmed within two years; rows without a company do not count."""
    known = rows["employees"].notna() & (rows["size_known_at"] >= interval.end - STALE_AFTER)
    return known | rows["company_id"].isna()


def _company_exists(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """Whether anything was joined for the company's id; rows without one do not count."""
    joined = rows["company_name"].notna() | rows["company_domain"].notna() | rows["company_modified_at"].notna()
    return joined | rows["company_id"].isna()


def _revenue_plausible(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return ~(rows["annual_revenue"] > rows["employees"].clip(lower=1) * 50e6)


EXPECTATIONS = (
    rows_arrived("The night brought between 1 and 5,000,000 leads", 1, 5_000_000, "leads"),
    value_present("lead_id", "Every lead has an id", "leads", severity="critical", rows="quarantine"),
    value_unique("lead_id", "No lead appears twice in a night", "leads", severity="critical", rows="quarantine"),
    time_in_interval(
        "modified_in_interval",
        "Every lead was changed within the night's interval",
        "modified_at",
        "leads",
        severity="critical",
        rows="quarantine",
    ),
    value_present(
        "email",
        "The lead has an e-mail address; at least 80 % of the night must",
        "leads",
        severity="critical",
        rows="quarantine",
        at_least=0.8,
    ),
    text_form(
        "email",
        "The e-mail address has the form of one",
        r"^[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+$",
        "leads",
        id="email_format",
        rows="quarantine",
        at_least=0.95,
    ),
    value_unique(
        "email",
        "No two leads share an e-mail address, in whatever case; nobody knows which one is right, so both wait",
        "leads",
        any_case=True,
        rows="quarantine",
        at_least=0.95,
    ),
    text_length(
        "job_title", "The job title has at most 300 characters", 300, "leads", rows="quarantine", at_least=0.98
    ),
    text_printable("job_title", "The job title holds no control characters", "leads", rows="quarantine", at_least=0.98),
    value_among(
        "lifecycle_stage",
        "The lifecycle stage is one of the CRM's",
        STAGES,
        "leads",
        id="lifecycle_known",
        rows="quarantine",
        at_least=0.95,
    ),
    Expectation(
        "page_views_range",
        "ExpectColumnValuesToBeBetween",
        ("page_views",),
        "warning",
        "Page views lie between 0 and 1,000,000",
        {"column": "page_views", "min_value": 0, "max_value": 1_000_000},
        rows="quarantine",
        at_least=0.95,
        unit="leads",
    ),
    time_before_end(
        "activity_not_in_future",
        "The last activity is not later than the night",
        "last_activity_at",
        "leads",
        rows="quarantine",
        at_least=0.95,
    ),
    Expectation(
        "revenue_not_negative",
        "ExpectColumnValuesToBeBetween",
        ("annual_revenue",),
        "warning",
        "The company's revenue is not negative, and at most ten trillion US dollars",
        {"column": "annual_revenue", "min_value": 0, "max_value": 1e13},
        rows="quarantine",
        at_least=0.95,
        unit="leads",
    ),
    Expectation(
        "founded_year_range",
        "ExpectColumnValuesToBeBetween",
        ("founded_year",),
        "info",
        "The company was founded between 1500 and 2100",
        {"column": "founded_year", "min_value": 1500, "max_value": 2100},
        at_least=0.98,
        unit="leads",
    ),
    value_present(
        "company_name",
        "The lead's company is known; at least 70 % of the night must be",
        "leads",
        id="company_known",
        at_least=0.7,
    ),
    value_present(
        "industry",
        "The industry is known; 40 % without it stop scoring",
        "leads",
        id="industry_complete",
        severity="critical",
        at_least=0.6,
    ),
    rows_pass(
        "company_size_fresh",
        "The company's size was confirmed within two years; 25 % stale stop enrichment",
        ("employees", "size_known_at", "company_id"),
        _size_fresh,
        "leads",
        severity="critical",
        at_least=0.75,
    ),
    columns_present(
        "Every column that is checked or shown to the model was staged", [*SPEC.model_sees, *SPEC.personal, *TYPES]
    ),
    *columns_typed(TYPES),
    rows_as_usual(
        "The night brought between half and twice the leads that this weekday's nights bring", 0.5, 2.0, "leads"
    ),
    source_fresh(
        "The newest change is at most 12 hours older than the end of the night", "modified_at", timedelta(hours=12)
    ),
    rows_pass(
        "company_exists",
        "The company that the lead names exists in the CRM",
        ("company_id", "company_name", "company_domain", "company_modified_at"),
        _company_exists,
        "leads",
        at_least=0.95,
    ),
    rows_pass(
        "revenue_per_employee",
        "The company's revenue is at most 50 million US dollars per employee",
        ("annual_revenue", "employees"),
        _revenue_plausible,
        "leads",
        severity="info",
        at_least=0.98,
    ),
    row_not_to_model("No text of the lead speaks to the model instead of about the lead", TEXTS, "leads"),
)
