"""Servers on loopback that behave oddly on purpose, in a thread of their own."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = Callable[["Seen"], web.Response]


@dataclass(frozen=True)
class Seen:
    """One request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


@dataclass
class OddServer:
    """Where it listens, and every request so far."""

    url: str
    seen: list[Seen] = field(default_factory=list)


@contextmanager
def odd_server(answer: Answer, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Iterator[OddServer]:
    """Answer every request by `answer`; header names of what was seen are in lower case."""
    server, ready, loop = OddServer(""), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        server.seen.append(Seen(request.method, request.raw_path, headers, await request.read()))
        return answer(server.seen[-1])

    async def serve() -> None:
        runner = web.ServerRunner(web.Server(handle))
        await runner.setup()
        await web.TCPSite(runner, host, 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        name = f"[{host}]" if ":" in host else host
        server.url = f"{'https' if tls else 'http'}://{name}:{port}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        assert ready.wait(10), "the server does not start"
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def completion(content: Any, finish: str = "stop", **message: Any) -> web.Response:
    """A chat completion as an endpoint answers it."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
    usage = {"prompt_tokens": 20, "completion_tokens": 10}
    return web.json_response({"id": "c-1", "model": "odd", "choices": [choice], "usage": usage})


def refusal(status: int, message: str, **error: Any) -> web.Response:
    """An error in the vendor's form."""
    return web.json_response({"error": {"message": message, **error}}, status=status)
