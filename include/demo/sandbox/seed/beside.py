"""What a day holds beside leads: one function for each kind of data, each adding what is its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.seed.company_changes import change_companies
from include.demo.sandbox.seed.days import Seeded
from include.demo.sandbox.seed.demand import demand
from include.demo.sandbox.seed.given import (
    DEMAND,
    INVOICES,
    LEADS,
    TICKETS,
    given_demand,
    given_invoices,
    given_tickets,
    kinds_in,
)
from include.demo.sandbox.seed.invoices import seed_invoices
from include.demo.sandbox.seed.supply import make_supply
from include.demo.sandbox.seed.ticket_days import seed_tickets

BESIDE: Mapping[str, Callable[[SandboxConfig, datetime], Seeded]] = {
    "companies": change_companies,
    DEMAND: demand,
    INVOICES: seed_invoices,
    "supply": make_supply,
    TICKETS: seed_tickets,
}
"""By name: the data of the interval of one day that ends at a time; equal for equal seed and day."""
GIVEN: Mapping[str, Callable[[Path, datetime], Seeded]] = {
    DEMAND: given_demand,
    INVOICES: given_invoices,
    TICKETS: given_tickets,
}
"""By name: the same from a user's folder."""


def seed_beside(name: str, config: SandboxConfig, end: datetime) -> Seeded:
    """One kind of data of one day: from the folder that the user gave where it holds them, else generated."""
    held = kinds_in(config.data) if config.data else frozenset()
    if config.data and name in held and name in GIVEN:
        return GIVEN[name](config.data, end)
    if name == "companies" and LEADS in held:
        return Seeded()
    return BESIDE[name](config, end)
