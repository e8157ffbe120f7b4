"""A proxy between the project and one HTTP system: breaks what passes, as told, and counts what took effect."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import aiohttp
from aiohttp import web

SLOW_SECONDS = (1.0, 1.6)
LIE = 2_000_000_000
Kind = TypeVar("Kind", bound="Between")
_HOP = {"host", "content-length", "transfer-encoding", "content-encoding", "connection", "accept-encoding"}


class Between:
    """What passes to `target`. Faults strike requests whose path ends in `watched`: those of `script` first, in order,
    then by `rates`, the share of requests per kind.

    `slow` holds an answer back, `lie` claims absurd usage, `after` answers 503 although the request was carried out,
    `part` carries out half of a batch and reports the rest as failed, `hold` keeps the answer until `let_go` is set,
    `cut` carries the request out and ends the connection without an answer.
    """

    def __init__(self, target: str, watched: str, chance: random.Random) -> None:
        self.target, self.watched, self.chance = target, watched, chance
        self.rates: dict[str, float] = {}
        self.script: deque[str] = deque()
        self.effects: Counter[str] = Counter()
        self.first, self.held, self.let_go = threading.Event(), threading.Event(), threading.Event()
        self.in_flight = 0
        self.url = ""

    def _draw(self) -> str | None:
        if self.script:
            return self.script.popleft()
        at = self.chance.random()
        for kind, share in self.rates.items():
            at -= share
            if at < 0:
                return kind
        return None

    def watches(self, request: web.Request) -> bool:
        """Whether faults may strike the request."""
        return request.path.endswith(self.watched)

    async def come_before(self, request: web.Request, body: bytes, fault: str | None) -> None:
        """What happens before a request is passed on."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if not self.watches(request):
            return await self._pass(request, body, None)
        self.in_flight += 1
        self.first.set()
        try:
            return await self._pass(request, body, self._draw())
        finally:
            self.in_flight -= 1

    async def _pass(self, request: web.Request, body: bytes, fault: str | None) -> web.StreamResponse:
        left: list[str] = []
        if fault == "part":
            body, left = _halve(body)
        kept = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        kept["Host"] = request.host  # so that links in an answer lead here again
        await self.come_before(request, body, fault)
        try:
            async with self.session.request(
                request.method, self.target + request.path_qs, data=body, headers=kept, allow_redirects=False
            ) as answer:
                status, content, headers = answer.status, await answer.read(), answer.headers
        except aiohttp.ClientError:  # the system broke the connection, and so does this
            return self._abort(request)
        told = {name: value for name, value in headers.items() if name.lower() not in _HOP}
        if fault is not None and status < 300:
            status, content = await self._break(fault, status, content, left)
            if fault == "cut":
                return self._abort(request)
        if request.transport is None or request.transport.is_closing():
            self.effects["lost"] += 1
        return web.Response(status=status, body=content, headers=told)

    async def _break(self, fault: str, status: int, content: bytes, left: list[str]) -> tuple[int, bytes]:
        if fault == "meddle" or (fault == "part" and not left):
            return status, content
        self.effects[fault] += 1
        if fault == "slow":
            await asyncio.sleep(self.chance.uniform(*SLOW_SECONDS))
        elif fault == "hold":
            self.held.set()
            await asyncio.to_thread(self.let_go.wait, 60)
        elif fault == "lie":
            return status, _lie(content)
        elif fault == "after":
            return 503, b'{"status": "error", "message": "upstream went away"}'
        elif fault == "part":
            return 207, _in_part(content, left)
        return status, content

    def _abort(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=502)


def _halve(body: bytes) -> tuple[bytes, list[str]]:
    """The first half of a batch's inputs, and the ids of the others."""
    given = json.loads(body)
    inputs = given["inputs"]
    half = (len(inputs) + 1) // 2
    return json.dumps({**given, "inputs": inputs[:half]}).encode(), [str(one["id"]) for one in inputs[half:]]


def _in_part(content: bytes, left: list[str]) -> bytes:
    error = {"status": "error", "category": "INTERNAL_ERROR", "message": "not now", "context": {"ids": left}}
    return json.dumps({**json.loads(content), "numErrors": 1, "errors": [error]}).encode()


def _lie(content: bytes) -> bytes:
    body = json.loads(content)
    body["usage"] |= {"completion_tokens": LIE, "total_tokens": LIE + body["usage"]["prompt_tokens"]}
    return json.dumps(body).encode()


@contextmanager
def between(target: str, watched: str, chance: random.Random, kind: type[Kind]) -> Iterator[Kind]:
    """The proxy, served from a thread while the block runs; its URL is `url`."""
    here, ready, stop, loop = (
        kind(target, watched, chance),
        threading.Event(),
        asyncio.Event(),
        asyncio.new_event_loop(),
    )

    async def serve() -> None:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{path:.*}", here.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        here.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=True)
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
            here.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ready.set()
            await stop.wait()
        finally:
            await here.session.close()
            await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    if not ready.wait(30):
        raise TimeoutError("the proxy did not start")
    try:
        yield here
    finally:
        here.let_go.set()
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()
