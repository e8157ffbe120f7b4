"""What both HTTP stand-ins share: the label on every answer, latency, broken connections, guarded control routes."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import random
import socket
import struct
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

SERVER = "nightledger-sandbox"
MAX_BODY_BYTES = 32 * 2**20

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def label(request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: name the stand-in in the `Server` header, so that nobody takes it for the vendor."""
    response.headers["Server"] = SERVER


class Latency:
    """Waits about `base_ms`, evenly spread over plus or minus `jitter_ms`."""

    def __init__(self, base_ms: float, jitter_ms: float, seed: int) -> None:
        self._base, self._jitter, self._random = base_ms, min(jitter_ms, base_ms), random.Random(seed)

    def draw(self) -> float:
        """The next wait in seconds."""
        return max(0.0, self._base + self._random.uniform(-self._jitter, self._jitter)) / 1000.0

    async def wait(self) -> None:
        """Sleep as drawn; returns at once if no latency is set."""
        if self._base > 0:
            await asyncio.sleep(self.draw())


async def reset(request: web.Request, body: bytes) -> web.StreamResponse:
    """Send half of an answer, then reset the connection (TCP RST), as a dying proxy does."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    transport = request.transport
    if transport is not None:
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return response


def only_from_loopback(handler: Handler) -> Handler:
    """Refuse control routes to callers on other machines, whatever address the server listens on."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if not request.remote or not ipaddress.ip_address(request.remote).is_loopback:
            return web.json_response({"error": "control routes answer on loopback only"}, status=403)
        return await handler(request)

    return guarded


def request_id() -> str:
    """A fresh id in the form of a UUID."""
    return str(uuid.uuid4())


async def read_json(request: web.Request) -> Any:
    """The body as JSON; raises ValueError if it is none."""
    return json.loads(await request.read())
