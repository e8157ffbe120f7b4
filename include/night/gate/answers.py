"""Checks after enrichment: what a model answered tonight, as a whole, before anything is decided or written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from sqlalchemy import select

from include.database import transaction
from include.errors import ConfigurationError, QualityStop
from include.ledger import tables
from include.ledger.record import RowOutcome, find_manifest, record_event, record_manifest, record_outcomes
from include.models import Manifest, Origin, Outcome, Record
from include.night.check.check import record_results
from include.quality.examine import Finding, examine
from include.quality.expectation import Expectation
from include.quality.failures import read_failures, write_failures
from include.quality.usual import read_history
from include.run import Night
from include.staging import StagedWriter, read_chunks, read_rows

FAILURES = "answer_failures"
ANSWERED, FALLBACK, DEFERRED = "answered", "fallback", "deferred"
_OWN = [("row_id", pa.string()), ("row_key", pa.string()), ("ending", pa.string()), ("reused", pa.bool_())]
_TYPES = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_(), "string": pa.string()}


def check_answers(night: Night, enriched: Manifest) -> None:
    """Hold the night's answers against the use case's `ANSWER_EXPECTATIONS`, if it declares any.

    They see dataset `answers`: one row for every row that was to be asked, with `row_id`, `row_key`, `reused`,
    `ending` (`answered`, `fallback`, `deferred`, or the cause of its dead letter), the fields of the use case's output,
    and, for rows with an answer, the columns of the row that an expectation names beside these. Raises QualityStop when
    a critical one fails and there are rows to hold back: those are deferred, and their
    answers stay on record, so that the night run again pays nothing. Safe to run again.
    """
    suite: Sequence[Expectation] = getattr(night.case.module("expectations"), "ANSWER_EXPECTATIONS", ())
    if not suite:
        return
    _hold_apart(night, suite)
    answers = _stage(night, enriched, _beside(night, suite))
    record_manifest(night.ledger, answers)
    findings = examine(answers, suite, read_history(night.ledger, night.case.name, night.interval))
    place = night.path("answer_failures.parquet")
    failures = write_failures(place, night.run_id, answers, findings, FAILURES)
    record_manifest(night.ledger, failures)
    record_results(night, findings, failures, "answers")
    failed = [one for one in findings if one.expectation.severity == "critical" and not one.success]
    if failed and enriched.rows:
        _stop(night, enriched, failed)
    with transaction(night.ledger) as connection:
        facts = {"rows": answers.rows, "expectations": len(findings), "not_met": sum(not f.success for f in findings)}
        record_event(connection, night.run_id, "answers.completed", facts)


def _hold_apart(night: Night, suite: Sequence[Expectation]) -> None:
    """Results of a run are kept by the expectation's id, so the two suites may share none."""
    before = {expectation.id for expectation in night.case.module("expectations").EXPECTATIONS}
    both = sorted(before & {expectation.id for expectation in suite})
    if both:
        raise ConfigurationError(f"{', '.join(both)} is in both suites; ids are unique", about=night.case.name)


def failing_answers(night: Night) -> dict[str, tuple[str, ...]]:
    """By row, the expectations on answers that it fails and that set rows aside: a person sees these rows."""
    suite: Sequence[Expectation] = getattr(night.case.module("expectations"), "ANSWER_EXPECTATIONS", ())
    strict = sorted(one.id for one in suite if one.rows == "quarantine")
    failures = find_manifest(night.ledger, night.run_id, FAILURES) if strict else None
    found: dict[str, tuple[str, ...]] = {}
    if failures is None:
        return found
    for name in strict:
        for row in read_failures(failures, name, limit=failures.facts["failing"].get(name, 0)):
            found[row.row_id] = (*found.get(row.row_id, ()), name)
    return found


def _beside(night: Night, suite: Sequence[Expectation]) -> pa.Table | None:
    """Columns of the rows that the suite names and no answer has, with their ids; None where it names none."""
    named = {name for one in suite for name in one.columns} - {name for name, _ in _OWN} - _fields(night).keys()
    good = find_manifest(night.ledger, night.run_id, "good") if named else None
    if good is None:
        return None
    known = [name for name in good.columns if name in named]
    return pa.Table.from_batches(read_chunks(good, columns=["row_id", *known])) if known and good.rows else None


