"""What people decide on answers that wait, and its way to the sinks: the night never waits for it."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import select

from include.canonical import canonical, digest
from include.database import Database, transaction
from include.errors import NightledgerError
from include.ledger import door, review_due, reviews, tables
from include.ledger.closing import close_again
from include.ledger.heads import export_head
from include.ledger.leases import exclusive
from include.ledger.record import RowOutcome, record_event, record_outcomes
from include.ledger.review_due import Due
from include.ledger.reviews import Choice, Decided
from include.models import Manifest, Outcome, Record
from include.night.addressing import addressed
from include.night.close.demote import demote_overruled
from include.night.datasets import APPROVED
from include.run import Night
from include.settings import Settings
from include.spec.use_case import UseCase, load
from include.staging import StagedWriter
from include.systems.connections import Connections
from include.systems.port import Sink

log = logging.getLogger(__name__)
ROWS_AT_ONCE = 5_000
MOST_CHOICES = 1_000
"""Items that one action may decide."""


def decide(
    ledger: Database, case: UseCase, actor: str, choices: Sequence[Choice], comment: str, secret: str
) -> Decided:
    """Record a person's choices; an edit that the output model does not take is refused, with the fields named.

    `secret` keys the tokens that stand for personal values in the comment.
    """
    good, refused = list[Choice](), dict[int, str]()
    for one in choices:
        problem = "" if one.action != "edit" else faults_of(case, one.output or {})
        if problem:
            refused[one.number] = problem
        else:
            good.append(replace(one, output=_as_answer(case, one.output)) if one.output is not None else one)
    needs_two = case.review.four_eyes or (lambda _: False)
    done = reviews.decide(ledger, case.name, actor, good, comment, needs_two=needs_two, secret=secret)
    return Decided(done.done, {**refused, **done.refused})


def faults_of(case: UseCase, output: Record) -> str:
    """What the output model has against an answer, field by field, without repeating a value; empty for nothing."""
    try:
        case.module("output").Output.model_validate(output)
    except ValidationError as error:
        found = {".".join(str(part) for part in one["loc"]) or "the answer": one["msg"] for one in error.errors()}
        return "; ".join(f"{name}: {words}" for name, words in sorted(found.items()))
    return ""


@dataclass(frozen=True, slots=True)
class Held:
    """What a sink's records hold now, by id (None: no such record); `problem` says why that cannot be told."""

    sink: str
    fields: Mapping[str, str]
    records: Mapping[str, Record | None]
    problem: str = ""


def held_now(night: Night, row: Record) -> list[Held]:
    """What the records that an answer would be written to hold at this moment, sink by sink.

    `row` has `row_id`, `row_key`, `origin` and `output` (JSON), as the gate stages it.
    """
    return _held_of(night, [row])[0]


def _held_of(night: Night, rows: Sequence[Record]) -> list[list[Held]]:
    """The same of many rows: a sink is opened once and read batch by batch."""
    found = [list[Held]() for _ in rows]
    for sink in night.case.sinks:
        wanted = dict[int, list[str]]()
        for at, row in enumerate(rows):
            try:
                wanted[at] = [number for number, _ in addressed(sink, night.case.sources, row)]
            except NightledgerError as error:
                found[at].append(Held(sink.place, sink.fields, {}, f"cannot be read now: {error.problem}"))
        records, problem = _read(night, sink, list(dict.fromkeys(one for ids in wanted.values() for one in ids)))
        for at, ids in wanted.items():
            held = {} if problem else {number: records.get(number) for number in ids}
            found[at] += [Held(sink.place, sink.fields, held, problem)] if ids else []
    return found


def _read(night: Night, sink: Sink, ids: Sequence[str]) -> tuple[Mapping[str, Record], str]:
    """The records by id, or why they cannot be told."""
    records = dict[str, Record]()
    if not ids:
        return records, ""
    try:
        there = sink.open(night)
        for first in range(0, len(ids), there.batch_rows):
            part = there.read(ids[first : first + there.batch_rows])
            if part is None:
                return {}, "nothing can be read back there"
            records |= part
    except NightledgerError as error:
        return {}, f"cannot be read now: {error.problem}"
    return records, ""


def held_sha256(held: Sequence[Held]) -> str | None:
    """The hash of what records hold; None where any of them cannot be read, so that nothing was shown of it."""
    if not held or any(one.problem for one in held):
        return None
    return digest(
        [[one.sink, {number: _fields(one, record) for number, record in one.records.items()}] for one in held]
    )


def _fields(held: Held, record: Record | None) -> Record | None:
    """What is shown of a record: a version that changes with anything else in it is not."""
    return None if record is None else {name: record.get(name) for name in held.fields.values()}


