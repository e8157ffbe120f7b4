"""The rule where the order cannot be worked out. A person confirms every answer it makes."""

from __future__ import annotations

from include.models import Record


def answer(row: Record) -> Record | None:
    """No order, and a word for the planner; None for a row that names no product or no plant."""
    if not (row.get("product") and row.get("plant")):
        return None
    in_stock, on_order = (max(float(row.get(name) or 0), 0.0) for name in ("on_hand", "supply_on_order"))
    return {
        "product": row["product"],
        "plant": row["plant"],
        "order": 0.0,
        "needed": 0.0,
        "safety": max(float(row.get("stock_safety") or 0), 0.0),
        "at_hand": in_stock + on_order,
        "weeks_left": 0.0,
        "reason": "not worked out: forecast, stock or supply data are missing; please look",
        "confidence": 0.0,
    }
