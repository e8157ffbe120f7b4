"""The vendor's files and batches: jobs that are done after a while, kept on disk so that a restart forgets nothing.

A batch has no process of its own: its state follows from its age, and its output is made when it is first looked at
after its time (https://platform.openai.com/docs/api-reference/batch).
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from include.sandbox.faults import FaultPlan
from include.sandbox.journal import write_atomically
from include.sandbox.model import shapes
from include.sandbox.model.answers import answer
from include.sandbox.model.bills import Bills, Call
from include.sandbox.model.prompts import Prompt, read_prompt
from include.sandbox.model.shapes import ModelError
from include.sandbox.serving import only_from_loopback, read_json

_ENDED = ("completed", "failed", "expired", "cancelled")
Usage = Callable[[Prompt, Mapping[str, Any]], dict[str, Any]]


@dataclass
class BatchFaults:
    """Shares of items (0 to 1) that end badly, and how the next batch as a whole does.

    `missing` items are in no file, `unknown` adds an item nobody sent, `duplicate` answers items twice, `expired` items
    did not make it in time; `fail` fails validation, `hang_up` creates the batch but does not answer the caller.
    """

    missing: float = 0.0
    unknown: bool = False
    duplicate: float = 0.0
    expired: float = 0.0
    fail: bool = False
    hang_up: bool = False


@dataclass
class BatchApi:
    """Files and batches of one endpoint. `seconds` is how long a batch takes; limits are the vendor's, per batch."""

    folder: Path
    key: Callable[[web.Request], str]
    usage: Usage
    bills: Bills
    plan: Callable[[], FaultPlan]
    models: Mapping[str, int]
    seconds: float = 2.0
    most_requests: int = 50_000
    most_bytes: int = 200 * 2**20
    queue_tokens: int = 2_000_000
    faults: BatchFaults = field(default_factory=BatchFaults)

    def routes(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_post("/v1/files", self._guard(self._upload))
        app.router.add_get("/v1/files/{id}/content", self._guard(self._content))
        app.router.add_delete("/v1/files/{id}", self._guard(self._delete))
        app.router.add_post("/v1/batches", self._guard(self._create))
        app.router.add_get("/v1/batches", self._guard(self._list))
        app.router.add_get("/v1/batches/{id}", self._guard(self._show))
        app.router.add_post("/v1/batches/{id}/cancel", self._guard(self._cancel))
        app.router.add_post("/sandbox/batch-faults", only_from_loopback(self._set_faults))

    def _guard(self, handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                self.key(request)
                found: web.StreamResponse = await handler(request)
                return found
            except ModelError as error:
                return web.json_response(error.body, status=error.status, headers=error.headers)

        return guarded

    # Files

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        number = f"file-{uuid.uuid4().hex[:24]}"
        size, name, purpose = 0, "", ""
        async for part in await request.multipart():
            if getattr(part, "name", "") == "purpose":
                purpose = (await part.text()).strip()  # type: ignore[union-attr]
            if getattr(part, "name", "") == "file":
                name = part.filename or "file"  # type: ignore[union-attr]
                path = self._file(number)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    while chunk := await part.read_chunk(2**16):  # type: ignore[union-attr]
                        size += len(chunk)
                        if size > self.most_bytes:
                            raise ModelError(400, f"File is too large. Maximum is {self.most_bytes} bytes.")
                        file.write(chunk)
        if purpose != "batch" or not name:
            raise ModelError(400, "Only files with purpose `batch` are known here.", param="purpose")
        shown = {"id": number, "object": "file", "bytes": size, "created_at": int(time.time()), "filename": name}
        return web.json_response({**shown, "purpose": purpose, "status": "processed"})

    async def _content(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(self._existing(request.match_info["id"]))

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        number = request.match_info["id"]
        self._existing(number).unlink()
        return web.json_response({"id": number, "object": "file", "deleted": True})

    def _file(self, number: str) -> Path:
        return self.folder / "files" / f"{Path(number).name}.jsonl"

    def _existing(self, number: str) -> Path:
        path = self._file(number)
        if not path.exists():
            raise ModelError(404, f"No such File object: {number}", param="id")
        return path

    # Batches

    async def _create(self, request: web.Request) -> web.StreamResponse:
        asked = await read_json(request)
        self._existing(str(asked.get("input_file_id")))
        now = int(time.time())
        batch: dict[str, Any] = {
            "id": f"batch_{uuid.uuid4().hex[:24]}",
            "object": "batch",
            "endpoint": asked.get("endpoint"),
            "errors": None,
            "input_file_id": asked["input_file_id"],
            "completion_window": asked.get("completion_window", "24h"),
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": now,
            "expires_at": now + 86_400,
            "metadata": asked.get("metadata") or {},
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "born": time.time(),
        }
        self._validate(batch)
        self._keep(batch)
        if self.faults.hang_up:
            self.faults.hang_up = False
            await asyncio.sleep(60)
        return web.json_response(_shown(batch))

    def _validate(self, batch: dict[str, Any]) -> None:
        problems, names, tokens, models = list[dict[str, Any]](), set[str](), 0, set[str]()
        for number, line in enumerate(self._file(batch["input_file_id"]).open("rb"), start=1):
            try:
                item = json.loads(line)
                prompt = read_prompt(item["body"])
            except (ValueError, KeyError, TypeError, ModelError):
                problems.append({"code": "invalid_json_line", "message": "This line is no request.", "line": number})
                continue
            if item.get("custom_id") in names:
                problems.append(
                    {"code": "duplicate_custom_id", "message": "The custom_id is not unique.", "line": number}
                )
            names.add(item.get("custom_id"))
            models.add(prompt.model)
            tokens += prompt.tokens
        batch["request_counts"]["total"] = len(names)
        batch["tokens"] = tokens
        if len(names) > self.most_requests:
            problems.append({"code": "too_many_requests", "message": f"At most {self.most_requests} requests."})
        if models - set(self.models) or len(models) > 1:
            problems.append({"code": "model_not_found", "message": "One batch asks one known model."})
        queued = sum(other["tokens"] for other in self._all() if other["status"] not in _ENDED)
        if tokens + queued > self.queue_tokens:
            problems.append({"code": "token_limit_exceeded", "message": "Enqueued token limit reached for this model."})
        if self.faults.fail:
            self.faults.fail = False
            problems.append({"code": "server_error", "message": "The batch could not be validated."})
        if problems:
            batch["status"], batch["errors"] = "failed", {"object": "list", "data": problems[:100]}
            batch["failed_at"] = int(time.time())

    async def _show(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(_shown(self._advance(self._batch(request.match_info["id"]))))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        newest = sorted(map(self._advance, self._all()), key=lambda batch: float(batch["born"]), reverse=True)
        after, limit = request.query.get("after"), int(request.query.get("limit", 20))
        start = next((at + 1 for at, batch in enumerate(newest) if batch["id"] == after), 0) if after else 0
        page = newest[start : start + limit]
        more = len(newest) > start + limit
        return web.json_response({"object": "list", "data": [_shown(batch) for batch in page], "has_more": more})

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        batch = self._advance(self._batch(request.match_info["id"]))
        if batch["status"] not in _ENDED:
            batch["cancelled_after"] = time.time() - batch["born"]
            self._finish(batch, "cancelled", batch["cancelled_after"] / max(self.seconds, 0.001))
        return web.json_response(_shown(batch))

    def _advance(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Bring a batch to where its age says it is."""
        if batch["status"] in _ENDED:
            return batch
        done = (time.time() - batch["born"]) / max(self.seconds, 0.001)
        if done >= 1.0:
            self._finish(batch, "expired" if self.faults.expired else "completed", 1.0)
        else:
            batch["status"] = "validating" if done < 0.1 else "in_progress"
            batch["request_counts"]["completed"] = int(batch["request_counts"]["total"] * done)
        return batch

    def _finish(self, batch: dict[str, Any], status: str, share: float) -> None:
        """Answer the share of items that was reached, bill them, write the files."""
        output, errors = list[dict[str, Any]](), list[dict[str, Any]]()
        items = list(self._items(batch))
        for number, item in enumerate(items):
            if number >= share * len(items):
                continue
            self._answer(item, output, errors)
        if self.faults.unknown and output:
            output.append({**output[0], "custom_id": "nobody-sent-this"})
        for name, lines in (("output", output), ("error", errors)):
            if lines:
                file = f"file-{uuid.uuid4().hex[:24]}"
                write_atomically(self._file(file), "".join(json.dumps(line) + "\n" for line in lines))
                batch[f"{name}_file_id"] = file
        batch["status"] = status
        batch[f"{status}_at"] = int(time.time())
        batch["request_counts"] |= {"completed": len(output), "failed": len(errors)}
        self._keep(batch)

    def _answer(self, item: dict[str, Any], output: list[dict[str, Any]], errors: list[dict[str, Any]]) -> None:
        prompt, name = read_prompt(item["body"]), item["custom_id"]
        drawn = FaultPlan(seed=5, rates={"missing": self.faults.missing, "expired": self.faults.expired}).draw(name, 1)
        line: dict[str, Any] = {"id": f"batch_req_{uuid.uuid4().hex[:24]}", "custom_id": name}
        if drawn == "missing":
            return
        if drawn == "expired":
            error = {"code": "batch_expired", "message": "This request could not be executed before the window."}
            errors.append({**line, "response": None, "error": error})
            return
        fault = self.plan().draw(prompt.message, self.bills.asked[prompt.message] + 1)
        request_id = uuid.uuid4().hex
        if fault in ("http_500", "http_503", "rate_limited", "reset", "timeout"):
            self._bill(request_id, prompt, 500, fault, None)
            refused = shapes.server_error(500)
            response = {"status_code": 500, "request_id": request_id, "body": refused.body}
            errors.append({**line, "response": response, "error": None})
            return
        message, reason = answer(prompt, fault)
        used = self.usage(prompt, message)
        self._bill(request_id, prompt, 200, fault, used)
        body = shapes.completion(request_id, int(time.time()), prompt.model, message, reason, used)
        line |= {"response": {"status_code": 200, "request_id": request_id, "body": body}, "error": None}
        output.append(line)
        if FaultPlan(seed=6, rates={"twice": self.faults.duplicate}).draw(name, 1):
            output.append(line)

    def _bill(
        self, request_id: str, prompt: Prompt, status: int, fault: str | None, used: Mapping[str, Any] | None
    ) -> None:
        counts = used or {"prompt_tokens": 0, "completion_tokens": 0}
        said = (counts["prompt_tokens"], counts["completion_tokens"], 0)
        at = round(time.time(), 3)
        self.bills.add(Call(request_id, "batch", prompt.message, at, status, used is not None, fault, *said))

    def _items(self, batch: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        with self._file(batch["input_file_id"]).open("rb") as lines:
            for line in lines:
                yield json.loads(line)

    def _batch(self, number: str) -> dict[str, Any]:
        path = self.folder / "batches" / f"{Path(number).name}.json"
        if not path.exists():
            raise ModelError(404, f"No batch found with id '{number}'.", param="id")
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def _all(self) -> list[dict[str, Any]]:
        return [self._batch(path.stem) for path in (self.folder / "batches").glob("*.json")]

    def _keep(self, batch: Mapping[str, Any]) -> None:
        write_atomically(self.folder / "batches" / f"{batch['id']}.json", json.dumps(batch))

    async def _set_faults(self, request: web.Request) -> web.StreamResponse:
        self.faults = BatchFaults(**await read_json(request))
        return web.json_response({})


def _shown(batch: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in batch.items() if name not in ("born", "tokens", "cancelled_after")}
