"""The rule that proposes a quantity where the forecast leaves a history. A person confirms every proposal it makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from statistics import fmean
from typing import Any

from include.models import Record
from include.systems.forecast.calendar import Calendar
from include.use_cases.erp_demand_forecast.local import LOCAL

_WEEKS = 8
_LARGEST = 1e12


def answer(row: Record) -> Record | None:
    """The mean of the last eight weeks that are known, for every week ahead; None if none is known (a dead letter).

    Returns count as no demand. The interval is that of those weeks; when they lie long ago, nothing tells whether the
    product is still sold, so that the person who confirms must know.
    """
    running = _day(row.get("this_week"))
    known = sorted(one for one in _known(row.get("history")) if running is not None and one[0] < running)
    if not known or running is None:
        return None
    latest = [quantity for _, quantity in known[-_WEEKS:]]
    mean, calendar = round(fmean(latest), 3), Calendar.of("week", running)
    first = calendar.number(running) + 1
    span = {"quantity": mean, "low": min(*latest, mean), "high": max(*latest, mean)}
    return {
        "horizon": [{"period": calendar.begins(first + at).isoformat(), **span} for at in range(LOCAL.horizon)],
        "method": "mean",
        "confidence": 0.3,
        "history_periods": len(latest),
        "largest_seen": max(quantity for _, quantity in known),
    }


def _known(text: Any) -> Iterator[tuple[date, float]]:
    """Week and quantity of every member that says both."""
    try:
        members = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return
    for one in members if isinstance(members, list) else ():
        given: Record = one if isinstance(one, dict) else {}
        day, quantity = _day(given.get("week")), given.get("quantity")
        if day is not None and isinstance(quantity, int | float) and abs(quantity) <= _LARGEST:
            yield day, max(float(quantity), 0.0)


def _day(value: Any) -> date | None:
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None
