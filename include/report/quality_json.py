"""The data-quality report for machines; docs/quality_report.md names every field."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from include.database import to_json
from include.links import quarantine_page, run_page
from include.report.quality_parts import Compared, Held, QualityFacts
from include.report.quality_text import verdict

FORMAT = "nightledger/data-quality/1"


def as_json(facts: QualityFacts, *, linked: bool = True) -> str:
    """The facts as one JSON document; times in ISO 8601, shares 0 to 1.

    Without `linked` it names no page in Airflow, for what the ledger does not keep.
    """
    use_case, run_id = facts.run.use_case, facts.run.run_id
    document = {
        "format": FORMAT,
        "verdict": verdict(facts),
        "run": {**asdict(facts.run), "page": run_page(run_id) if linked else None},
        "rows": {
            "in": facts.rows.rows_in,
            "outcomes": facts.rows.counts,
            "add_up": facts.rows.add_up,
            "rejected_lines": facts.rejected_lines,
            "quarantine_page": quarantine_page(use_case, run_id=run_id) if linked else None,
        },
        "nights": [asdict(night) for night in facts.nights],
        "expectations": [_expectation(one, use_case, run_id, linked) for one in facts.expectations],
        "drift": [asdict(fact) for fact in facts.drift],
        "drawings": [
            {"kind": "compared" if isinstance(one, Compared) else "course", **asdict(one)} for one in facts.drawings
        ],
        "worst_columns": [asdict(one) for one in facts.worst],
        "quarantine": {
            "by_reason": [{**asdict(one), "rows": one.rows} for one in facts.reasons],
            "by_owner": [{**asdict(one), "rows": one.rows} for one in facts.owners],
        },
        "failures": [asdict(one) for one in facts.failures],
    }
    return to_json(document)


def _expectation(one: Held, use_case: str, run_id: str, linked: bool) -> dict[str, Any]:
    page = quarantine_page(use_case, run_id=run_id, expectation=one.id) if one.states and linked else None
    return {**asdict(one), "pass_share": one.pass_share, "quarantine_page": page}
