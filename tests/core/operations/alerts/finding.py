"""What tests of alerts share: a use case with thresholds of its own, and what is found of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

from include.database import transaction
from include.ledger.alerts import Alert, clock
from include.models import Interval
from include.operations.alerts.find import Watched, find
from include.run import Night
from include.settings import ROOT
from include.spec.alerting import Alerts
from include.spec.use_case import UseCase, load
from include.systems.connections import Connections
from include.systems.registry import System, read_systems

CASE = "crm_lead_scoring"
SYSTEMS = read_systems(ROOT / "include" / "systems.toml")


def case_with(**limits: Any) -> UseCase:
    """The use case with these thresholds."""
    return replace(load(CASE), alerts=Alerts(**limits))


def watched(**limits: Any) -> Watched:
    """That use case alone."""
    return Watched((case_with(**limits),), {})


def found(
    ledger: Engine,
    cause: str = "",
    *,
    now: datetime | None = None,
    systems: dict[str, System] | None = None,
    connections: Connections | None = None,
    **limits: Any,
) -> list[Alert]:
    """What is found at `now` (by the ledger's clock unless given), of one cause."""
    with transaction(ledger) as connection:
        moment = now or clock(connection)
        all_found = find(connection, watched(**limits), SYSTEMS if systems is None else systems, moment, connections)
    return [one for one in all_found if cause in ("", one.cause)]


def ended(night: Night, status: str, at: datetime | None = None) -> None:
    """Set how a run ended."""
    values = {"run": night.run_id, "status": status, "at": at or datetime.now(UTC)}
    change = "UPDATE nightledger.run SET status = :status, finished_at = :at WHERE run_id = :run"
    with transaction(night.ledger) as connection:
        connection.execute(text(change), values)


def began(owner: Engine, night: Night, at: datetime) -> None:
    """Have a run begin at another time; only the owner of the ledger may."""
    change = "UPDATE nightledger.run SET started_at = :at, heard_at = :at WHERE run_id = :run"
    with transaction(owner) as connection:
        connection.execute(text(change), {"run": night.run_id, "at": at})


def day(number: int) -> Interval:
    """The night that begins so many days from today's at 02:00 UTC."""
    start = datetime.now(UTC).replace(hour=2, minute=0, second=0, microsecond=0) + timedelta(days=number)
    return Interval(start, start + timedelta(days=1))
