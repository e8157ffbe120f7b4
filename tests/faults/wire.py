"""A proxy between the project and one TCP server, for protocols that are not HTTP: refuses, and cuts connections."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

_PIECE = 65_536


class Wire:
    """What passes to a host and port. `script` holds what happens to the next connections, in order.

    `refuse` ends one before a byte has passed, a number cuts it after so many bytes from the server; then all is well.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target, self.port = (host, port), 0
        self.script: deque[str | int] = deque()
        self.effects: Counter[str] = Counter()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self.script.popleft() if self.script else None
        if fault == "refuse":
            self.effects["connection refused"] += 1
            writer.transport.abort()
            return
        theirs, ours = await asyncio.open_connection(*self.target)
        up = asyncio.ensure_future(_carry(reader, ours))
        try:
            if await _carry(theirs, writer, fault if isinstance(fault, int) else None):
                self.effects["connection cut"] += 1
        finally:
            up.cancel()
            for end in (writer, ours):
                end.transport.abort()


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, most: int | None = None) -> bool:
    """Carry bytes until the end, or until `most` have passed; True if it was cut."""
    passed = 0
    with contextlib.suppress(ConnectionError):
        while piece := await source.read(_PIECE):
            passed += len(piece)
            if most is not None and passed > most:
                return True
            sink.write(piece)
            await sink.drain()
    return False


@contextmanager
def wire(host: str, port: int) -> Iterator[Wire]:
    """The proxy, served from a thread while the block runs; its port is `port`."""
    here, ready, stop, loop = Wire(host, port), threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        server = await asyncio.start_server(here.handle, "127.0.0.1", 0)
        here.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    if not ready.wait(30):
        raise TimeoutError("the proxy did not start")
    try:
        yield here
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()
