"""Processes in virtual time: blocking code runs in threads, one at a time, and only sleeping moves the clock."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from itertools import count


class World:
    """A clock and those who sleep by it. `sleep` and `clock` are what the code under test is given."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._asleep: list[tuple[float, int, threading.Event]] = []
        self._numbers, self._stopped, self._failed = count(), threading.Event(), list[BaseException]()

    def clock(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the others go on until so much time has passed."""
        awake = threading.Event()
        heapq.heappush(self._asleep, (self.now + max(seconds, 0.0), next(self._numbers), awake))
        self._stopped.set()
        awake.wait()

    def run(self, *bodies: Callable[[], None]) -> float:
        """Run all bodies to their end; returns the seconds that passed, and raises what one of them raised."""
        began = self.now
        for body in bodies:
            self._start(body)
        while self._asleep:
            self.now, _, awake = heapq.heappop(self._asleep)
            self._stopped.clear()
            awake.set()
            self._stopped.wait()
            if self._failed:
                raise self._failed[0]
        return self.now - began

    def _start(self, body: Callable[[], None]) -> None:
        awake = threading.Event()
        heapq.heappush(self._asleep, (self.now, next(self._numbers), awake))

        def live() -> None:
            awake.wait()
            try:
                body()
            except BaseException as error:
                self._failed.append(error)
            self._stopped.set()

        threading.Thread(target=live, daemon=True).start()
