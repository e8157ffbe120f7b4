"""What leads must satisfy before a model sees them. Shares are of all rows of the night."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from include.models import Interval
from include.quality.expectation import DERIVED, Expectation

if TYPE_CHECKING:
    import pandas as pd

STAGES = [
    *("subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead"),
    *("opportunity", "customer", "evangelist", "other"),
]
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


EXPECTATIONS = (
    Expectation(
        "rows_arrived",
        "ExpectTableRowCountToBeBetween",
        ("row_id",),
        "critical",
        "The night brought between 1 and 5,000,000 leads",
        {"min_value": 1, "max_value": 5_000_000},
        whole=True,
    ),
    Expectation(
        "lead_id_present",
        "ExpectColumnValuesToNotBeNull",
        ("lead_id",),
        "critical",
        "Every lead has an id",
        {"column": "lead_id"},
        rows="quarantine",
    ),
    Expectation(
        "lead_id_unique",
        "ExpectColumnValuesToBeUnique",
        ("lead_id",),
        "critical",
        "No lead appears twice in a night",
        {"column": "lead_id"},
        rows="quarantine",
        whole=True,
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
        whole=True,
        derive=_lower_email,
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
    ),
    Expectation(
        "revenue_not_negative",
        "ExpectColumnValuesToBeBetween",
        ("annual_revenue",),
        "warning",
        "The company's revenue is not negative",
        {"column": "annual_revenue", "min_value": 0},
        rows="quarantine",
        at_least=0.95,
    ),
    Expectation(
        "founded_year_range",
        "ExpectColumnValuesToBeBetween",
        ("founded_year",),
        "info",
        "The company was founded between 1500 and 2100",
        {"column": "founded_year", "min_value": 1500, "max_value": 2100},
        at_least=0.98,
    ),
    Expectation(
        "company_known",
        "ExpectColumnValuesToNotBeNull",
        ("company_name",),
        "warning",
        "The lead's company is known; at least 70 % of the night must be",
        {"column": "company_name"},
        at_least=0.7,
    ),
    Expectation(
        "industry_complete",
        "ExpectColumnValuesToNotBeNull",
        ("industry",),
        "critical",
        "The industry is known; 40 % without it stop scoring",
        {"column": "industry"},
        at_least=0.6,
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
    ),
)
