"""What watching for drift costs: the profiles of all columns against reading the same Parquet, and the verdicts.

Read ratios, not seconds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from upath import UPath

from include.models import Manifest
from include.night.check.drift import measure, usual_edges
from include.night.check.past_nights import PastNight
from include.quality.profile import CHUNK_ROWS, profile
from include.spec.use_case import Drift
from include.staging import StagedWriter, read_chunks
from tests.core.quality.seeded import columns_of

START = datetime(2026, 11, 17, 2, tzinfo=UTC)
SEEDED = 20_000


def staged(folder: Path, rows: int) -> Manifest:
    """A night of that many rows, made of shuffled copies of seeded ones."""
    table, random = columns_of(START, 1, SEEDED), np.random.default_rng(1)
    with StagedWriter(UPath(folder / f"{rows}.parquet"), table.schema) as writer:
        for first in range(0, rows, SEEDED):
            writer.write_table(table.take(pa.array(random.permutation(SEEDED)[: rows - first])))
    return writer.manifest("run", "raw")


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """The least processor time of three runs in seconds, and its result."""
    best, result = float("inf"), None
    for _ in range(3):
        began = time.process_time()
        result = work()
        best = min(best, time.process_time() - began)
    return best, result


def main() -> None:
    """Print one line per size."""
    end, process = START + timedelta(days=1), psutil.Process()
    print(f"{'rows':>10} {'read s':>8} {'first s':>8} {'later s':>8} {'ratio':>6} {'drift s':>8} {'MB more':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for rows in (10_000, 100_000, 1_000_000):
            raw = staged(Path(folder), rows)
            read, _ = timed(lambda raw=raw: [batch.num_rows for batch in read_chunks(raw, rows=CHUNK_ROWS)])
            before = process.memory_info().rss
            first, columns = timed(lambda raw=raw: profile(raw, end, personal=("email",)))
            night = PastNight("run", START, rows, columns)
            edges = usual_edges([night])
            later, _ = timed(lambda raw=raw, edges=edges: profile(raw, end, personal=("email",), edges=edges))
            more = (process.memory_info().rss - before) / 1e6
            past = [replace(night, run_id=f"{day}", start=START - timedelta(days=day)) for day in range(1, 36)]
            judged, _ = timed(lambda night=night, past=past: measure(night, past, Drift(), fresh=("modified_at",)))
            print(f"{rows:>10,} {read:8.3f} {first:8.3f} {later:8.3f} {later / read:6.2f} {judged:8.3f} {more:8.0f}")


if __name__ == "__main__":
    sys.exit(main())
