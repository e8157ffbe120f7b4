"""What stands and who was told, the thresholds it is held against, and windows in which nobody is called."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from include.database import Database
from include.ledger.alerts import (
    CAUSES,
    Alert,
    LastLook,
    Silence,
    Standing,
    clock,
    find_silence,
    last_look,
    list_over,
    list_silences,
    list_standing,
)
from include.operations.alerts.find import Watched, find
from include.pages.reading import reading
from include.spec.alerting import Alerts
from include.spec.names import names
from include.systems.registry import read_systems

OVERDUE = timedelta(minutes=15)
"""Without a look for so long the watch does not run, and the page looks for itself."""
MOST_OVER = 20


@dataclass(frozen=True, slots=True)
class Shown:
    """One alert that stands; `on_record` is None for one that no watch has seen yet."""

    alert: Alert
    on_record: Standing | None
    silenced: bool

    @property
    def title(self) -> str:
        """What it is, in words."""
        return CAUSES[self.alert.cause]


@dataclass(frozen=True, slots=True)
class AlertsPage:
    """Everything on the page; `overdue` says that the watch does not run."""

    now: datetime
    standing: tuple[Shown, ...]
    over: tuple[Standing, ...]
    thresholds: Mapping[str, Alerts]
    silences: tuple[Silence, ...]
    last: LastLook | None
    overdue: bool


def show_alerts(ledger: Database, registry: Path, use_cases: Collection[str]) -> AlertsPage:
    """Alerts of these use cases, and of no use case alone; raises ConfigurationError."""
    known = [name for name in names() if name in use_cases]
    watched = Watched.named(known)
    limits = {case.name: case.alerts for case in watched.cases}
    with reading(ledger) as connection:
        now, last = clock(connection), last_look(connection)
        silences = list_silences(connection, known, now)
        kept = {one.alert.key: one for one in list_standing(connection, watched.names)}
        over = list_over(connection, watched.names, MOST_OVER)
        overdue = last is None or now - last.looked_at > OVERDUE
        found = {key: one.alert for key, one in kept.items()}
        if overdue:
            found = {one.key: one for one in find(connection, watched, read_systems(registry), now)} | found
    shown = [
        Shown(alert, kept.get(alert.key), _is_silenced(alert, limits.get(alert.use_case, Alerts()), silences, now))
        for alert in sorted(found.values(), key=lambda one: (one.severity, one.use_case, one.key))
    ]
    return AlertsPage(now, tuple(shown), tuple(over), limits, tuple(silences), last, overdue)


def whose_silence(ledger: Database, number: int) -> str | None:
    """The use case of a silence, empty for all of them; None if there is no such silence."""
    with reading(ledger) as connection:
        found = find_silence(connection, number)
    return None if found is None else found.use_case


def _is_silenced(alert: Alert, limits: Alerts, silences: Collection[Silence], now: datetime) -> bool:
    return limits.is_quiet(now) or any(one.covers(alert, now) for one in silences)
