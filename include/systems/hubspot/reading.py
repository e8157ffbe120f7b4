"""Rows of a CRM that speaks HubSpot's CRM v3 API, changed within an interval, page by page.

Every page asks for ids above the last one seen, instead of following the search's own `after` cursor: that cursor is an
offset, so a record that leaves the interval while we read (somebody edits it) would shift the rest and one row would
be skipped unseen. Ids also get past the number of hits after which the API refuses to page on.

A page is searched for while the ones before it are read, joined and used; pages come in their order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from include.errors import ContractBroken
from include.models import Column, Interval, Record, RejectedRow
from include.systems.files.formats.values import explain_missing, read_columns
from include.systems.http import RestClient
from include.systems.hubspot.answers import as_text, has_name, is_object, present, results_of
from include.systems.hubspot.associated import AssociatedRecords, check_labels
from include.systems.hubspot.declared import HubSpotRecords
from include.systems.hubspot.owners import Owners
from include.systems.hubspot.related import RelatedRecords, Wanted
from include.systems.in_air import in_order, threads
from include.systems.port import VERSION, Page
from include.systems.registry import System

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Coming(NamedTuple):
    """A page whose related records are on their way; None for an object that is joined by a column of another one."""

    page: Page
    wanted: list[Wanted | None]

    def lacking(self) -> set[Future[Any]]:
        """Batches that are not there yet."""
        return {call for wanted in self.wanted if wanted for call in wanted.coming if not call.done()}


@dataclass
class HubSpotReader:
    """Reads one source.

    `facts` count rows: `missing_related` refer to a record that is not there; `several_related` are associated with
    several records, of which not exactly one is primary; `unknown_owners` have an owner whom the CRM does not know.
    """

    client: RestClient
    system: System
    source: HubSpotRecords
    personal: Sequence[str] = ()
    pages: int = 0
    rows: int = 0
    watermark: datetime | None = None
    facts: Record = field(default_factory=lambda: {"missing_related": 0})
    owners: Owners | None = None

    def __post_init__(self) -> None:
        """Count, and look for owners, only where the source declares it."""
        if any(one.by for one in self.source.related):
            self.facts["several_related"] = 0
        if self.source.owner:
            self.owners = Owners(self.client, self.system, self.source.owner)
            self.facts["unknown_owners"] = 0

    @property
    def calls(self) -> int:
        """Requests so far, retries included."""
        return self.client.calls

    @property
    def retries(self) -> int:
        """Requests that were sent again."""
        return self.client.retries

    @property
    def columns(self) -> tuple[Column, ...]:
        """The declared columns of the source's own object."""
        return self.source.own

    def check_contract(self) -> None:
        """Raise ContractBroken for the first declared property, or label of an association, that the CRM lacks."""
        check_properties(self.client, self.system, self.source.object, self.columns)
        for related in self.source.related:
            check_properties(self.client, self.system, related.object, related.columns)
            if related.by:
                check_labels(self.client, self.system, self.source.object, related)

    def read(self, interval: Interval, limit: int | None = None) -> Iterator[Page]:
        """Pages of rows with `start <= modified < end`, by ascending id, each id once; at most `limit` rows in all.

        A row with a declared column that cannot be read is set aside with every reason. Raises ContractBroken if the
        CRM does not sort as asked, since rows could then be lost.
        """
        with threads(self.client.in_air) as pool:
            related, ahead = self._related(pool), deque[_Coming]()
            left, last = limit, -1
            searching: Future[Any] | None = self._search(pool, interval, last, left)
            while searching or ahead:
                _go_on(ahead, related)
                if not searching or len(ahead) == self.client.in_air or _comes_first(ahead, related, searching):
                    yield self._finish(ahead.popleft(), related)
                    continue
                answer = searching.result()
                items = results_of(answer, self.system, self.source.object, is_object)
                last = self._check_order(items, last)
                left = None if left is None else left - len(items)
                more = items and answer.get("paging") and (left is None or left > 0)
                searching = self._search(pool, interval, last, left) if more else None
                if items:
                    ahead.append(self._begin(items, "page", related))

    def read_ids(self, numbers: Sequence[str]) -> Iterator[Page]:
        """Pages of the records with these ids as they are now, each once; ids that are not there are left out.

        An id whose record was merged into another is not there: the CRM answers with the other one.
        """
        numbers = sorted((one for one in numbers if one.isdecimal()), key=int)
        size, left = self.system.batch_rows, set(numbers)
        parts = [numbers[first : first + size] for first in range(0, len(numbers), size)]
        with threads(self.client.in_air) as pool:
            related = self._related(pool)
            for asked, found in zip(parts, in_order(pool, self._read_batch, parts, self.client.in_air), strict=True):
                items = [found[number] for number in asked if number in found and number in left]
                left.difference_update(asked)
                yield self._finish(self._begin(items, "read anew, page", related), related)

    def _read_batch(self, numbers: Sequence[str]) -> dict[str, Record]:
        kind = self.source.object
        body = {"properties": [c.source_name for c in self.columns], "inputs": [{"id": one} for one in numbers]}
        answer = self.client.call("POST", f"/crm/v3/objects/{kind}/batch/read", body, accept=(200, 207)).body
        return {str(item["id"]): item for item in results_of(answer, self.system, kind, is_object)}

    def _related(self, pool: Executor) -> list[RelatedRecords | AssociatedRecords]:
        made = [RelatedRecords(self.client, self.system, one, self.personal, pool) for one in self.source.related]
        kind = self.source.object
        return [AssociatedRecords(self.client, self.system, kind, one, pool) if one.related.by else one for one in made]

    def _search(self, pool: Executor, interval: Interval, last: int, left: int | None) -> Future[Any]:
        """Ask for the page after the last id; at most `left` rows of it."""
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
            "limit": self.system.page_rows if left is None else min(self.system.page_rows, left),
        }
        path = f"/crm/v3/objects/{self.source.object}/search"
        return pool.submit(lambda: self.client.call("POST", path, body, kind="search").body)

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

    def _begin(self, items: list[Record], name: str, related: Sequence[RelatedRecords | AssociatedRecords]) -> _Coming:
        """Read the rows' own columns, and let what they refer to be read meanwhile."""
        self.pages += 1
        self.rows += len(items)
        rows, rejected = self._read_rows(items, f"{self.source.object} {name} {self.pages}")
        own = {column.name for column in self.columns}
        wanted = [one.start(rows) if one.related.by or one.related.join_on in own else None for one in related]
        return _Coming(Page(self.pages, rows, rejected), wanted)

    def _finish(self, coming: _Coming, related: Sequence[RelatedRecords | AssociatedRecords]) -> Page:
        """Join what the page's rows refer to; a record may in turn name the one that the next object is joined by."""
        page = coming.page
        for one, wanted in zip(related, coming.wanted, strict=True):
            rejected, missing = one.join(page.rows, wanted or one.start(page.rows))
            page.rejected.extend(rejected)
            self.facts["missing_related"] += missing
            if isinstance(one, AssociatedRecords):
                self.facts["several_related"] += one.take_several()
        if self.owners:
            self.facts["unknown_owners"] += self.owners.fill(page.rows)
        return page

    def _read_rows(self, items: list[Record], name: str) -> tuple[list[Record], list[RejectedRow]]:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows: list[Record] = []
        rejected: list[RejectedRow] = []
        for number, item in enumerate(items, 1):
            place = f"{name} row {number}"
            raw = {self.source.key.source_name: item["id"], **present(item["properties"])}
            record, reasons = read_columns(raw, self.columns, personal=self.personal)
            self._advance(record[self.source.modified.name])
            row_id = f"{self.system.name}/{self.source.object}/{item['id']}"
            key = str(record[self.source.key.name] or item["id"])
            if reasons:
                kept = as_text(raw, self.columns)
                where, owner = f"{self.system.name}: {place}", self.system.owner
                rejected.append(RejectedRow(row_id, key, where, tuple(reasons), kept, owner=owner))
            else:
                lineage = {self.system.name: place, "retrieved_at": now, VERSION: item.get("updatedAt")}
                rows.append({"row_id": row_id, "row_key": key, "lineage": lineage, **record})
        return rows, rejected

    def _advance(self, modified: datetime | None) -> None:
        if modified and (self.watermark is None or modified > self.watermark):
            self.watermark = modified


