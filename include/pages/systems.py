"""The systems of the registry: what is left of their limits now, what is spent, and how they did last."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Connection

from include.database import Database
from include.pages.reading import reading, rows
from include.spec.names import names
from include.spec.use_case import UseCase, load
from include.systems.limits.quota import Quota
from include.systems.registry import System, read_systems

CALLS = 500
"""Calls of a run that are looked at for the health of a model."""


@dataclass(frozen=True, slots=True)
class Level:
    """One limit of a system, and how much of it is used now."""

    kind: str
    per_seconds: float
    limit: int
    left: float

    @property
    def used_share(self) -> float:
        """0 when all is left, 1 when nothing is."""
        return 1 - self.left / self.limit


@dataclass(frozen=True, slots=True)
class Budget:
    """A ceiling in US dollars; `reserved` is set aside for calls whose cost is not known yet."""

    scope: str
    ceiling: Decimal
    spent: Decimal
    reserved: Decimal


@dataclass(frozen=True, slots=True)
class Health:
    """What a use case last did with a system: `results` by outcome for a model, else the stage's last success."""

    use_case: str
    role: str
    run_id: str | None
    at: datetime | None
    status: str | None
    results: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SystemCard:
    """One system as its page shows it; `asked_at` is when its limits were last drawn on."""

    system: System
    levels: tuple[Level, ...]
    asked_at: datetime | None
    budgets: tuple[Budget, ...]
    health: tuple[Health, ...]


@dataclass(frozen=True, slots=True)
class SystemsPage:
    """All systems that the use cases touch, and the budgets of the use cases themselves."""

    cards: tuple[SystemCard, ...]
    budgets: tuple[Budget, ...]


def show_systems(ledger: Database, registry: Path, use_cases: Collection[str]) -> SystemsPage:
    """The registry as it is now, seen by someone who may see these use cases; raises ConfigurationError."""
    systems = read_systems(registry)
    cases = [load(name) for name in sorted(use_cases) if name in names()]
    with reading(ledger) as connection:
        quotas = {row["key"]: row for row in rows(connection, _QUOTAS)}
        now = float(rows(connection, _NOW)[0]["now"])
        budgets = _budgets(connection, [case.name for case in cases], list(systems))
        last = {row["use_case"]: row for row in rows(connection, _LAST, cases=[case.name for case in cases])}
        results: dict[str, dict[str, int]] = {}
        for row in rows(connection, _CALLS, runs=[row["run_id"] for row in last.values()], most=CALLS):
            results.setdefault(row["run_id"], {})[row["outcome"]] = row["count"]
    cards = []
    for system in systems.values():
        quota = quotas.get(system.name)
        levels = Quota.read(system.limits, quota["state"] if quota else None).levels(now)
        health = [
            Health(
                case.name,
                role,
                last[case.name]["run_id"] if case.name in last else None,
                last[case.name]["started_at"] if case.name in last else None,
                last[case.name]["status"] if case.name in last else None,
                results.get(last[case.name]["run_id"], {}) if case.name in last and role == "ask" else {},
            )
            for case in cases
            for role in _roles(case, system.name)
        ]
        own = tuple(one for one in budgets if one.scope.startswith(f"key/{system.name}/"))
        shown = tuple(Level(kind, window.per_seconds, limit, left) for window, kind, limit, left in levels)
        cards.append(SystemCard(system, shown, quota["updated_at"] if quota else None, own, tuple(health)))
    return SystemsPage(tuple(cards), tuple(one for one in budgets if not one.scope.startswith("key/")))


def _roles(case: UseCase, system: str) -> Iterator[str]:
    """What a use case does with a system."""
    sources = (*case.sources, *(one.source for one in case.looked_up))
    if system in {*(one.system for one in sources), *(one.system for one in case.joins)}:
        yield "read"
    asked = {case.model.system, *(one.system for one in case.model.failover)} if case.model else set()
    if system in asked:
        yield "ask"
    if system in {one.system for one in case.sinks} or (case.mirror and system == case.mirror.system):
        yield "write"


def _budgets(connection: Connection, cases: list[str], systems: list[str]) -> list[Budget]:
    """Ceilings of today and this month (UTC), and the backfills that were touched last."""
    today = datetime.now(UTC)
    spans = (f"{today:%Y-%m-%d}", f"{today:%Y-%m}")
    scopes = [f"{kind}/{case}/{span}" for case in cases for kind, span in zip(("day", "month"), spans, strict=True)]
    scopes += [f"key/{system}/{span}" for system in systems for span in spans]
    prefixes = [f"backfill/{case}/" for case in cases]
    return [Budget(**row) for row in rows(connection, _BUDGETS, scopes=scopes, prefixes=prefixes)]


_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8 AS now"

_QUOTAS = "SELECT key, state, updated_at FROM nightledger.quota"

_BUDGETS = """
SELECT scope, ceiling, spent, reserved FROM nightledger.budget WHERE scope = ANY(:scopes)
UNION ALL
(SELECT scope, ceiling, spent, reserved FROM nightledger.budget
  WHERE scope LIKE 'backfill/%' AND EXISTS (
        SELECT FROM unnest(CAST(:prefixes AS text[])) AS p (prefix) WHERE starts_with(scope, p.prefix))
  ORDER BY updated_at DESC LIMIT 20)
ORDER BY scope"""

_LAST = """
SELECT l.* FROM unnest(CAST(:cases AS text[])) AS c (name) CROSS JOIN LATERAL (
    SELECT run_id, use_case, started_at, status FROM nightledger.run
     WHERE use_case = c.name ORDER BY started_at DESC LIMIT 1) AS l"""

_CALLS = """
SELECT r.run_id, s.outcome, count(*) AS count FROM unnest(CAST(:runs AS text[])) AS r (run_id) CROSS JOIN LATERAL (
    SELECT outcome FROM nightledger.inference_result i WHERE i.run_id = r.run_id LIMIT :most) AS s
 GROUP BY 1, 2 ORDER BY 1, 3 DESC"""
