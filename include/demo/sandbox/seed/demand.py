"""Demand of a plant that is not in the ERP: a table of weeks, with what is wrong in such tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from random import Random
from typing import Any

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.odata.erp import Erp
from include.demo.sandbox.seed.days import Seeded

TABLE, PLANT, WEEKS = "demand_history", "UK03", 60
_MOST_PRODUCTS = 24
_NEW, _ENDED, _RETURNED = 3, 5, 7
"""Products by their place: one that is sold since six weeks, one not for months, one with more returns than sales."""


def demand(config: SandboxConfig, end: datetime) -> Seeded:
    """The weeks that the plant has posted up to `end`; a later end adds weeks, and corrections of earlier ones."""
    erp = Erp(config.seed, min(config.erp_products, _MOST_PRODUCTS), end)
    return Seeded(tables={TABLE: list(_rows(erp))})


def _rows(erp: Erp) -> Iterator[dict[str, Any]]:
    latest = dict.fromkeys(erp.names, 0)
    for row in erp.demand((PLANT,), WEEKS):
        product, week = row["ProductId"], row["Week"]
        latest[product] += 1
        place, back = erp.names.index(product), latest[product]
        missing = Random(f"{erp.seed}|absent|{product}|{week}").random() < 0.02
        if missing or (place == _NEW and back > 6) or (place == _ENDED and back <= 12):
            continue
        returned = place == _RETURNED and week[8:] < "08"
        yield {
            "id": f"{product}.{PLANT}.{week}",
            "product": product,
            "plant": PLANT,
            "week": week,
            "quantity": -float(row["Quantity"]) if returned else float(row["Quantity"]),
            "changed_at": row["ModifiedAt"].replace("T", " ").rstrip("Z"),
        }
