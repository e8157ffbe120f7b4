"""A batch's way from validation to its files, spread over `seconds`, each item billed when it is answered.

After a restart a batch is worked through again from its first item. Request ids follow from the batch and the
`custom_id`, so that an item that was billed before the kill is answered again but not billed again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Literal, Self

from include.demo.sandbox.faults import BatchFaults, FaultPlan
from include.demo.sandbox.model import shapes
from include.demo.sandbox.model.answers import answer
from include.demo.sandbox.model.batch_input import read_input, requests_of
from include.demo.sandbox.model.batch_record import Batch, Batches
from include.demo.sandbox.model.bills import Bills, Call, call_of
from include.demo.sandbox.model.files import Files
from include.demo.sandbox.model.prompts import Prompt, read_prompt
from include.demo.sandbox.model.shapes import ModelError

log = logging.getLogger(__name__)
Usage = Callable[[Prompt, Mapping[str, Any]], dict[str, Any]]
KEY_OF_BILLS = "batch"
_VALIDATED, _ANSWERED = 0.1, 0.9
_MOST_AT_ONCE = 50
_Kind = Literal["output", "error"]
_STOPPED = {
    "batch_expired": "This request could not be executed before the completion window expired.",
    "batch_cancelled": "The batch was cancelled before this request was executed.",
    "request_timeout": "The underlying call to the model timed out.",
}


@dataclass(frozen=True)
class BatchSettings:
    """How many seconds a batch takes, and the vendor's limits: of one batch, and of prompt tokens that wait at once."""

    seconds: float = 2.0
    most_requests: int = 50_000
    most_bytes: int = 200 * 2**20
    queue_tokens: int = 200_000_000


