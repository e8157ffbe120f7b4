"""Nights with results, rows set aside and drift, as the stages leave them, for what reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from include.database import copy_rows, transaction
from include.ledger import tables
from include.ledger.record import quarantine, record_manifest
from include.models import Interval, Manifest, Outcome, RejectedRow
from include.night.check.drift import watch_drift
from include.run import Night
from include.stages import close
from tests.core.conftest import MakeNight
from tests.core.ledger.nights import ask, end_rows
from tests.core.quality.seeded import Change, columns_of, stage

MONDAY = datetime(2026, 10, 19, 2, tzinfo=UTC)


class Rule(NamedTuple):
    """One expectation, and which share of rows usually fails it."""

    id: str
    columns: tuple[str, ...]
    severity: str
    meaning: str
    needed: float | None
    fails: float
    handling: str = "keep"
    stage: str = "check"
    unit: str = "rows"


RULES = (
    Rule("rows_arrived", ("row_id",), "critical", "The night brought between 1 and 5,000,000 leads", None, 0),
    Rule("lead_id_unique", ("row_id",), "critical", "No lead appears twice in a night", 1.0, 0, "quarantine"),
    Rule("email_present", ("email",), "critical", "The lead has an e-mail address", 0.8, 0.02, "quarantine"),
    Rule("email_format", ("email",), "warning", "The e-mail address has the form of one", 0.95, 0.03, "quarantine"),
    Rule("lifecycle_known", ("lifecycle_stage",), "warning", "The lifecycle stage is one of the CRM's", 0.95, 0.01),
    Rule("page_views_range", ("page_views",), "warning", "Page views lie between 0 and 1,000,000", 0.95, 0.001),
    Rule("country_known", ("country",), "info", "The country is known", 0.92, 0.1),
    Rule("tier_balance", ("tier",), "warning", "No tier takes more than 80 % of the answers", None, 0, stage="answers"),
    Rule("fallbacks", ("origin",), "warning", "At most 5 % are fallbacks", 0.95, 0.02, stage="answers", unit="answers"),
)


def live(
    make_night: MakeNight,
    days: int,
    *,
    last: Change | None = None,
    meaning: str | None = None,
    owner: str = "sales-operations",
    bad_factor: float = 3.0,
    reason: str = "not met: {meaning} ({id})",
) -> Night:
    """That many nights, weekends quiet; `last` changes the last one, which also fails more by `bad_factor`."""
    for day in range(days):
        start = MONDAY + timedelta(days=day)
        night = make_night(interval=Interval(start, start + timedelta(days=1)))
        tonight = day == days - 1
        one_night(night, last if tonight else None, bad_factor if tonight else 1.0, meaning, owner, reason)
    return night


def one_night(
    night: Night, change: Change | None, factor: float, meaning: str | None, owner: str, reason: str
) -> Manifest:
    """Stage, watch, record results, set rows aside, end all others, close."""
    table = columns_of(night.interval.start, 3, None, change)
    raw, rows = stage(night, table), table["row_id"].to_pylist()
    watch_drift(night, raw)
    random = np.random.default_rng(night.interval.start.toordinal())
    bad: dict[str, list[Rule]] = {}
    for rule in RULES:
        failing = int(random.binomial(len(rows), min(rule.fails * factor, 1.0)))
        chosen = [rows[at] for at in sorted(random.choice(len(rows), failing, replace=False))]
        record_result(night, rule._replace(meaning=meaning or rule.meaning), len(rows), chosen)
        for row in chosen if rule.handling == "quarantine" else ():
            bad.setdefault(row, []).append(rule)
    rejected = [
        RejectedRow(
            row,
            row.rpartition("/")[2],
            f"crm page {at}",
            tuple(reason.format(meaning=r.meaning, id=r.id) for r in rules),
            {},
            expectations=tuple(r.id for r in rules),
            owner=owner,
        )
        for at, (row, rules) in enumerate(bad.items())
    ]
    with transaction(night.ledger) as connection:
        quarantine(connection, night, "check", rejected)
    record_manifest(night.ledger, Manifest(night.run_id, "failures", "s3://staging/failures.parquet", 99, 1, "0" * 64))
    good = [row for row in rows if row not in bad]
    ask(night, good[:20])
    end_rows(night, dict.fromkeys(good, Outcome.SHADOWED))
    close(night)
    return raw


def record_result(night: Night, rule: Rule, rows: int, failing: list[str], **other: Any) -> None:
    """One row of `quality_result`."""
    values = {
        "run_id": night.run_id,
        "expectation": rule.id,
        "type": "ExpectColumnValuesToBeInSet",
        "columns": list(rule.columns),
        "severity": rule.severity,
        "meaning": rule.meaning,
        "success": 1 - len(failing) / max(rows, 1) >= (rule.needed or 0),
        "rows_checked": rows,
        "unexpected_count": len(failing),
        "threshold": None if rule.needed is None else Decimal(str(rule.needed)),
        "observed": str(rows) if rule.needed is None else None,
        "examples": failing[:5],
        "stage": rule.stage,
        "handling": rule.handling,
        "unit": rule.unit,
    }
    row = values | other
    with transaction(night.ledger) as connection:
        copy_rows(connection, tables.quality_result, list(row), [list(row.values())])
