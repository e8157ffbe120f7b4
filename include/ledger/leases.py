"""Leases: who holds a name, in a row with a time by the database's clock, moved on by a heartbeat.

Nothing hangs on a session, so a pooler may lend it to others, and whoever is paused or cut off loses what it holds
when its time has passed. It finds that out itself: the row names another, or is gone.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from include.database import Database, transaction
from include.errors import LedgerUnavailable

log = logging.getLogger(__name__)
LEASE_SECONDS = 60.0
"""How long a holder that is not heard of keeps what it holds."""
BEATS = 4  # renewals within one lease: three may be lost
WAIT_SECONDS = 1.0  # between two looks at a name that somebody else holds

_TAKE = text(
    "INSERT INTO nightledger.lease AS held (name, holder, until) "
    "VALUES (:name, :holder, clock_timestamp() + make_interval(secs => :seconds)) "
    "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until "
    "WHERE held.holder = excluded.holder OR held.until < clock_timestamp() RETURNING name"
)
_RENEW = text(
    "UPDATE nightledger.lease SET until = clock_timestamp() + make_interval(secs => :seconds) "
    "WHERE name = :name AND holder = :holder RETURNING name"
)
_GIVE_UP = text("DELETE FROM nightledger.lease WHERE name = :name AND holder = :holder")
_SWEEP = text("DELETE FROM nightledger.lease WHERE until < clock_timestamp() - interval '1 day'")


@dataclass
class Lease:
    """One name held by one holder for `seconds` at a time."""

    ledger: Database
    name: str
    seconds: float = LEASE_SECONDS
    holder: int = field(default_factory=lambda: random.SystemRandom().getrandbits(62))
    _sure_until: float = field(default=0.0, init=False)
    _ours: bool = field(default=False, init=False)

    @property
    def is_sure(self) -> bool:
        """Whether the lease cannot have run out yet, by this machine's own clock; needs no look at the ledger."""
        return time.monotonic() < self._sure_until

    def take(self) -> bool:
        """Take the name, or keep it for another time; False while somebody else holds it. Raises LedgerUnavailable."""
        return self._ask(_TAKE)

    def renew(self) -> bool:
        """Keep the name for another time; False once it was taken over. Raises LedgerUnavailable."""
        return self._ask(_RENEW)

    def require(self) -> None:
        """Raise LedgerUnavailable if another has the name by now, as after a long pause."""
        if not self.renew():
            raise LedgerUnavailable(
                "this process was not heard of for too long, and another took its place",
                system="ledger",
                about=self.name,
                action="Nothing more is done here; run the same again when the other has ended",
            )

    def give_up(self, connection: Connection) -> None:
        """Let others have the name at once."""
        connection.execute(_GIVE_UP, {"name": self.name, "holder": self.holder})
        self._ours, self._sure_until = False, 0.0

    def _ask(self, statement: object) -> bool:
        asked = time.monotonic()  # before the ledger sets its time, so that we never believe longer than it does
        with transaction(self.ledger) as connection:
            values = {"name": self.name, "holder": self.holder, "seconds": self.seconds}
            ours = connection.scalar(statement, values) is not None  # type: ignore[call-overload]
        if self._ours and not ours:
            log.warning("%s was not heard of for too long, and another took its place", self.name)
        self._ours, self._sure_until = ours, asked + self.seconds if ours else 0.0
        return ours


@contextmanager
def beating(seconds: float, beat: Callable[[], object], name: str) -> Iterator[None]:
    """Call `beat` from a thread of its own, several times in `seconds`, while the block runs.

    A beat that fails is logged and tried again: what it keeps runs out by itself if none gets through.
    """
    over = threading.Event()

    def run() -> None:
        while not over.wait(seconds / BEATS):
            try:
                beat()
            except LedgerUnavailable as error:
                log.warning("the heartbeat of %s did not get through: %s", name, error)

    thread = threading.Thread(target=run, name=f"heartbeat of {name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def exclusive(ledger: Database, name: str, seconds: float = LEASE_SECONDS) -> Iterator[Lease]:
    """Hold a name of the whole ledger while the block runs; waits while another holds it.

    Whoever does something that two must not do at once calls `require` of the lease before it.
    """
    lease, waited = Lease(ledger, name, seconds), 0
    while not lease.take():
        if waited % 30 == 0:
            log.info("another run uses %s; waiting", name)
        time.sleep(WAIT_SECONDS)
        waited += 1
    try:
        with beating(seconds, lease.renew, name):
            yield lease
    finally:
        _let_go(lease)


def _let_go(lease: Lease) -> None:
    try:
        with transaction(lease.ledger) as connection:
            lease.give_up(connection)
    except LedgerUnavailable as error:
        log.warning("%s is free in %.0f s only: %s", lease.name, lease.seconds, error)


def sweep(connection: Connection) -> None:
    """Forget leases that ran out long ago."""
    connection.execute(_SWEEP)
