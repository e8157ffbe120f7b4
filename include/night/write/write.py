"""The step that writes: intents on record first, then batches to every sink, then what became of each record."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection

from include.canonical import digest
from include.database import transaction
from include.errors import ContractBroken, NightledgerError
from include.ledger.record import record_event
from include.models import Manifest, Outcome, Record
from include.night.addressing import addressed
from include.night.write import decided, outbox
from include.night.write.endings import Ending, put_endings
from include.night.write.outbox import Earlier, Result, State, Step, Write, blind_step, next_step
from include.night.write.restored import Restored, Values, find_values, is_known
from include.night.write.shadowed import compare_shadowed
from include.run import Night
from include.staging import read_chunks
from include.systems.in_air import threads
from include.systems.port import VERSION, Destination, Outgoing, Sent, Sink
from include.systems.sql.upsert import MirrorTable, Said

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)
SUPERSEDED = "superseded by a later night"
DELIVERED = "delivered by an earlier run, word for word"
ARRIVED = "the answer to an earlier try was lost"
NOT_MEANT = "no sink is meant for this answer"
BATCHES = 4
"""Batches of the API that are read, put on record and sent together."""
_FROM_GATE = "Clear the run from the gate task on"
COUNTS = ("written", "sent", "unchanged", "failed")
_CAUSES = {
    Step.MISSING: ("record_missing", "no such record at the destination"),
    Step.UNKNOWN: (outbox.UNKNOWN_ENDING, "it may have arrived, and the destination cannot be asked; a person decides"),
    Step.CHANGED: (outbox.CHANGED, "somebody changed the record after it was read; nothing was written"),
}
"""Why a write is not sent, and in words."""
_LOST = (
    "values_gone",
    "the row that its tokens were made of is not staged any more; run the night again",
)


def write(night: Night, approved: Manifest) -> Record:
    """Write every approved row to the sinks, one after the other; returns counts, calls, retries and the mirror's.

    Safe to run again: what was confirmed is not sent again, and a write whose answer was lost is found by reading.
    In mode shadow, where nothing is approved, what would have been written is held against what the records hold.
    `sent` counts the records that this call itself has written, `failed` those that are now dead letters. A row that
    went to several sinks has the outcome of the worst.
    """
    mirror = open_mirror(night)
    opened = [(sink, _open(night, sink)) for sink in night.case.sinks]
    for _, there in opened:
        there.check_contract()
    counts, of_sinks = Counter(dict.fromkeys(COUNTS, 0)), list[Record]()
    values = find_values(night, approved) if night.case.tokenise else {}
    for at, (sink, there) in enumerate(opened):
        done = _Delivery(night, sink, there, first=at == 0, values=values).run(approved)
        counts.update(done)
        of_sinks.append({"sink": sink.place, **done})
    calls, retries = (sum(getattr(there, name) for _, there in opened) for name in ("calls", "retries"))
    facts: Record = {**counts, "calls": calls, "retries": retries}
    if len(opened) > 1:
        facts["sinks"] = of_sinks
    facts["warehouse"] = _load(night, mirror, approved) if mirror else None
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "write.completed", facts)
    log.info("written: %s", facts)
    compare_shadowed(night)
    return {"run_id": night.run_id, **facts}


def _open(night: Night, sink: Sink) -> Destination:
    there = sink.open(night)
    return Restored(there) if night.case.tokenise else there


class _Read(NamedTuple):
    """A group of rows whose records are being read: what is asked, how far this run was, and the batches."""

    asked: list[Write]
    idle: list[Record]
    states: Mapping[str, State]
    later: set[str]
    earlier: Mapping[str, Earlier]
    batches: list[Future[Mapping[str, Record] | None]]
    forged: int = 0
    lost: Sequence[Write] = ()


class _Sent(NamedTuple):
    """A group whose writes are on their way: what was known before, by record what is sent, and the batches' records.

    `readable` says whether the destination can be asked what arrived.
    """

    counts: Counter[str]
    known: list[Ending]
    sending: Mapping[str, Write]
    batches: dict[Future[Mapping[str, Sent]], Sequence[str]]
    readable: bool


@dataclass
class _Delivery:
    """The approved rows on their way to one sink; `first` says that no other sink has had them before.

    `values` are what tokens in their answers stand for.
    """

    night: Night
    sink: Sink
    there: Destination
    first: bool
    values: Values = field(default_factory=dict)

    def run(self, approved: Manifest) -> Counter[str]:
        """Read, compare, put on record, send, confirm: group by group, while the records of the next one are read."""
        counts, seen = Counter(dict.fromkeys(COUNTS, 0)), set[str]()
        groups = read_chunks(approved, rows=BATCHES * self.there.batch_rows)
        with threads(self.there.in_air) as pool:
            reading = self._next_group(pool, groups, seen)
            while reading:
                sent = self._send(pool, reading)
                try:
                    reading = self._next_group(pool, groups, seen)
                finally:
                    counts.update(self._confirm_group(sent))
        return counts

    def _next_group(self, pool: Executor, groups: Iterator[pa.RecordBatch], seen: set[str]) -> _Read | None:
        """Begin to read what the next rows' records hold now; None after the last."""
        batch = next(groups, None)
        return self._read(pool, batch.to_pylist(), seen) if batch is not None else None

    def _read(self, pool: Executor, rows: Sequence[Record], seen: set[str]) -> _Read:
        rows, forged = decided.hold(self.night, self.sink, rows)
        asked, idle, lost = list[Write](), list[Record](), list[Write]()
        for row in rows:
            mine = [Write(row, n, v, self.there.form(v)) for n, v in addressed(self.sink, self.night.case.sources, row)]
            if isinstance(self.there, Restored):
                if not is_known(row, self.values):
                    lost += mine
                    continue
                self.there.expect(mine, self.values.get(row["row_id"], {}))
            asked += mine
            if not mine:
                idle.append(row)
        ids = {write.external_id for write in asked}
        _require_own_records(asked, ids, seen)
        with transaction(self.night.ledger) as connection:
            states = outbox.states(connection, self.night, self.sink, ids)
            later = outbox.spoken_later(connection, self.night, self.sink, ids)
            earlier = outbox.earlier(connection, self.night, self.sink, ids) if self._once_for_all else {}
        open_ids = sorted(one.external_id for one in asked if not one.is_settled(states.get(one.external_id)))
        batches = [pool.submit(self.there.read, part) for part in self._batches(open_ids)]
        return _Read(asked, idle, states, later, earlier, batches, forged, lost)

    def _send(self, pool: Executor, read: _Read) -> _Sent:
        """Compare, put on record, and only then send."""
        current: dict[str, Record] = {}
        readable = True
        for batch in read.batches:
            found = batch.result()
            readable = readable and found is not None
            current |= found or {}
        settled = list[Write]()
        steps: dict[Step, list[Write]] = {step: [] for step in Step}
        for one in read.asked:
            state = read.states.get(one.external_id)
            if one.is_settled(state):
                settled.append(one)
                continue
            now, later = replace(one, before=current.get(one.external_id)), one.external_id in read.later
            earlier = read.earlier.get(one.external_id)
            if earlier and earlier.has_delivered(now):
                step = Step.DELIVERED
            elif readable:
                version, guarded = self._version(now), self._guarded
                step = next_step(now, state, self.there, superseded=later, version=version, guarded=guarded)
            else:
                step = blind_step(now, state, earlier, superseded=later, again=self.sink.idempotent)
            steps[step].append(now)
        known = [Ending(write, Outcome.DEAD_LETTER, *_CAUSES[step]) for step in _CAUSES for write in steps[step]]
        known += [Ending(write, Outcome.DEAD_LETTER, *_LOST) for write in read.lost]
        known += [Ending(w, Outcome.WRITTEN, reason=ARRIVED) for w in steps[Step.ARRIVED]]
        known += [Ending(w, Outcome.UNCHANGED) for w in steps[Step.UNCHANGED]]
        known += [Ending(w, Outcome.UNCHANGED, reason=SUPERSEDED) for w in steps[Step.SUPERSEDED]]
        known += [Ending(w, Outcome.UNCHANGED, reason=DELIVERED) for w in steps[Step.DELIVERED]]
        states = [(one, read.states[one.external_id]) for one in settled]
        known += [Ending(one, Outcome(state.status), reason=state.error) for one, state in states]
        known += [Ending(_idle(row), Outcome.UNCHANGED, reason=NOT_MEANT) for row in read.idle]
        waiting = {write.row["row_id"] for write in steps[Step.SEND]}
        with transaction(self.night.ledger) as connection:
            self._record_steps(connection, steps)
            self._put(connection, [one for one in known if one.write.row["row_id"] not in waiting])
        were = Counter(one.outcome for one in known)
        counts = Counter(
            written=were[Outcome.WRITTEN],
            unchanged=were[Outcome.UNCHANGED],
            failed=were[Outcome.DEAD_LETTER] + read.forged,
        )
        sending = {one.external_id: one for one in steps[Step.SEND]}
        known = [one for one in known if one.write.row["row_id"] in waiting]
        batches = {
            pool.submit(self.there.send, {number: self._outgoing(sending[number]) for number in part}): part
            for part in self._batches(list(sending))
        }
        return _Sent(counts, known, sending, batches, readable)

    @property
    def _once_for_all(self) -> bool:
        """Whether the same values for the same record are one write, whichever run has them."""
        return self.sink.guard == "append_once"

    @property
    def _guarded(self) -> bool:
        """Whether what others have changed since it was read is left to a person."""
        return self.sink.guard == "unchanged_since_read"

    def _version(self, write: Write) -> str | None:
        """The token that the record must still have: that of its row where the row is this very record."""
        if not self._guarded or write.before is None:
            return None
        same = write.row["row_id"] == f"{self.sink.system}/{self.sink.object}/{write.external_id}"
        token = json.loads(write.row["lineage"]).get(VERSION) if same else None
        return token or write.before.get(VERSION)

    def _outgoing(self, write: Write) -> Outgoing:
        whose = f"{self.night.case.name}/{digest(write.fields)}" if self._once_for_all else self.night.run_id
        once = f"{whose}/{self.sink.system}/{self.sink.object}/{write.external_id}"
        return Outgoing(write.fields, once, self._version(write), write.before)

    def _record_steps(self, connection: Connection, steps: Mapping[Step, Sequence[Write]]) -> None:
        """Everything that is known before the batch leaves: intents with their before-images, and what is not sent."""
        given = (connection, self.night, self.sink)
        outbox.put(*given, steps[Step.SEND], "intended")
        outbox.put(*given, steps[Step.UNCHANGED], "unchanged")
        outbox.put(*given, steps[Step.SUPERSEDED], "unchanged", SUPERSEDED)
        outbox.put(*given, steps[Step.DELIVERED], "unchanged", DELIVERED)
        for step, (cause, _) in _CAUSES.items():
            outbox.put(*given, steps[step], "failed", cause)
        outbox.conclude(*given, [Result(w.external_id, "written", w.before) for w in steps[Step.ARRIVED]])

    def _confirm_group(self, sent: _Sent) -> Counter[str]:
        """Put on record what became of every batch with an answer, then raise what the first of the others raised.

        A batch that raised has arrived nowhere, as far as nobody can ask: a retry sends it.
        """
        wait(sent.batches)
        results, refused = dict[str, Sent](), list[Result]()
        for batch, numbers in sent.batches.items():
            error = None if batch.cancelled() else batch.exception()
            if isinstance(error, NightledgerError) and not sent.readable:
                refused += [Result(number, "failed", None, f"not sent: {type(error).__name__}") for number in numbers]
            elif error is None and not batch.cancelled():
                results |= batch.result()
        failed = self._confirm(sent, results) if results else 0
        if refused:
            with transaction(self.night.ledger) as connection:
                outbox.conclude(connection, self.night, self.sink, refused)
        for batch in sent.batches:
            batch.result()
        return sent.counts + Counter(written=len(results) - failed, sent=len(results) - failed, failed=failed)

    def _confirm(self, sent: _Sent, results: Mapping[str, Sent]) -> int:
        """Put results on record; returns how many records failed."""
        lost = {number: result for number, result in results.items() if result.after is None}
        concluded = [
            Result(number, "failed", None, f"{result.cause}: {result.detail}")
            if number in lost
            else Result(number, "written", result.after)
            for number, result in results.items()
        ]
        pending = {one.row["row_id"] for number, one in sent.sending.items() if number not in results}
        endings = list(sent.known)
        for number in results:
            write = sent.sending[number]
            if number in lost:
                endings.append(Ending(write, Outcome.DEAD_LETTER, lost[number].cause, lost[number].detail))
            else:
                endings.append(Ending(write, Outcome.WRITTEN))
        with transaction(self.night.ledger) as connection:
            outbox.conclude(connection, self.night, self.sink, concluded)
            self._put(connection, [one for one in endings if one.write.row["row_id"] not in pending])
        return len(lost)

    def _put(self, connection: Connection, endings: Sequence[Ending]) -> None:
        put_endings(connection, self.night, self.sink, endings, first=self.first)

    def _batches(self, ids: Sequence[str]) -> Iterator[Sequence[str]]:
        size = self.there.batch_rows
        return (ids[first : first + size] for first in range(0, len(ids), size))


