"""What companies must satisfy before a model sees them, and its answers before anything is written.

Shares are of all rows of the night: the companies that need something.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

from include.models import Interval
from include.quality.columns import (
    rows_pass,
    text_length,
    text_printable,
    text_there,
    time_in_interval,
    value_among,
    value_present,
    value_unique,
)
from include.quality.common import (
    answers_refused,
    columns_present,
    columns_typed,
    confidence_median,
    rows_arrived,
    rows_as_usual,
    source_fresh,
    value_balance,
)
from include.quality.expectation import Expectation
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


EXPECTATIONS = (
    rows_arrived("At most 1,000,000 companies need something; none is a night without work", 0, 1_000_000, "companies"),
    value_present("company_id", "Every company has an id", "companies", severity="critical", rows="quarantine"),
    value_unique(
        "company_id", "No company appears twice in a night", "companies", severity="critical", rows="quarantine"
    ),
    time_in_interval(
        "modified_in_interval",
        "Every company was changed within the night's interval",
        "modified_at",
        "companies",
        severity="critical",
        rows="quarantine",
    ),
    text_there(
        "something_to_go_by",
        "Name, domain or description says something; at least 90 % of the night must",
        ("name", "domain", "description"),
        "companies",
        rows="quarantine",
        at_least=0.9,
    ),
    value_unique(
        "domain",
        "No two companies share a domain, in whatever case; nobody knows which one the vendor means, so both wait",
        "companies",
        any_case=True,
        rows="quarantine",
        at_least=0.9,
    ),
    text_length("name", "The name has at most 200 characters", 200, "companies", rows="quarantine", at_least=0.98),
    text_length(
        "description",
        "The description has at most 5,000 characters",
        5_000,
        "companies",
        rows="quarantine",
        at_least=0.98,
    ),
    *(
        text_printable(
            column,
            f"The {column} holds no control characters but line breaks and tabs",
            "companies",
            rows="quarantine",
            at_least=0.98,
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
    rows_pass(
        "vendor_fresh",
        "What the vendor says of a company was confirmed within two years; at least 75 % must be",
        ("firm_updated_at",),
        _vendor_fresh,
        "companies",
        at_least=0.75,
    ),
    value_present(
        "firm_name",
        "The vendor's file has the company; at least half of the night should be in it",
        "companies",
        id="vendor_knows",
        severity="info",
        at_least=0.5,
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
    value_present(
        "industry", "The company has an answer; at least 90 % of those asked must", "companies", at_least=0.9
    ),
    answers_refused("companies", ENOUGH),
    value_among(
        "ending",
        "The company has an answer or is deferred, and is no dead letter; at least 95 % must",
        ["answered", "fallback", "deferred"],
        "companies",
        id="answers_usable",
        at_least=0.95,
    ),
    rows_pass(
        "band_fits_estimate",
        "The estimate lies in the size band, and there is none where the band is UNKNOWN",
        ("employees_estimate", "size_band"),
        _band_fits,
        "companies",
        at_least=0.95,
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
    value_balance("industry", 0.8, "answers", ENOUGH),
    confidence_median("Half of the answers are at least 50 % certain", 0.5, ENOUGH),
)
