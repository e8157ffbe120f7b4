"""Plans of backfills: asked for on the page, worked out night by night by a task, read again by the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select, update

from include.database import Database, transaction
from include.errors import ConfigurationError
from include.ledger import tables
from include.models import Interval, Record

_COLUMNS = tables.backfill_plan.c


@dataclass(frozen=True, slots=True)
class Plan:
    """What a range of nights would cost: `nights` as far as they are worked out, `sums` when all are.

    `status` is asked, running, done or failed; `detail` says why it failed.
    """

    plan_id: UUID
    use_case: str
    interval: Interval
    options: Mapping[str, Any]
    status: str
    detail: str | None
    nights: tuple[Record, ...]
    sums: Mapping[str, Any]
    actor: str
    recorded_at: datetime
    updated_at: datetime

    @property
    def last_night(self) -> date:
        """The day on which the last night begins (UTC)."""
        return (self.interval.end - timedelta(days=1)).astimezone(UTC).date()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be added."""
        return self.status in ("done", "failed")


def ask_plan(ledger: Database, use_case: str, interval: Interval, options: Record, actor: str) -> UUID:
    """Put a wish for a plan on record; returns its number."""
    plan_id = uuid4()
    values = {
        "plan_id": plan_id,
        "use_case": use_case,
        "interval_start": interval.start,
        "interval_end": interval.end,
        "options": options,
        "actor": actor,
    }
    with transaction(ledger) as connection:
        connection.execute(tables.backfill_plan.insert().values(values))
    return plan_id


def find_plan(ledger: Database, plan_id: UUID) -> Plan:
    """A plan as far as it is worked out; raises ConfigurationError if there is none."""
    with transaction(ledger) as connection:
        query = select(tables.backfill_plan).where(_COLUMNS.plan_id == plan_id)
        row = connection.execute(query).mappings().first()
    if row is None:
        raise ConfigurationError("no such plan", system="ledger", about=str(plan_id))
    return _as_plan(dict(row))


def list_plans(ledger: Database, use_case: str, limit: int = 10) -> list[Plan]:
    """The newest plans of a use case."""
    query = select(tables.backfill_plan).where(_COLUMNS.use_case == use_case)
    with transaction(ledger) as connection:
        found = connection.execute(query.order_by(_COLUMNS.recorded_at.desc()).limit(limit)).mappings().all()
    return [_as_plan(dict(row)) for row in found]


def begin_plan(ledger: Database, plan_id: UUID) -> Plan:
    """Start a plan, or start it again; nights of an earlier try are forgotten."""
    _set(ledger, plan_id, status="running", detail=None, nights=[], sums={})
    return find_plan(ledger, plan_id)


def keep_nights(ledger: Database, plan_id: UUID, nights: Sequence[Record]) -> None:
    """Keep the nights that are worked out so far."""
    _set(ledger, plan_id, nights=list(nights))


def end_plan(ledger: Database, plan_id: UUID, sums: Record) -> None:
    """Conclude a plan with its sums, budgets and problems."""
    _set(ledger, plan_id, status="done", sums=sums)


def note_start(ledger: Database, plan: Plan, backfill_id: int, name: str) -> None:
    """Keep which backfill of Airflow's a plan was started as."""
    started = {"backfill_id": backfill_id, "name": name}
    _set(ledger, plan.plan_id, sums={**plan.sums, "started": started})


def find_started(ledger: Database, use_case: str, backfill_id: int, name: str) -> Plan | None:
    """The plan that a backfill was started from; None for one that was not started from a plan.

    The name has to be the same, since Airflow counts its backfills anew in a new database.
    """
    started = _COLUMNS.sums["started"]
    same = (started["backfill_id"].as_integer() == backfill_id) & (started["name"].as_string() == name)
    query = select(tables.backfill_plan).where(_COLUMNS.use_case == use_case, same)
    with transaction(ledger) as connection:
        row = connection.execute(query.order_by(_COLUMNS.recorded_at.desc()).limit(1)).mappings().first()
    return _as_plan(dict(row)) if row else None


def fail_plan(ledger: Database, plan_id: UUID, detail: str) -> None:
    """Conclude a plan that could not be worked out, saying why."""
    _set(ledger, plan_id, status="failed", detail=detail)


def _set(ledger: Database, plan_id: UUID, **values: Any) -> None:
    change = update(tables.backfill_plan).where(_COLUMNS.plan_id == plan_id)
    with transaction(ledger) as connection:
        connection.execute(change.values(**values, updated_at=func.clock_timestamp()))


def _as_plan(row: Record) -> Plan:
    interval = Interval(row.pop("interval_start"), row.pop("interval_end"))
    return Plan(interval=interval, **{**row, "nights": tuple(row["nights"])})