def apply(
    connections: Connections, settings: Settings, use_cases: Collection[str], actor: str = "nightledger"
) -> list[Record]:
    """Write what was decided and let go what was rejected; returns for each night what became of its rows.

    Each night's own run gets the outcomes and is sealed anew. Safe to repeat and to kill: what has arrived is not sent
    again. Two calls at once take turns at a run. Raises what a retry can help; the other nights are then left for it.
    """
    ledger = door.open_ledger(connections)
    for name in use_cases:
        reviews.expire(ledger, name, load(name).review.at_expiry)
    done = []
    for _, run_id in review_due.due_runs(ledger, use_cases):
        with exclusive(ledger, f"review/{run_id}", settings.lease_seconds):
            night = door.resume_night(run_id, connections, settings)
            counts = _apply(night, actor)
        done.append({"use_case": night.case.name, "interval": str(night.interval), "run_id": run_id, **counts})
    return done


def _apply(night: Night, actor: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    while due := _due(night):
        counts.update(_apply_some(night, due, actor))
    if counts:
        with transaction(night.ledger) as connection:
            demote_overruled(connection, night)
        export_head(night.ledger, night.run_id, night.settings.head_file)
        log.info("%s: decisions of people applied: %s", night.run_id, dict(counts))
    return dict(counts)


def _due(night: Night) -> list[Due]:
    with transaction(night.ledger) as connection:
        return review_due.due_items(connection, night.case.name, night.run_id, ROWS_AT_ONCE)


def _apply_some(night: Night, due: Sequence[Due], actor: str) -> Counter[str]:
    from include.night.write.write import SUPERSEDED, write

    counts: Counter[str] = Counter()
    if stale := {one.number for one in _changed_since_shown(night, due)}:
        counts["shown_again"] = reviews.show_again(night.ledger, night.case.name, sorted(stale))
        due = [one for one in due if one.number not in stale]
    wanted = [one for one in due if one.verdict == "write"]
    if wanted:
        sent = write(night, _stage(night, wanted))
        counts.update({name: sent[name] for name in ("written", "unchanged", "failed")})
    with transaction(night.ledger) as connection:
        rest = [(one, Outcome.REJECTED, one.rule) for one in due if one.verdict == "reject"]
        rest += [(one, Outcome.UNCHANGED, SUPERSEDED) for one in due if one.verdict not in ("write", "reject")]
        rows = [RowOutcome(one.row_id, one.row_key, ended, "review", why, one.lineage) for one, ended, why in rest]
        record_outcomes(connection, night.run_id, rows)
        review_due.mark_applied(connection, [one.number for one in due])
        counts.update(ended.value if ended is Outcome.REJECTED else "superseded" for _, ended, _ in rest)
        record_event(connection, night.run_id, "review.applied", {"items": len(due), **counts}, actor)
        close_again(connection, night.run_id)
    return counts


def _changed_since_shown(night: Night, due: Sequence[Due]) -> list[Due]:
    """Approved items whose records hold something else than the person who approved was shown.

    What this run itself has written already, before it was killed, is no change. One that cannot be read now is left to
    the write, which has to read it too.
    """
    looked = [one for one in due if one.verdict == "write" and one.held_sha256]
    begun = _begun(night, [one.row_id for one in looked])
    stale = [one for one in looked if (one.row_id, one.decision_id) not in begun]
    for output in ("output", "proposed"):  # an edit may have changed which records are its own
        rows = [{**one._asdict(), "output": canonical(getattr(one, output))} for one in stale]
        held = map(held_sha256, _held_of(night, rows))
        stale = [one for one, now in zip(stale, held, strict=True) if now not in (None, one.held_sha256)]
    return stale


def _begun(night: Night, rows: Sequence[str]) -> set[tuple[str, UUID]]:
    """Which of these rows, and by which decision, this run has begun to write."""
    o = tables.outbox_intent.c
    with transaction(night.ledger) as connection:
        mine = select(o.row_id, o.decision_id).where(o.run_id == night.run_id, o.row_id.in_(rows))
        return set(map(tuple, connection.execute(mine)))


def _stage(night: Night, wanted: Sequence[Due]) -> Manifest:
    """The decided rows as the gate would have staged them."""
    with transaction(night.ledger) as connection:
        named = review_due.decided_here(connection, night.run_id, wanted)
    with StagedWriter(night.path("reviewed.parquet"), APPROVED) as writer:
        for one in wanted:
            writer.append(
                {
                    "row_id": one.row_id,
                    "row_key": one.row_key,
                    "lineage": json.dumps(one.lineage),
                    "inference_key": one.inference_key,
                    "decision_id": str(named[one.number]),
                    "origin": one.origin,
                    "output": canonical(one.output),
                }
            )
    return writer.manifest(night.run_id, "reviewed")


def _as_answer(case: UseCase, output: Record) -> Record:
    """An edited answer in the model's own form, as JSON has it."""
    return dict(case.module("output").Output.model_validate(output).model_dump(mode="json"))
