"""The CRM's records: in memory, replayed at start from seed files and a journal of changes."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.demo.sandbox.crm.association_types import Associations
from include.demo.sandbox.crm.properties import DEFAULTS, MODIFIED, PROPERTIES, iso, millis, normal
from include.demo.sandbox.journal import Journal, read_journal

OBJECTS = tuple(MODIFIED)
_REMEMBERED = 64
_FIRST_CREATED = 9_000_000_001
"""The lowest id of a record that the API made; seeds have lower ones."""


@dataclass(slots=True)
class Item:
    """One record; times in epoch milliseconds, values as HubSpot stores them (text or None)."""

    kind: str
    number: int
    created: int
    modified: int
    values: dict[str, str | None] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        """One property's value."""
        if name == MODIFIED[self.kind]:
            return iso(self.modified)
        if name == "createdate":
            return iso(self.created)
        return str(self.number) if name == "hs_object_id" else self.values.get(name)

    def to_json(self, properties: Iterable[str] | None = None) -> dict[str, Any]:
        """The record as the API shows it: properties asked for that exist, and always the three the CRM keeps."""
        known = PROPERTIES[self.kind]
        asked = DEFAULTS[self.kind] if properties is None else [name for name in properties if name in known]
        names = dict.fromkeys((*asked, "createdate", "hs_object_id", MODIFIED[self.kind]))
        return {
            "id": str(self.number),
            "properties": {name: self.get(name) for name in names},
            "createdAt": iso(self.created),
            "updatedAt": iso(self.modified),
            "archived": False,
        }


@dataclass(slots=True)
class _Hits:
    """Ids of the records that pass a test, ascending, as of the first `seen` changes."""

    test: Callable[[Item], bool]
    numbers: list[int]
    seen: int

    def take_in(self, changed: Sequence[Item]) -> None:
        """Test records anew that have changed."""
        for item in changed:
            at = bisect_left(self.numbers, item.number)
            held = at < len(self.numbers) and self.numbers[at] == item.number
            passes = self.test(item)
            if passes and not held:
                self.numbers.insert(at, item.number)
            elif held and not passes:
                del self.numbers[at]
        self.seen += len(changed)


