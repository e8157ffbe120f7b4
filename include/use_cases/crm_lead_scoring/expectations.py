"""What leads must satisfy before a model sees them; what its answers must is in `answers.py`.

Shares are of all rows of the night.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from include.models import Interval
from include.quality.common import (
    columns_present,
    columns_typed,
    row_not_to_model,
    rows_arrived,
    rows_as_usual,
)
from include.quality.expectation import DERIVED, Expectation
from include.quality.usual import newest_within
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


def _lower_email(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return rows["email"].str.strip().str.lower()


def _not_in_future(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return ~(rows["last_activity_at"] > interval.end)


def _modified_within(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return (rows["modified_at"] >= interval.start) & (rows["modified_at"] < interval.end)


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
    Expectation(
        "lead_id_present",
        "ExpectColumnValuesToNotBeNull",
        ("lead_id",),
        "critical",
        "Every lead has an id",
        {"column": "lead_id"},
        rows="quarantine",
        unit="leads",
    ),
    Expectation(
        "lead_id_unique",
        "ExpectColumnValuesToBeUnique",
        ("lead_id",),
        "critical",
        "No lead appears twice in a night",
        {"column": "lead_id"},
        rows="quarantine",
        unit="leads",
    ),
    Expectation(
        "modified_in_interval",
        "ExpectColumnValuesToBeInSet",
        ("modified_at",),
        "critical",
        "Every lead was changed within the night's interval",
        {"column": DERIVED, "value_set": [True]},
        rows="quarantine",
        derive=_modified_within,
        unit="leads",
    ),
    Expectation(
        "email_present",
        "ExpectColumnValuesToNotBeNull",
        ("email",),
        "critical",
        "The lead has an e-mail address; at least 80 % of the night must",
        {"column": "email"},
        rows="quarantine",
        at_least=0.8,
        unit="leads",
    ),
    Expectation(
        "email_format",
        "ExpectColumnValuesToMatchRegex",
        ("email",),
        "warning",
        "The e-mail address has the form of one",
        {"column": "email", "regex": r"^[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+$"},
        rows="quarantine",
        at_least=0.95,
        unit="leads",
    ),
    Expectation(
        "email_unique",
        "ExpectColumnValuesToBeUnique",
        ("email",),
        "warning",
        "No two leads share an e-mail address, in whatever case; nobody knows which one is right, so both wait",
        {"column": DERIVED},
        rows="quarantine",
        at_least=0.95,
        derive=_lower_email,
        unit="leads",
    ),
    Expectation(
        "job_title_length",
        "ExpectColumnValueLengthsToBeBetween",
        ("job_title",),
        "warning",
        "The job title has at most 300 characters",
        {"column": "job_title", "max_value": 300},
        rows="quarantine",
        at_least=0.98,
        unit="leads",
    ),
    Expectation(
        "job_title_printable",
        "ExpectColumnValuesToNotMatchRegex",
        ("job_title",),
        "warning",
        "The job title holds no control characters",
        {"column": "job_title", "regex": r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"},
        rows="quarantine",
        at_least=0.98,
        unit="leads",
    ),
    Expectation(
        "lifecycle_known",
        "ExpectColumnValuesToBeInSet",
        ("lifecycle_stage",),
        "warning",
        "The lifecycle stage is one of the CRM's",
        {"column": "lifecycle_stage", "value_set": STAGES},
        rows="quarantine",
        at_least=0.95,
        unit="leads",
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
    Expectation(
        "activity_not_in_future",
        "ExpectColumnValuesToBeInSet",
        ("last_activity_at",),
        "warning",
        "The last activity is not later than the night",
        {"column": DERIVED, "value_set": [True]},
        rows="quarantine",
        at_least=0.95,
        derive=_not_in_future,
        unit="leads",
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
    Expectation(
        "company_known",
        "ExpectColumnValuesToNotBeNull",
        ("company_name",),
        "warning",
        "The lead's company is known; at least 70 % of the night must be",
        {"column": "company_name"},
        at_least=0.7,
        unit="leads",
    ),
    Expectation(
        "industry_complete",
        "ExpectColumnValuesToNotBeNull",
        ("industry",),
        "critical",
        "The industry is known; 40 % without it stop scoring",
        {"column": "industry"},
        at_least=0.6,
        unit="leads",
    ),
    Expectation(
        "company_size_fresh",
        "ExpectColumnValuesToBeInSet",
        ("employees", "size_known_at", "company_id"),
        "critical",
        "The company's size was confirmed within two years; 25 % stale stop enrichment",
        {"column": DERIVED, "value_set": [True]},
        at_least=0.75,
        derive=_size_fresh,
        unit="leads",
    ),
    columns_present(
        "Every column that is checked or shown to the model was staged", [*SPEC.model_sees, *SPEC.personal, *TYPES]
    ),
    *columns_typed(TYPES),
    rows_as_usual(
        "The night brought between half and twice the leads that this weekday's nights bring", 0.5, 2.0, "leads"
    ),
    Expectation(
        "source_fresh",
        "ExpectColumnMaxToBeBetween",
        ("modified_at",),
        "warning",
        "The newest change is at most 12 hours older than the end of the night",
        bounds=newest_within("modified_at", timedelta(hours=12)),
        unit="time",
    ),
    Expectation(
        "company_exists",
        "ExpectColumnValuesToBeInSet",
        ("company_id", "company_name", "company_domain", "company_modified_at"),
        "warning",
        "The company that the lead names exists in the CRM",
        {"column": DERIVED, "value_set": [True]},
        at_least=0.95,
        derive=_company_exists,
        unit="leads",
    ),
    Expectation(
        "revenue_per_employee",
        "ExpectColumnValuesToBeInSet",
        ("annual_revenue", "employees"),
        "info",
        "The company's revenue is at most 50 million US dollars per employee",
        {"column": DERIVED, "value_set": [True]},
        at_least=0.98,
        derive=_revenue_plausible,
        unit="leads",
    ),
    row_not_to_model("No text of the lead speaks to the model instead of about the lead", TEXTS, "leads"),
)
