"""Seeded nights with a weekday pattern, for what watches them: a tenth of the rows at weekends, all else steady."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from include.database import transaction
from include.ledger.closing import close_run
from include.ledger.record import record_manifest
from include.models import Manifest
from include.run import Night
from include.staging import StagedWriter

Change = Callable[[dict[str, Any], np.random.Generator, int], None]
STAGES = ["lead", "subscriber", "opportunity", "customer"]


def columns_of(start: datetime, seed: int, rows: int | None = None, change: Change | None = None) -> pa.Table:
    """The night that begins at `start`; `change(columns, random, rows)` alters its columns of Python values."""
    random = np.random.default_rng([seed, start.toordinal()])
    usual = 80 if start.weekday() >= 5 else 800
    n = int(random.normal(usual, usual / 20)) if rows is None else rows
    end = start + timedelta(days=1)
    columns: dict[str, Any] = {
        "row_id": [f"crm/contacts/{at}" for at in range(n)],
        "row_key": [str(at) for at in range(n)],
        "lineage": ["{}"] * n,
        "email": [f"p{random.integers(10**9)}@example.com" for _ in range(n)],
        "lifecycle_stage": random.choice(STAGES, n, p=[0.5, 0.3, 0.15, 0.05]).tolist(),
        "country": [None if random.random() < 0.1 else c for c in random.choice(["DE", "FR", "US"], n)],
        "page_views": random.poisson(3, n).tolist(),
        "annual_revenue": random.lognormal(14, 2, n).tolist(),
        "job_title": [f"title {random.integers(10**6)}" for _ in range(n)],
        "opted_in": (random.random(n) < 0.3).tolist(),
        "modified_at": [end - timedelta(seconds=int(s)) for s in random.integers(1, 86_400, n)],
        "last_activity_at": [end - timedelta(days=float(d)) for d in random.exponential(60, n)],
        "currency": ["EUR"] * n,
    }
    if change:
        change(columns, random, n)
    times = {name: pa.timestamp("us", "UTC") for name in ("modified_at", "last_activity_at")}
    kinds = {"page_views": pa.int64(), "annual_revenue": pa.float64(), "opted_in": pa.bool_(), **times}
    return pa.table({name: _array(values, kinds.get(name, pa.string())) for name, values in columns.items()})


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values, kind)


def stage(night: Night, table: pa.Table) -> Manifest:
    """Stage a table as the night's dataset `raw`."""
    with StagedWriter(night.path("raw.parquet"), table.schema) as writer:
        writer.write_table(table)
    manifest = writer.manifest(night.run_id, "raw", {"input_rows": table.num_rows})
    record_manifest(night.ledger, manifest)
    return manifest


def finish(night: Night, status: str = "succeeded") -> None:
    """Close the run without looking at it."""
    with transaction(night.ledger) as connection:
        close_run(connection, night.run_id, status, {}, rows_in=0)
