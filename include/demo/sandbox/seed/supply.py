"""What the business's database knows of the supply of each product to each plant."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.odata.erp import PLANTS, Erp
from include.demo.sandbox.seed.days import Seeded
from include.demo.sandbox.seed.demand import PLANT as SHOP

TABLE = "supply"
_WITHOUT_LEAD_TIME, _ON_ORDER = 0.03, 0.3


def make_supply(config: SandboxConfig, end: datetime) -> Seeded:
    """Lead time in days, pack size, smallest order and what is on order, as of `end`; a few have no lead time.

    The stock of the plant that the ERP does not know stands here too.
    """
    products = Erp(config.seed, config.erp_products, end).names
    return Seeded(
        tables={TABLE: [_row(config.seed, product, plant, end) for product in products for plant in (*PLANTS, SHOP)]}
    )


def _row(seed: int, product: str, plant: str, end: datetime) -> dict[str, Any]:
    own, today = Random(f"{seed}|supply|{product}|{plant}"), Random(f"{seed}|supply|{product}|{plant}|{end:%Y-%m-%d}")
    pack = own.choice((1, 5, 10, 12, 25, 50))
    return {
        "id": f"{product}@{plant}",
        "product": product,
        "plant": plant,
        "lead_days": None if own.random() < _WITHOUT_LEAD_TIME else own.choice((3, 7, 10, 14, 21)),
        "pack": pack,
        "least": pack * own.choice((1, 1, 2, 4)),
        "on_order": pack * today.randint(1, 8) if today.random() < _ON_ORDER else 0,
        "on_hand": float(today.randint(0, 900)) if plant == SHOP else None,
        "changed_at": (end - timedelta(minutes=today.randint(1, 2_000))).strftime("%Y-%m-%d %H:%M:%S"),
    }
