"""Periods as numbers that follow each other, and back: days, weeks, months, quarters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

Every = Literal["day", "week", "month", "quarter"]
_MONTHS = {"month": 1, "quarter": 3}


@dataclass(frozen=True, slots=True)
class Calendar:
    """How periods are counted; `first` is a weekday, 0 for Monday, on which weeks begin."""

    every: Every
    first: int = 0

    @classmethod
    def of(cls, every: Every, day: date) -> Calendar:
        """The calendar in which `day` is the first day of its week."""
        return cls(every, day.weekday() if every == "week" else 0)

    def number(self, day: date) -> int:
        """The number of the period that a day lies in."""
        if self.every == "day":
            return day.toordinal()
        if self.every == "week":
            return (day.toordinal() - 1 - self.first) // 7
        return (day.year * 12 + day.month - 1) // _MONTHS[self.every]

    def begins(self, number: int) -> date:
        """The first day of a period."""
        if self.every == "day":
            return date.fromordinal(number)
        if self.every == "week":
            return date.fromordinal(number * 7 + 1 + self.first)
        year, month = divmod(number * _MONTHS[self.every], 12)
        return date(year, month + 1, 1)
