"""The write stage: approved rows to the CRM through the outbox, then to the warehouse."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

from sqlalchemy import Connection, select, update

from include.errors import ContractBroken
from include.ledger import tables
from include.ledger.database import transaction
from include.ledger.record import DeadLetter, RowOutcome, bury, record_event, record_outcomes
from include.models import Manifest, Outcome, Record
from include.night import Night
from include.sinks import outbox
from include.sinks.crm import Crm, Sent
from include.sinks.fields import properties
from include.sinks.outbox import Result, State, Step, Write, next_step
from include.sinks.warehouse import Warehouse
from include.staging import read_chunks

log = logging.getLogger(__name__)
SUPERSEDED = "superseded by a later night"
ARRIVED = "the answer to an earlier try was lost"
COUNTS = ("written", "sent", "unchanged", "failed")


def write(night: Night, approved: Manifest) -> Record:
    """Write every approved row; returns counts per outcome, calls, retries and what the warehouse took.

    Safe to run again: what was confirmed is not sent again, and a write whose answer was lost is found by reading.
    `sent` counts the records that this call itself has written, `failed` those that are now dead letters.
    """
    sink = night.case.warehouse
    warehouse = Warehouse(night, sink) if sink else None
    system = night.system(night.case.sink.system)
    crm = Crm(night.client(system.name), night.case.sink)
    counts = Counter(dict.fromkeys(COUNTS, 0))
    for batch in read_chunks(approved, rows=system.batch_rows):
        counts.update(_write_batch(night, crm, batch.to_pylist()))
    facts: Record = {**counts, "calls": crm.client.calls, "retries": crm.client.retries}
    facts["warehouse"] = _load(night, warehouse, approved) if warehouse else None
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "write.completed", facts)
    log.info("written: %s", facts)
    return {"run_id": night.run_id, **facts}


def _write_batch(night: Night, crm: Crm, rows: Sequence[Record]) -> Counter[str]:
    """One batch of the API: read, compare, put on record, send, confirm."""
    asked = [Write(row, str(row["row_key"]), properties(night.case.sink, row)) for row in rows]
    ids = {write.external_id for write in asked}
    with transaction(night.ledger) as connection:
        _require_decisions(connection, night, rows, ids)
        states = outbox.states(connection, night, ids)
        later = outbox.spoken_later(connection, night, ids)
    settled = [write for write in asked if write.is_settled(states.get(write.external_id))]
    open_ids = ids.difference(write.external_id for write in settled)
    current = crm.read(sorted(open_ids)) if open_ids else {}
    steps: dict[Step, list[Write]] = {step: [] for step in Step}
    for one in asked:
        if one.external_id in open_ids:
            now = replace(one, before=current.get(one.external_id))
            step = next_step(now, states.get(one.external_id), superseded=one.external_id in later)
            steps[step].append(now)
    with transaction(night.ledger) as connection:
        _record_steps(connection, night, steps, settled, states)
    sending = {one.external_id: one for one in steps[Step.SEND]}
    sent = crm.send({number: one.fields for number, one in sending.items()}) if sending else {}
    failed = _confirm(night, sending, sent)
    were = Counter(states[one.external_id].status for one in settled)
    return Counter(
        written=were["written"] + len(steps[Step.ARRIVED]) + len(sent) - failed,
        sent=len(sent) - failed,
        unchanged=were["unchanged"] + len(steps[Step.UNCHANGED]) + len(steps[Step.SUPERSEDED]),
        failed=len(steps[Step.MISSING]) + failed,
    )


def _record_steps(
    connection: Connection,
    night: Night,
    steps: Mapping[Step, Sequence[Write]],
    settled: Sequence[Write],
    states: Mapping[str, State],
) -> None:
    """Everything that is known before the batch leaves: intents with their before-images, and outcomes."""
    outbox.put(connection, night, steps[Step.SEND], "intended")
    outbox.put(connection, night, steps[Step.UNCHANGED], "unchanged")
    outbox.put(connection, night, steps[Step.SUPERSEDED], "unchanged", SUPERSEDED)
    outbox.put(connection, night, steps[Step.MISSING], "failed", "record_missing")
    outbox.conclude(connection, night, [Result(w.external_id, "written", w.before) for w in steps[Step.ARRIVED]])
    found = [_outcome(w, Outcome.WRITTEN, ARRIVED) for w in steps[Step.ARRIVED]]
    found += [_outcome(w, Outcome.UNCHANGED, None) for w in steps[Step.UNCHANGED]]
    found += [_outcome(w, Outcome.UNCHANGED, SUPERSEDED) for w in steps[Step.SUPERSEDED]]
    for one in settled:
        state = states[one.external_id]
        found.append(_outcome(one, Outcome(state.status), state.error))
    _succeed(connection, night, found)
    gone = [_letter(w, "record_missing", "no such record at the destination") for w in steps[Step.MISSING]]
    bury(connection, night, "write", gone, system=night.case.sink.system)


def _confirm(night: Night, sending: Mapping[str, Write], sent: Mapping[str, Sent]) -> int:
    """Put the results of one batch on record; returns how many records failed."""
    lost = {number: result for number, result in sent.items() if result.after is None}
    results = [
        Result(number, "failed", None, f"{result.cause}: {result.detail}")
        if number in lost
        else Result(number, "written", result.after)
        for number, result in sent.items()
    ]
    with transaction(night.ledger) as connection:
        outbox.conclude(connection, night, results)
        good = [_outcome(one, Outcome.WRITTEN, None) for number, one in sending.items() if number not in lost]
        _succeed(connection, night, good)
        letters = [_letter(sending[number], result.cause, result.detail) for number, result in lost.items()]
        bury(connection, night, "write", letters, system=night.case.sink.system)
    return len(lost)


def _succeed(connection: Connection, night: Night, outcomes: Sequence[RowOutcome]) -> None:
    """Record outcomes; a dead letter that an earlier try of this run left for such a row is no longer open."""
    if not outcomes:
        return
    record_outcomes(connection, night.run_id, outcomes)
    d, rows = tables.dead_letter.c, [outcome.row_id for outcome in outcomes]
    mine = (d.run_id == night.run_id) & (d.stage == "write") & d.row_id.in_(rows) & (d.status == "open")
    connection.execute(update(tables.dead_letter).where(mine).values(status="replayed"))


def _require_decisions(connection: Connection, night: Night, rows: Sequence[Record], ids: set[str]) -> None:
    """Raise ContractBroken unless every row has its decision to write on record (invariant I2), and its own record."""
    action = "Clear the run from the gate task on"
    if len(ids) != len(rows):
        problem = f"{len(rows)} approved rows name {len(ids)} records"
        raise ContractBroken(problem, system="staging", about="approved", action=action)
    d, wanted = tables.decision.c, [row["decision_id"] for row in rows]
    query = select(d.decision_id, d.row_id).where(
        d.decision_id.in_(wanted), d.run_id == night.run_id, d.verdict == "write"
    )
    found = {str(decision_id): row_id for decision_id, row_id in connection.execute(query)}
    lacking = sum(found.get(row["decision_id"]) != row["row_id"] for row in rows)
    if lacking:
        problem = f"{lacking} approved rows have no decision on record"
        raise ContractBroken(problem, system="ledger", about="decision", action=action)


def _load(night: Night, warehouse: Warehouse, approved: Manifest) -> Record:
    """Upsert what the outbox says the CRM holds now."""
    facts = {"table": warehouse.name, **asdict(warehouse.upsert(_succeeded(night, approved)))}
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "warehouse.upserted", facts)
    return facts


def _succeeded(night: Night, approved: Manifest) -> Iterator[Record]:
    """Approved rows whose write is confirmed or was not needed; not those that a later night has superseded."""
    o = tables.outbox.c
    for batch in read_chunks(approved, rows=5_000, columns=["row_id", "row_key", "inference_key", "origin", "output"]):
        rows = batch.to_pylist()
        good = select(o.row_id).where(
            o.run_id == night.run_id,
            o.destination == night.case.sink.system,
            o.row_id.in_([row["row_id"] for row in rows]),
            o.status.in_(["written", "unchanged"]),
            o.error.is_distinct_from(SUPERSEDED),
        )
        with transaction(night.ledger) as connection:
            ids = set(connection.scalars(good))
        yield from (row for row in rows if row["row_id"] in ids)


def _outcome(write: Write, outcome: Outcome, reason: str | None) -> RowOutcome:
    row = write.row
    lineage = json.loads(row["lineage"])
    return RowOutcome(row["row_id"], row["row_key"], outcome, "write", reason, lineage, row["inference_key"])


def _letter(write: Write, cause: str, detail: str) -> DeadLetter:
    row = write.row
    record = {"fields": write.fields, "decision_id": row["decision_id"]}
    return DeadLetter(
        row["row_id"], row["row_key"], cause, detail, row["inference_key"], json.loads(row["lineage"]), record, 1
    )
