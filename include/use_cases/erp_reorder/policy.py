"""How much to order: periodic review with an order-up-to level.

Once a week (the review period R) the position, in stock and on order, is raised to what the next R + L weeks are
expected to need (L: lead time) and a safety stock above that. See Silver, Pyke, Thomas, *Inventory and Production
Management in Supply Chains*, 4th ed. 2017, section 6.9 (R, S).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from include.models import Record
from include.systems.exact.declared import Left

REVIEW_WEEKS = 1
"""Weeks until an order can be placed again."""
LIKELY_WITHIN = 1.2816
"""Standard deviations from the middle to either end of an interval that holds four in five values, if they are normal
(scipy.stats.norm.ppf(0.9))."""
SERVICE = 1.6449
"""Standard deviations kept, so that 95 of 100 cycles end without a stock-out, if demand is normal (norm.ppf(0.95))."""
MOST_WEEKS = 520.0


def propose(row: Mapping[str, Any]) -> Record:
    """What to order for one product in one plant; raises `Left` where that cannot be worked out."""
    weeks = _weeks(row["horizon"])
    _require_supply(row)
    protected = REVIEW_WEEKS + math.ceil(row["supply_lead_days"] / 7)
    if protected > len(weeks):
        raise Left("lead_beyond_forecast")
    needed = sum(one["quantity"] for one in weeks[:protected])
    safety = max(SERVICE * _deviation(weeks[:protected]), float(row["stock_safety"] or 0))
    at_hand = max(float(row["on_hand"]), 0.0) + float(row["supply_on_order"] or 0)
    order = _in_packs(needed + safety - at_hand, row["supply_pack"], row["supply_least"] or 0)
    return {
        "product": row["product"],
        "plant": row["plant"],
        "order": order,
        "needed": round(needed, 3),
        "safety": round(safety, 3),
        "at_hand": round(at_hand, 3),
        "weeks_left": round(_weeks_left(at_hand, weeks), 1),
        "reason": _reason(order, needed, safety, at_hand, protected),
        "confidence": row["confidence"],
    }


def _weeks(text: str | None) -> Sequence[Mapping[str, float]]:
    found = json.loads(text or "[]")
    if not found:
        raise Left("no_forecast")
    return list(found)


def _require_supply(row: Mapping[str, Any]) -> None:
    if row["on_hand"] is None:
        raise Left("no_stock_record")
    if row["supply_lead_days"] is None or row["supply_lead_days"] < 0:
        raise Left("no_lead_time")
    if row["supply_pack"] is None or row["supply_pack"] <= 0:
        raise Left("no_pack_size")


def _deviation(weeks: Sequence[Mapping[str, float]]) -> float:
    """The standard deviation of the sum, as if weeks did not depend on each other: the root of the sum of variances."""
    each = ((one["high"] - one["low"]) / (2 * LIKELY_WITHIN) for one in weeks)
    return math.sqrt(sum(one * one for one in each))


def _in_packs(missing: float, pack: float, least: float) -> float:
    """Whole packs that cover what is missing, at least the smallest order; 0 where nothing is missing."""
    if missing <= 0:
        return 0.0
    return round(math.ceil(max(missing, least) / pack - 1e-9) * pack, 3)


def _weeks_left(at_hand: float, weeks: Sequence[Mapping[str, float]]) -> float:
    for number, one in enumerate(weeks):
        if one["quantity"] > at_hand:
            return number + at_hand / one["quantity"]
        at_hand -= one["quantity"]
    mean = sum(one["quantity"] for one in weeks) / len(weeks)
    return min(len(weeks) + at_hand / mean, MOST_WEEKS) if mean else MOST_WEEKS


def _reason(order: float, needed: float, safety: float, at_hand: float, weeks: int) -> str:
    covers = f"{at_hand:,.0f} at hand for {needed:,.0f} expected in {weeks} weeks and {safety:,.0f} in reserve"
    return f"order {order:,.0f}: {covers}" if order else f"enough: {covers}"
