"""A column with the day on which the period began that the interval ends in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from zoneinfo import ZoneInfo

from include.models import Kind, Record
from include.spec.transforms import added
from include.systems.forecast.calendar import Calendar, Every


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A date column `name`: the first day of the period, in time zone `zone`, that the interval's end lies in.

    Weeks begin on weekday `first`, 0 for Monday. All nights of a period have the same day, so that a history without
    news gives the same input and its answer is reused.
    """

    whole: ClassVar[bool] = False

    name: str
    every: Every
    zone: str = "UTC"
    first: int = 0

    @property
    def made_of(self) -> Mapping[str, Sequence[str]]:
        """Nothing: its column is made of no other."""
        return {}

    def columns(self, given: Mapping[str, Kind]) -> Mapping[str, Kind]:
        """One more."""
        return added(given, self.name, "date")

    def apply(self, rows: list[Record], end: datetime) -> list[Record]:
        """The same rows with the column."""
        calendar = Calendar(self.every, self.first)
        day = calendar.begins(calendar.number(end.astimezone(ZoneInfo(self.zone)).date()))
        for row in rows:
            row[self.name] = day
        return rows
