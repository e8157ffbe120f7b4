"""Objects of HubSpot as sources and sinks of a use case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.models import Column
from include.systems.port import Origin, Sink, Surroundings

if TYPE_CHECKING:
    from include.systems.hubspot.reading import HubSpotReader
    from include.systems.hubspot.writing import HubSpotWriter


@dataclass(frozen=True, slots=True)
class Related:
    """A second CRM object read for context and joined onto each row by `join_on` (a staged column) = its id."""

    object: str
    join_on: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class HubSpotRecords:
    """Records of an object that changed within the interval; `modified` is the property it is held against."""

    system: str
    object: str
    key: Column
    modified: Column
    columns: tuple[Column, ...]
    related: tuple[Related, ...] = ()

    @property
    def declared(self) -> tuple[Column, ...]:
        """The columns of the object, the key first, then those of related objects."""
        related = tuple(column for one in self.related for column in one.columns)
        return (self.key, self.modified, *self.columns, *related)

    @property
    def changed(self) -> Column:
        """The time of the last change."""
        return self.modified

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Where each column comes from."""
        own = (self.key, self.modified, *self.columns)
        found = {column.name: Origin(self.system, self.object, column.source_name) for column in own}
        for one in self.related:
            found |= {column.name: Origin(self.system, one.object, column.source_name) for column in one.columns}
        return found

    @property
    def refers(self) -> Mapping[str, str]:
        """The related objects, and the columns that name their records."""
        return {one.object: one.join_on for one in self.related}

    def open(self, here: Surroundings) -> HubSpotReader:
        """The adapter."""
        from include.systems.hubspot.reading import HubSpotReader

        return HubSpotReader(here.client(self.system), here.system(self.system), self, here.personal)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSpotSink(Sink):
    """Properties of an object; a record that is not there is not made."""

    def open(self, here: Surroundings) -> HubSpotWriter:
        """The adapter."""
        from include.systems.hubspot.writing import HubSpotWriter

        return HubSpotWriter(here.client(self.system), self, here.system(self.system).batch_rows)
