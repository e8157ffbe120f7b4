"""Records that a CRM's rows refer to: read in batches while further pages are searched, and joined page by page."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from include.models import Record, RejectedRow
from include.systems.files.formats.values import read_columns
from include.systems.http import RestClient
from include.systems.hubspot.answers import as_text, is_object, present, results_of
from include.systems.hubspot.declared import Related
from include.systems.registry import System

_REMEMBERED = 10_000
Associated = Mapping[str, Mapping[str, Sequence[str]]]


class _Read(NamedTuple):
    """One batch: records by id, and those of them with unreadable values, set aside as context."""

    records: Mapping[str, Record]
    rejected: list[RejectedRow]


@dataclass
class Wanted:
    """What one page's rows refer to: records that are known, or the batch that brings them.

    Where associations say what that is, they come first: by row, the labels of its associations by the other's id.
    `then` is what the rows refer to by them.
    """

    held: dict[str, Record | Future[_Read] | None] = field(default_factory=dict)
    batches: list[tuple[Sequence[str], Future[_Read]]] = field(default_factory=list)
    associated: list[Future[Associated]] = field(default_factory=list)
    then: Wanted | None = None

    @property
    def coming(self) -> list[Future[Any]]:
        """Every call that has begun for it."""
        then = self.then.coming if self.then else []
        return [*self.associated, *(batch for _, batch in self.batches), *then]


class RelatedRecords:
    """Records of one related object; each is read once as long as it is remembered. Pages are joined in order."""

    def __init__(
        self, client: RestClient, system: System, related: Related, personal: Collection[str], pool: Executor
    ) -> None:
        """Batches are read by `pool`."""
        self._client, self._system, self.related, self._personal, self._pool = client, system, related, personal, pool
        self._known: OrderedDict[str, Record | None] = OrderedDict()
        self._coming: dict[str, Future[_Read]] = {}

    def start(self, rows: Iterable[Record]) -> Wanted:
        """Begin to read what the rows refer to and nobody has asked for yet."""
        wanted, new = Wanted(), list[str]()
        numbers = (row[self.related.join_on] for row in rows)
        for number in dict.fromkeys(str(number) for number in numbers if number is not None):
            if number in self._known:
                wanted.held[number] = self._known[number]
            elif number in self._coming:
                wanted.held[number] = self._coming[number]
            elif number.isdecimal():
                new.append(number)
        for first in range(0, len(new), self._system.batch_rows):
            part = new[first : first + self._system.batch_rows]
            batch = self._pool.submit(self._fetch, part)
            wanted.batches.append((part, batch))
            coming = dict.fromkeys(part, batch)
            self._coming |= coming
            wanted.held |= coming
        return wanted

    def join(self, rows: Iterable[Record], wanted: Wanted) -> tuple[list[RejectedRow], int]:
        """Put the record's columns on each row, null where there is none.

        Returns what was set aside as context, and how many rows refer to a record that is not there.
        """
        rejected, missing = list[RejectedRow](), 0
        for part, batch in wanted.batches:
            rejected += batch.result().rejected
            for number in part:
                self._known[number] = batch.result().records.get(number)
                del self._coming[number]
        for row in rows:
            number = row[self.related.join_on]
            held = wanted.held.get(str(number)) if number is not None else None
            found = held.result().records.get(str(number)) if isinstance(held, Future) else held
            missing += found is None and number is not None
            row.update(found or {column.name: None for column in self.related.columns})
        self._remember(wanted)
        return rejected, missing

    def _remember(self, wanted: Wanted) -> None:
        for number in wanted.held.keys() & self._known.keys():
            self._known.move_to_end(number)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _fetch(self, numbers: Sequence[str]) -> _Read:
        """Read records by id. One with unreadable values still gives the others; it is set aside as context."""
        kind, columns = self.related.object, self.related.columns
        body = {"properties": [column.source_name for column in columns], "inputs": [{"id": one} for one in numbers]}
        answer = self._client.call("POST", f"/crm/v3/objects/{kind}/batch/read", body, accept=(200, 207)).body
        records, rejected = dict[str, Record](), list[RejectedRow]()
        for item in results_of(answer, self._system, kind, is_object):
            raw, number = present(item["properties"]), str(item["id"])
            records[number], reasons = read_columns(raw, columns, personal=self._personal)
            if reasons:
                place = f"{self._system.name}/{kind}/{number}"
                kept, why, owner = as_text(raw, columns), tuple(reasons), self._system.owner
                rejected.append(RejectedRow(place, number, place, why, kept, counts_as_input=False, owner=owner))
        return _Read(records, rejected)
