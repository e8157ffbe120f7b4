"""An OpenAI-compatible endpoint written to be faster than any client: limits, faults and its own count of bills.

`python -m tests.bench.enrich.server PORT_FILE`; configure it by POST /configure, read what it saw by GET /stats.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import resource
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAULTS = ("http_500", "http_503", "reset", "malformed", "silence")
SILENCE_SECONDS = 15.0


@dataclass
class Bucket:
    """A bucket of `limit` units that refills evenly, `limit` a minute; `level` may be given at first."""

    limit: float
    level: float
    at: float = field(default_factory=time.monotonic)

    def refill(self, now: float) -> float:
        """Units at `now`."""
        self.level = min(self.limit, self.level + (now - self.at) * self.limit / 60.0)
        self.at = now
        return self.level


@dataclass
class Endpoint:
    """State of the one key. `others` is what a second tenant takes a minute; `start` the share the bucket begins with.

    Latency and jitter in seconds; `faults` is the share of requests that fail, by equal parts of `FAULTS`.
    """

    rpm: float = 1e9
    tpm: float = 1e12
    latency: float = 0.04
    jitter: float = 0.01
    faults: float = 0.0
    others: float = 0.0
    start: float = 1.0
    requests: Bucket = field(init=False)
    tokens: Bucket = field(init=False)
    asked: Counter[str] = field(default_factory=Counter)
    billed: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    first: float = 0.0
    last: float = 0.0
    tokens_charged: float = 0.0

    def __post_init__(self) -> None:
        """Fill the buckets."""
        self.requests = Bucket(self.rpm, self.rpm * self.start)
        self.tokens = Bucket(self.tpm, self.tpm)

    def take(self, charge: float, now: float) -> float:
        """Count one request, or return the seconds until it would fit."""
        missing = 1.0 - self.requests.refill(now)
        heavy = min(charge, self.tpm) - self.tokens.refill(now)
        wait = max(missing * 60.0 / self.rpm, heavy * 60.0 / self.tpm)
        if wait <= 0:
            self.requests.level -= 1.0
            self.tokens.level -= charge
            self.tokens_charged += charge
        return wait

    def headers(self) -> str:
        """`x-ratelimit-*` as of the last refill."""
        r, t = self.requests, self.tokens
        return (
            f"x-ratelimit-limit-requests: {int(r.limit)}\r\nx-ratelimit-remaining-requests: {int(max(r.level, 0))}\r\n"
            f"x-ratelimit-reset-requests: {(r.limit - r.level) * 60 / r.limit:.3f}s\r\n"
            f"x-ratelimit-limit-tokens: {int(t.limit)}\r\nx-ratelimit-remaining-tokens: {int(max(t.level, 0))}\r\n"
            f"x-ratelimit-reset-tokens: {(t.limit - t.level) * 60 / t.limit:.3f}s\r\n"
        )

    def stats(self) -> dict[str, Any]:
        """What it saw since it was configured."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "counts": dict(self.counts),
            "messages": len(self.billed),
            "billed": sum(self.billed.values()),
            "billed_more_than_once": sum(1 for count in self.billed.values() if count > 1),
            "billed_extra": sum(count - 1 for count in self.billed.values()),
            "in_flight": self.in_flight,
            "seconds": self.last - self.first,
            "tokens_charged": self.tokens_charged,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
        }


state = Endpoint()
tenant: asyncio.Task[None] | None = None


