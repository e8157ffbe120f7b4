"""One look of the watch: find, put on record, tell. Any number may watch; one of them looks at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from include.database import Database, transaction
from include.errors import LedgerUnavailable, SystemUnavailable
from include.ledger import alerts as record
from include.ledger.alerts import Alert, LastLook
from include.ledger.leases import Lease, beating
from include.operations.alerts.find import Watched, find
from include.operations.alerts.telling import Due, find_due, tell
from include.spec.alerting import Alerts
from include.spec.names import names
from include.systems.alerting.notice import Channel
from include.systems.alerting.opening import open_channels
from include.systems.connections import Connections
from include.systems.registry import System

log = logging.getLogger(__name__)
LEASE = "alerts/watch"
SECONDS = 30
"""A statement that takes longer is ended: a look must not hold up the nights it looks at."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who looks, at what, and how people are reached; `site` is where Airflow is, e.g. `https://airflow.example`."""

    ledger: Database
    connections: Connections
    systems: dict[str, System]
    watched: Watched
    channels: tuple[Channel, ...]
    by: str
    site: str = ""

    @classmethod
    def of(
        cls,
        ledger: Database,
        connections: Connections,
        systems: dict[str, System],
        *,
        by: str,
        site: str = "",
        use_cases: Collection[str] | None = None,
    ) -> Watcher:
        """A watcher of these use cases (None: of all there are), over the channels that are stored."""
        watched = Watched.named(names() if use_cases is None else use_cases)
        return cls(ledger, connections, systems, watched, tuple(open_channels(connections)), by, site)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels, by name."""
        return tuple(one.name for one in self.channels)

    def limits(self, use_case: str) -> Alerts:
        """What a use case declares; the usual for what is no use case's alone."""
        return next((case.alerts for case in self.watched.cases if case.name == use_case), Alerts())


@dataclass(frozen=True, slots=True)
class Look:
    """What a look found and did: alerts that stand, how many of them are silenced, and what was due.

    `told` counts messages that were taken, `failed` says why channels failed. `skipped` says that another watcher was
    at it: nothing was told then.
    """

    standing: tuple[Alert, ...]
    silenced: int = 0
    due: tuple[Due, ...] = ()
    told: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    skipped: bool = False

    @property
    def severe(self) -> int:
        """How many of the alerts are severe."""
        return sum(one.severity == "severe" for one in self.standing)


def look(watcher: Watcher, *, now: datetime | None = None) -> Look:
    """Find what calls for somebody, put it on record and tell it once; `now` is the ledger's clock unless given.

    Raises SystemUnavailable when something was to be told and every channel failed; that is on record then, and told
    at the next look. Raises LedgerUnavailable.
    """
    lease = Lease(watcher.ledger, LEASE)
    if not lease.take():
        log.info("alerts: another watcher looks at this moment")
        with _reading(watcher.ledger) as connection:
            standing = record.list_standing(connection, watcher.watched.names)
        return Look(tuple(one.alert for one in standing), skipped=True)
    try:
        with beating(lease.seconds, lease.renew, LEASE):
            return _look(watcher, lease, now)
    finally:
        _let_go(lease)


def rehearse(watcher: Watcher, *, now: datetime | None = None) -> Look:
    """What a look would find and tell; nothing is written and nobody is told."""
    with _reading(watcher.ledger) as connection, connection.begin_nested() as tried:
        now = now or record.clock(connection)
        found = find(connection, watcher.watched, watcher.systems, now, watcher.connections)
        due, silenced = _record(connection, watcher, found, now)
        tried.rollback()
    return Look(tuple(found), silenced, tuple(due))


def _look(watcher: Watcher, lease: Lease, now: datetime | None) -> Look:
    started = time.monotonic()
    with _reading(watcher.ledger) as connection:
        now = now or record.clock(connection)
        found = find(connection, watcher.watched, watcher.systems, now, watcher.connections)
    with transaction(watcher.ledger) as connection:
        due, silenced = _record(connection, watcher, found, now)
    outcome = tell(watcher.ledger, due, watcher.channels, now, watcher.site, lease.renew)
    problem = "; ".join(f"{name} {why}" for name, why in outcome.failed.items()) or None
    seconds = round(time.monotonic() - started, 3)
    record.note_look(watcher.ledger, LastLook(now, watcher.by, seconds, watcher.channel_names, problem))
    told = sum(outcome.taken.values())
    _say(watcher, found, due, told)
    if outcome.nobody_reached:
        action = "What stands is on page Alerts, and told at the next look. Check connections `alert_...`"
        raise SystemUnavailable(f"no channel took an alert: {problem}", system="alerts", action=action)
    return Look(tuple(found), silenced, tuple(due), told, tuple(outcome.failed.items()))


def _record(connection: Connection, watcher: Watcher, found: Sequence[Alert], now: datetime) -> tuple[list[Due], int]:
    """Put what was found on record; what is due by then, and how many alerts are silenced."""
    limits = {name: watcher.limits(name) for name in watcher.watched.names}
    patience = {name: timedelta(minutes=one.gone_minutes) for name, one in limits.items()}
    record.keep_found(connection, found, now)
    record.resolve_gone(connection, patience, now)
    standing = record.list_standing(connection, list(limits))
    silences = record.list_silences(connection, list(limits), now)
    due, silenced = list[Due](), 0
    for one in (*standing, *record.list_to_end(connection, list(limits), now)):
        ours = limits[one.alert.use_case]
        wanted = list(find_due([one], watcher.channel_names, ours, now))
        if ours.is_quiet(now) or any(silence.covers(one.alert, now) for silence in silences):
            silenced += one.resolved_at is None
            wanted = [each for each in wanted if each.kind == "over" and each.channel == "pagerduty"]  # calls nobody
        due += wanted
    return due, silenced


def _say(watcher: Watcher, found: Sequence[Alert], due: Sequence[Due], told: int) -> None:
    """The log has it too: where no channel is stored, it and the page are all there is."""
    for one in found:
        log.warning("alert %s: %s: %s %s", one.severity, one.use_case or "all", one.sentence, one.page)
    over = ", ".join(watcher.channel_names) or "no channel, since none is stored"
    log.info("alerts: %d stand, %d messages due, %d taken, over %s", len(found), len(due), told, over)


@contextmanager
def _reading(ledger: Database) -> Iterator[Connection]:
    with transaction(ledger) as connection:
        connection.execute(text(f"SET LOCAL statement_timeout = '{SECONDS}s'"))
        yield connection


def _let_go(lease: Lease) -> None:
    try:
        with transaction(lease.ledger) as connection:
            lease.give_up(connection)
    except LedgerUnavailable as error:
        log.warning("alerts: others may look in %.0f s only: %s", lease.seconds, error)
