"""Rows of a CRM that speaks HubSpot's CRM v3 API, changed within an interval, page by page.

Every page asks for ids above the last one seen, instead of following the search's own `after` cursor: that cursor is an
offset, so a record that leaves the interval while we read (somebody edits it) would shift the rest and one row would
be skipped unseen. Ids also get past the number of hits after which the API refuses to page on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from include.errors import ContractBroken
from include.models import Interval, Record, RejectedRow
from include.rest import RestClient
from include.sources.values import clean_text, explain_missing, read_columns
from include.systems import System
from include.use_case import Column, CrmSource, Related

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """What one page gave: rows with `row_id`, `row_key`, `lineage` and every declared column, and rows set aside."""

    number: int
    rows: list[Record]
    rejected: list[RejectedRow]


@dataclass
class CrmReader:
    """Reads one source; `pages`, `rows`, `missing_related` and `watermark` (latest modification) grow as it goes."""

    client: RestClient
    system: System
    source: CrmSource
    personal: Sequence[str] = ()
    pages: int = 0
    rows: int = 0
    missing_related: int = 0
    watermark: datetime | None = None
    _related: dict[str, OrderedDict[str, Record | None]] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The declared columns of the source's own object."""
        return (self.source.key, self.source.modified, *self.source.columns)

    def check_contract(self) -> None:
        """Raise ContractBroken for the first declared property that the CRM does not have."""
        _check_properties(self.client, self.system, self.source.object, self.columns)
        for related in self.source.related:
            _check_properties(self.client, self.system, related.object, related.columns)

    def read(self, interval: Interval, limit: int | None = None) -> Iterator[Page]:
        """Pages of rows with `start <= modified < end`, by ascending id, each id once; at most `limit` rows in all.

        A row with a declared column that cannot be read is set aside with every reason. Raises ContractBroken if the
        CRM does not sort as asked, since rows could then be lost.
        """
        last, left = -1, limit
        while left is None or left > 0:
            size = self.system.page_rows if left is None else min(self.system.page_rows, left)
            answer = self._search(interval, last, size)
            items = _results(answer, self.system, self.source.object, _is_object)
            if not items:
                return
            last = self._check_order(items, last)
            self.pages += 1
            self.rows += len(items)
            yield self._page(items, f"{self.source.object} page {self.pages}")
            left = None if left is None else left - len(items)
            if not answer.get("paging"):
                return

    def read_ids(self, numbers: Sequence[str]) -> Iterator[Page]:
        """Pages of the records with these ids as they are now, each once; ids that are not there are left out.

        An id whose record was merged into another is not there: the CRM answers with the other one.
        """
        left = set(numbers)
        for start in range(0, len(numbers), self.system.batch_rows):
            asked = numbers[start : start + self.system.batch_rows]
            body = {"properties": [c.source_name for c in self.columns], "inputs": [{"id": one} for one in asked]}
            path = f"/crm/v3/objects/{self.source.object}/batch/read"
            answer = self.client.call("POST", path, body, accept=(200, 207)).body
            found = {str(item["id"]): item for item in _results(answer, self.system, self.source.object, _is_object)}
            items = [found[number] for number in asked if number in found and number in left]
            left.difference_update(asked)
            self.pages += 1
            self.rows += len(items)
            yield self._page(items, f"{self.source.object} read anew, page {self.pages}")

    def _search(self, interval: Interval, last: int, size: int) -> Any:
        modified = self.source.modified.source_name
        filters = [
            {"propertyName": modified, "operator": "GTE", "value": _millis(interval.start)},
            {"propertyName": modified, "operator": "LT", "value": _millis(interval.end)},
        ]
        if last >= 0:
            filters.append({"propertyName": "hs_object_id", "operator": "GT", "value": str(last)})
        body = {
            "filterGroups": [{"filters": filters}],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": [column.source_name for column in self.columns],
            "limit": size,
        }
        return self.client.call("POST", f"/crm/v3/objects/{self.source.object}/search", body, kind="search").body

    def _check_order(self, items: list[Record], last: int) -> int:
        for item in items:
            number = int(item["id"])
            if number <= last:
                raise ContractBroken(
                    "search results are not in ascending order of hs_object_id, so rows could be lost or read twice",
                    system=self.system.name,
                    about=self.source.object,
                    action=f"Check that {self.system.api} sorts by hs_object_id and filters by GT",
                )
            last = number
        return last

    def _page(self, items: list[Record], name: str) -> Page:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows: list[Record] = []
        rejected: list[RejectedRow] = []
        for number, item in enumerate(items, 1):
            place = f"{name} row {number}"
            raw = {self.source.key.source_name: item["id"], **_present(item["properties"])}
            record, reasons = read_columns(raw, self.columns, personal=self.personal)
            self._advance(record[self.source.modified.name])
            row_id = f"{self.system.name}/{self.source.object}/{item['id']}"
            key = str(record[self.source.key.name] or item["id"])
            if reasons:
                kept = _as_text(raw, self.columns)
                where, owner = f"{self.system.name}: {place}", self.system.owner
                rejected.append(RejectedRow(row_id, key, where, tuple(reasons), kept, owner=owner))
            else:
                lineage = {self.system.name: place, "retrieved_at": now}
                rows.append({"row_id": row_id, "row_key": key, "lineage": lineage, **record})
        for related in self.source.related:
            rejected += self._join(rows, related)
        return Page(self.pages, rows, rejected)

    def _advance(self, modified: datetime | None) -> None:
        if modified and (self.watermark is None or modified > self.watermark):
            self.watermark = modified

    def _join(self, rows: list[Record], related: Related) -> list[RejectedRow]:
        """Put the related record's columns on each row, null where there is none; what it set aside as context."""
        known = self._related.setdefault(related.object, OrderedDict())
        wanted = dict.fromkeys(str(row[related.join_on]) for row in rows if row[related.join_on] is not None)
        new = [number for number in wanted if number not in known and number.isdecimal()]
        rejected: list[RejectedRow] = []
        for start in range(0, len(new), self.system.batch_rows):
            rejected += self._fetch(related, new[start : start + self.system.batch_rows], known)
        for row in rows:
            number = row[related.join_on]
            found = known.get(str(number)) if number is not None else None
            self.missing_related += found is None and number is not None
            row.update(found or {column.name: None for column in related.columns})
        for number in wanted.keys() & known.keys():
            known.move_to_end(number)
        while len(known) > _REMEMBERED:
            known.popitem(last=False)
        return rejected

    def _fetch(
        self, related: Related, numbers: Sequence[str], known: OrderedDict[str, Record | None]
    ) -> Iterator[RejectedRow]:
        """Read records by id. One with unreadable values still gives the others; it is set aside as context."""
        known.update(dict.fromkeys(numbers))
        body = {
            "properties": [column.source_name for column in related.columns],
            "inputs": [{"id": number} for number in numbers],
        }
        answer = self.client.call("POST", f"/crm/v3/objects/{related.object}/batch/read", body, accept=(200, 207)).body
        for item in _results(answer, self.system, related.object, _is_object):
            raw = _present(item["properties"])
            known[str(item["id"])], reasons = read_columns(raw, related.columns, personal=self.personal)
            if reasons:
                place = f"{self.system.name}/{related.object}/{item['id']}"
                kept = _as_text(raw, related.columns)
                why, owner = tuple(reasons), self.system.owner
                yield RejectedRow(place, str(item["id"]), place, why, kept, counts_as_input=False, owner=owner)


