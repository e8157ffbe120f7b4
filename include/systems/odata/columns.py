"""Declared columns against what `$metadata` says, and where their values lie in a record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from include.models import Column, Record
from include.systems.files.formats.values import explain_missing
from include.systems.odata.schema import EntityType, Property
from include.systems.odata.service import Service
from include.systems.odata.values import READ_AS


class _Place(NamedTuple):
    """Where a column is: the property, the one that leads to it, and whether that leads to another entity."""

    prop: Property
    first: str = ""
    expands: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """The properties to select, what to expand, and the names in a record that values lie under."""

    select: Sequence[str]
    expand: Sequence[str]
    paths: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, service: Service, columns: Sequence[Column]) -> Shape:
        """The shape of the declared columns; raises ContractBroken for one that is not there."""
        names = list(dict.fromkeys(column.source_name for column in columns))
        places = {name: _place(service, name) for name in names}
        if lacking := [place for place in places.values() if isinstance(place, str)]:
            raise service.broken("; ".join(lacking))
        expanded: dict[str, list[str]] = {}
        select: list[str] = []
        for name, place in places.items():
            if isinstance(place, _Place) and place.expands:
                expanded.setdefault(place.first, []).append(name.partition("/")[2])
            else:
                select.append(name.partition("/")[0])
        expand = [f"{first}($select={','.join(rest)})" for first, rest in expanded.items()]
        return cls(list(dict.fromkeys(select)), expand, {name: name.split("/") for name in names})

    def flat(self, item: Record) -> Record:
        """The record's values by the names that the columns have at the source."""
        return {name: _within(item, path) for name, path in self.paths.items()}


def check_columns(service: Service, columns: Iterable[Column]) -> None:
    """Raise ContractBroken naming every column that is not there (and the likely rename) or of another type."""
    problems = [problem for column in columns for problem in _problems(service, column)]
    if problems:
        raise service.broken("; ".join(problems), "Correct the use case's spec, or ask the system's owner")


def _problems(service: Service, column: Column) -> Iterator[str]:
    place = _place(service, column.source_name)
    if isinstance(place, str):
        yield place
        return
    edm = service.edm(place.prop.type)
    if service.schema.type(place.prop.type) or not READ_AS[column.kind](edm, place.prop.scale):
        yield f"{column.source_name!r} is {place.prop.type}, which cannot be read as {column.kind}"


def _place(service: Service, name: str) -> _Place | str:
    """Where a column is, or in words why it is nowhere."""
    first, _, rest = name.partition("/")
    entity = service.entity
    if not rest:
        found = entity.properties.get(name)
        return _Place(found) if found else explain_missing(name, entity.properties)
    leads = entity.navigations.get(first)
    if leads and leads.many:
        return f"{first!r} leads to many entities, so it can be no column"
    through = leads or entity.properties.get(first)
    owner: EntityType | None = service.schema.type(through.type) if through else None
    if through is None or owner is None:
        return explain_missing(first, [*entity.navigations, *entity.properties])
    within = owner.properties.get(rest)
    return (
        _Place(within, first, leads is not None)
        if within
        else f"{explain_missing(rest, owner.properties)} in {first!r}"
    )


def _within(item: Any, path: Sequence[str]) -> Any:
    """The value at a path, None where something on the way is absent."""
    for name in path:
        item = item.get(name) if isinstance(item, dict) else None
    return item