@dataclass(frozen=True)
class Worker:
    """Works batches through; `plan` and `faults` are those of the moment, `usage` counts the tokens of an answer."""

    settings: BatchSettings
    files: Files
    batches: Batches
    bills: Bills
    usage: Usage
    plan: Callable[[], FaultPlan]
    faults: Callable[[], BatchFaults]

    async def work(self, batch: Batch) -> None:
        """Bring a batch to its end, whatever happens on the way."""
        try:
            await self._work(batch)
        except Exception:
            log.exception("batch %s broke", batch.id)
            self._fail(batch, [{"code": "server_error", "message": "The batch broke.", "line": None, "param": None}])

    async def _work(self, batch: Batch) -> None:
        faults = self.faults()
        if batch.status == "validating":
            await self._reach(batch, _VALIDATED)
            if not await self._accept(batch):
                return
        with _Results(self.files, batch) as results:
            await self._answer_all(batch, results, faults)
        while batch.status == "in_progress" and batch.looks < faults.stuck:
            await batch.stirred()
        if batch.status == "cancelling":
            await asyncio.sleep(self.settings.seconds * _VALIDATED)
        else:
            batch.enter("finalizing")
            self.batches.keep(batch)
            await self._reach(batch, 1.0)
        results.file()
        batch.enter("cancelled" if "cancelling_at" in batch.times else "expired" if faults.expired else "completed")
        self.batches.keep(batch)

    async def _reach(self, batch: Batch, share: float) -> None:
        """Wait until this share of the batch's time is over, or it is being cancelled."""
        await asyncio.sleep(0)
        until = batch.born + share * self.settings.seconds
        while batch.status != "cancelling" and (left := until - time.time()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await batch.stirred()

    # Validation

    async def _accept(self, batch: Batch) -> bool:
        if batch.status == "cancelling":
            return True
        limits, path = self.settings, self.files.path(batch.input_file_id)
        reading = await asyncio.to_thread(read_input, path, limits.most_requests, limits.most_bytes)
        waiting = [other for other in self.batches.open() if (other.owner, other.model) == (batch.owner, reading.model)]
        if reading.tokens + sum(other.tokens for other in waiting) > limits.queue_tokens:
            reading.blame("token_limit_exceeded", f"Enqueued token limit reached: {limits.queue_tokens} tokens.")
        if self.faults().strike("fail"):
            reading.blame("server_error", "The batch could not be validated.")
        if reading.problems:
            self._fail(batch, reading.problems)
            return False
        batch.model, batch.total, batch.tokens = reading.model, reading.total, reading.tokens
        if batch.status == "validating":
            batch.enter("in_progress")
        self.batches.keep(batch)
        return True

    def _fail(self, batch: Batch, problems: list[dict[str, Any]]) -> None:
        batch.problems = problems
        batch.enter("failed")
        self.batches.keep(batch)

    # Answers

    async def _answer_all(self, batch: Batch, results: _Results, faults: BatchFaults) -> None:
        before = {call.request_id: call for call in self.bills.calls if call.batch}
        at_once = max(1, min(_MOST_AT_ONCE, batch.total // 20))
        batch.completed = batch.failed = 0
        batch.used = {"prompt": 0, "completed": 0, "cached": 0}
        for number, (_, item) in enumerate(requests_of(self.files.path(batch.input_file_id)) if batch.total else ()):
            if number % at_once == 0:
                await self._reach(batch, _VALIDATED + (_ANSWERED - _VALIDATED) * number / batch.total)
            self._answer(batch, item, results, faults, before)
        if faults.unknown and results.last is not None:
            results.put("output", {**results.last, "custom_id": "nobody-sent-this"})

    def _answer(
        self, batch: Batch, item: Mapping[str, Any], results: _Results, faults: BatchFaults, before: Mapping[str, Call]
    ) -> None:
        name = item["custom_id"]
        request_id = _number(batch.id, name)
        line = {"id": f"batch_req_{_number(name, batch.id)[:24]}", "custom_id": name}
        drawn = faults.draw(name)
        if drawn == "missing":
            batch.completed += 1
        elif batch.status == "cancelling" and request_id not in before:
            results.put("error", {**line, **_stopped("batch_cancelled")})
        elif drawn == "expired":
            results.put("error", {**line, **_stopped("batch_expired")})
        else:
            told = self._respond(batch, request_id, item, before.get(request_id))
            answered = told["response"] is not None and told["response"]["status_code"] == 200
            batch.completed, batch.failed = batch.completed + answered, batch.failed + (not answered)
            for _ in range(2 if answered and faults.twice(name) else 1):
                results.put("output" if answered else "error", {**line, **told})

    def _respond(self, batch: Batch, request_id: str, item: Mapping[str, Any], before: Call | None) -> dict[str, Any]:
        """`response` and `error` of one line, billed unless it was before."""
        try:
            prompt = read_prompt(item["body"])
            fault = before.fault if before else self._draw(prompt)
            refused = shapes.refusal(prompt.model, "http_500" if fault in ("reset", "timeout") else fault)
            message, reason = answer(prompt, fault)
        except ModelError as error:
            return _response(request_id, error.status, error.body)
        if refused is not None:
            self._bill(before, call_of(request_id, KEY_OF_BILLS, prompt, refused.status, fault, batch=True))
            stopped = fault == "timeout"
            return _stopped("request_timeout") if stopped else _response(request_id, refused.status, refused.body)
        used = self.usage(prompt, message)
        self._bill(before, call_of(request_id, KEY_OF_BILLS, prompt, 200, fault, used, batch=True))
        _add(batch, used)
        body = shapes.completion(request_id, int(time.time()), prompt.model, message, reason, used)
        return _response(request_id, 200, body)

    def _bill(self, before: Call | None, call: Call) -> None:
        if before is None:
            self.bills.add(call)

    def _draw(self, prompt: Prompt) -> str | None:
        return self.plan().draw(prompt.message, self.bills.asked[prompt.message] + 1)


class _Results:
    """The output and the error file of a batch while they are written; `last` is the last line of output."""

    def __init__(self, files: Files, batch: Batch) -> None:
        self._files, self._batch = files, batch
        self._open: dict[_Kind, IO[str]] = {}
        self.last: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._open.values():
            file.close()

    def put(self, kind: _Kind, line: dict[str, Any]) -> None:
        """Write a line."""
        if kind not in self._open:
            self._open[kind] = self._files.path(self._name(kind)).open("w", encoding="utf-8")
        self._open[kind].write(json.dumps(line) + "\n")
        self.last = line if kind == "output" else self.last

    def file(self) -> None:
        """Put the files on record that have a line, and name them in the batch."""
        for kind in self._open:
            name = f"{self._batch.id}_{kind}.jsonl"
            stored = self._files.keep(self._name(kind), self._batch.owner, name, "batch_output")
            if kind == "output":
                self._batch.output_file_id = stored.id
            else:
                self._batch.error_file_id = stored.id

    def _name(self, kind: _Kind) -> str:
        return f"file-{_number(self._batch.id, kind)[:24]}"


def _number(*parts: str) -> str:
    """32 hex digits that follow from the parts."""
    return hashlib.blake2b("|".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _response(request_id: str, status: int, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"response": {"status_code": status, "request_id": request_id, "body": body}, "error": None}


def _stopped(code: str) -> dict[str, Any]:
    return {"response": None, "error": {"code": code, "message": _STOPPED[code]}}


def _add(batch: Batch, used: Mapping[str, Any]) -> None:
    batch.used["prompt"] += used["prompt_tokens"]
    batch.used["completed"] += used["completion_tokens"]
    batch.used["cached"] += used["prompt_tokens_details"]["cached_tokens"]
