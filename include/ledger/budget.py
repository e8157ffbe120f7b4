"""Ceilings in US dollars that every process shares: money is set aside before a call leaves and settled after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import Connection, Engine, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.types import Numeric, Text

from include.ledger import tables
from include.ledger.database import transaction
from include.night import Run
from include.systems import System

_RESERVE = text("SELECT nightledger.reserve_budget(:scopes, :amounts)").bindparams(
    bindparam("scopes", type_=ARRAY(Text)), bindparam("amounts", type_=ARRAY(Numeric))
)
_SETTLE = text("SELECT nightledger.settle_budget(:scopes, :released, :paid)").bindparams(
    bindparam("scopes", type_=ARRAY(Text)), bindparam("released", type_=Numeric), bindparam("paid", type_=Numeric)
)


def ceilings(run: Run, system: System, now: datetime | None = None) -> dict[str, Decimal]:
    """Every ceiling that a run's calls count against, by scope: run, day, month, backfill, and the system's key.

    A run counts against the day and month (UTC) in which it began to ask, also past midnight.
    """
    today = (now or datetime.now(UTC)).astimezone(UTC)
    name, budgets = run.case.name, run.case.budgets
    day, month = f"{today:%Y-%m-%d}", f"{today:%Y-%m}"
    found = {
        f"run/{run.run_id}": run.case.cost_ceiling_usd,
        f"day/{name}/{day}": budgets.day,
        f"month/{name}/{month}": budgets.month,
        f"key/{system.name}/{day}": _money(system.budget_usd_per_day),
        f"key/{system.name}/{month}": _money(system.budget_usd_per_month),
    }
    if run.options.backfill:
        found[f"backfill/{name}/{run.options.backfill}"] = run.options.backfill_budget_usd or budgets.backfill
    return {scope: ceiling for scope, ceiling in found.items() if ceiling is not None}


def open_budgets(engine: Engine, ceiling_of: Mapping[str, Decimal]) -> list[str]:
    """Make the scopes known with the ceilings declared now; what was spent under them stays. Returns the scopes."""
    values = [{"scope": scope, "ceiling": ceiling} for scope, ceiling in sorted(ceiling_of.items())]
    new = insert(tables.budget)
    statement = new.on_conflict_do_update(index_elements=["scope"], set_={"ceiling": new.excluded.ceiling})
    with transaction(engine) as connection:
        connection.execute(statement, values)
    return sorted(ceiling_of)


def reserve(connection: Connection, scopes: Sequence[str], amounts: Sequence[Decimal]) -> int:
    """Set money aside for the first so many of `amounts` that fit under every ceiling; returns how many."""
    return int(connection.scalar(_RESERVE, {"scopes": list(scopes), "amounts": list(amounts)}) or 0)


def settle(connection: Connection, scopes: Sequence[str], released: Decimal, paid: Decimal) -> None:
    """Give back what was reserved for finished calls and count what they did cost."""
    connection.execute(_SETTLE, {"scopes": list(scopes), "released": released, "paid": paid})


def spent(engine: Engine, scope: str) -> tuple[Decimal, Decimal]:
    """US dollars paid under a scope, and those set aside for calls whose result is not known; 0 if it is not open."""
    b = tables.budget.c
    with transaction(engine) as connection:
        row = connection.execute(select(b.spent, b.reserved).where(b.scope == scope)).first()
    return (Decimal(row[0]), Decimal(row[1])) if row else (Decimal(0), Decimal(0))


def exhausted(engine: Engine, scopes: Sequence[str]) -> str:
    """The scope with the least room, in words for a person."""
    b = tables.budget.c
    query = select(b.scope, b.ceiling).where(b.scope.in_(list(scopes)))
    with transaction(engine) as connection:
        row = connection.execute(query.order_by(b.ceiling - b.spent - b.reserved).limit(1)).one()
    return f"the budget {row[0]} of {row[1]} USD is used up"


def _money(amount: float | None) -> Decimal | None:
    return None if amount is None else Decimal(str(amount))
