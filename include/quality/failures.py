"""The rows that failed, of every expectation, also of those whose rows go on: one dataset beside the staged data.

It is sorted by expectation, then by position, and no row group holds two expectations, so that a page is read without
the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from include.models import Manifest
from include.quality.examine import KEY_ROWS, Finding, numbered
from include.staging import StagedWriter, opened, read_chunks

FAILURES = pa.schema(
    [("expectation", pa.string()), ("row_id", pa.string()), ("row_key", pa.string()), ("position", pa.int64())]
)
"""One row per expectation and failing row; `position` counts the checked dataset's rows from 0."""
GROUP_ROWS = 50_000
HELD_ROWS = 500_000
"""Failing rows held at once; an expectation that has more is written as it is read."""


@dataclass(frozen=True, slots=True)
class FailingRow:
    """A row that fails an expectation; `position` is its place in the checked dataset, from 0."""

    row_id: str
    row_key: str | None
    position: int


def write_failures(path: UPath, run_id: str, data: Manifest, findings: Sequence[Finding], dataset: str) -> Manifest:
    """Write the failing rows of `data`, which has `row_id` and `row_key`; returns the manifest of `dataset`.

    Memory does not grow with the number of failures.
    """
    failed = sorted((one for one in findings if one.failing), key=lambda one: one.expectation.id)
    with StagedWriter(path, FAILURES) as writer:
        for together in _groups(failed):
            if len(together) == 1:
                for (table,) in _scan(data, together):
                    _write(writer, table)
            else:
                for tables in zip(*_scan(data, together), strict=True):
                    _write(writer, pa.concat_tables(tables))
    counts = {finding.expectation.id: len(finding.failing) for finding in failed}
    return writer.manifest(run_id, dataset, {"checked": data.dataset, "failing": counts})


def read_failures(manifest: Manifest, expectation: str, offset: int = 0, limit: int = 100) -> list[FailingRow]:
    """A page of the rows that fail one expectation, by position; reads only the row groups that hold it.

    Raises ContractBroken when the file is gone or damaged.
    """
    rows: list[FailingRow] = []
    with opened(manifest) as file:
        for group in range(file.metadata.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if file.metadata.row_group(group).column(0).statistics.min != expectation or len(rows) >= limit:
                continue
            if offset < count:
                table = file.read_row_group(group, columns=["row_id", "row_key", "position"])
                page = table.slice(offset, limit - len(rows)).to_pylist()
                rows += [FailingRow(row["row_id"], row["row_key"], row["position"]) for row in page]
            offset = max(offset - count, 0)
    return rows


def _groups(failed: Sequence[Finding]) -> Iterator[list[Finding]]:
    """Neighbours whose failing rows fit in memory together, so that they share a reading of the keys."""
    together: list[Finding] = []
    held = 0
    for finding in failed:
        if together and held + len(finding.failing) > HELD_ROWS:
            yield together
            together, held = [], 0
        together.append(finding)
        held += len(finding.failing)
    if together:
        yield together


def _scan(data: Manifest, findings: Sequence[Finding]) -> Iterator[list[pa.Table]]:
    """For each chunk of the dataset the failing rows of each finding."""
    for start, batch in numbered(read_chunks(data, rows=KEY_ROWS, columns=("row_id", "row_key"))):
        keys = pa.Table.from_batches([batch])
        yield [_failing(keys, start, finding) for finding in findings]


def _failing(keys: pa.Table, start: int, finding: Finding) -> pa.Table:
    at = finding.within(start, keys.num_rows)
    places = pa.Array.from_buffers(pa.uint32(), len(at), [None, pa.py_buffer(at)])
    rows = keys.take(places)
    position = pc.add(places.cast(pa.int64()), start)
    columns = [pa.repeat(finding.expectation.id, len(at)), rows["row_id"], rows["row_key"], position]
    return pa.table(columns, schema=FAILURES)


def _write(writer: StagedWriter, table: pa.Table) -> None:
    for first in range(0, table.num_rows, GROUP_ROWS):
        writer.write_table(table.slice(first, GROUP_ROWS))
