"""Spend that is unusual, and budgets that are nearly used up."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, text

from include.ledger.alerts import Alert, Severity
from include.links import PAGES, system_page
from include.spec.alerting import Alerts
from include.spec.use_case import UseCase

USED_UP = Decimal("0.999")
"""From this share on rows wait for the next budget."""


def find_spend(connection: Connection, cases: Sequence[UseCase], now: datetime) -> Iterator[Alert]:
    """Use cases that spend more today (UTC) than they are used to.

    A run's money counts for the day on which it began to ask. Backfills are apart: somebody planned what they cost.
    """
    longest = max((case.alerts.spend_days for case in cases), default=0)
    values = {"cases": [case.name for case in cases], "since": now - timedelta(days=longest + 2)}
    by_case: dict[str, dict[date, Decimal]] = {}
    for row in connection.execute(_SPEND, values):
        by_case.setdefault(row.use_case, {})[row.day] = row.spent
    today = now.astimezone(UTC).date()
    for case in cases:
        days = by_case.get(case.name, {})
        first = today - timedelta(days=case.alerts.spend_days)
        before = [spent for day, spent in days.items() if first <= day < today]
        yield from _spend(case, days.get(today, Decimal(0)), before)


def _spend(case: UseCase, spent: Decimal, before: Sequence[Decimal]) -> Iterator[Alert]:
    limits = case.alerts
    if len(before) < limits.spend_least_days or spent < limits.spend_least_usd:
        return
    usual = sum(before, Decimal(0)) / len(before)
    if spent <= usual * Decimal(str(limits.spend_factor)):
        return
    said = f"{dollars(spent)} were spent today (UTC), more than {limits.spend_factor:g} times the mean of "
    said += f"{dollars(usual)} on {len(before)} days before."
    yield Alert(f"spend_high/{case.name}", case.name, "spend_high", "warning", said, f"{PAGES}/systems")


def find_budgets(
    connection: Connection, cases: Sequence[UseCase], systems: Collection[str], now: datetime
) -> Iterator[Alert]:
    """Budgets of today and this month (UTC) that are nearly used up, of use cases and of the keys of systems."""
    today = now.astimezone(UTC)
    spans = {"day": f"{today:%Y-%m-%d}", "month": f"{today:%Y-%m}"}
    owners = {
        f"{kind}/{case.name}/{span}": (case.name, kind, case.alerts) for case in cases for kind, span in spans.items()
    }
    owners |= {f"key/{name}/{span}": ("", f"{kind} of {name}", Alerts()) for name in systems
               for kind, span in spans.items()}  # fmt: skip
    for row in connection.execute(_BUDGETS, {"scopes": list(owners)}):
        use_case, kind, limits = owners[row.scope]
        used = (row.spent + row.reserved) / row.ceiling
        if used < Decimal(str(limits.budget_share)):
            continue
        severity: Severity = "severe" if used >= USED_UP else "warning"
        said = f"The budget of the {kind} is used to {used:.0%}: {dollars(row.spent)} spent and "
        said += f"{dollars(row.reserved)} set aside of {dollars(row.ceiling)}."
        page = f"{PAGES}/systems" if use_case else system_page(row.scope.split("/")[1])
        yield Alert(f"budget_low/{row.scope}", use_case, "budget_low", severity, said, page)


def dollars(amount: Decimal) -> str:
    """US dollars as people read them; what is less than a cent keeps its digits."""
    return f"${amount:,.2f}" if amount >= Decimal("0.1") or not amount else f"${amount:,.4f}"


# What was paid is the budget of the run, which is opened when it begins to ask.
_SPEND = text("""
SELECT r.use_case, CAST(b.opened_at AT TIME ZONE 'UTC' AS date) AS day, sum(b.spent) AS spent
  FROM nightledger.run r JOIN nightledger.budget b ON b.scope = 'run/' || r.run_id
 WHERE r.use_case = ANY (:cases) AND r.started_at > :since AND r.options ->> 'backfill' IS NULL
 GROUP BY 1, 2""")

_BUDGETS = text("""
SELECT scope, ceiling, spent, reserved FROM nightledger.budget
 WHERE scope = ANY (:scopes) AND ceiling > 0 ORDER BY scope""")
