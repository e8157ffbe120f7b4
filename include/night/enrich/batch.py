"""Ask through the provider's batch API: the same questions, intents, budgets and answers, at the batch's price.

Nothing is kept in memory between two looks: what is open follows from the ledger, so that a task may end and another
go on, and a crash anywhere loses nothing and submits nothing twice.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select, text, update

from include.database import send, transaction
from include.errors import SystemUnavailable
from include.ledger import audit, budget, claims, tables
from include.ledger.audit import Intent, Result
from include.ledger.control import is_off
from include.models import Record
from include.night.enrich.answering import CHUNK_ROWS, Answering, take
from include.night.enrich.asking import Ending, Settled
from include.night.enrich.billing import bill
from include.night.enrich.dispatch import OVER_CEILING, SWITCHED_OFF
from include.night.enrich.journal import Closed, Ended, Entry
from include.night.enrich.parse import CUT_OFF, parse_reply
from include.night.enrich.prices import Price, assume_price
from include.night.enrich.questions import Item, Question, group, is_empty
from include.night.enrich.request import refuse_form
from include.privacy.tokens import tokens_in
from include.retry import MAX_ATTEMPTS
from include.systems.model.batch_client import (
    QUOTA_USED_UP,
    BatchClient,
    BatchItem,
    BatchState,
    is_quota_code,
    unpaid_item,
)
from include.systems.model.client import Reply, quota_used_up

log = logging.getLogger(__name__)
MOST_BYTES = 190 * 2**20
"""Bytes of one batch's file; the vendor takes 200 MB (https://platform.openai.com/docs/guides/batch)."""
MOST_ROUNDS = 20
_COMMIT = 500
_TRIED = text(
    """
SELECT DISTINCT ON (i.inference_key) i.inference_key, r.outcome, r.detail, r.raw_text,
       count(*) FILTER (WHERE r.outcome IN ('invalid', 'empty')) OVER w AS unusable,
       count(*) FILTER (WHERE r.outcome IN ('http_error', 'timeout', 'cancelled')
                          AND NOT starts_with(coalesce(r.detail, ''), :quota)) OVER w AS failed
  FROM nightledger.inference i JOIN nightledger.inference_result r USING (inference_id)
 WHERE i.run_id = :run_id AND i.batch_job_id IS NOT NULL AND i.inference_key = ANY (:keys)
WINDOW w AS (PARTITION BY i.inference_key)
 ORDER BY i.inference_key, r.recorded_at DESC"""
)
_OPEN_ITEMS = text(
    """
SELECT i.inference_id, i.row_id, i.row_key, i.inference_key, i.messages, i.kind, i.attempt, i.tokens_estimated,
       i.cost_reserved
  FROM nightledger.inference i LEFT JOIN nightledger.inference_result r USING (inference_id)
 WHERE i.batch_job_id = :job AND r.inference_id IS NULL"""
)


@dataclass(frozen=True, slots=True)
class Job:
    """One batch as the ledger knows it; `provider_id` is None until the provider has been heard to have it."""

    job_id: UUID
    status: str
    provider_id: str | None
    round: int


