"""What calls for somebody at this moment, counted from the ledger; nothing is written and nobody is told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from include.ledger.alerts import Alert
from include.links import PAGES
from include.operations.alerts.calls import find_calls
from include.operations.alerts.credentials import find_credentials
from include.operations.alerts.money import find_budgets, find_spend
from include.operations.alerts.nights import find_nights
from include.operations.alerts.waiting import find_drift, find_review, find_taken_back
from include.spec.use_case import UseCase, load
from include.systems.connections import Connections
from include.systems.registry import System


@dataclass(frozen=True, slots=True)
class Watched:
    """Whose alerts are looked for: use cases as they are declared, and why others could not be read."""

    cases: tuple[UseCase, ...]
    unreadable: Mapping[str, str]

    @classmethod
    def named(cls, names: Collection[str]) -> Watched:
        """Use cases by name; one whose spec is wrong does not leave the others unwatched."""
        cases, unreadable = [], {}
        for name in sorted(names):
            try:
                cases.append(load(name))
            except Exception as error:  # a spec is code of somebody else's: it may raise anything
                unreadable[name] = type(error).__name__
        return cls(tuple(cases), unreadable)

    @property
    def names(self) -> list[str]:
        """All of them, and the empty name of what is no use case's alone."""
        return [*(case.name for case in self.cases), *self.unreadable, ""]


def find(
    connection: Connection,
    watched: Watched,
    systems: Mapping[str, System],
    now: datetime,
    connections: Connections | None = None,
) -> list[Alert]:
    """Every alert that holds at `now`, severe ones first; without `connections` nothing is said of credentials."""
    cases = watched.cases
    found = [_not_watched(name, error) for name, error in watched.unreadable.items()]
    found += find_nights(connection, cases, now)
    found += find_calls(connection, cases, now)
    found += find_spend(connection, cases, now)
    found += find_budgets(connection, cases, systems, now)
    found += find_drift(connection, cases, now)
    found += find_taken_back(connection, cases, now)
    found += find_review(connection, cases, now)
    if connections is not None:
        found += find_credentials(systems, connections, now)
    return sorted(found, key=lambda one: (one.severity, one.use_case, one.key))


def _not_watched(name: str, error: str) -> Alert:
    said = f"The spec of {name} cannot be read ({error}), so its nights cannot run and are not watched."
    return Alert(f"not_watched/{name}", name, "not_watched", "severe", said, f"{PAGES}/nights")