def _stage(night: Night, enriched: Manifest, beside: pa.Table | None) -> Manifest:
    """Memory: of every row, the columns `beside`."""
    fields = _fields(night)
    more = [one for one in beside.schema if one.name != "row_id"] if beside else []
    places = {row_id: at for at, row_id in enumerate(beside["row_id"].to_pylist())} if beside else {}
    schema = pa.schema([*_OWN, *fields.items(), *((one.name, one.type) for one in more)])
    with StagedWriter(night.path("answers.parquet"), schema) as writer:
        columns = ("row_id", "row_key", "origin", "reused", "output")
        for row in read_rows(enriched, rows=night.settings.chunk_rows, columns=columns):
            output = json.loads(row["output"])
            ending = FALLBACK if row["origin"] == Origin.RULE else ANSWERED
            kept = {name: row[name] for name in ("row_id", "row_key", "reused")}
            values = {name: _typed(output.get(name), kind) for name, kind in fields.items()}
            at = places.get(row["row_id"])
            given = {one.name: beside[one.name][at].as_py() for one in more} if beside and at is not None else {}
            writer.append({**given, **values, **kept, "ending": ending})
        for row_id, row_key, ending in _unanswered(night):
            writer.append({"row_id": row_id, "row_key": row_key, "ending": ending})
    return writer.manifest(night.run_id, "answers", {"answered": enriched.rows})


def _fields(night: Night) -> dict[str, pa.DataType]:
    """The output's fields as columns; what is neither text, number nor flag is text in JSON."""
    declared = night.case.module("output").Output.model_json_schema()["properties"]
    taken = {name for name, _ in _OWN}
    return {name: _TYPES.get(_kind(given), pa.string()) for name, given in declared.items() if name not in taken}


def _kind(given: Record) -> str:
    """The JSON type of a property; of one that may be null, the other one."""
    kinds = [one.get("type") for one in given.get("anyOf", [given]) if one.get("type") != "null"]
    return str(kinds[0]) if len(kinds) == 1 else ""


def _typed(value: Any, kind: pa.DataType) -> Any:
    """The value, if it is of the column's type; else null, which expectations see as missing."""
    if value is None:
        return None
    if kind == pa.string():
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool) or kind == pa.bool_():
        return value if isinstance(value, bool) and kind == pa.bool_() else None
    fits = (int,) if kind == pa.int64() else (int, float)
    return value if isinstance(value, fits) and abs(value) < 2**63 else None


def _unanswered(night: Night) -> Iterator[tuple[str, str | None, str]]:
    """Rows of this run that were to be asked and have no answer: id, key and what became of them."""
    o, own = tables.outcome.c, _replayed(night)
    ended = o.outcome.in_([Outcome.DEAD_LETTER, Outcome.DEFERRED]) & (o.stage == "enrich")
    query = select(o.row_id, o.row_key, o.outcome, o.reason).where(o.run_id == night.run_id, ended).order_by(o.row_id)
    with transaction(night.ledger) as connection:
        for row_id, row_key, outcome, reason in connection.execute(query.execution_options(yield_per=10_000)):
            if own is None or row_id in own:
                cause = str(reason or "").partition(":")[0]
                yield row_id, row_key, DEFERRED if outcome == Outcome.DEFERRED else cause


def _replayed(night: Night) -> set[str] | None:
    """The rows that a replay asks about; the others of its night carry an earlier run's outcome. None: all rows."""
    m = tables.manifest.c
    query = select(*(m[name] for name in Manifest.__dataclass_fields__))
    with transaction(night.ledger) as connection:
        held = query.where(m.run_id == night.run_id, m.facts.has_key("carried_from"))
        found = connection.execute(held).mappings().first()
    return {row["row_id"] for row in read_rows(Manifest(**found), columns=("row_id",))} if found else None


def _stop(night: Night, enriched: Manifest, failed: Sequence[Finding]) -> None:
    """Defer the rows that have an answer and raise QualityStop."""
    ids = [one.expectation.id for one in failed]
    words = "; ".join(f"{one.expectation.meaning}: {one.in_words()}" for one in failed)
    reason = f"the answers were held back: {', '.join(ids)}"
    columns = ("row_id", "row_key", "lineage")
    with transaction(night.ledger) as connection:
        outcomes = (
            RowOutcome(r["row_id"], r["row_key"], Outcome.DEFERRED, "answers", reason, lineage)
            for r in read_rows(enriched, rows=night.settings.chunk_rows, columns=columns)
            for lineage in [json.loads(r["lineage"])]
        )
        record_outcomes(connection, night.run_id, outcomes)
        record_event(connection, night.run_id, "answers.stopped", {"failed": ids, "deferred": enriched.rows})
    raise QualityStop(
        f"{words}. Nothing was decided or written",
        system=night.case.model.system if night.case.model else "",
        about=night.case.name,
        action="Look at the answers in the report and mend the prompt, or the expectation if they are right; "
        "then run the night again, which pays nothing for answers on record",
    )