def _go_on(ahead: Iterable[_Coming], related: Sequence[RelatedRecords | AssociatedRecords]) -> None:
    """Where it is known by now what pages refer to, begin to read it."""
    for page in ahead:
        for one, wanted in zip(related, page.wanted, strict=True):
            if isinstance(one, AssociatedRecords) and wanted:
                one.go_on(page.page.rows, wanted)


def _comes_first(
    ahead: Sequence[_Coming], related: Sequence[RelatedRecords | AssociatedRecords], searching: Future[Any]
) -> bool:
    """Wait for what the first page still lacks, or for the search; whether it is the page that can go on."""
    while ahead and not searching.done():
        lacking = ahead[0].lacking()
        if not lacking:
            return True
        wait({searching, *lacking}, return_when=FIRST_COMPLETED)
        _go_on(ahead, related)
    return False


def check_properties(client: RestClient, system: System, kind: str, columns: Iterable[Column]) -> None:
    """Raise ContractBroken for properties that the CRM lacks, naming the likely rename."""
    answer = client.call("GET", f"/crm/v3/properties/{kind}").body
    existing = {item["name"] for item in results_of(answer, system, kind, has_name)}
    missing = [column.source_name for column in columns if column.source_name not in existing]
    if missing:
        raise ContractBroken(
            "; ".join(explain_missing(name, existing) for name in missing),
            system=system.name,
            about=f"properties of {kind}",
            action="Correct the use case's spec, or ask the CRM's administrator",
        )


def _millis(moment: datetime) -> str:
    """Epoch milliseconds, rounded up: the first millisecond that is not before the moment."""
    return str(-((_EPOCH - moment) // timedelta(milliseconds=1)))
