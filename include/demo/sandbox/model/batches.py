"""The vendor's batches over HTTP: made, listed, looked at, cancelled; a task of its own works each one through.

https://platform.openai.com/docs/api-reference/batch
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from include.demo.sandbox.faults import BatchFaults, FaultPlan
from include.demo.sandbox.model.batch_input import ENDPOINT
from include.demo.sandbox.model.batch_record import Batch, Batches
from include.demo.sandbox.model.batch_work import BatchSettings, Usage, Worker
from include.demo.sandbox.model.bills import Bills
from include.demo.sandbox.model.door import Owner, for_key, page
from include.demo.sandbox.model.files import FileApi, Files
from include.demo.sandbox.model.shapes import ModelError
from include.demo.sandbox.serving import only_from_loopback, read_json
from include.errors import ConfigurationError

_MOST_METADATA, _LONGEST_NAME, _LONGEST_VALUE = 16, 64, 512


class BatchApi:
    """Files and batches of one endpoint; `plan` gives the faults of its answers, `faults` are those of batches."""

    def __init__(
        self,
        folder: Path,
        settings: BatchSettings,
        owner: Owner,
        bills: Bills,
        usage: Usage,
        plan: Callable[[], FaultPlan],
    ) -> None:
        """Replay the journals in `folder`; what was open goes on when the application starts."""
        self.faults = BatchFaults()
        self._owner, self._files, self._batches = owner, Files(folder), Batches(folder / "batches.jsonl")
        self._worker = Worker(settings, self._files, self._batches, bills, usage, plan, lambda: self.faults)
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self, app: web.Application) -> None:
        """Add the routes."""
        FileApi(self._files, self._owner, lambda: self.faults.strike("upload")).routes(app)
        app.router.add_post("/v1/batches", for_key(self._owner, self._create))
        app.router.add_get("/v1/batches", for_key(self._owner, self._list))
        app.router.add_get("/v1/batches/{id}", for_key(self._owner, self._show))
        app.router.add_post("/v1/batches/{id}/cancel", for_key(self._owner, self._cancel))
        app.router.add_get("/sandbox/batch-faults", only_from_loopback(self._show_faults))
        app.router.add_post("/sandbox/batch-faults", only_from_loopback(self._set_faults))
        app.cleanup_ctx.append(self._run)

    async def _run(self, app: web.Application) -> AsyncIterator[None]:
        for batch in self._batches.open():
            self._start(batch)
        yield
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._batches.close()
        self._files.close()

    def _start(self, batch: Batch) -> None:
        task = asyncio.create_task(self._worker.work(batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _create(self, request: web.Request, owner: str) -> web.StreamResponse:
        asked = await _read(request)
        batch = Batch(owner, **_checked(asked))
        self._files.find(batch.input_file_id, owner)
        self._batches.keep(batch)
        self._start(batch)
        if self.faults.strike("hang_up"):
            await asyncio.sleep(self.faults.hold_seconds)
        return web.json_response(batch.shown())

    async def _list(self, request: web.Request, owner: str) -> web.StreamResponse:
        return page(request, [batch.shown() for batch in self._batches.of(owner)])

    async def _show(self, request: web.Request, owner: str) -> web.StreamResponse:
        batch = self._batches.find(request.match_info["id"], owner)
        batch.looks += 1
        batch.stir()
        return web.json_response(batch.shown())

    async def _cancel(self, request: web.Request, owner: str) -> web.StreamResponse:
        batch = self._batches.find(request.match_info["id"], owner)
        if batch.ended or batch.status == "finalizing":
            raise ModelError(409, f"Cannot cancel a batch with status '{batch.status}'.")
        if batch.status != "cancelling":
            batch.enter("cancelling")
            self._batches.keep(batch)
            batch.stir()
        return web.json_response(batch.shown())

    async def _show_faults(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self.faults.to_json())

    async def _set_faults(self, request: web.Request) -> web.StreamResponse:
        try:
            self.faults = BatchFaults.parse(await read_json(request))
        except (ConfigurationError, ValueError) as error:
            return web.json_response({"error": {"message": str(error)}}, status=400)
        return await self._show_faults(request)


async def _read(request: web.Request) -> Mapping[str, Any]:
    try:
        asked = await read_json(request)
    except ValueError as error:
        raise ModelError(400, "We could not parse the JSON body of your request.") from error
    if not isinstance(asked, dict):
        raise ModelError(400, "The body of your request must be an object.")
    return asked


def _checked(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a new batch; raises ModelError 400 for one that the vendor refuses."""
    if not isinstance(asked.get("input_file_id"), str):
        raise ModelError(400, "Missing required parameter: 'input_file_id'.", param="input_file_id")
    for name, only in (("endpoint", ENDPOINT), ("completion_window", "24h")):
        if asked.get(name) != only:
            raise ModelError(400, f"Invalid value for '{name}': here it must be '{only}'.", param=name)
    metadata = asked.get("metadata")
    if metadata is not None and not _is_metadata(metadata):
        raise ModelError(400, "Invalid 'metadata': at most 16 short texts, each with a short name.", param="metadata")
    return {name: asked[name] for name in ("input_file_id", "endpoint", "completion_window")} | {"metadata": metadata}


def _is_metadata(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= _MOST_METADATA
        and all(len(name) <= _LONGEST_NAME for name in value)
        and all(isinstance(text, str) and len(text) <= _LONGEST_VALUE for text in value.values())
    )