class Connection(asyncio.Protocol):
    """One kept connection; requests of it are answered one after the other."""

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        """Keep the transport, without Nagle's delay."""
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Cut whole requests out of what came."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            lower = head.lower()
            at = lower.find(b"content-length:")
            length = int(lower[at + 15 : (lower.find(b"\r\n", at) + 1 or len(lower) + 1) - 1]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            self.handle(head.split(b" ", 2)[1], body)

    def handle(self, path: bytes, body: bytes) -> None:
        """Route one request."""
        if path.endswith(b"/chat/completions"):
            self.complete(json.loads(body))
        elif path == b"/configure":
            configure(json.loads(body))
            self.send(200, b"{}")
        else:
            self.send(200, json.dumps(state.stats()).encode())

    def complete(self, request: dict[str, Any]) -> None:
        """Limit, draw a fault, bill, wait, answer."""
        here, now = state, time.monotonic()
        here.first, here.last = here.first or now, now
        message = (
            request["messages"][-1]["content"] if len(request["messages"]) < 3 else request["messages"][1]["content"]
        )
        prompt = sum(len(part["content"]) for part in request["messages"]) // 4
        most = request.get("max_completion_tokens") or request.get("max_tokens") or 16
        wait = here.take(max(prompt, most), now)
        if wait > 0:
            here.counts["429"] += 1
            error = {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}
            told = f"retry-after-ms: {int(wait * 1000) + 1}\r\nretry-after: {int(wait) + 1}\r\n"
            self.send(429, json.dumps({"error": error}).encode(), here.headers() + told)
            return
        key = hashlib.blake2b(message.encode(), digest_size=8).hexdigest()
        here.asked[key] += 1
        fault = draw(key, here.asked[key], here.faults)
        here.counts[fault or "ok"] += 1
        headers = here.headers()
        here.in_flight += 1
        spread = int(key[:4], 16) / 65535 * 2 - 1
        delay = here.latency + here.jitter * spread + (SILENCE_SECONDS if fault == "silence" else 0.0)
        if fault not in ("http_500", "http_503"):
            here.billed[key] += 1  # the vendor has made an answer, whether it arrives or not
        asyncio.get_running_loop().call_later(delay, self.answer, here, key, prompt, fault, headers)

    def answer(self, here: Endpoint, key: str, prompt: int, fault: str | None, headers: str) -> None:
        """Send what was drawn."""
        here.in_flight -= 1
        here.last = time.monotonic()
        if fault in ("http_500", "http_503"):
            self.send(
                int(fault[5:]), b'{"error": {"message": "The server had an error", "type": "server_error"}}', headers
            )
            return
        if fault == "reset":
            raw = self.transport.get_extra_info("socket")
            if raw is not None:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
            return
        score = int(key[:2], 16) * 100 // 255
        content = json.dumps({"score": score, "reason": f"seen as {key}"})
        content = content[: len(content) // 2] if fault == "malformed" else content
        body = {
            "id": f"chatcmpl-{key}",
            "object": "chat.completion",
            "created": 1_760_000_000,
            "model": "bench-model",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": 20, "total_tokens": prompt + 20},
        }
        self.send(200, json.dumps(body).encode(), headers)

    def send(self, status: int, body: bytes, headers: str = "") -> None:
        """Write one response."""
        if not self.transport.is_closing():
            head = (
                f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {len(body)}\r\n\r\n"
            )
            self.transport.write(head.encode() + body)


def draw(key: str, attempt: int, share: float) -> str | None:
    """The fault of the n-th ask of a message, by its hash alone."""
    if not share:
        return None
    drawn = int(hashlib.blake2b(f"{key}/{attempt}".encode(), digest_size=8).hexdigest(), 16) / 2**64
    return FAULTS[int(drawn / share * len(FAULTS))] if drawn < share else None


def configure(values: dict[str, Any]) -> None:
    """Begin anew with other limits, latency and faults."""
    global state, tenant
    if tenant is not None:
        tenant.cancel()
    state = Endpoint(**values)
    tenant = asyncio.get_running_loop().create_task(be_another(state)) if state.others else None


async def be_another(here: Endpoint) -> None:
    """A second tenant of the key, who takes its share steadily and does not look at headers."""
    while True:
        await asyncio.sleep(60.0 / here.others)
        if here.requests.refill(time.monotonic()) >= 1.0:
            here.requests.level -= 1.0
            here.counts["other_tenant"] += 1


async def serve(port_file: Path) -> None:
    """Serve until killed; the port is written when it is open."""
    factory: Callable[[], Connection] = Connection
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0, backlog=1024)
    port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
