"""The write stage: approved rows to the CRM through the outbox, then to the warehouse."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, update

from include.database import transaction
from include.errors import ContractBroken
from include.ledger import tables
from include.ledger.record import DeadLetter, RowOutcome, bury, record_event, record_outcomes
from include.models import Manifest, Outcome, Record
from include.night.write import decided, outbox
from include.night.write.fields import properties
from include.night.write.outbox import Result, State, Step, Write, next_step
from include.run import Night
from include.staging import read_chunks
from include.systems.hubspot.writing import Crm, Sent
from include.systems.in_air import threads
from include.systems.sql.upsert import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)
SUPERSEDED = "superseded by a later night"
ARRIVED = "the answer to an earlier try was lost"
BATCHES = 4
"""Batches of the API that are read, put on record and sent together."""
_FROM_GATE = "Clear the run from the gate task on"
COUNTS = ("written", "sent", "unchanged", "failed")


def write(night: Night, approved: Manifest) -> Record:
    """Write every approved row; returns counts per outcome, calls, retries and what the warehouse took.

    Safe to run again: what was confirmed is not sent again, and a write whose answer was lost is found by reading.
    `sent` counts the records that this call itself has written, `failed` those that are now dead letters.
    """
    sink = night.case.warehouse
    warehouse = Warehouse(night, sink) if sink else None
    system = night.system(night.case.sink.system)
    crm = Crm(night.client(system.name), night.case.sink, system.batch_rows)
    counts = Counter(dict.fromkeys(COUNTS, 0))
    with threads(crm.client.in_air) as pool:
        for done in _write_groups(night, crm, pool, read_chunks(approved, rows=BATCHES * system.batch_rows)):
            counts.update(done)
    facts: Record = {**counts, "calls": crm.client.calls, "retries": crm.client.retries}
    facts["warehouse"] = _load(night, warehouse, approved) if warehouse else None
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "write.completed", facts)
    log.info("written: %s", facts)
    return {"run_id": night.run_id, **facts}


class _Read(NamedTuple):
    """A group of rows whose records are being read: what is asked, how far this run was, and the batches."""

    asked: list[Write]
    states: Mapping[str, State]
    later: set[str]
    batches: list[Future[dict[str, Record]]]
    forged: int = 0


class _Sent(NamedTuple):
    """A group whose writes are on their way: what was known before, by record what is sent, and the batches."""

    counts: Counter[str]
    sending: Mapping[str, Write]
    batches: list[Future[dict[str, Sent]]]


def _write_groups(night: Night, crm: Crm, pool: Executor, groups: Iterator[pa.RecordBatch]) -> Iterator[Counter[str]]:
    """Read, compare, put on record, send, confirm: group by group, while the records of the next one are read."""
    seen: set[str] = set()
    reading = _next_group(night, crm, pool, groups, seen)
    while reading:
        sent = _send(night, crm, pool, reading)
        try:
            reading = _next_group(night, crm, pool, groups, seen)
        finally:
            counts = _confirm_group(night, sent)
        yield counts


def _next_group(
    night: Night, crm: Crm, pool: Executor, groups: Iterator[pa.RecordBatch], seen: set[str]
) -> _Read | None:
    """Begin to read what the next rows' records hold now; None after the last."""
    batch = next(groups, None)
    return _read(night, crm, pool, batch.to_pylist(), seen) if batch is not None else None


def _read(night: Night, crm: Crm, pool: Executor, rows: Sequence[Record], seen: set[str]) -> _Read:
    rows, forged = decided.hold(night, rows)
    asked = [Write(row, str(row["row_key"]), properties(night.case.sink, row)) for row in rows]
    ids = {write.external_id for write in asked}
    _require_own_records(rows, ids, seen)
    with transaction(night.ledger) as connection:
        states = outbox.states(connection, night, ids)
        later = outbox.spoken_later(connection, night, ids)
    open_ids = sorted(one.external_id for one in asked if not one.is_settled(states.get(one.external_id)))
    batches = [pool.submit(crm.read, part) for part in _batches(open_ids, crm)]
    return _Read(asked, states, later, batches, forged)


