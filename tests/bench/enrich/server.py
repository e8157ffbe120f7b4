"""An OpenAI-compatible endpoint that is faster than any client: limits, faults and its own count of bills.

`python -m tests.bench.enrich.server PORT_FILE`; POST /configure begins anew with other values, GET /stats says what it
saw since. A completion that was made is billed, whether it arrives or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.enrich.limits import Key

UNBILLED = ("500", "503")
LOST = ("reset", "malformed", "silence")
"""Faults that make a client ask again although it has paid; silence ends in the answer after all."""
FAULTS = (*UNBILLED, *LOST)
_SERVER_ERROR = b'{"error": {"message": "The server had an error", "type": "server_error", "code": null}}'
_CREATED = 1_760_000_000


@dataclass
class Endpoint:
    """What is served and what was seen. `latency`, `jitter` and `silence` in seconds, `faults` shares of all calls."""

    key: Key
    latency: float = 0.04
    jitter: float = 0.02
    silence: float = 15.0
    faults: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    billed: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    arrived: int = 0
    in_flight: int = 0
    abandoned: int = 0
    last_accepted: float = 0.0
    cpu_before: float = field(default_factory=time.process_time)

    def stats(self) -> dict[str, Any]:
        """What it saw since it was configured.

        `billed_again` counts completions beyond one per message, `unforced` those of them that no fault made necessary,
        `abandoned` requests whose client was gone before the answer, `seconds` from the first request to the last one
        accepted.
        """
        again = {message: count - 1 for message, count in self.billed.items() if count > 1}
        return {
            "counts": dict(self.counts),
            "refused": self.counts["429"],
            "billed": self.billed.total(),
            "billed_again": sum(again.values()),
            "billed_twice": len(again),
            "unforced": sum(max(0, count - self.lost[message]) for message, count in again.items()),
            "lost": self.lost.total(),
            "in_flight": self.in_flight,
            "abandoned": self.abandoned,
            "seconds": self.last_accepted - (self.key.began or 0.0),
            "charged": self.key.charged,
            "taken_by_others": self.key.taken_by_others,
            "cpu_seconds": time.process_time() - self.cpu_before,
        }


state = Endpoint(Key())


class Connection(asyncio.Protocol):
    """One kept connection; a client sends the next request after the answer to the last."""

    def __init__(self) -> None:
        self.buffer = b""
        self.pending: Endpoint | None = None

    def connection_made(self, transport: Any) -> None:
        """Keep the transport, without Nagle's delay."""
        self.transport = transport
        self.socket = transport.get_extra_info("socket")
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, error: Exception | None) -> None:
        """Note an answer that nobody will read."""
        if self.pending is not None:
            self.pending.abandoned += 1

    def data_received(self, data: bytes) -> None:
        """Cut whole requests out of what came."""
        self.buffer = self.buffer + data if self.buffer else data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            whole = end + 4 + _length(head)
            if len(self.buffer) < whole:
                return
            body, self.buffer = self.buffer[end + 4 : whole], self.buffer[whole:]
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
        """Limit, draw a fault, bill, and answer after the latency."""
        here, now = state, time.monotonic()
        messages = request["messages"]
        prompt = sum(len(message["content"]) for message in messages) // 4
        most = request.get("max_completion_tokens") or request.get("max_tokens") or 16
        wait = here.key.take(max(prompt, most), now)
        here.arrived += 1
        headers = f"{here.key.headers()}x-request-id: req_{here.arrived}\r\n"
        if wait > 0:
            here.counts["429"] += 1
            self.refuse(wait, headers)
            return
        here.last_accepted = now
        text = next(message["content"] for message in messages if message["role"] == "user")
        message = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        here.asked[message] += 1
        fault = draw(here.faults, message, here.asked[message], here.seed)
        here.counts[fault or "ok"] += 1
        here.in_flight += 1
        self.pending = here
        if fault not in UNBILLED:
            here.billed[message] += 1
            here.lost[message] += fault is not None
        spread = int(message[:4], 16) / 0xFFFF * 2 - 1
        delay = here.latency + here.jitter * spread + (here.silence if fault == "silence" else 0.0)
        asyncio.get_running_loop().call_later(delay, self.answer, message, prompt, fault, headers)

    def refuse(self, wait: float, headers: str) -> None:
        """Answer 429 with the time until the request would fit."""
        error = {"message": "Rate limit reached", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
        told = f"retry-after-ms: {int(wait * 1000) + 1}\r\nretry-after: {int(wait) + 1}\r\n"
        self.send(429, json.dumps({"error": error}).encode(), headers + told)

    def answer(self, message: str, prompt: int, fault: str | None, headers: str) -> None:
        """Send what was drawn."""
        if self.pending is not None:
            self.pending.in_flight -= 1
        if self.transport.is_closing():
            return
        self.pending = None
        if fault == "reset":
            self.reset()
        elif fault in UNBILLED:
            self.send(int(fault), _SERVER_ERROR, headers)
        else:
            self.send(200, completion(message, prompt, whole=fault != "malformed"), headers)

    def reset(self) -> None:
        """Break the connection by a TCP reset."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def send(self, status: int, body: bytes, headers: str = "") -> None:
        """Write one response."""
        head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n{headers}content-length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    if at < 0:
        return 0
    end = lower.find(b"\r\n", at)
    return int(lower[at + 15 : end if end >= 0 else None])


def completion(message: str, prompt: int, *, whole: bool) -> bytes:
    """A chat completion with a score by the hash of its message; half of the answer if it is not `whole`."""
    content = json.dumps({"score": int(message[:2], 16) * 100 // 255, "reason": f"seen as {message}"})
    said = {"role": "assistant", "content": content if whole else content[: len(content) // 2], "refusal": None}
    body = {
        "id": f"chatcmpl-{message}",
        "object": "chat.completion",
        "created": _CREATED,
        "model": "bench-model",
        "choices": [{"index": 0, "message": said, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": 20, "total_tokens": prompt + 20},
    }
    return json.dumps(body).encode()


def draw(shares: dict[str, float], message: str, attempt: int, seed: int) -> str | None:
    """The fault of the n-th attempt at a message: the same for every client that asks it."""
    if not shares:
        return None
    drawn = int.from_bytes(hashlib.blake2b(f"{seed}/{message}/{attempt}".encode(), digest_size=8).digest()) / 2**64
    for kind, share in shares.items():
        drawn -= share
        if drawn < 0:
            return kind
    return None


def configure(values: dict[str, Any]) -> None:
    """Begin anew with other limits, latency and faults."""
    global state
    limits = {name: values.pop(name) for name in ("rpm", "tpm", "others", "start") if name in values}
    unknown = values.get("faults", {}).keys() - set(FAULTS)
    if unknown:
        raise ValueError(f"no such faults: {sorted(unknown)}")
    state = Endpoint(Key(**limits), **values)


async def serve(port_file: Path) -> None:
    """Serve until killed; the port is written when it is open."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    port_file.write_text(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
