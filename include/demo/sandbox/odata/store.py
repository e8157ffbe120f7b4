"""The rows of all entity sets: in memory, made anew from the seed at the first question, and changes from a journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.demo.sandbox.journal import Journal, read_journal
from include.demo.sandbox.odata.edm import comparable, instant
from include.demo.sandbox.odata.model import EntitySet, Model

Key = tuple[Any, ...]


@dataclass(slots=True)
class Entity:
    """One entity: its values by property, and the number of the change that it has seen last."""

    values: dict[str, Any]
    version: int = 1

    @property
    def etag(self) -> str:
        """A weak validator, as ERPs give it."""
        return f'W/"{self.version}"'


class Store:
    """Entities by set and key; `changes` grows with every one."""

    def __init__(self, model: Model, rows: Mapping[str, Iterable[dict[str, Any]]], journal: Path | None = None) -> None:
        """Load the rows, then replay the journal; without one, changes go with the process."""
        self.model, self.changes = model, 1
        self._sets: dict[str, dict[Key, Entity]] = {name: {} for name in model}
        for name, listed in rows.items():
            for values in listed:
                self._sets[name][self.key_of(name, values)] = Entity(values)
        self._journal: Journal | None = None
        if journal:
            for entry in read_journal(journal):
                self._apply(entry["set"], entry["key"], entry["values"])
            self._journal = Journal(journal)

    def key_of(self, name: str, values: Mapping[str, Any]) -> Key:
        """The comparable key of an entity's values."""
        each = self.model[name]
        return tuple(comparable(values.get(part), each.props[part].type) for part in each.keys)

    def all(self, name: str) -> list[Entity]:
        """The entities of a set."""
        return list(self._sets[name].values())

    def find(self, name: str, key: Key) -> Entity | None:
        """An entity by its comparable key."""
        return self._sets[name].get(key)

    def put(self, each: EntitySet, values: Mapping[str, Any], *, now: datetime | None = None) -> Entity:
        """Write values over those of the entity with their key, or make it; its time of change becomes `now`."""
        stamp = {each.changed: instant(now or datetime.now(UTC))} if each.changed else {}
        return self._record(each, {**values, **stamp}, self.key_of(each.name, values))

    def remove(self, each: EntitySet, key: Key) -> None:
        """Delete an entity that is there."""
        entity = self._sets[each.name][key]
        self._write({"set": each.name, "key": {name: entity.values[name] for name in each.keys}, "values": None})

    def close(self) -> None:
        """Close the journal."""
        if self._journal:
            self._journal.close()

    def _record(self, each: EntitySet, values: dict[str, Any], key: Key) -> Entity:
        self._write({"set": each.name, "key": {name: values[name] for name in each.keys}, "values": values})
        return self._sets[each.name][key]

    def _write(self, entry: dict[str, Any]) -> None:
        if self._journal:
            self._journal.append(entry)
        self._apply(entry["set"], entry["key"], entry["values"])

    def _apply(self, name: str, key: Mapping[str, Any], values: Mapping[str, Any] | None) -> None:
        self.changes += 1
        found, table = self.key_of(name, key), self._sets[name]
        if values is None:
            table.pop(found, None)
            return
        entity = table.setdefault(found, Entity({}))
        entity.values.update(values)
        entity.version = self.changes
