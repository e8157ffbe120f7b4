"""The write stage: approved rows to the CRM through the outbox, then to the warehouse."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, func, select

from include.errors import ContractBroken
from include.ledger import tables
from include.ledger.database import transaction
from include.ledger.record import DeadLetter, RowOutcome, bury, record_event, record_outcomes
from include.models import Manifest, Outcome, Record
from include.night import Night
from include.rest import RestClient
from include.sinks import outbox
from include.sinks.crm import Sent, read_current, send
from include.sinks.fields import properties, same
from include.sinks.outbox import Write
from include.sinks.warehouse import Upserted, Warehouse
from include.staging import read_chunks, read_rows

log = logging.getLogger(__name__)
SUPERSEDED = "a later night has written this record"


def write(night: Night, approved: Manifest) -> Record:
    """Write every approved row; returns counts per outcome, calls, retries and what the warehouse took.

    Safe to run again: what was confirmed is not sent again, and a write whose answer was lost is found by reading.
    """
    system = night.system(night.case.sink.system)
    client = RestClient(night.http(system.name), system)
    counts: Counter[str] = Counter()
    for batch in read_chunks(approved, rows=system.batch_rows):
        counts += _write_batch(night, client, batch.to_pylist())
    facts: Record = {**counts, "calls": client.calls, "retries": client.retries}
    facts["warehouse"] = _load_warehouse(night, approved)
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "write.completed", facts)
    log.info("written: %s", facts)
    return {"run_id": night.run_id, **facts}


def _write_batch(night: Night, client: RestClient, rows: Sequence[Record]) -> Counter[str]:
    """One batch of the API: read, compare, put on record, send, confirm."""
    sink = night.case.sink
    by_id = {str(row["row_key"]): row for row in rows}
    with transaction(night.ledger) as connection:
        _hold_decisions(connection, rows)
        before_now = outbox.states(connection, night, by_id)
        later = outbox.written_later(connection, night, by_id)
    current = read_current(client, sink.object, list(by_id), list(sink.fields.values()))
    writes = {one: Write(row, one, properties(sink, row), current.get(one)) for one, row in by_id.items()}
    done = {one for one, status in before_now.items() if status == "written"}
    missing = [w for one, w in writes.items() if one not in current and one not in done]
    superseded = [w for one, w in writes.items() if one in later and one in current and one not in done]
    equal = [
        w for one, w in writes.items() if one in current and same(current[one], w.fields) and one not in done | later
    ]
    settled = done | {w.external_id for w in (*missing, *superseded, *equal)}
    arrived = [w for w in equal if before_now.get(w.external_id) == "intended"]
    unchanged = [w for w in equal if before_now.get(w.external_id) != "intended"]
    sending = {one: w for one, w in writes.items() if one not in settled}
    with transaction(night.ledger) as connection:
        outbox.intend(connection, night, unchanged, "unchanged")
        outbox.intend(connection, night, superseded, "unchanged", SUPERSEDED)
        outbox.intend(connection, night, missing, "failed", "record_missing")
        outbox.intend(connection, night, list(sending.values()), "intended")
        for w in arrived:
            outbox.conclude(connection, night, w.external_id, "written", w.before, None)
        found = [_outcome(writes[one].row, Outcome.WRITTEN, None) for one in done]
        found += [_outcome(w.row, Outcome.WRITTEN, "the answer to an earlier try was lost") for w in arrived]
        found += [_outcome(w.row, Outcome.UNCHANGED, None) for w in unchanged]
        found += [_outcome(w.row, Outcome.UNCHANGED, SUPERSEDED) for w in superseded]
        record_outcomes(connection, night.run_id, found)
        bury(
            connection,
            night,
            "write",
            [_letter(w, "record_missing", "no such record at the destination") for w in missing],
        )
    sent = send(client, sink.object, {one: w.fields for one, w in sending.items()}) if sending else {}
    failed = _confirm(night, sending, sent)
    return Counter(
        written=len(done) + len(arrived) + len(sent) - failed,
        sent=len(sent) - failed,
        unchanged=len(unchanged) + len(superseded),
        failed=len(missing) + failed,
    )


def _confirm(night: Night, sending: Mapping[str, Write], sent: Mapping[str, Sent]) -> int:
    """Put the results of one batch on record; returns how many records failed."""
    lost = []
    outcomes = []
    with transaction(night.ledger) as connection:
        for one, result in sent.items():
            if result.after is None:
                outbox.conclude(connection, night, one, "failed", None, f"{result.cause}: {result.detail}")
                lost.append(_letter(sending[one], result.cause, result.detail))
            else:
                outbox.conclude(connection, night, one, "written", result.after, None)
                outcomes.append(_outcome(sending[one].row, Outcome.WRITTEN, None))
        record_outcomes(connection, night.run_id, outcomes)
        bury(connection, night, "write", lost)
    return len(lost)


def _hold_decisions(connection: Connection, rows: Sequence[Record]) -> None:
    """Raise ContractBroken unless every row's decision to write is on record (invariant I2)."""
    d, ids = tables.decision.c, {row["decision_id"] for row in rows}
    query = select(func.count()).where(d.decision_id.in_(ids), d.verdict == "write")
    found = connection.scalar(query)
    if found != len(ids):
        raise ContractBroken(
            f"{len(ids) - (found or 0)} approved rows have no decision on record",
            system="ledger",
            about="decision",
            action="Clear the run from the gate task on",
        )


def _load_warehouse(night: Night, approved: Manifest) -> Record | None:
    """Upsert what the CRM holds now; None if the use case declares no warehouse."""
    sink = night.case.warehouse
    if sink is None:
        return None
    warehouse, total = Warehouse(night, sink), Upserted()
    if approved.rows:
        total = warehouse.upsert(_succeeded(night, approved))
    facts = {"table": sink.table, **asdict(total)}
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "warehouse.upserted", facts)
    return facts


def _succeeded(night: Night, approved: Manifest) -> Iterator[Record]:
    o = tables.outcome.c
    good = select(o.row_id).where(o.run_id == night.run_id, o.outcome.in_(["written", "unchanged"]))
    with transaction(night.ledger) as connection:
        ids = set(connection.scalars(good))
    return (row for row in read_rows(approved) if row["row_id"] in ids)


def _outcome(row: Record, outcome: Outcome, reason: str | None) -> RowOutcome:
    lineage = json.loads(row["lineage"])
    return RowOutcome(row["row_id"], row["row_key"], outcome, "write", reason, lineage, row["inference_key"])


def _letter(write: Write, cause: str, detail: str) -> DeadLetter:
    row = write.row
    record = {"fields": dict(write.fields), "decision_id": row["decision_id"]}
    return DeadLetter(
        row["row_id"], row["row_key"], cause, detail, row["inference_key"], json.loads(row["lineage"]), record, 1
    )
