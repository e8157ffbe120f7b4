"""What a use case declares of an OData v4 service: an entity set that is read, and one that is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from include.errors import ConfigurationError
from include.models import Column
from include.systems.port import Origin, Sink, Surroundings

if TYPE_CHECKING:
    from include.systems.odata.reading import ODataReader
    from include.systems.odata.writing import ODataDestination

Paging = Literal["key", "links"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ODataRecords:
    """Rows of an entity set that changed within the interval.

    `keys` are the key properties in the order of the service's `$metadata`; the first one names a row to people where
    it is the only one. A row's id is its key, several joined by commas (`%` and `,` in them percent-encoded).
    `changed` is the time of last change that the interval is held against. `lag` is how late a change may become
    visible after that time: the interval is moved back by it, so that a night reads nothing that may still come and
    the next night goes on where it ended. A column called `Product/Name` is read of the one entity, or of the complex
    value, that property `Product` leads to. `filter` is a further condition in OData's own words, such as
    `Plant eq 'DE01'`. `paging` is "key" (each page asks for keys above the last one: no row hides another, whatever
    moves meanwhile) or, where a service cannot compare its keys by `gt`, "links" (the service's own next links, which
    are as good as its cursor).
    """

    system: str
    object: str
    keys: tuple[Column, ...]
    changed: Column
    columns: tuple[Column, ...] = ()
    lag: timedelta = timedelta(0)
    filter: str = ""
    paging: Paging = "key"

    def __post_init__(self) -> None:
        """Refuse what could not be read."""
        names = [column.name for column in self.declared]
        twice = sorted({name for name in names if names.count(name) > 1})
        problems = {
            "`keys` names no column": not self.keys,
            f"{', '.join(twice)} declared twice": bool(twice),
            "`lag` must not be negative": self.lag < timedelta(0),
            "`changed` must be a datetime": self.changed.kind != "datetime",
        }
        _refuse(problems, self.system, self.object)

    @property
    def key(self) -> Column:
        """The column that names a row to people."""
        return self.keys[0]

    @property
    def declared(self) -> Sequence[Column]:
        """Every column of the rows, the keys first."""
        return (*self.keys, self.changed, *self.columns)

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Where each column comes from; what is read through another property is that property's affair."""
        return {one.name: Origin(self.system, self.object, one.source_name) for one in self.declared}

    @property
    def refers(self) -> Mapping[str, str]:
        """Nothing: what other entities give is read with the row."""
        return {}

    def open(self, here: Surroundings) -> ODataReader:
        """The reader; raises ConfigurationError for a system or connection that cannot be used."""
        from include.systems.odata.reading import ODataReader
        from include.systems.odata.service import Service

        service = Service(here.client(self.system), here.system(self.system), self.object)
        return ODataReader(service, self, here.personal)


@dataclass(frozen=True, slots=True, kw_only=True)
class ODataSink(Sink):
    """Answers as properties of an entity set.

    `keys` are the names of the key properties; a record's id is its key, as in `ODataRecords`. With `each` the number
    of an element is the last of them. With `creates` a record that is not there is made under that key, which the
    service must let its clients choose.
    """

    keys: tuple[str, ...]
    creates: bool = False

    def __post_init__(self) -> None:
        """Refuse what could not be written."""
        written = sorted(set(self.keys) & set(self.fields.values()))
        problems = {
            "`keys` and `fields` must name properties": not (self.keys and self.fields),
            f"{', '.join(written)} is a key": bool(written),
            "`each` needs a key property for the number of an element": bool(self.each) and len(self.keys) < 2,
            "`append_once` is for what cannot be read back": self.guard == "append_once",
        }
        _refuse(problems, self.system, self.object)

    def open(self, here: Surroundings) -> ODataDestination:
        """The destination; raises ConfigurationError for a system or connection that cannot be used."""
        from include.systems.odata.service import Service
        from include.systems.odata.writing import ODataDestination

        system = here.system(self.system)
        service = Service(here.client(self.system), system, self.object)
        return ODataDestination(service, self, system.batch_rows, self.creates)


def _refuse(problems: Mapping[str, bool], system: str, about: str) -> None:
    """Raise ConfigurationError for the first problem that there is."""
    for problem, holds in problems.items():
        if holds:
            raise ConfigurationError(problem, system=system, about=about)
