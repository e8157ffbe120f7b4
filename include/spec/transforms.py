"""What happens to rows between reading and checking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Protocol

from include.errors import ConfigurationError
from include.models import Kind, Record, RejectedRow

_ACTION = "Correct the use case's spec"


class Transform(Protocol):
    """A step on rows; `columns` says what it makes of the columns that there are, `apply` does it."""

    @property
    def whole(self) -> bool:
        """Whether `apply` must see all rows of the night in one call; else it may be given them in parts."""
        ...

    @property
    def made_of(self) -> Mapping[str, Sequence[str]]:
        """The columns that it adds, each with those that it is made of."""
        ...

    def columns(self, given: Mapping[str, Kind]) -> Mapping[str, Kind]:
        """The columns afterwards; raises ConfigurationError for one that is not there, or of another kind."""
        ...

    def apply(self, rows: list[Record], end: datetime) -> list[Record]:
        """The rows afterwards, with `row_id`, `row_key`, `lineage` (a dict) and the columns; `end` is the interval's.

        What cannot be worked with is set aside: the list is then an `Applied`.
        """
        ...


class Applied(list[Record]):
    """Rows that go on, beside those that were set aside and what was counted; no row is lost in silence."""

    def __init__(
        self, rows: Iterable[Record] = (), rejected: Iterable[RejectedRow] = (), counts: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(rows)
        self.rejected = list(rejected)
        self.counts = dict(counts or {})


@dataclass(frozen=True, slots=True)
class Coalesce:
    """A staged column that takes the first present value of several, e.g. the CRM's industry or else the file's."""

    whole: ClassVar[bool] = False

    name: str
    first_of: tuple[str, ...]

    @property
    def made_of(self) -> Mapping[str, Sequence[str]]:
        """Its column, of all of them."""
        return {self.name: self.first_of}

    def columns(self, given: Mapping[str, Kind]) -> Mapping[str, Kind]:
        """One more, of the kind that all of them have."""
        found = {given.get(name) for name in self.first_of}
        if len(found) != 1 or None in found:
            raise _unfit(self.name, self.first_of)
        return added(given, self.name, given[self.first_of[0]])

    def apply(self, rows: list[Record], end: datetime) -> list[Record]:
        """The same rows with the column."""
        for row in rows:
            row[self.name] = next((row[name] for name in self.first_of if row[name] is not None), None)
        return rows


@dataclass(frozen=True, slots=True)
class Recency:
    """A staged integer column: within how many days before the interval's end the time in column `of` lies.

    The value is the smallest of `days` that holds (None: older, absent or later than the interval's end). Steps rather
    than a count, so that an unchanged row gives an unchanged input and its answer is reused the next night.
    """

    whole: ClassVar[bool] = False

    name: str
    of: str
    days: tuple[int, ...]

    @property
    def made_of(self) -> Mapping[str, Sequence[str]]:
        """Its column, of the time."""
        return {self.name: (self.of,)}

    def columns(self, given: Mapping[str, Kind]) -> Mapping[str, Kind]:
        """One more."""
        if given.get(self.of) != "datetime":
            raise _unfit(self.name, (self.of,))
        return added(given, self.name, "integer")

    def apply(self, rows: list[Record], end: datetime) -> list[Record]:
        """The same rows with the column."""
        for row in rows:
            row[self.name] = self._days(row[self.of], end)
        return rows

    def _days(self, moment: Any, end: datetime) -> int | None:
        if moment is None or moment > end:
            return None
        return min((days for days in self.days if end - moment <= timedelta(days=days)), default=None)


def added(given: Mapping[str, Kind], name: str, kind: Kind) -> Mapping[str, Kind]:
    """The columns and one more; raises ConfigurationError where one of that name is there."""
    if name in given:
        raise ConfigurationError("is declared twice", about=f"column {name}", action=_ACTION)
    return {**given, name: kind}


def _unfit(name: str, used: Sequence[str]) -> ConfigurationError:
    problem = f"is derived of {', '.join(used)}, which are not there or of different kinds"
    return ConfigurationError(problem, about=f"column {name}", action=_ACTION)
