"""The check stage: all failing rows set aside with every reason, and the night stopped when the data is not fit."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from include.database import merge_rows, transaction
from include.errors import QualityStop
from include.ledger import tables
from include.ledger.quarantine import find_released
from include.ledger.record import RowOutcome, quarantine, record_event, record_manifest, record_outcomes
from include.models import Manifest, Outcome, Record, RejectedRow
from include.night.check.drift import watch_drift
from include.night.extract.owners import Owners
from include.personal import tokenise_all
from include.quality.examine import Finding, examine, numbered
from include.quality.expectation import Expectation
from include.quality.failures import read_failures, write_failures
from include.quality.usual import read_history
from include.run import Night
from include.staging import IDENTITY, StagedWriter, read_chunks, read_rows, read_schema

EXAMPLES = 5


def check(night: Night, raw: Manifest) -> Manifest:
    """Hold `raw` against the use case's expectations; returns the dataset `good` with the rows that go on.

    Dataset `failures` names the failing rows of every expectation, also of those whose rows go on. Raises QualityStop
    when a critical expectation fails; the bad rows are in quarantine and the others deferred then. Safe to run again.
    """
    watch_drift(night, raw)
    suite: Sequence[Expectation] = night.case.module("expectations").EXPECTATIONS
    findings = examine(raw, suite, read_history(night.ledger, night.case.name, night.interval))
    failures = write_failures(night.path("failures.parquet"), night.run_id, raw, findings, "failures")
    record_manifest(night.ledger, failures)
    good = _split(night, raw, findings)
    record_results(night, findings, failures, "check")
    failed = [one for one in findings if one.expectation.severity == "critical" and not one.success]
    if failed:
        _stop(night, good, failed)
    record_manifest(night.ledger, good)
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "check.completed", dict(good.facts))
    return good


def _split(night: Night, raw: Manifest, findings: Sequence[Finding]) -> Manifest:
    """Good rows to dataset `good`, bad ones to quarantine, with every reason in the suite's order."""
    size, quarantined = night.settings.chunk_rows, 0
    released = find_released(night.ledger, night.case.name, night.interval)
    setting_aside = [one for one in findings if one.expectation.rows == "quarantine"]
    with StagedWriter(night.path("good.parquet"), read_schema(raw)) as writer:
        for start, batch in numbered(read_chunks(raw, rows=size)):
            reasons: dict[int, list[Expectation]] = defaultdict(list)
            for finding in setting_aside:
                for at in finding.within(start, batch.num_rows):
                    reasons[at].append(finding.expectation)
            bad = let_through(batch, reasons, released)
            _set_aside(night, batch, bad)
            quarantined += len(bad)
            keep = pa.array([at not in bad for at in range(batch.num_rows)], pa.bool_())
            writer.write_table(pa.Table.from_batches([batch]).filter(keep))
    facts = {"rows_in": raw.rows, "quarantined": quarantined, "expectations": len(findings)}
    return writer.manifest(night.run_id, "good", facts)


def _set_aside(night: Night, batch: pa.RecordBatch, reasons: dict[int, list[Expectation]]) -> None:
    if reasons:
        bad = batch.take(pa.array(sorted(reasons), pa.int64())).to_pylist()
        owners = Owners.of(night)
        rejected = [_reject(row, reasons[at], owners) for row, at in zip(bad, sorted(reasons), strict=True)]
        with transaction(night.ledger) as connection:
            quarantine(connection, night, "check", rejected)


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
    record = {name: value for name, value in row.items() if name not in IDENTITY}
    reasons, ids = tuple(f"not met: {e.meaning} ({e.id})" for e in failed), tuple(e.id for e in failed)
    owner = owners.of_columns(failed[0].columns, record)
    return RejectedRow(row["row_id"], row["row_key"], source, reasons, record, expectations=ids, owner=owner)


def record_results(night: Night, findings: Iterable[Finding], failures: Manifest, stage: str) -> None:
    """Put what a suite found on record, with a few failing rows as examples; `stage` is `check` or `answers`."""
    names = [
        *("run_id", "expectation", "type", "columns", "severity", "meaning", "success", "could_not_run"),
        *("rows_checked", "unexpected_count", "threshold", "observed", "examples", "stage", "handling", "unit"),
    ]
    secret = night.settings.token_secret
    values = [
        (
            *(night.run_id, e.id, e.type, list(e.columns), e.severity, e.meaning, one.success),
            *(tokenise_all(one.could_not_run, secret), one.rows, len(one.failing), needed),
            tokenise_all(one.seen, secret),
            *([row.row_id for row in read_failures(failures, e.id, limit=EXAMPLES)], stage, e.rows, e.unit),
        )
        for one in findings
        for e in [one.expectation]
        for needed in [None if one.about_table else Decimal(str(e.at_least))]
    ]
    with transaction(night.ledger) as connection:
        merge_rows(connection, tables.quality_result, names, values, key=("run_id", "expectation"), update=names[2:])


def _stop(night: Night, good: Manifest, failed: Sequence[Finding]) -> None:
    """Defer the rows that would have gone on and raise QualityStop."""
    words = "; ".join(f"{one.expectation.meaning}: {one.in_words()}" for one in failed)
    ids = [one.expectation.id for one in failed]
    reason = f"the night was stopped: {', '.join(ids)}"
    with transaction(night.ledger) as connection:
        outcomes: Iterator[RowOutcome] = (
            RowOutcome(row["row_id"], row["row_key"], Outcome.DEFERRED, "check", reason, json.loads(row["lineage"]))
            for row in read_rows(good, rows=night.settings.chunk_rows, columns=IDENTITY)
            if night.decides_on(row["row_id"])
        )
        record_outcomes(connection, night.run_id, outcomes)
        stopped: dict[str, Any] = {"failed": ids, "deferred": good.rows}
        record_event(connection, night.run_id, "check.stopped", stopped)
    raise QualityStop(
        f"{words}. Nothing reached the model",
        system=night.case.sources[0].system,
        about=night.case.name,
        action="Fix it at the source, then clear the run from the extract task on",
    )
