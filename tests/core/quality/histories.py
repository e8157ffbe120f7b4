"""Nights of made-up rows, profiled in turn as the check stage does, without a ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from upath import UPath

from include.night.check.drift import DriftFact, measure, usual_edges
from include.night.check.past_nights import PastNight
from include.quality.profile import profile_night
from include.spec.use_case import Drift
from include.staging import StagedWriter

START = datetime(2026, 1, 5, tzinfo=UTC)
Rows = dict[str, list[Any]]


class History:
    """`nights` nights of what `make` brings on each day, `step` days apart, newest first in `past`."""

    def __init__(self, folder: Path, make: Callable[[int], Rows], nights: int = 35, step: int = 1) -> None:
        self.folder, self.make, self.nights, self.step = folder, make, nights, step
        self.past: list[PastNight] = []
        for day in range(nights):
            self.past.insert(0, self.night(day, make(day)))

    def night(self, day: int, rows: Rows) -> PastNight:
        """One night's profile, on the edges of those before it."""
        table = pa.table(rows)
        with StagedWriter(UPath(self.folder / "raw.parquet"), table.schema) as writer:
            writer.write_table(table)
        start = START + timedelta(days=day * self.step)
        end, edges = start + timedelta(days=self.step), usual_edges(self.past)
        whole, columns = profile_night(writer.manifest("r", "raw"), end, edges=edges)
        return PastNight(f"run-{day}", start, table.num_rows, columns, whole)

    def findings(self, rows: Rows | None = None, **given: Any) -> list[DriftFact]:
        """Every signal of the night after the last, of these rows or of usual ones."""
        tonight = self.night(self.nights, self.make(self.nights) if rows is None else rows)
        return measure(tonight, self.past, Drift(), **given)

    def drifted(self, rows: Rows | None = None, **given: Any) -> list[tuple[str, str, str]]:
        """Signal, column and statistic of what drifted."""
        return [(f.signal, f.column, f.statistic) for f in self.findings(rows, **given) if f.verdict == "drifted"]


def only(rows: Rows, keep: Callable[[int], bool]) -> Rows:
    """The rows at these places."""
    at = [at for at in range(len(next(iter(rows.values())))) if keep(at)]
    return {name: [values[one] for one in at] for name, values in rows.items()}
