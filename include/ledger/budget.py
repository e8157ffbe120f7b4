"""Ceilings in US dollars that every process shares: money is set aside before a call leaves and settled after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Numeric, Text

from include.database import Database, Statement, transaction
from include.errors import ConfigurationError
from include.ledger import tables
from include.run import Run
from include.systems.registry import System

_RESERVE = text("SELECT nightledger.reserve_budget(:scopes, :amounts)").bindparams(
    bindparam("scopes", type_=ARRAY(Text)), bindparam("amounts", type_=ARRAY(Numeric))
)
_OPEN = text("SELECT nightledger.open_budget(:scopes, :ceilings)").bindparams(
    bindparam("scopes", type_=ARRAY(Text)), bindparam("ceilings", type_=ARRAY(Numeric))
)
_CORRECT = text(
    "SELECT nightledger.correct_budget(:scope, CAST(:ceiling AS numeric), CAST(:spent AS numeric), "
    "CAST(:reserved AS numeric), :why, :actor)"
)


def ceilings(run: Run, system: System | None, now: datetime | None = None) -> dict[str, Decimal]:
    """Every ceiling that a run's calls count against, by scope: run, day, month, backfill, and the key of the
    system that is asked.

    A run counts against the day and month (UTC) in which it began to ask, also past midnight; the ledger's clock says
    which that is, so that a machine whose own is wrong cannot spend what belongs to another day.
    """
    today = (now or _clock(run.ledger)).astimezone(UTC)
    name, budgets = run.case.name, run.case.budgets
    day, month = f"{today:%Y-%m-%d}", f"{today:%Y-%m}"
    found = {
        f"run/{run.run_id}": run.case.cost_ceiling_usd,
        f"day/{name}/{day}": budgets.day,
        f"month/{name}/{month}": budgets.month,
    }
    if system is not None:
        found[f"key/{system.name}/{day}"] = _money(system.budget_usd_per_day)
        found[f"key/{system.name}/{month}"] = _money(system.budget_usd_per_month)
    if run.options.backfill:
        found[_of_backfill(run)] = run.options.backfill_budget_usd or budgets.backfill
    return {scope: ceiling for scope, ceiling in found.items() if ceiling is not None}


def open_for(run: Run, system: System) -> list[str]:
    """Open every scope that a run counts against; returns them.

    The budget of a backfill that was named when it was started is in force also where it is higher than the one before:
    somebody said so, and it goes on record.
    """
    declared = ceilings(run, system)
    scopes = open_budgets(run.ledger, declared)
    named = run.options.backfill_budget_usd
    if run.options.backfill and named is not None and named > ceiling_of(run.ledger, _of_backfill(run)):
        change = Correction(ceiling=named, why=f"named when {run.run_id} was started")
        correct(run.ledger, _of_backfill(run), change, "nightledger")
    return scopes


def open_budgets(ledger: Database, declared: Mapping[str, Decimal]) -> list[str]:
    """Make scopes known with their ceilings in US dollars; what was spent under them stays. Returns the scopes.

    Of two ceilings for one scope the lower counts, whoever comes first: a process that reads another registry or spec
    cannot raise what the others keep to. `correct` raises it.
    """
    with transaction(ledger) as connection:
        connection.execute(_OPEN, {"scopes": list(declared), "ceilings": list(declared.values())})
    return sorted(declared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What is to be put right about a budget, in US dollars; None leaves a value as it is. `why` is kept."""

    why: str
    ceiling: Decimal | None = None
    spent: Decimal | None = None
    reserved: Decimal | None = None


def correct(ledger: Database, scope: str, change: Correction, actor: str) -> None:
    """Put a budget right; what it was and is goes on the chain with who and why, in the same transaction.

    Raises ConfigurationError for a scope that is not open, a negative amount, or no reason.
    """
    amounts = [change.ceiling, change.spent, change.reserved]
    if not change.why.strip():
        raise ConfigurationError("needs a reason, which is kept", about="budget correct --why")
    if all(amount is None for amount in amounts) or any(amount is not None and amount < 0 for amount in amounts):
        raise ConfigurationError("needs an amount of at least 0 USD", about="--ceiling, --spent or --reserved")
    values = {"scope": scope, "ceiling": change.ceiling, "spent": change.spent, "reserved": change.reserved}
    with transaction(ledger) as connection:
        known = connection.scalar(_CORRECT, {**values, "why": change.why, "actor": actor})
    if not known:
        action = "`nightledger budget show` lists those that are"
        raise ConfigurationError("no such budget is open", system="ledger", about=scope, action=action)


class Standing(NamedTuple):
    """One budget in US dollars; `reserved` is the most that calls without a known result can still cost."""

    scope: str
    ceiling: Decimal
    spent: Decimal
    reserved: Decimal
    updated_at: datetime


def standings(ledger: Database, prefix: str = "") -> list[Standing]:
    """Budgets whose scope starts with `prefix`, those in use last first."""
    b = tables.budget.c
    query = select(b.scope, b.ceiling, b.spent, b.reserved, b.updated_at).where(b.scope.startswith(prefix))
    with transaction(ledger) as connection:
        return [Standing(*row) for row in connection.execute(query.order_by(b.updated_at.desc(), b.scope))]


def ceiling_of(ledger: Database, scope: str) -> Decimal:
    """The ceiling in force in US dollars; 0 if the scope is not open."""
    with transaction(ledger) as connection:
        found = connection.scalar(select(tables.budget.c.ceiling).where(tables.budget.c.scope == scope))
    return Decimal(found or 0)


def reserve(connection: Connection, scopes: Sequence[str], amounts: Sequence[Decimal]) -> int:
    """Set money aside for the first so many of `amounts` that fit under every ceiling; returns how many."""
    return int(connection.scalar(_RESERVE, {"scopes": list(scopes), "amounts": list(amounts)}) or 0)


def settle(scopes: Sequence[str], released: Decimal, paid: Decimal) -> Statement:
    """Give back what was reserved for finished calls and count what they did cost."""
    return "SELECT nightledger.settle_budget(%s, %s, %s)", [list(scopes), released, paid]


def spent(ledger: Database, scope: str) -> tuple[Decimal, Decimal]:
    """US dollars paid under a scope, and those set aside for calls whose result is not known; 0 if it is not open."""
    b = tables.budget.c
    with transaction(ledger) as connection:
        row = connection.execute(select(b.spent, b.reserved).where(b.scope == scope)).first()
    return (Decimal(row[0]), Decimal(row[1])) if row else (Decimal(0), Decimal(0))


def exhausted(ledger: Database, scopes: Sequence[str]) -> str:
    """The scope with the least room, in words for a person."""
    b = tables.budget.c
    query = select(b.scope, b.ceiling).where(b.scope.in_(list(scopes)))
    with transaction(ledger) as connection:
        row = connection.execute(query.order_by(b.ceiling - b.spent - b.reserved).limit(1)).one()
    return f"the budget {row[0]} of {row[1]} USD is used up"


def _money(amount: float | None) -> Decimal | None:
    return None if amount is None else Decimal(str(amount))


def _clock(ledger: Database) -> datetime:
    with transaction(ledger) as connection:
        now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now


def _of_backfill(run: Run) -> str:
    return f"backfill/{run.case.name}/{run.options.backfill}"
