"""What a day holds beside leads: one function for each kind of data, each adding what is its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.seed.company_changes import change_companies
from include.demo.sandbox.seed.days import Seeded
from include.demo.sandbox.seed.demand import demand
from include.demo.sandbox.seed.invoices import seed_invoices
from include.demo.sandbox.seed.supply import make_supply
from include.demo.sandbox.seed.ticket_days import seed_tickets

Seed = Callable[[SandboxConfig, datetime], Seeded]
BESIDE: Mapping[str, Seed] = {
    "companies": change_companies,
    "demand": demand,
    "invoices": seed_invoices,
    "supply": make_supply,
    "tickets": seed_tickets,
}
"""By name: the data of the interval of one day that ends at a time; equal for equal seed and day."""
