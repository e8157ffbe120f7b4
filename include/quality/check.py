"""The check stage: all failing rows set aside with every reason, and the night stopped when the data is not fit."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa

from include.errors import QualityStop
from include.ledger import tables
from include.ledger.database import merge_rows, transaction
from include.ledger.quarantine import find_released
from include.ledger.record import RowOutcome, quarantine, record_event, record_manifest, record_outcomes
from include.models import Manifest, Outcome, Record, RejectedRow
from include.night import Night
from include.quality.drift import watch_drift
from include.quality.expectation import Expectation
from include.quality.gx import Evaluated, evaluate
from include.sources.owners import Owners
from include.staging import StagedWriter, read_chunks, read_rows, read_schema

EXAMPLES = 5
_IDENTITY = ("row_id", "row_key", "lineage")


@dataclass
class _Tally:
    """One expectation over the whole dataset."""

    expectation: Expectation
    failing: int = 0
    examples: list[str] = field(default_factory=list)
    observed: str | None = None
    could_not_run: str | None = None
    table_failed: bool = False

    def add(self, evaluated: Evaluated) -> None:
        """Count what one frame showed; examples are added where the row ids are known."""
        self.failing += len(evaluated.positions)
        self.observed = evaluated.observed or self.observed
        self.could_not_run = self.could_not_run or evaluated.could_not_run
        self.table_failed = self.table_failed or (not evaluated.success and not len(evaluated.positions))

    def passes(self, rows: int) -> bool:
        """Whether the expectation succeeds over `rows` rows."""
        if self.could_not_run or (self.table_failed and not self.failing):
            return False
        return 1 - self.failing / max(rows, 1) >= self.expectation.at_least

    def found(self, rows: int) -> str:
        """What was found, in words and numbers."""
        if self.could_not_run:
            return f"could not run: {self.could_not_run}"
        if self.table_failed and not self.failing:
            return f"found {self.observed}"
        share, needed = 1 - self.failing / max(rows, 1), self.expectation.at_least
        return f"{share:.1%} of rows pass, {needed:.1%} needed"


def check(night: Night, raw: Manifest) -> Manifest:
    """Hold `raw` against the use case's expectations; returns the dataset `good` with the rows that go on.

    Raises QualityStop when a critical expectation fails; the bad rows are in quarantine and the others deferred then.
    Safe to run again.
    """
    watch_drift(night, raw)
    expectations: Sequence[Expectation] = night.case.module("expectations").EXPECTATIONS
    tallies = {expectation.id: _Tally(expectation) for expectation in expectations}
    runnable = [e for e in expectations if _columns_exist(tallies[e.id], raw)]
    whole = _check_whole(night, raw, [e for e in runnable if e.whole], tallies)
    released = find_released(night.ledger, night.case.name, night.interval)
    quarantined = 0
    with StagedWriter(night.path("good.parquet"), read_schema(raw)) as writer:
        chunked = [e for e in runnable if not e.whole]
        for start, batch in _numbered(read_chunks(raw, rows=night.settings.chunk_rows)):
            reasons = _check_chunk(night, batch, start, chunked, tallies, whole)
            quarantined += _split(night, batch, let_through(batch, reasons, released), writer)
    facts = {"rows_in": raw.rows, "quarantined": quarantined, "expectations": len(expectations)}
    good = writer.manifest(night.run_id, "good", facts)
    _record_results(night, tallies.values(), raw.rows)
    failed = [t for t in tallies.values() if t.expectation.severity == "critical" and not t.passes(raw.rows)]
    if failed:
        _stop(night, good, failed, raw.rows)
    record_manifest(night.ledger, good)
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "check.completed", facts)
    return good


def _columns_exist(tally: _Tally, raw: Manifest) -> bool:
    """Whether the expectation's columns were staged; a missing one is named with the closest that exists."""
    for name in tally.expectation.columns:
        if name not in raw.columns:
            near = difflib.get_close_matches(name, raw.columns, 1)
            tally.could_not_run = f"column {name!r} is missing" + (f"; renamed to {near[0]!r}?" if near else "")
            return False
    return True


def _check_whole(
    night: Night, raw: Manifest, expectations: Sequence[Expectation], tallies: dict[str, _Tally]
) -> dict[int, list[Expectation]]:
    """Run what needs all rows at once, on the columns it needs; returns failing rows by position in the dataset."""
    if not expectations:
        return {}
    needed = sorted({"row_id"} | {name for e in expectations for name in e.columns})
    batches = list(read_chunks(raw, rows=night.settings.chunk_rows, columns=needed))
    table = pa.Table.from_batches(batches) if batches else pa.table({name: [] for name in needed})
    failing: dict[int, list[Expectation]] = {}
    for evaluated in evaluate(table.to_pandas(), expectations, night.interval):
        expectation = evaluated.expectation
        tally = tallies[expectation.id]
        tally.add(evaluated)
        tally.examples += [table["row_id"][int(at)].as_py() for at in evaluated.positions[:EXAMPLES]]
        if expectation.rows == "quarantine":
            for at in evaluated.positions:
                failing.setdefault(int(at), []).append(expectation)
    return failing


