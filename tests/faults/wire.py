"""A proxy between the project and one TCP server, for protocols that are not HTTP: refuses, and cuts connections."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PIECE, _SLOW_PIECE = 65_536, 8_192


class Wire:
    """What passes to a host and port. `script` holds what happens to the next connections, in order.

    `refuse` ends one before a byte has passed, a number cuts it after so many bytes from the server; then all is well.
    While `pace` is above 0, every 8 KiB from the server take so many seconds. `passing` are connections that are open.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target, self.port = (host, port), 0
        self.script: deque[str | int] = deque()
        self.effects: Counter[str] = Counter()
        self.pace, self.passing = 0.0, 0
        self._kept: set[asyncio.Task[None] | None] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self.script.popleft() if self.script else None
        if fault == "refuse":
            self.effects["connection refused"] += 1
            writer.transport.abort()
            return
        theirs, ours = await asyncio.open_connection(*self.target)
        up = asyncio.ensure_future(_carry(reader, ours))
        down = asyncio.ensure_future(
            _carry(theirs, writer, fault if isinstance(fault, int) else None, lambda: self.pace)
        )
        self.passing += 1
        self._kept.add(asyncio.current_task())  # the stream forgets the task when its other end is killed
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            self.effects["connection cut"] += down.done() and down.result()
        finally:
            self.passing -= 1
            self._kept.discard(asyncio.current_task())
            for one in (up, down):
                one.cancel()
            for end in (writer, ours):
                end.transport.abort()


async def _carry(
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    most: int | None = None,
    pace: Callable[[], float] = lambda: 0.0,
) -> bool:
    """Carry bytes until the end, or until `most` have passed; True if it was cut."""
    passed = 0
    with contextlib.suppress(ConnectionError):
        while piece := await source.read(_SLOW_PIECE if pace() else _PIECE):
            passed += len(piece)
            if seconds := pace():
                await asyncio.sleep(seconds)
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
