"""Objects of HubSpot as sources and sinks of a use case; custom objects by their type id, such as `2-123456`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.errors import ConfigurationError
from include.models import Column
from include.systems.port import Origin, Sink, Surroundings

if TYPE_CHECKING:
    from include.systems.hubspot.reading import HubSpotReader
    from include.systems.hubspot.writing import HubSpotWriter


MOST_INPUTS = 100
"""Records of one batch that is read or written, whatever the registry says: the CRM v3 API takes no more."""


@dataclass(frozen=True, slots=True)
class Association:
    """Which of the records that are associated with a row is meant: one under that `label`, any if there is none.

    Of several the primary one counts (HubSpot's own label "Primary"), else that with the lowest id, which was there
    first. Either way `<join_on>_count` says how many there were.
    """

    label: str = ""


@dataclass(frozen=True, slots=True)
class Related:
    """A second CRM object read for context and joined onto each row by `join_on`, the column with its record's id.

    The column is one of the source's own, or of a related object before this one; with `by` it is made of the
    associations between the two objects, together with an integer column `<join_on>_count`.
    """

    object: str
    join_on: str
    columns: tuple[Column, ...]
    by: Association | None = None

    @property
    def made(self) -> tuple[Column, ...]:
        """The columns that its associations give."""
        if self.by is None:
            return ()
        name = f"associations/{self.object}"
        return Column(name, self.join_on), Column(f"{name}/count", f"{self.join_on}_count", "integer")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a record belongs to: columns with e-mail address and name of the owner whose id is in column `of`.

    Owners who have left count too. Both columns hold personal data, so the use case lists them in `personal`.
    """

    of: str
    email: str = "owner_email"
    name: str = "owner_name"

    @property
    def made(self) -> tuple[Column, ...]:
        """The columns that it adds."""
        return Column("owners/email", self.email), Column("owners/name", self.name)


@dataclass(frozen=True, slots=True)
class HubSpotRecords:
    """Records of an object that changed within the interval; `modified` is the property it is held against."""

    system: str
    object: str
    key: Column
    modified: Column
    columns: tuple[Column, ...]
    related: tuple[Related, ...] = ()
    owner: Owner | None = None

    @property
    def own(self) -> tuple[Column, ...]:
        """The properties of the object itself, the key first."""
        return (self.key, self.modified, *self.columns)

    @property
    def declared(self) -> tuple[Column, ...]:
        """The columns of the object, the key first, then its owner, then those of related objects."""
        owner = self.owner.made if self.owner else ()
        return (*self.own, *owner, *(column for one in self.related for column in (*one.made, *one.columns)))

    @property
    def changed(self) -> Column:
        """The time of the last change."""
        return self.modified

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Where each column comes from."""
        return {column.name: Origin(self.system, kind, column.source_name) for kind, column in self._placed()}

    def _placed(self) -> Iterator[tuple[str, Column]]:
        yield from ((self.object, column) for column in (*self.own, *(self.owner.made if self.owner else ())))
        for one in self.related:
            yield from ((self.object, column) for column in one.made)
            yield from ((one.object, column) for column in one.columns)

    @property
    def refers(self) -> Mapping[str, str]:
        """The related objects, and the columns that name their records."""
        return {one.object: one.join_on for one in self.related}

    def open(self, here: Surroundings) -> HubSpotReader:
        """The adapter; raises ConfigurationError for an owner whose columns would be shown, or whose id is not read."""
        if self.owner:
            self._refuse_open(self.owner, here.personal)
        from include.systems.hubspot.reading import HubSpotReader

        return HubSpotReader(here.client(self.system), here.system(self.system), self, here.personal)

    def _refuse_open(self, owner: Owner, personal: Collection[str]) -> None:
        shown = {owner.email, owner.name} - {*personal}
        wrong = f"{', '.join(sorted(shown))} must be listed in `personal`" if shown else ""
        if owner.of not in {column.name for column in self.own}:
            wrong = f"the owner's id is in column {owner.of}, which is none of the object's"
        if wrong:
            about, action = f"owner of {self.object}", "Correct the use case's spec"
            raise ConfigurationError(wrong, system=self.system, about=about, action=action)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSpotSink(Sink):
    """Properties of an object; a record that is not there is not made.

    With `id_property` records are named by that property, of which the CRM keeps the values unique, instead of by
    HubSpot's id: `target` gives its value, and what is not there is made.
    """

    id_property: str = ""

    def open(self, here: Surroundings) -> HubSpotWriter:
        """The adapter."""
        client, batch_rows = here.client(self.system), min(here.system(self.system).batch_rows, MOST_INPUTS)
        if self.id_property:
            from include.systems.hubspot.upserting import HubSpotUpserter

            return HubSpotUpserter(client, self, batch_rows)
        from include.systems.hubspot.writing import HubSpotWriter

        return HubSpotWriter(client, self, batch_rows)
