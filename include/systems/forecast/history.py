"""A row's history as numbers without holes, or the reason why it is left."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from include.systems.forecast.calendar import Calendar
from include.systems.forecast.declared import Forecast

Numbers = npt.NDArray[np.float64]
LARGEST = 1e15
"""A quantity above it is taken for an error; its square would still be exact enough."""
LAST_YEAR = 9_000
"""Later dates stand for none; what comes after them could not be counted."""
LONGEST = 520
"""Periods of history that are used, the newest: ten years of weeks. It bounds the time a row can take."""


class Left(Exception):
    """Raised for a history that nothing is answered of; its text is the reason, in a word."""


@dataclass(frozen=True, slots=True)
class History:
    """Quantities of consecutive periods up to number `last`; the first period to be answered is number `first`."""

    quantities: Numbers
    calendar: Calendar
    last: int
    first: int

    @property
    def ahead(self) -> int:
        """Steps from the last known period to the first one answered."""
        return self.first - self.last


def read_history(row: Mapping[str, Any], declared: Forecast) -> History:
    """The history of a row.

    Raises Left: `unreadable` (no JSON of the declared form, or a number that is none), `negative`, `irregular` (weeks
    that begin on different days), `repeats` (a period twice), `future` (periods after the running one), `short`,
    `gaps`, `stale`.
    """
    days = _members(row[declared.of], declared)
    if not days:
        raise Left("short")
    calendar = Calendar.of(declared.every, min(day for day, _ in days))
    if declared.every == "week" and any(day.weekday() != calendar.first for day, _ in days):
        raise Left("irregular")
    numbered = {calendar.number(day): quantity for day, quantity in days}
    if len(numbered) < len(days):
        raise Left("repeats")
    running = calendar.number(_day(row[declared.after])) if declared.after else max(numbered) + 1
    if max(numbered) > running:
        raise Left("future")
    numbered.pop(running, None)
    known = {number: quantity for number, quantity in numbered.items() if quantity is not None}
    if len(known) < declared.least:
        raise Left("short")
    first = running + 1 if declared.after else running
    return _filled(known, declared, calendar, running, first)


def _filled(known: Mapping[int, float], declared: Forecast, calendar: Calendar, running: int, first: int) -> History:
    last = running - 1 if declared.fill == "zero" else max(known)
    begin = max(min(known), last - LONGEST + 1)
    found = np.array([known.get(number, math.nan) for number in range(begin, last + 1)])
    unknown = np.isnan(found)
    if declared.fill == "zero":
        found[unknown] = 0.0
    else:
        if running - last - 1 > declared.late:
            raise Left("stale")
        if unknown.mean() > declared.most_gaps:
            raise Left("gaps")
        at = np.arange(len(found))
        found[unknown] = np.interp(at[unknown], at[~unknown], found[~unknown])
    return History(found, calendar, last, first)


def _members(text: Any, declared: Forecast) -> list[tuple[date, float | None]]:
    """Day and quantity of every member."""
    try:
        members = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise Left("unreadable") from None
    if not isinstance(members, list) or not all(isinstance(one, dict) for one in members):
        raise Left("unreadable")
    return [(_day(one.get(declared.period)), _quantity(one.get(declared.quantity))) for one in members]


def _day(value: Any) -> date:
    if isinstance(value, date):
        return value.date() if isinstance(value, datetime) else value
    try:
        found = date.fromisoformat(str(value)[:10])
    except ValueError:
        raise Left("unreadable") from None
    if found.year > LAST_YEAR:
        raise Left("unreadable")
    return found


def _quantity(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST:
        raise Left("unreadable")
    if value < 0:
        raise Left("negative")
    return float(value)
