"""Credentials that expire: their last day stands in the connection's extra, or beside the system in the registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime

from include.errors import ConfigurationError
from include.ledger.alerts import Alert, Severity
from include.links import system_page
from include.spec.alerting import Alerts
from include.systems.connections import Connections
from include.systems.registry import System

EXPIRES = "expires"


def find_credentials(systems: Mapping[str, System], connections: Connections, now: datetime) -> Iterator[Alert]:
    """Systems whose credential expires soon, or has; one alert for all that share a connection."""
    days, seen = Alerts().credential_days, set[str]()
    for system in systems.values():
        if system.connection in seen:
            continue
        seen.add(system.connection)
        try:
            expires = _last_day(system, connections)
        except ConfigurationError as error:
            yield _alert(system, "warning", f"When the credential of {system.name} expires cannot be read: {error}")
            continue
        left = None if expires is None else (expires - now.astimezone(UTC).date()).days
        if left is None or left > days:
            continue
        when = f"expired on {expires}" if left < 0 else f"expires on {expires}, {_ahead(left)}"
        severity: Severity = "severe" if left < 0 else "warning"
        yield _alert(system, severity, f"The credential of {system.name} ({system.connection}) {when}.")


def _ahead(days: int) -> str:
    return {0: "which is today", 1: "tomorrow"}.get(days, f"in {days} days")


def _last_day(system: System, connections: Connections) -> date | None:
    """The day in the connection's extra, else in the registry; None where nobody says."""
    try:
        said = connections.get(system.connection).extra.get(EXPIRES)
    except ConfigurationError:
        return system.expires  # a connection that is missing or wrong is told by whoever needs it
    if said is None:
        return system.expires
    try:
        return datetime.fromisoformat(str(said)).date()
    except ValueError as error:
        problem = f"extra `{EXPIRES}` is no date such as 2027-01-31"
        raise ConfigurationError(problem, system=system.connection) from error


def _alert(system: System, severity: Severity, said: str) -> Alert:
    key = f"credential_expiring/{system.connection}"
    return Alert(key, "", "credential_expiring", severity, said, system_page(system.name))
