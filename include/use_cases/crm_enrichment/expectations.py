"""What companies must satisfy before a model sees them, and its answers before anything is written.

Shares are of all rows of the night: the companies that need something.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

from include.models import Interval
from include.quality.common import (
    answers_refused,
    columns_present,
    columns_typed,
    rows_arrived,
    rows_as_usual,
    source_fresh,
)
from include.quality.expectation import DERIVED, Expectation
from include.use_cases.crm_enrichment.output import LOWEST, MOST_EMPLOYEES, SizeBand
from include.use_cases.crm_enrichment.spec import SPEC

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    "company_id": ("str", "text"),
    "modified_at": ("Timestamp", "times"),
    "employees": ("int64", "whole numbers"),
    "annual_revenue": ("float64", "numbers"),
    "firm_employees": ("int64", "whole numbers"),
}
SIZES = ("employees", "firm_employees")
BANDS = get_args(SizeBand)[:-1]
OLD_AFTER = timedelta(days=730)
ENOUGH = 200
"""Answers below which their distribution says nothing."""


def _modified_within(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return (rows["modified_at"] >= interval.start) & (rows["modified_at"] < interval.end)


def _lower_domain(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    return rows["domain"].str.strip().str.lower()


def _something_to_go_by(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """Whether name, domain or description holds a letter or digit."""
    said = rows["name"].fillna("") + rows["domain"].fillna("") + rows["description"].fillna("")
    return said.str.contains(r"\w", regex=True)


def _vendor_fresh(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """Whether what the vendor says is at most two years old; rows that it does not know do not count."""
    return (rows["firm_updated_at"] >= interval.end - OLD_AFTER) | rows["firm_updated_at"].isna()


def _band_fits(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """Whether the estimate lies in the band, and there is none without one; rows without an answer do not count."""
    employees, band = rows["employees_estimate"], rows["size_band"]
    least = band.map(dict(zip(BANDS, LOWEST, strict=True))).astype("float64")
    above = band.map(dict(zip(BANDS, (*LOWEST[1:], MOST_EMPLOYEES + 1), strict=True))).astype("float64")
    unknown = (band == "UNKNOWN") & employees.isna()
    within = ((employees >= least) & (employees < above)).fillna(False).astype(bool)
    return unknown | within | band.isna()


def _share_of_industry(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """The share of the night's answers that have the row's industry."""
    return rows["industry"].map(rows["industry"].value_counts(normalize=True))


EXPECTATIONS = (
    rows_arrived("At most 1,000,000 companies need something; none is a night without work", 0, 1_000_000, "companies"),
    Expectation(
        "company_id_present",
        "ExpectColumnValuesToNotBeNull",
        ("company_id",),
        "critical",
        "Every company has an id",
        {"column": "company_id"},
        rows="quarantine",
        unit="companies",
    ),
    Expectation(
        "company_id_unique",
        "ExpectColumnValuesToBeUnique",
        ("company_id",),
        "critical",
        "No company appears twice in a night",
        {"column": "company_id"},
        rows="quarantine",
        unit="companies",
    ),
    Expectation(
        "modified_in_interval",
        "ExpectColumnValuesToBeInSet",
        ("modified_at",),
        "critical",
        "Every company was changed within the night's interval",
        {"column": DERIVED, "value_set": [True]},
        rows="quarantine",
        derive=_modified_within,
        unit="companies",
    ),
    Expectation(
        "something_to_go_by",
        "ExpectColumnValuesToBeInSet",
        ("name", "domain", "description"),
        "warning",
        "Name, domain or description says something; at least 90 % of the night must",
        {"column": DERIVED, "value_set": [True]},
        rows="quarantine",
        at_least=0.9,
        derive=_something_to_go_by,
        unit="companies",
    ),
    Expectation(
        "domain_unique",
        "ExpectColumnValuesToBeUnique",
        ("domain",),
        "warning",
        "No two companies share a domain, in whatever case; nobody knows which one the vendor means, so both wait",
        {"column": DERIVED},
        rows="quarantine",
        at_least=0.9,
        derive=_lower_domain,
        unit="companies",
    ),
    Expectation(
        "name_length",
        "ExpectColumnValueLengthsToBeBetween",
        ("name",),
        "warning",
        "The name has at most 200 characters",
        {"column": "name", "max_value": 200},
        rows="quarantine",
        at_least=0.98,
        unit="companies",
    ),
    Expectation(
        "description_length",
        "ExpectColumnValueLengthsToBeBetween",
        ("description",),
        "warning",
        "The description has at most 5,000 characters",
        {"column": "description", "max_value": 5_000},
        rows="quarantine",
        at_least=0.98,
        unit="companies",
    ),
    *(
        Expectation(
            f"{column}_printable",
            "ExpectColumnValuesToNotMatchRegex",
            (column,),
            "warning",
            f"The {column} holds no control characters but line breaks and tabs",
            {"column": column, "regex": r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"},
            rows="quarantine",
            at_least=0.98,
            unit="companies",
        )
        for column in ("name", "description")
    ),
    *(
        Expectation(
            f"{column}_range",
            "ExpectColumnValuesToBeBetween",
            (column,),
            "warning",
            f"Column {column} lies between 0 and 3,000,000",
            {"column": column, "min_value": 0, "max_value": MOST_EMPLOYEES},
            rows="quarantine",
            at_least=0.95,
            unit="companies",
        )
        for column in SIZES
    ),
    Expectation(
        "vendor_fresh",
        "ExpectColumnValuesToBeInSet",
        ("firm_updated_at",),
        "warning",
        "What the vendor says of a company was confirmed within two years; at least 75 % must be",
        {"column": DERIVED, "value_set": [True]},
        at_least=0.75,
        derive=_vendor_fresh,
        unit="companies",
    ),
    Expectation(
        "vendor_knows",
        "ExpectColumnValuesToNotBeNull",
        ("firm_name",),
        "info",
        "The vendor's file has the company; at least half of the night should be in it",
        {"column": "firm_name"},
        at_least=0.5,
        unit="companies",
    ),
    columns_present("Every column that is checked or shown to the model was staged", [*SPEC.model_sees, *TYPES]),
    *columns_typed(TYPES),
    source_fresh(
        "The newest company was changed at most 24 hours before the end of the night",
        "modified_at",
        timedelta(hours=24),
        "info",
    ),
    rows_as_usual(
        "The night brought at most three times the companies that this weekday's nights bring", 0.0, 3.0, "companies"
    ),
)

ANSWER_EXPECTATIONS = (
    Expectation(
        "industry_present",
        "ExpectColumnValuesToNotBeNull",
        ("industry",),
        "warning",
        "The company has an answer; at least 90 % of those asked must",
        {"column": "industry"},
        at_least=0.9,
        unit="companies",
    ),
    answers_refused("companies", ENOUGH),
    Expectation(
        "answers_usable",
        "ExpectColumnValuesToBeInSet",
        ("ending",),
        "warning",
        "The company has an answer or is deferred, and is no dead letter; at least 95 % must",
        {"column": "ending", "value_set": ["answered", "fallback", "deferred"]},
        at_least=0.95,
        unit="companies",
    ),
    Expectation(
        "band_fits_estimate",
        "ExpectColumnValuesToBeInSet",
        ("employees_estimate", "size_band"),
        "warning",
        "The estimate lies in the size band, and there is none where the band is UNKNOWN",
        {"column": DERIVED, "value_set": [True]},
        at_least=0.95,
        derive=_band_fits,
        unit="companies",
    ),
    Expectation(
        "industry_known",
        "ExpectColumnValuesToNotBeInSet",
        ("industry",),
        "warning",
        "The industry is known; at most 40 % of the night's answers are UNKNOWN",
        {"column": "industry", "value_set": ["UNKNOWN"]},
        at_least=0.6,
        unit="companies",
        least_rows=ENOUGH,
    ),
    Expectation(
        "industry_balance",
        "ExpectColumnMaxToBeBetween",
        ("industry",),
        "critical",
        "No industry has more than 80 % of the night's answers",
        {"column": DERIVED, "max_value": 0.8},
        derive=_share_of_industry,
        unit="share of answers",
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
)
