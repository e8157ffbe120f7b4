"""Rows of an entity set, changed within an interval, page by page.

By default every page asks for keys above the last one seen, instead of following the service's own next links: those
may be offsets (`$skip`), and then a row that leaves the interval while we read would shift the rest, and one row would
be skipped unseen. It ends at a page that is empty and leads nowhere, so that a service which silently gives fewer rows
than it was asked for loses none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from include.models import Column, Interval, Record, RejectedRow
from include.systems.files.formats.values import clean_text, explain_missing, read_columns
from include.systems.in_air import in_order, threads
from include.systems.odata.columns import Shape, check_columns
from include.systems.odata.declared import ODataRecords
from include.systems.odata.keys import Key, Keys
from include.systems.odata.service import BY_LINKS, READS, Answer, Service, Trail, etag
from include.systems.odata.values import canonical, instant, literal
from include.systems.port import VERSION, Page


@dataclass
class ODataReader:
    """Reads one declared entity set; the counts grow as it goes. `facts` counts rows that links brought twice."""

    service: Service
    source: ODataRecords
    personal: Sequence[str] = ()
    pages: int = 0
    rows: int = 0
    watermark: datetime | None = None
    facts: Record = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """Requests to the system so far, retries included."""
        return self.service.client.calls

    @property
    def retries(self) -> int:
        """Requests that were sent again."""
        return self.service.client.retries

    @cached_property
    def keys(self) -> Keys:
        """The key of the set; raises ContractBroken if it is not the declared one."""
        return self.service.keys([column.source_name for column in self.source.keys])

    @cached_property
    def shape(self) -> Shape:
        """How the declared columns lie in a record."""
        return Shape.of(self.service, self.source.declared)

    def check_contract(self) -> None:
        """Raise ContractBroken for declared columns that are not there, or are of another type."""
        check_columns(self.service, self.source.declared)
        known = {column.source_name.partition("/")[0] for column in self.source.declared}
        place = f"{self.source.system}/{self.source.object}"
        others = [name for name in self.service.entity.properties if name not in known]
        self.facts["other_columns"] = [f"{place}: {name}" for name in others]
        self.keys  # noqa: B018 - looking at them checks them

    def read(self, interval: Interval, limit: int | None = None) -> Iterator[Page]:
        """Pages of rows with `start - lag <= changed < end - lag`, each row once; at most `limit` rows in all.

        Successive intervals leave no gap and share no moment, with a lag or without. Raises ContractBroken for rows
        that come out of order or twice, links in a circle, and links that lead elsewhere.
        """
        seen = _Seen(self)
        asked = self._by_links(interval, limit) if self.source.paging == "links" else self._by_key(interval, limit)
        for items in asked:
            if fresh := seen.take(items):
                yield self._page(fresh)

    def read_ids(self, ids: Sequence[str]) -> Iterator[Page]:
        """Pages of the records with these ids as they are now, each once; ids that are gone are left out."""
        keys = dict.fromkeys(key for one in ids if (key := self.keys.of_id(one)))
        batches = list(self.keys.batches(list(keys)))
        with threads(self.service.client.in_air) as pool:
            for items in in_order(pool, self._read_batch, batches, self.service.client.in_air):
                if items:
                    yield self._page(items, "read anew, page")

    def read_where(self, name: str, value: str, most: int) -> tuple[Page, bool]:
        """The records whose property `name` holds a value as they are now, the last changed first, at most so many.

        Also says whether there are others. Raises ContractBroken for a property that is not there.
        """
        if name not in self.service.entity.properties:
            raise self.service.broken(explain_missing(name, self.service.entity.properties))
        edm = self.service.edm(self.service.entity.properties[name].type)
        try:
            wanted = literal(canonical(value, edm), edm)
        except ValueError:
            return Page(0, [], []), False  # no value of the property's type: nothing can hold it
        order = f"{self.source.changed.source_name} desc,{','.join(self.keys.types)}"
        options = {**self._options(), "$filter": f"{name} eq {wanted}", "$orderby": order, "$top": most + 1}
        found = [item for items in self.service.pages(options, most=most + 1) for item in items]
        return self._page(found[:most], f"of {name}, page"), len(found) > most

    def _read_batch(self, batch: Sequence[Key]) -> list[Record]:
        options = {**self._options(), "$filter": self.keys.is_one_of(batch)}
        found = {self._key(item): item for items in self.service.pages(options, most=len(batch)) for item in items}
        return [found[key] for key in batch if key in found]

    def _by_key(self, interval: Interval, limit: int | None) -> Iterator[list[Record]]:
        """Pages by ascending key, each asked for while the one before it is used."""
        left, last, trail = limit, None, Trail(self.service)
        with threads(1) as pool:
            asking: Future[Answer] | None = self._ask(pool, interval, None, left)
            while asking:
                answer = asking.result()
                items = answer.items
                for item in items:
                    key = self._key(item)
                    self.keys.check_order(last, key, (self.service.system.name, self.service.object))
                    last = key
                left = None if left is None else left - len(items)
                if items:
                    asking = self._ask(pool, interval, last, left) if left is None or left > 0 else None
                else:
                    asking = pool.submit(trail.follow, answer) if answer.link else None
                yield items

    def _ask(self, pool: Executor, interval: Interval, last: Key | None, left: int | None) -> Future[Answer]:
        rows = self.service.system.page_rows
        options = {
            **self._options(),
            "$filter": self._condition(interval, last),
            "$orderby": ",".join(self.keys.types),
            "$top": rows if left is None else min(rows, left),
        }
        return pool.submit(self.service.page, options)

    def _by_links(self, interval: Interval, limit: int | None) -> Iterator[list[Record]]:
        options = {**self._options(), "$filter": self._condition(interval, None), "$top": limit}
        return self.service.pages(options, {**READS, "Prefer": f"odata.maxpagesize={self.service.system.page_rows}"})

    def _options(self) -> Mapping[str, Any]:
        return {"$select": ",".join(self.shape.select), "$expand": ",".join(self.shape.expand)}

    def _condition(self, interval: Interval, last: Key | None) -> str:
        start, end = (instant(moment - self.source.lag) for moment in (interval.start, interval.end))
        changed = self.source.changed.source_name
        conditions = [f"{changed} ge {start} and {changed} lt {end}"]
        if self.source.filter:
            conditions.append(f"({self.source.filter})")
        if last:
            conditions.append(f"({self.keys.above(last)})")
        return " and ".join(conditions)

    def _key(self, item: Record) -> Key:
        return self.service.key_of(self.keys, item)

    def _page(self, items: Sequence[Record], name: str = "page") -> Page:
        self.pages += 1
        self.rows += len(items)
        page, now = Page(self.pages, [], []), datetime.now(UTC).isoformat(timespec="seconds")
        for number, item in enumerate(items, 1):
            self._add(page, item, f"{self.source.object} {name} {self.pages} row {number}", now)
        return page

    def _add(self, page: Page, item: Record, place: str, now: str) -> None:
        """Read one record into the page's rows, or set it aside with every reason."""
        source, system = self.source, self.service.system
        raw = self.shape.flat(item)
        record, reasons = read_columns(raw, source.declared, personal=self.personal)
        changed = record[source.changed.name]
        self.watermark = max(filter(None, (self.watermark, changed)), default=None)
        name = self._key(item).id
        row_id, key = f"{system.name}/{source.object}/{name}", clean_text(name)
        if reasons:
            kept, where = _as_text(raw, source.declared), f"{system.name}: {place}"
            page.rejected.append(RejectedRow(row_id, key, where, tuple(reasons), kept, owner=system.owner))
            return
        token = etag(item)
        lineage = {system.name: place, "retrieved_at": now, **({VERSION: token} if token else {})}
        page.rows.append({"row_id": row_id, "row_key": key, "lineage": lineage, **record})


