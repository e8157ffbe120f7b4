"""Runs, what they staged and took in, and what became of their rows."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from include.ledger.tables.declare import TIME, WHEN, table

run = table(
    "run",
    "run_id",
    run_id=Text,
    use_case=Text,
    **WHEN,
    attempt=Integer,
    external_ref=Text,
    mode=Text,
    options=JSONB,
    model=Text,
    prompt_version=Text,
    prompt_hash=Text,
    contract_hash=Text,
    code_version=Text,
    git_sha=Text,
    status=Text,
    detail=Text,
    counts=JSONB,
    progress=JSONB,
    started_at=TIME,
    finished_at=TIME,
    totals=JSONB,
    heard_at=TIME,
)
manifest = table(
    "manifest",
    "run_id dataset",
    run_id=Text,
    dataset=Text,
    uri=Text,
    rows=BigInteger,
    bytes=BigInteger,
    sha256=Text,
    columns=JSONB,
    facts=JSONB,
    recorded_at=TIME,
)
source_file = table(
    "source_file",
    "system path sha256",
    system=Text,
    path=Text,
    sha256=Text,
    bytes=BigInteger,
    rows=BigInteger,
    run_id=Text,
    archived_to=Text,
    recorded_at=TIME,
)
outcome = table(
    "outcome",
    "run_id row_id",
    run_id=Text,
    row_id=Text,
    row_key=Text,
    outcome=Text,
    stage=Text,
    reason=Text,
    lineage=JSONB,
    inference_key=Text,
    recorded_at=TIME,
)
backfill_plan = table(
    "backfill_plan",
    "plan_id",
    plan_id=Uuid,
    use_case=Text,
    **WHEN,
    options=JSONB,
    status=Text,
    detail=Text,
    nights=JSONB,
    sums=JSONB,
    actor=Text,
    recorded_at=TIME,
    updated_at=TIME,
)
