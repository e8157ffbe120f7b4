"""The gate stage: a decision on record for every answer, before anything is done with it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from sqlalchemy import Connection, select

from include.canonical import digest
from include.database import copy_rows, merge_rows, transaction
from include.ledger import tables
from include.ledger.record import RowOutcome, record_event, record_manifest, record_outcomes
from include.models import Manifest, Origin, Outcome, Record
from include.night.datasets import APPROVED
from include.night.gate.answers import failing_answers
from include.night.gate.decide import Verdict, decide
from include.personal import tokenise_all
from include.run import Night
from include.staging import StagedWriter, read_chunks

ROWS_PER_COMMIT = 1_000
_OUTCOMES = {"review": Outcome.IN_REVIEW, "shadow": Outcome.SHADOWED, "reject": Outcome.REJECTED}
_DECISION = [
    *("decision_id", "batch", "run_id", "use_case", "row_id", "row_key", "inference_key"),
    *("verdict", "rule", "decided_by", "origin", "inference_id", "output", "confidence", "shown_sha256"),
]
_REVIEW = [
    *("run_id", "use_case", "interval_start", "interval_end", "row_id", "row_key", "inference_key"),
    *("shown", "shown_sha256", "proposed", "reason"),
]
_REVIEW_KEY = ("use_case", "interval_start", "interval_end", "row_key", "shown_sha256")


@dataclass(frozen=True, slots=True)
class _Decided:
    row: Record
    output: Record
    verdict: Verdict
    decision_id: UUID
    shown: Record
    shown_sha256: str


def gate(night: Night, enriched: Manifest) -> Manifest:
    """Decide on every row of `enriched`; returns the dataset `approved` with the rows that may be written.

    Decisions are keyed by run, row and output, so the stage may run again and adds nothing.
    """
    verdicts: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    failing = failing_answers(night)
    with StagedWriter(night.path("approved.parquet"), APPROVED) as writer:
        for batch in read_chunks(enriched, rows=ROWS_PER_COMMIT):
            decided = [_decide(night, row, failing) for row in batch.to_pylist()]
            with transaction(night.ledger) as connection:
                _record_decisions(connection, night, decided)
                _queue_reviews(connection, night, decided)
                record_outcomes(
                    connection, night.run_id, [_outcome(d) for d in decided if d.verdict.verdict != "write"]
                )
            for one in decided:
                verdicts[one.verdict.verdict] += 1
                rules[one.verdict.rule] += 1
                if one.verdict.verdict == "write":
                    kept = {name: one.row.get(name) for name in APPROVED.names}
                    writer.append({**kept, "decision_id": str(one.decision_id)})
    facts = {"verdicts": dict(verdicts), "rules": dict(rules)}
    manifest = writer.manifest(night.run_id, "approved", facts)
    record_manifest(night.ledger, manifest)
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "gate.completed", facts)
    return manifest


def _decide(night: Night, row: Record, failing: Mapping[str, Sequence[str]]) -> _Decided:
    output = json.loads(row["output"])
    origin, why = Origin(row["origin"]), failing.get(row["row_id"], ())
    verdict = decide(night.case, night.options.mode, origin, row["confidence"], output, why)
    seen = tokenise_all(json.loads(row["input"]), night.settings.token_secret)
    shown = {"input": seen, "origin": row["origin"]}
    shown_sha256 = digest({**shown, "proposed": output})
    name = f"{night.run_id}/{row['row_id']}/{verdict.verdict}/{shown_sha256}"
    return _Decided(row, output, verdict, uuid5(NAMESPACE_URL, name), shown, shown_sha256)


def _record_decisions(connection: Connection, night: Night, decided: Sequence[_Decided]) -> None:
    """Append the decisions that are not on record yet; COPY and one seal for all of them."""
    ids = [one.decision_id for one in decided]
    known = set(connection.scalars(select(tables.decision.c.decision_id).where(tables.decision.c.decision_id.in_(ids))))
    batch = uuid4()
    rows = (
        (
            *(one.decision_id, batch, night.run_id, night.case.name),
            *(one.row["row_id"], one.row["row_key"], one.row["inference_key"]),
            *(one.verdict.verdict, one.verdict.rule, "gate", one.row["origin"], one.row["inference_id"]),
            *(one.output, one.row["confidence"], one.shown_sha256),
        )
        for one in decided
        if one.decision_id not in known
    )
    copy_rows(connection, tables.decision, _DECISION, rows)


def _queue_reviews(connection: Connection, night: Night, decided: Sequence[_Decided]) -> None:
    """Queue what a person must see; what was queued for this interval before, word for word, is not queued again."""
    start, end = night.interval.start, night.interval.end
    rows = [
        (
            *(night.run_id, night.case.name, start, end),
            *(one.row["row_id"], one.row["row_key"], one.row["inference_key"]),
            *(one.shown, one.shown_sha256, one.output, one.verdict.rule),
        )
        for one in decided
        if one.verdict.verdict == "review"
    ]
    if rows:
        merge_rows(connection, tables.review_item, _REVIEW, rows, key=_REVIEW_KEY)


def _outcome(one: _Decided) -> RowOutcome:
    row, outcome = one.row, _OUTCOMES[one.verdict.verdict]
    lineage, reason = json.loads(row["lineage"]), one.verdict.reason
    return RowOutcome(row["row_id"], row["row_key"], outcome, "gate", reason, lineage)