class Store:
    """Tables of records by id, and how they are associated.

    `version` grows with every change, `records_written` with every record that changed or was made.
    """

    def __init__(self, folder: Path) -> None:
        """Load the seed files of the folder, then replay the journal."""
        self._tables: dict[str, dict[int, Item]] = {kind: {} for kind in OBJECTS}
        self.version = 0
        self.records_written = 0
        self.associations = Associations()
        for path in sorted(folder.glob("seed-*.jsonl"), key=lambda path: path.stem):
            for entry in read_journal(path):
                self._load(entry)
        for entry in read_journal(folder / "journal.jsonl"):
            self._apply(entry)
        for kind, table in self._tables.items():
            self._tables[kind] = dict(sorted(table.items()))
        self._numbers = {kind: list(table) for kind, table in self._tables.items()}
        self._changed: dict[str, list[Item]] = {kind: [] for kind in OBJECTS}
        self._hits: OrderedDict[tuple[str, str], _Hits] = OrderedDict()
        self._journal = Journal(folder / "journal.jsonl")

    def items(self, kind: str) -> Iterable[Item]:
        """All records of an object, by ascending id."""
        return self._tables[kind].values()

    def page(self, kind: str, first: int, size: int) -> list[Item]:
        """At most `size` records by ascending id, from id `first` on."""
        numbers, table = self._numbers[kind], self._tables[kind]
        at = bisect_left(numbers, first)
        return [table[number] for number in numbers[at : at + size]]

    def matching(self, kind: str, name: str, test: Callable[[Item], bool]) -> Sequence[int]:
        """Ids, ascending, of the records that pass a test; `name` says what it tests.

        All records are tested when a name is new, later only what has changed, so that a page costs what a page holds.
        """
        found = self._hits.get((kind, name))
        if found is None:
            numbers = [item.number for item in self.items(kind) if test(item)]
            found = self._hits[kind, name] = _Hits(test, numbers, len(self._changed[kind]))
            if len(self._hits) > _REMEMBERED:
                self._hits.popitem(last=False)
        found.take_in(self._changed[kind][found.seen :])
        self._hits.move_to_end((kind, name))
        return found.numbers

    def get(self, kind: str, numbers: Iterable[int]) -> list[Item]:
        """Records that exist, by id."""
        return [self._tables[kind][number] for number in numbers]

    def find(self, kind: str, number: str) -> Item | None:
        """A record by its id as text, or None."""
        return self._tables[kind].get(int(number)) if number.isascii() and number.isdigit() else None

    def update(self, kind: str, changes: Iterable[tuple[Item, Mapping[str, Any]]]) -> None:
        """Write checked values. A record whose values do not change keeps its last-modified time, as in HubSpot."""
        entries = []
        for item, values in changes:
            stored = {name: normal(kind, name, value) for name, value in values.items()}
            new = {name: value for name, value in stored.items() if item.values.get(name) != value}
            if new:
                modified = max(time.time_ns() // 1_000_000, item.modified + 1)
                entries.append({"object": kind, "id": item.number, "modified": modified, "set": new})
        if entries:
            self._journal.append(*entries)
        for entry in entries:
            self._apply(entry)
            self._changed[kind].append(self._tables[kind][int(str(entry["id"]))])
            self.records_written += 1

    def create(self, kind: str, records: Sequence[Mapping[str, Any]]) -> list[Item]:
        """Make a record of each set of checked values."""
        now, first = time.time_ns() // 1_000_000, max([*self._numbers[kind][-1:], _FIRST_CREATED - 1]) + 1
        entries = []
        for number, values in enumerate(records, first):
            stored = {name: normal(kind, name, value) for name, value in values.items()}
            entries.append({"object": kind, "id": number, "created": now, "modified": now, "values": stored})
        self._journal.append(*entries)
        for entry in entries:
            self._apply(entry)
            self._numbers[kind].append(int(str(entry["id"])))
        made = self.get(kind, range(first, first + len(records)))
        self._changed[kind] += made
        self.records_written += len(made)
        return made

    def associate(self, kind: str, number: int, to: str, other: int, type_ids: Sequence[int]) -> None:
        """Associate two records by types of which the ids are those in this direction."""
        entry = {"associate": [kind, number, to, other], "types": list(type_ids)}
        self._journal.append(entry)
        self._apply(entry)

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def _load(self, entry: dict[str, Any]) -> None:
        if "associate" in entry:
            kind, one, to, other = entry["associate"]
            self.associations.put(kind, one, to, other, entry["types"])
            return
        table, number = self._tables[entry["object"]], int(entry["id"])
        if "values" not in entry:
            table[number].modified = max(table[number].modified, entry["modified"])
            return
        values = {name: value for name, value in entry["values"].items() if value is not None}
        table[number] = Item(entry["object"], number, entry["created"], entry["modified"], values)

    def _apply(self, entry: dict[str, Any]) -> None:
        self.version += 1
        if "set" not in entry:
            self._load(entry)
            return
        item = self._tables[entry["object"]][int(entry["id"])]
        item.values.update(entry["set"])
        item.modified = max(item.modified, entry["modified"])


def seed_entry(kind: str, number: int, created: str, modified: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A record as a line of a seed file; times in ISO 8601, values of any plain type."""
    stored = {name: None if value is None else str(value) for name, value in values.items()}
    entry = {"object": kind, "id": number, "created": millis(created) or 0, "modified": millis(modified) or 0}
    return {**entry, "values": stored}


def touch_entry(kind: str, number: int, modified: str) -> dict[str, Any]:
    """A line of a seed file that says: this record changed again at this time."""
    return {"object": kind, "id": number, "modified": millis(modified) or 0}