class _Seen:
    """The rows that came already, as hashes of their keys: about 60 bytes each."""

    def __init__(self, reader: ODataReader) -> None:
        self._reader, self._keys = reader, set[int]()

    def take(self, items: Sequence[Record]) -> list[Record]:
        """The rows that are new; raises ContractBroken where a row comes again by key, or a whole page by a link."""
        keys = [hash(self._reader._key(item)) for item in items]
        if len(set(keys)) < len(keys):
            raise self._reader.service.broken("two rows of a page have the same key", "Ask the system's owner")
        fresh = [item for key, item in zip(keys, items, strict=True) if key not in self._keys]
        self._keys.update(keys)
        again = len(items) - len(fresh)
        if again and (self._reader.source.paging == "key" or not fresh):
            problem = f"{again} of the {len(items)} rows of a page have come before, so the pages might never end"
            action = BY_LINKS if self._reader.source.paging == "links" else "Check that the service keeps $filter"
            raise self._reader.service.broken(problem, action)
        if again:
            self._reader.facts["repeated"] = self._reader.facts.get("repeated", 0) + again
        return fresh


def _as_text(raw: Mapping[str, Any], columns: Sequence[Column]) -> Record:
    """What came for the columns, as text that any database can hold."""
    came = ((column.name, raw.get(column.source_name)) for column in columns)
    return {name: None if value is None else clean_text(str(value)) for name, value in came}