@dataclass
class Batching:
    """One run's (or shard's) work through batches; `items` gives its rows, as often as it is called."""

    answering: Answering
    shard: int
    items: Callable[[], Iterator[Item]]

    @property
    def counts(self) -> Counter[str]:
        """What is counted for the report."""
        return self.answering.counts

    async def advance(self) -> list[str]:
        """Land what is done and submit what is open; returns the provider's ids to wait for, none when all has ended.

        Raises SystemUnavailable when the provider cannot be reached, and QuotaUsedUp when it says so of a batch or an
        item, once all that has ended is on record; calling again goes on where it stopped.
        """
        async with BatchClient(self.answering.endpoint) as client:
            waiting, quota = [], ""
            for job in self._jobs("intended", "submitted"):
                state = await self._state_of(client, job)
                if state.ended:
                    quota = await self._land(client, job, state) or quota
                else:
                    waiting.append(state.batch_id)
            if quota:
                raise quota_used_up(quota)
            if not waiting:
                for job in self._plan(self.items()):
                    waiting.append((await self._submit(client, job)).batch_id)
        return waiting

    async def cancel(self) -> int:
        """Ask the provider to end every open batch of the shard; returns how many. What is answered is landed later."""
        jobs = [job for job in self._jobs("submitted") if job.provider_id]
        async with BatchClient(self.answering.endpoint) as client:
            for job in jobs:
                await client.cancel(str(job.provider_id))
        return len(jobs)

    # Jobs

    def _jobs(self, *status: str) -> list[Job]:
        b = tables.batch_job.c
        query = select(b.batch_job_id, b.status, b.provider_batch_id, b.round).where(
            b.run_id == self.answering.run.run_id, b.shard == self.shard, b.status.in_(status)
        )
        with transaction(self.answering.run.ledger) as connection:
            return [Job(*row) for row in connection.execute(query.order_by(b.round, b.chunk))]

    async def _state_of(self, client: BatchClient, job: Job) -> BatchState:
        """What the provider says; a job whose submission was cut off is looked for, and submitted if it is new."""
        if job.provider_id is not None:
            return await client.retrieve(job.provider_id)
        found = await client.find(str(job.job_id))
        if found is None:
            return await self._submit(client, job)
        self._note(job, status="submitted", provider_batch_id=found.batch_id)
        return found

    async def _submit(self, client: BatchClient, job: Job) -> BatchState:
        with tempfile.TemporaryDirectory(prefix="nightledger-") as folder:
            file = Path(folder) / f"{job.job_id}.jsonl"
            self._write_requests(job, file)
            file_id = await client.upload(file)
        try:
            state = await client.create(file_id, str(job.job_id))
        except SystemUnavailable:
            found = await client.find(str(job.job_id))  # it may exist although no answer came
            if found is None:
                raise
            state = found
        self._note(job, status="submitted", input_file_id=file_id, provider_batch_id=state.batch_id)
        log.info("batch %s submitted (%s)", state.batch_id, state.status)
        return state

    def _write_requests(self, job: Job, file: Path) -> None:
        system = {"role": "system", "content": self.answering.sending.system_text}
        request, rows = self.answering.request(), self._open_items(job)
        self._fill_in(rows)
        with file.open("w", encoding="utf-8") as lines:
            for row in rows:
                body = {**request, "messages": [system, *row["messages"]]}
                line = {"custom_id": str(row["inference_id"]), "method": "POST", "url": "/v1/chat/completions"}
                lines.write(json.dumps({**line, "body": body}, ensure_ascii=False) + "\n")

    def _fill_in(self, rows: Sequence[Record]) -> None:
        """Put the question in the place of its copy on record where that has tokens, as a live call would send it.

        An earlier answer that is quoted to ask again is on record only, so it keeps its tokens.
        """
        hidden = {row["inference_key"]: row for row in rows if "token:" in str(row["messages"][0]["content"])}
        for item in self.items() if hidden else ():
            row = hidden.pop(item.inference_key, None)
            if row is not None:
                first, *more = row["messages"]
                row["messages"] = [{**first, "content": self.answering.prompt.render(item.seen)}, *more]

    def _open_items(self, job: Job) -> list[Record]:
        with transaction(self.answering.run.ledger) as connection:
            return [dict(row) for row in connection.execute(_OPEN_ITEMS, {"job": job.job_id}).mappings()]

    def _note(self, job: Job, **values: Any) -> None:
        statement = update(tables.batch_job).where(tables.batch_job.c.batch_job_id == job.job_id)
        with transaction(self.answering.run.ledger) as connection:
            connection.execute(statement.values(**values, updated_at=func.clock_timestamp()))

    # Landing

    async def _land(self, client: BatchClient, job: Job, state: BatchState) -> str:
        """Put every item's result on record; an item in no file failed, one that nobody sent is counted and left.

        Returns what was said if the account's quota is used up, else nothing. Its questions are free for any other run.
        """
        open_items = {str(row["inference_id"]): row for row in self._open_items(job)}
        counts: Counter[str] = Counter(items=len(open_items))
        landed, entries, unpaid = set[str](), list[Entry](), dict[str, str]()
        price = self._price()
        for file in filter(None, (state.output_file, state.error_file)):
            async for item in client.lines(file):
                row = open_items.get(item.custom_id or "")
                if row is None or item.custom_id in landed:
                    counts["unknown" if row is None else "twice"] += 1
                    continue
                landed.add(str(item.custom_id))
                entries.append(self._close(row, item, price, counts))
                if item.quota:
                    unpaid[row["inference_key"]] = item.quota
                if len(entries) >= _COMMIT:
                    self.answering.commit(entries)
                    entries = []
        lost = self._lost(state)
        for name in open_items.keys() - landed:
            entries.append(self._close(open_items[name], replace(lost, custom_id=name), price, counts))
            if lost.quota:
                unpaid[open_items[name]["inference_key"]] = lost.quota
        self.answering.commit([*entries, *map(Ended, unpaid)])
        status = {"completed": "landed", "expired": "landed"}.get(state.status, state.status)
        detail = "; ".join(state.problems)[:500] or None
        self._note(job, status=status, provider_status=state.status, detail=detail, counts=dict(counts))
        self.counts.update({f"batch_{name}": number for name, number in counts.items()})
        log.info("batch %s landed as %s: %s", state.batch_id, state.status, dict(counts))
        if counts["form"] and not counts["ok"]:
            raise refuse_form(self.answering.system, self.answering.sending, "every item of a batch")
        return next(iter(unpaid.values()), "")

    def _lost(self, state: BatchState) -> BatchItem:
        """What is on record for an item that is in no file."""
        if state.status == "failed":  # validation failed: nothing was asked
            why = state.problems[0].partition(":")[0] if state.problems else "failed"
            if is_quota_code(why):
                return unpaid_item(None, why)
            return BatchItem(None, Reply("http_error", 0.0, f"the batch was not accepted: {why}", retryable=True))
        if state.status == "cancelled":
            return BatchItem(None, Reply("cancelled", 0.0, "the batch was cancelled", retryable=True))
        detail = "the provider's files do not name it"
        return BatchItem(None, Reply("http_error", 0.0, detail, retryable=True, maybe_billed=True))

    def _close(self, row: Record, item: BatchItem, price: Price, counts: Counter[str]) -> Closed:
        reply, output = item.reply, self.answering.output
        tokens = tokens_in(row["messages"]) if self.answering.run.case.tokenise else None
        parsed = parse_reply(reply, output, tokens) if reply.outcome == "answered" else None
        intent = Intent(**row)
        most = self.answering.run.case.asked.max_output_tokens
        result: Result = bill(intent, reply, parsed, price, 0.0, max_output=most)
        counts.update({result.outcome: 1, reply.cause: 1} if reply.cause == "form" else {result.outcome: 1})
        is_answer = parsed is not None and parsed.answer is not None
        return Closed(result, row["inference_key"] if is_answer else None, row["cost_reserved"])

    def _price(self) -> Price:
        return assume_price(self.answering.pins.model).batched()

    # Planning

    def _plan(self, items: Iterator[Item]) -> list[Job]:
        """Turn what is open into jobs on record, with their intents and money, before anything is submitted."""
        number = 1 + max((job.round for job in self._jobs("landed", "failed", "cancelled")), default=-1)
        builder = _Builder(self, number)
        while chunk := take(items, CHUNK_ROWS):
            groups = group(chunk)
            run = self.answering.run
            answers = audit.find_answers(run.ledger, run, groups.keys())
            dead = audit.find_dead(run.ledger, run, groups.keys() - answers.keys())
            left = {key: rows for key, rows in groups.items() if key not in answers and key not in dead}
            if number == 0:
                self.counts["planned_rows"] += len(chunk)
                self.counts["planned_reused"] += sum(len(groups[key]) for key in answers)
            for key, tried in self._tried(left).items():
                self._decide(left[key][0], tried, number, builder)
        return builder.finish()

    def _tried(self, groups: Mapping[str, list[Item]]) -> dict[str, Record]:
        """What became of each key in earlier rounds; keys that somebody else is asking are left out."""
        run = self.answering.run
        with transaction(run.ledger) as connection:
            values = {"run_id": run.run_id, "keys": sorted(groups), "quota": QUOTA_USED_UP}
            found = {row["inference_key"]: dict(row) for row in connection.execute(_TRIED, values).mappings()}
            mine = claims.hold_for_job(connection, groups.keys(), run.run_id)
        return {key: found.get(key, {}) for key in groups if key in mine}

    def _decide(self, item: Item, tried: Record, number: int, builder: _Builder) -> None:
        """Ask, ask again with the problem named, or end."""
        ending: Ending | None = None
        unusable, failed = tried.get("unusable", 0), tried.get("failed", 0)
        if is_empty(item):
            ending = "empty_input"
        elif tried.get("outcome") == "refused":
            ending = "refused"
        elif tried.get("outcome") in ("invalid", "empty") and (
            unusable > self.answering.run.case.asked.reasks or tried.get("detail") == CUT_OFF
        ):
            ending = "invalid" if tried["outcome"] == "invalid" else "empty"
        elif failed >= MAX_ATTEMPTS or number >= MOST_ROUNDS:
            ending = "unavailable"
        if ending is None:
            builder.add(item, self._messages(item, tried), "re-ask" if unusable else "retry" if failed else "ask")
            return
        detail = str(tried.get("detail") or "the model would see nothing of it")
        settled = Settled(Question([item], "", 0), ending, detail, unusable + failed)
        self.answering.commit([self.answering.end(settled)])

    def _messages(self, item: Item, tried: Record) -> list[Record]:
        prompt = self.answering.prompt
        messages: list[Record] = [{"role": "user", "content": prompt.render(item.seen)}]
        if tried.get("outcome") in ("invalid", "empty"):
            again = prompt.stricter.format(problem=tried["detail"])
            said = (tried["raw_text"] or "(nothing)")[:4_000]
            messages += [{"role": "assistant", "content": said}, {"role": "user", "content": again}]
        return messages