def _check_chunk(
    night: Night,
    batch: pa.RecordBatch,
    start: int,
    expectations: Sequence[Expectation],
    tallies: dict[str, _Tally],
    whole: dict[int, list[Expectation]],
) -> dict[int, list[Expectation]]:
    """Run the row-wise expectations on one chunk; returns the expectations failed by each bad row of the chunk."""
    reasons = {at - start: list(failed) for at, failed in whole.items() if start <= at < start + batch.num_rows}
    needed = sorted({name for e in expectations for name in e.columns})
    frame = pa.Table.from_batches([batch]).select(needed).to_pandas()
    for evaluated in evaluate(frame, expectations, night.interval):
        expectation = evaluated.expectation
        tally = tallies[expectation.id]
        tally.add(evaluated)
        room = EXAMPLES - len(tally.examples)
        tally.examples += [batch["row_id"][int(at)].as_py() for at in evaluated.positions[: max(room, 0)]]
        if expectation.rows == "quarantine":
            for at in evaluated.positions:
                reasons.setdefault(int(at), []).append(expectation)
    return reasons


def _split(night: Night, batch: pa.RecordBatch, reasons: dict[int, list[Expectation]], writer: StagedWriter) -> int:
    """Good rows of a chunk to the dataset, bad ones to quarantine; returns how many were bad."""
    if reasons:
        bad = batch.take(pa.array(sorted(reasons), pa.int64())).to_pylist()
        owners = Owners.of(night)
        rejected = [_reject(row, reasons[at], owners) for row, at in zip(bad, sorted(reasons), strict=True)]
        with transaction(night.ledger) as connection:
            quarantine(connection, night, "check", rejected)
    keep = pa.array([at not in reasons for at in range(batch.num_rows)], pa.bool_())
    writer.write_table(pa.Table.from_batches([batch]).filter(keep))
    return len(reasons)


def let_through(
    batch: pa.RecordBatch, reasons: dict[int, list[Expectation]], released: Mapping[str, frozenset[str]]
) -> dict[int, list[Expectation]]:
    """The bad rows of a chunk without those that a person let past all they failed; past critical ones nobody can."""
    if not released:
        return reasons
    ids = batch.column("row_id")

    def held(at: int, failed: list[Expectation]) -> bool:
        passable = released.get(ids[at].as_py(), frozenset())
        return any(e.severity == "critical" or e.id not in passable for e in failed)

    return {at: failed for at, failed in reasons.items() if held(at, failed)}


def _reject(row: Record, failed: Sequence[Expectation], owners: Owners) -> RejectedRow:
    source = "; ".join(f"{name} {place}" for name, place in json.loads(row["lineage"] or "{}").items())
    record = {name: value for name, value in row.items() if name not in _IDENTITY}
    reasons, ids = tuple(f"not met: {e.meaning} ({e.id})" for e in failed), tuple(e.id for e in failed)
    owner = owners.of_columns(failed[0].columns, record)
    return RejectedRow(row["row_id"], row["row_key"], source, reasons, record, expectations=ids, owner=owner)


def _record_results(night: Night, tallies: Iterable[_Tally], rows: int) -> None:
    names = [
        *("run_id", "expectation", "type", "columns", "severity", "meaning", "success", "could_not_run"),
        *("rows_checked", "unexpected_count", "threshold", "observed", "examples"),
    ]
    values = [
        (
            *(night.run_id, t.expectation.id, t.expectation.type, list(t.expectation.columns), t.expectation.severity),
            *(t.expectation.meaning, t.passes(rows), t.could_not_run, rows, t.failing),
            *(Decimal(str(t.expectation.at_least)), t.observed, t.examples[:EXAMPLES]),
        )
        for t in tallies
    ]
    with transaction(night.ledger) as connection:
        merge_rows(connection, tables.quality_result, names, values, key=("run_id", "expectation"), update=names[2:])


def _stop(night: Night, good: Manifest, failed: Sequence[_Tally], rows: int) -> None:
    """Defer the rows that would have gone on and raise QualityStop."""
    words = "; ".join(f"{t.expectation.meaning}: {t.found(rows)}" for t in failed)
    reason = f"the night was stopped: {', '.join(t.expectation.id for t in failed)}"
    with transaction(night.ledger) as connection:
        outcomes: Iterator[RowOutcome] = (
            RowOutcome(row["row_id"], row["row_key"], Outcome.DEFERRED, "check", reason, json.loads(row["lineage"]))
            for row in read_rows(good, rows=night.settings.chunk_rows, columns=_IDENTITY)
            if night.decides_on(row["row_id"])
        )
        record_outcomes(connection, night.run_id, outcomes)
        stopped: dict[str, Any] = {"failed": [t.expectation.id for t in failed], "deferred": good.rows}
        record_event(connection, night.run_id, "check.stopped", stopped)
    raise QualityStop(
        f"{words}. Nothing reached the model",
        system=night.case.source.system,
        about=night.case.name,
        action="Fix it at the source, then clear the run from the extract task on",
    )


def _numbered(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    start = 0
    for batch in batches:
        yield start, batch
        start += batch.num_rows
