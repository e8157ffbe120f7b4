"""Several calls in the air at once, their results in the order in which they were asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

Part = TypeVar("Part")
Found = TypeVar("Found")


@contextmanager
def threads(number: int) -> Iterator[Executor]:
    """So many threads; the block ends when none of them calls any more, and what has not begun then never does."""
    pool = ThreadPoolExecutor(number, thread_name_prefix="nightledger-call")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def in_order(pool: Executor, call: Callable[[Part], Found], parts: Iterable[Part], most: int) -> Iterator[Found]:
    """`call` of each part, in order, while up to `most` of them are on their way; raises what the first raised."""
    coming = iter(parts)
    going: deque[Future[Found]] = deque(pool.submit(call, part) for part in islice(coming, most))
    while going:
        found = going.popleft().result()
        going.extend(pool.submit(call, part) for part in islice(coming, 1))
        yield found
