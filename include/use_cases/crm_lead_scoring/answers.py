"""What the answers about leads must satisfy before anything is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.models import Interval
from include.quality.columns import rows_pass, value_among, value_present
from include.quality.common import answer_not_told, answers_arrived, answers_refused, confidence_median, value_balance
from include.quality.expectation import Expectation
from include.use_cases.crm_lead_scoring.fallback import answer as by_rule

if TYPE_CHECKING:
    import pandas as pd

TEXTS = ("job_title", "product_interest", "segment", "company_name", "industry", "technologies")
"""Columns that the model sees and that others may write what they like into."""
FACTS = ("job_title", "employees", "last_activity_days")
"""What the fallback rule scores by."""
ENOUGH = 200
"""Answers below which their distribution says nothing."""


def _tier_fits(rows: pd.DataFrame, interval: Interval) -> pd.Series[Any]:
    """Whether the tier is the one that the score stands for; rows without an answer do not count."""
    score = rows["score"]
    meant = (score >= 40).map({True: "warm", False: "cold"}).where(score < 70, "hot")
    return (rows["tier"] == meant) | score.isna() | rows["tier"].isna()


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


ANSWER_EXPECTATIONS = (
    answers_arrived("At least one lead was to be asked", "leads"),
    value_present("score", "The lead has a score; at least 90 % of those asked must", "leads", at_least=0.9),
    answers_refused("leads", ENOUGH),
    value_among(
        "ending",
        "The lead has an answer or is deferred, and is no dead letter; at least 95 % must",
        ["answered", "fallback", "deferred"],
        "leads",
        id="answers_usable",
        at_least=0.95,
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
    value_balance("tier", 0.95, "answers", ENOUGH),
    rows_pass(
        "tier_fits_score",
        "The tier is the one that the score stands for: hot from 70, warm from 40",
        ("score", "tier"),
        _tier_fits,
        "leads",
        at_least=0.95,
    ),
    confidence_median("Half of the answers are at least 50 % certain", 0.5, ENOUGH),
    rows_pass(
        "tier_near_rule",
        "No lead is hot that the rule calls cold from title, size and activity, all three known; a person sees such",
        ("tier", *FACTS),
        _tier_near_rule,
        "leads",
        rows="quarantine",
        at_least=0.95,
    ),
    answer_not_told("No answer is to a lead whose texts speak to the model; a person sees such", TEXTS, "leads"),
)