def _idle(row: Record) -> Write:
    """Stands for a row that writes nothing."""
    return Write(row, "", {}, {})


def _require_own_records(asked: Sequence[Write], ids: Collection[str], seen: set[str]) -> None:
    """Raise ContractBroken unless each write is to a record of its own."""
    before = len(seen)
    seen |= set(ids)
    if len(seen) - before != len(asked):
        problem = f"{len(asked)} approved writes name {len(seen) - before} records of their own"
        raise ContractBroken(problem, system="staging", about="approved", action=_FROM_GATE)


def open_mirror(night: Night) -> MirrorTable | None:
    """The mirror of a night's use case, if it declares one."""
    if night.case.mirror is None:
        return None
    fields = night.case.module("output").Output.model_fields
    said = Said(night.case.name, night.case.sources[0].key.name, {name: one.annotation for name, one in fields.items()})
    return MirrorTable(night, night.case.mirror, said)


def _load(night: Night, mirror: MirrorTable, approved: Manifest) -> Record:
    """Upsert what the outbox says the first sink holds now."""
    facts = {"table": mirror.name, **asdict(mirror.upsert(_succeeded(night, approved)))}
    with transaction(night.ledger) as connection:
        record_event(connection, night.run_id, "warehouse.upserted", facts)
    return facts


def _succeeded(night: Night, approved: Manifest) -> Iterator[Record]:
    """Approved rows whose write is confirmed or was not needed; not those that a later night has superseded."""
    sink = night.case.sinks[0]
    for batch in read_chunks(approved, rows=5_000):
        rows = batch.to_pylist()
        with transaction(night.ledger) as connection:
            rows = decided.matching(connection, night, rows)
            ids = {row["row_id"]: [number for number, _ in addressed(sink, night.case.sources, row)] for row in rows}
            found = outbox.states(connection, night, sink, [number for mine in ids.values() for number in mine])
        good = {number for number, state in found.items() if state.is_settled and state.error != SUPERSEDED}
        yield from (row for row in rows if set(ids[row["row_id"]]) <= good)
