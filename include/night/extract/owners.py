"""Where a column of the staged data came from, and who can mend it there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from include.run import Night
from include.spec.use_case import UseCase
from include.systems.port import Origin
from include.systems.registry import System, read_systems


@dataclass(frozen=True, slots=True)
class Owners:
    """The columns of a use case with their origins, and the systems with their owners.

    `derived` are the columns that a column is made of.
    """

    systems: Mapping[str, System]
    origins: Mapping[str, Origin]
    derived: Mapping[str, Sequence[str]]
    otherwise: Origin

    @classmethod
    def of(cls, night: Night) -> Self:
        """The owners of a night's columns, by the registry."""
        return cls.read(night.case, read_systems(night.settings.systems_file))

    @classmethod
    def read(cls, case: UseCase, systems: Mapping[str, System]) -> Self:
        """The owners of a use case's columns."""
        first, origins = case.sources[0], dict[str, Origin]()
        sources = (one.origins for one in case.sources)
        for given in (*sources, *(one.origins for one in case.joins), *(one.origins for one in case.looked_up)):
            origins = {**given, **origins}
        derived = {name: parts for one in case.transforms for name, parts in one.made_of.items()}
        return cls(systems, origins, derived, Origin(first.system, first.object, ""))

    def of_system(self, name: str) -> str:
        """The owner of a system; empty where the registry does not say."""
        system = self.systems.get(name)
        return system.owner if system else ""

    def of_columns(self, columns: Iterable[str], record: Mapping[str, Any]) -> str:
        """Who can mend the first of the columns."""
        return self.of_system(self.origin_of(next(iter(columns), ""), record).system)

    def origin_of(self, column: str, record: Mapping[str, Any]) -> Origin:
        """Where the row's value of a column came from; where there is none, the first place it could have come from."""
        if column in self.derived:
            parts = self.derived[column]
            return self.origin_of(next((part for part in parts if record.get(part) is not None), parts[0]), record)
        return self.origins.get(column, self.otherwise._replace(name=column))