def _send(night: Night, crm: Crm, pool: Executor, read: _Read) -> _Sent:
    """Compare, put on record, and only then send."""
    current: dict[str, Record] = {}
    for batch in read.batches:
        current |= batch.result()
    settled = list[Write]()
    steps: dict[Step, list[Write]] = {step: [] for step in Step}
    for one in read.asked:
        state = read.states.get(one.external_id)
        if one.is_settled(state):
            settled.append(one)
        else:
            now = replace(one, before=current.get(one.external_id))
            steps[next_step(now, state, superseded=one.external_id in read.later)].append(now)
    with transaction(night.ledger) as connection:
        _record_steps(connection, night, steps, settled, read.states)
    were = Counter(read.states[one.external_id].status for one in settled)
    counts = Counter(
        written=were["written"] + len(steps[Step.ARRIVED]),
        unchanged=were["unchanged"] + len(steps[Step.UNCHANGED]) + len(steps[Step.SUPERSEDED]),
        failed=len(steps[Step.MISSING]) + read.forged,
    )
    sending = {one.external_id: one for one in steps[Step.SEND]}
    parts = [{number: sending[number].fields for number in part} for part in _batches(list(sending), crm)]
    return _Sent(counts, sending, [pool.submit(crm.send, part) for part in parts])


def _confirm_group(night: Night, sent: _Sent) -> Counter[str]:
    """Put on record what became of every batch that has an answer, then raise what the first of the others raised."""
    wait(sent.batches)
    results: dict[str, Sent] = {}
    for batch in sent.batches:
        if not batch.cancelled() and batch.exception() is None:
            results |= batch.result()
    failed = _confirm(night, {number: sent.sending[number] for number in results}, results) if results else 0
    for batch in sent.batches:
        batch.result()
    return sent.counts + Counter(written=len(results) - failed, sent=len(results) - failed, failed=failed)


def _batches(ids: Sequence[str], crm: Crm) -> Iterator[Sequence[str]]:
    return (ids[first : first + crm.batch_rows] for first in range(0, len(ids), crm.batch_rows))


def _require_own_records(rows: Sequence[Record], ids: Collection[str], seen: set[str]) -> None:
    """Raise ContractBroken unless each row is to be written to a record of its own."""
    before = len(seen)
    seen |= set(ids)
    if len(seen) - before != len(rows):
        problem = f"{len(rows)} approved rows name {len(seen) - before} records of their own"
        raise ContractBroken(problem, system="staging", about="approved", action=_FROM_GATE)


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
    """Put results on record; returns how many records failed."""
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


def _load(night: Night, warehouse: Warehouse, approved: Manifest) -> Record:
    """Upsert what the outbox says the CRM holds now."""
    facts = {"table": warehouse.name, **asdict(warehouse.upsert(_succeeded(night, approved)))}
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "warehouse.upserted", facts)
    return facts


def _succeeded(night: Night, approved: Manifest) -> Iterator[Record]:
    """Approved rows whose write is confirmed or was not needed; not those that a later night has superseded."""
    for batch in read_chunks(approved, rows=5_000):
        rows = batch.to_pylist()
        with transaction(night.ledger) as connection:
            found = outbox.states(connection, night, [str(row["row_key"]) for row in rows])
            rows = decided.matching(connection, night, rows)
        good = {number for number, state in found.items() if state.is_settled and state.error != SUPERSEDED}
        yield from (row for row in rows if str(row["row_key"]) in good)


def _outcome(write: Write, outcome: Outcome, reason: str | None) -> RowOutcome:
    row = write.row
    return RowOutcome(row["row_id"], row["row_key"], outcome, "write", reason, json.loads(row["lineage"]))


def _letter(write: Write, cause: str, detail: str) -> DeadLetter:
    row = write.row
    record = {"fields": write.fields, "decision_id": row["decision_id"]}
    return DeadLetter(
        row["row_id"], row["row_key"], cause, detail, row["inference_key"], json.loads(row["lineage"]), record, 1
    )
