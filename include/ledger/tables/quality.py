"""What expectations found, what they set aside, and how columns change over nights."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Double, Integer, Numeric, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from include.ledger.tables.declare import TIME, WHEN, table

quality_result = table(
    "quality_result",
    "run_id expectation",
    run_id=Text,
    expectation=Text,
    type=Text,
    columns=ARRAY(Text),
    severity=Text,
    meaning=Text,
    success=Boolean,
    could_not_run=Text,
    rows_checked=BigInteger,
    unexpected_count=BigInteger,
    threshold=Numeric,
    observed=Text,
    examples=ARRAY(Text),
    recorded_at=TIME,
    stage=Text,
    handling=Text,
    unit=Text,
)
quarantine = table(
    "quarantine",
    "quarantine_id",
    quarantine_id=BigInteger,
    run_id=Text,
    use_case=Text,
    row_id=Text,
    row_key=Text,
    source=Text,
    stage=Text,
    reasons=ARRAY(Text),
    record=JSONB,
    counts_as_input=Boolean,
    status=Text,
    recorded_at=TIME,
    **WHEN,
    expectations=ARRAY(Text),
    owner=Text,
    history=JSONB,
    released=ARRAY(Text),
)
quarantine_count = table(
    "quarantine_count",
    "run_id status owner digest",
    run_id=Text,
    status=Text,
    owner=Text,
    expectations=ARRAY(Text),
    use_case=Text,
    **WHEN,
    digest=Text,
    rows=BigInteger,
)
column_profile = table(
    "column_profile",
    "run_id column_name",
    run_id=Text,
    column_name=Text,
    type=Text,
    rows=BigInteger,
    nulls=BigInteger,
    profile=JSONB,
    recorded_at=TIME,
)
drift_result = table(
    "drift_result",
    "run_id signal column_name",
    run_id=Text,
    signal=Text,
    column_name=Text,
    statistic=Text,
    value=Double,
    expected=Double,
    threshold=Double,
    verdict=Text,
    nights=Integer,
    detail=Text,
    recorded_at=TIME,
)