def _check_properties(client: RestClient, system: System, kind: str, columns: Iterable[Column]) -> None:
    answer = client.call("GET", f"/crm/v3/properties/{kind}").body
    existing = {item["name"] for item in _results(answer, system, kind, _has_name)}
    missing = [column.source_name for column in columns if column.source_name not in existing]
    if missing:
        raise ContractBroken(
            "; ".join(explain_missing(name, existing) for name in missing),
            system=system.name,
            about=f"properties of {kind}",
            action="Correct the use case's spec, or ask the CRM's administrator",
        )


def _results(answer: Any, system: System, about: str, is_one: Callable[[Any], bool]) -> list[Record]:
    """The answer's `results`; raises ContractBroken unless it is a list in which `is_one` holds for each."""
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list) or not all(isinstance(item, dict) and is_one(item) for item in results):
        raise ContractBroken("`results` is not what the v3 API promises", system=system.name, about=about)
    return results


def _is_object(item: Record) -> bool:
    return str(item.get("id", "")).isdecimal() and isinstance(item.get("properties"), dict)


def _has_name(item: Record) -> bool:
    return isinstance(item.get("name"), str)


def _as_text(raw: Record, columns: Iterable[Column]) -> Record:
    """What came for the columns, as text that any database can hold."""
    came = ((column.name, raw.get(column.source_name)) for column in columns)
    return {name: None if value is None else clean_text(str(value)) for name, value in came}


def _present(properties: Record) -> Record:
    return {name: value for name, value in properties.items() if value is not None}


def _millis(moment: datetime) -> str:
    """Epoch milliseconds, rounded up: the first millisecond that is not before the moment."""
    return str(-((_EPOCH - moment) // timedelta(milliseconds=1)))
