"""Datasets and suites for tests of the engine, without a ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from upath import UPath

from include.models import Interval, Manifest, Record
from include.quality.examine import Finding, examine
from include.quality.expectation import Expectation
from include.quality.failures import read_failures, write_failures
from include.quality.usual import History
from include.staging import StagedWriter

NIGHT = Interval(datetime(2026, 11, 20, 2, tzinfo=UTC), datetime(2026, 11, 21, 2, tzinfo=UTC))
HISTORY = History(NIGHT)


def stage(folder: Path, rows: Sequence[Record], types: Mapping[str, pa.DataType]) -> Manifest:
    """Stage rows with their number as row key."""
    schema = pa.schema([("row_id", pa.string()), ("row_key", pa.string()), *types.items()])
    with StagedWriter(UPath(folder) / "raw.parquet", schema, rows_per_group=100) as writer:
        writer.extend({**row, "row_id": f"file/{at}", "row_key": str(at)} for at, row in enumerate(rows))
    return writer.manifest("run", "raw")


def expect(name: str, kind: str, *columns: str, **more: Any) -> Expectation:
    """An expectation that keeps rows, about columns of which the first is the one judged."""
    given = {field: more.pop(field) for field in Expectation.__slots__ if field in more}
    severity, columns = given.pop("severity", "warning"), given.pop("columns", columns)
    named = "column" in more or "column_list" in more or "column_A" in more or not columns
    arguments = more if named else {"column": columns[0], **more}
    return Expectation(name, kind, columns, severity, f"{name} holds", arguments, **given)


def judged(
    folder: Path, data: Manifest, suite: Sequence[Expectation], history: History = HISTORY
) -> tuple[dict[str, Finding], dict[str, list[int]]]:
    """Findings by expectation, and the failing positions as the dataset `failures` names them."""
    findings = examine(data, suite, history)
    failures = write_failures(UPath(folder) / "failures.parquet", "run", data, findings, "failures")
    rows = {one.expectation.id: read_failures(failures, one.expectation.id, limit=10**9) for one in findings}
    for kept in rows.values():
        assert all(row.row_key == str(row.position) and row.row_id == f"file/{row.position}" for row in kept)
    return {one.expectation.id: one for one in findings}, {
        name: [row.position for row in kept] for name, kept in rows.items()
    }


def by_hand(rows: Sequence[Record], rules: Mapping[str, Callable[[Record], bool]]) -> dict[str, list[int]]:
    """Positions of the rows for which a rule does not hold, in plain Python."""
    return {name: [at for at, row in enumerate(rows) if not holds(row)] for name, holds in rules.items()}
