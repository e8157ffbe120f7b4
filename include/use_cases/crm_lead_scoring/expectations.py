"""What leads must satisfy before a model sees them, and its answers before anything is written.

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
from include.use_cases.crm_lead_scoring.fallback import answer as by_rule
from include.use_cases.crm_lead_scoring.spec import SPEC

if TYPE_CHECKING:
    import pandas as pd

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
TEXTS = ("job_title", "product_interest", "segment", "company_name", "industry", "technologies")
"""Columns that the model sees and that others may write what they like into."""
FACTS = ("job_title", "employees", "last_activity_days")
"""What the fallback rule scores by."""
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


def _tier_fits(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """Whether the tier is the one that the score stands for; rows without an answer do not count."""
    score = rows["score"]
    meant = (score >= 40).map({True: "warm", False: "cold"}).where(score < 70, "hot")
    return (rows["tier"] == meant) | score.isna() | rows["tier"].isna()


def _share_of_tier(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """The share of the night's answers that have the row's tier."""
    return rows["tier"].map(rows["tier"].value_counts(normalize=True))


def _tier_near_rule(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """Whether no lead is hot by the model that is cold by the rule, all that the rule goes by being known.

    A text may talk a model into a score; the rule reads a title and two numbers. With a fact missing, nothing is said.
    """
    near = rows["tier"].isna() | True
    known = rows[list(FACTS)].notna().all(axis=1)
    for at, row in rows.loc[(rows["tier"] == "hot") & known, list(FACTS)].iterrows():
        judged = by_rule(row.to_dict())
        near.loc[at] = judged is None or judged["tier"] != "cold"
    return near


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

ENOUGH = 200
"""Answers below which their distribution says nothing."""

ANSWER_EXPECTATIONS = (
    answers_arrived("At least one lead was to be asked", "leads"),
    Expectation(
        "score_present",
        "ExpectColumnValuesToNotBeNull",
        ("score",),
        "warning",
        "The lead has a score; at least 90 % of those asked must",
        {"column": "score"},
        at_least=0.9,
        unit="leads",
    ),
    answers_refused("leads", ENOUGH),
    Expectation(
        "answers_usable",
        "ExpectColumnValuesToBeInSet",
        ("ending",),
        "warning",
        "The lead has an answer or is deferred, and is no dead letter; at least 95 % must",
        {"column": "ending", "value_set": ["answered", "fallback", "deferred"]},
        at_least=0.95,
        unit="leads",
    ),
    Expectation(
        "answers_by_model",
        "ExpectColumnValuesToNotBeInSet",
        ("ending",),
        "warning",
        "The model answered and not the fallback rule; at least 90 % of the night must come from the model",
        {"column": "ending", "value_set": ["fallback"]},
        at_least=0.9,
        unit="leads",
    ),
    Expectation(
        "score_mean",
        "ExpectColumnMeanToBeBetween",
        ("score",),
        "critical",
        "The mean score lies between 5 and 95",
        {"column": "score", "min_value": 5, "max_value": 95},
        unit="points",
        least_rows=ENOUGH,
    ),
    Expectation(
        "score_quantiles",
        "ExpectColumnQuantileValuesToBeBetween",
        ("score",),
        "warning",
        "A tenth of the scores lies below 60, half between 10 and 90, a tenth above 40",
        {
            "column": "score",
            "quantile_ranges": {"quantiles": [0.1, 0.5, 0.9], "value_ranges": [[0, 60], [10, 90], [40, 100]]},
        },
        unit="points",
        least_rows=ENOUGH,
    ),
    Expectation(
        "tier_balance",
        "ExpectColumnMaxToBeBetween",
        ("tier",),
        "critical",
        "No tier has more than 95 % of the night's answers",
        {"column": DERIVED, "max_value": 0.95},
        derive=_share_of_tier,
        unit="share of answers",
        least_rows=ENOUGH,
    ),
    Expectation(
        "tier_fits_score",
        "ExpectColumnValuesToBeInSet",
        ("score", "tier"),
        "warning",
        "The tier is the one that the score stands for: hot from 70, warm from 40",
        {"column": DERIVED, "value_set": [True]},
        at_least=0.95,
        derive=_tier_fits,
        unit="leads",
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
    Expectation(
        "tier_near_rule",
        "ExpectColumnValuesToBeInSet",
        ("tier", *FACTS),
        "warning",
        "No lead is hot that the rule calls cold from title, size and activity, all three known; a person sees such",
        {"column": DERIVED, "value_set": [True]},
        rows="quarantine",
        at_least=0.95,
        derive=_tier_near_rule,
        unit="leads",
    ),
    answer_not_told("No answer is to a lead whose texts speak to the model; a person sees such", TEXTS, "leads"),
)