@dataclass
class _Builder:
    """Gathers requests into jobs within the provider's limits and the budgets."""

    batching: Batching
    round: int
    chunk: int = 0
    tokens: int = 0
    queued: int = 0
    bytes: int = 0
    full: bool = False
    intents: list[Intent] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)

    def add(self, item: Item, messages: Sequence[Record], kind: str) -> None:
        """Take one question, unless the queue is full: then it waits for the next round."""
        answering, system = self.batching.answering, self.batching.answering.system
        texts = [str(message["content"]) for message in messages]
        estimated, most = answering.measure(texts)
        reserved = self.batching._price().cost(most, answering.run.case.asked.max_output_tokens)
        size = sum(len(one.encode()) for one in texts) + most // 2
        if self.intents and (len(self.intents) >= system.batch_max_requests or self.bytes + size > MOST_BYTES):
            self._put()
        if system.batch_queue_tokens and self.queued + estimated > system.batch_queue_tokens and self.queued:
            self.full = True
        if self.full:
            return
        attempt = self.round + 1
        intent = Intent(
            uuid4(), item.row_id, item.row_key, item.inference_key, list(messages), kind, attempt, estimated, reserved
        )
        self.intents.append(intent)
        self.queued += estimated
        self.tokens += estimated
        self.bytes += size

    def finish(self) -> list[Job]:
        """Put the last job on record."""
        if self.intents:
            self._put()
        return self.jobs

    def _put(self) -> None:
        """One transaction: the money, the job, its intents. What the budgets have no room for ends as deferred."""
        answering, run, job_id = self.batching.answering, self.batching.answering.run, uuid4()
        with transaction(run.ledger) as connection:
            amounts = [intent.cost_reserved for intent in self.intents]
            off = is_off(connection, run.case.name)
            taken = 0 if off else budget.reserve(connection, answering.scopes, amounts)
            job = {
                "batch_job_id": job_id,
                "run_id": run.run_id,
                "shard": self.batching.shard,
                "round": self.round,
                "chunk": self.chunk,
                "system": answering.system.name,
                "model": answering.pins.model,
                "fingerprint": str(job_id),
                "status": "intended",
                "requests": taken,
                "bytes": self.bytes,
                "tokens_estimated": self.tokens,
                "cost_reserved": sum(amounts[:taken], Decimal(0)),
            }
            if taken:
                connection.execute(tables.batch_job.insert().values(job))
                sent = [replace(intent, batch_job_id=job_id) for intent in self.intents[:taken]]
                audit.record_intents(connection, run, answering.sending.on_record, sent)
                self.jobs.append(Job(job_id, "intended", None, self.round))
            send(
                connection, [claims.release({intent.inference_key for intent in self.intents[taken:]}, claims.OF_A_JOB)]
            )
        if taken < len(self.intents):
            self.full, answering.why_deferred = True, SWITCHED_OFF if off else OVER_CEILING
        self.intents, self.tokens, self.bytes, self.chunk = [], 0, 0, self.chunk + 1
