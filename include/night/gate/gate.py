"""The gate stage: a decision on record for every answer, before anything is done with it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from sqlalchemy import Connection, func, select

from include.canonical import canonical, digest
from include.database import copy_rows, transaction
from include.ledger import review_items, tables
from include.ledger.record import RowOutcome, record_event, record_manifest, record_outcomes
from include.models import Manifest, Origin, Outcome, Record
from include.night.addressing import addressed
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


@dataclass(frozen=True, slots=True)
class _Decided:
    row: Record
    output: Record
    verdict: Verdict
    decision_id: UUID
    shown: Record
    shown_sha256: str
    origin: str
    by: str = "gate"


def gate(night: Night, enriched: Manifest) -> Manifest:
    """Decide on every row of `enriched`; returns the dataset `approved` with the rows that may be written.

    What people have decided on an answer in an earlier attempt at this night stands. Decisions are keyed by run, row
    and output, so the stage may run again and adds nothing.
    """
    verdicts: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    failing = failing_answers(night)
    with StagedWriter(night.path("approved.parquet"), APPROVED) as writer:
        for batch in read_chunks(enriched, rows=ROWS_PER_COMMIT):
            decided = [_decide(night, row, failing) for row in batch.to_pylist()]
            with transaction(night.ledger) as connection:
                decided = _let_stand(connection, night, decided)
                _record_decisions(connection, night, decided)
                _queue_reviews(connection, night, decided)
                record_outcomes(
                    connection, night.run_id, [_outcome(d) for d in decided if d.verdict.verdict != "write"]
                )
            for one in decided:
                verdicts[one.verdict.verdict] += 1
                rules[one.verdict.rule] += 1
                if one.verdict.verdict == "write":
                    writer.append(_approved(one))
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
    name = _name(night, row["row_id"], verdict.verdict, shown_sha256)
    return _Decided(row, output, verdict, name, shown, shown_sha256, row["origin"])


def _let_stand(connection: Connection, night: Night, decided: Sequence[_Decided]) -> list[_Decided]:
    """The decisions, with those of people in the place of the gate's wish to ask them once more."""
    asked = {(one.row["row_key"], one.shown_sha256) for one in decided if one.verdict.verdict == "review"}
    known = review_items.standing(connection, night.case.name, night.interval, asked) if asked else {}
    return [
        _as_decided(night, one, known[one.shown_sha256])
        if one.verdict.verdict == "review" and one.shown_sha256 in known
        else one
        for one in decided
    ]


def _as_decided(night: Night, one: _Decided, said: review_items.Standing) -> _Decided:
    output = one.output if said.output is None else said.output
    return replace(
        one,
        output=output,
        verdict=Verdict(said.verdict, said.rule),
        decision_id=_name(night, one.row["row_id"], said.verdict, digest([one.shown_sha256, output])),
        origin=one.origin if said.output is None else Origin.PERSON,
        by=said.decided_by,
    )


def _name(night: Night, row_id: str, verdict: str, about: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"{night.run_id}/{row_id}/{verdict}/{about}")


def _approved(one: _Decided) -> Record:
    kept = {name: one.row.get(name) for name in APPROVED.names}
    said = one.row["output"] if one.by == "gate" else canonical(one.output)
    return {**kept, "origin": one.origin, "output": said, "decision_id": str(one.decision_id)}


def _record_decisions(connection: Connection, night: Night, decided: Sequence[_Decided]) -> None:
    """Append the decisions that are not on record yet; COPY and one seal for all of them."""
    ids = [one.decision_id for one in decided]
    known = set(connection.scalars(select(tables.decision.c.decision_id).where(tables.decision.c.decision_id.in_(ids))))
    batch = uuid4()
    rows = (
        (
            *(one.decision_id, batch, night.run_id, night.case.name),
            *(one.row["row_id"], one.row["row_key"], one.row["inference_key"]),
            *(one.verdict.verdict, one.verdict.rule, one.by, one.origin, one.row["inference_id"]),
            *(one.output, one.row["confidence"], one.shown_sha256),
        )
        for one in decided
        if one.decision_id not in known
    )
    copy_rows(connection, tables.decision, _DECISION, rows)


def _queue_reviews(connection: Connection, night: Night, decided: Sequence[_Decided]) -> None:
    """Queue what a person must see, and let go what waits for rows that have another answer by now."""
    if spoken := {one.row["row_key"]: one.shown_sha256 for one in decided if one.verdict.verdict != "shadow"}:
        review_items.supersede(connection, night.case.name, night.interval, spoken)
    waiting = [_waiting(night, one) for one in decided if one.verdict.verdict == "review"]
    if waiting:
        within = night.case.review.expires
        late = connection.execute(select(func.clock_timestamp())).scalar_one() + within if within else None
        review_items.queue(connection, night.run_id, night.case.name, night.interval, waiting, late)


def _waiting(night: Night, one: _Decided) -> review_items.Waiting:
    row, confidence = one.row, one.row["confidence"]
    answer = {"row_id": row["row_id"], "row_key": row["row_key"], "origin": one.origin, "output": canonical(one.output)}
    unsure = one.verdict.doubted or confidence is None
    return review_items.Waiting(
        row_id=row["row_id"],
        row_key=row["row_key"],
        inference_key=row["inference_key"],
        shown=one.shown,
        shown_sha256=one.shown_sha256,
        proposed=one.output,
        reason=one.verdict.rule,
        confidence=confidence,
        risk=1.0 if unsure else 1.0 - min(max(confidence, 0.0), 1.0),
        sinks=[sink.place for sink in night.case.sinks if any(addressed(sink, night.case.sources, answer))],
    )


def _outcome(one: _Decided) -> RowOutcome:
    row, outcome = one.row, _OUTCOMES[one.verdict.verdict]
    lineage, reason = json.loads(row["lineage"]), one.verdict.reason
    return RowOutcome(row["row_id"], row["row_key"], outcome, "gate", reason, lineage)
