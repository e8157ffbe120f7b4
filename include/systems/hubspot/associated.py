"""Records that are associated with a CRM's rows, whatever the two objects: which of several is meant, and how many.

Associations v4: at most 1,000 records a call; of one record they come in pages, each asked for with `after`; a record
without any stands among the errors of a 207.
https://developers.hubspot.com/docs/api-reference/legacy/crm/associations/associate-records/batch/get-associations
https://developers.hubspot.com/changelog/bug-fix-batch-read-limit-for-hubspot-associations-api
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

from include.errors import ContractBroken
from include.models import Record, RejectedRow
from include.systems.files.formats.values import explain_missing
from include.systems.http import RestClient
from include.systems.hubspot.answers import results_of
from include.systems.hubspot.declared import Association, Related
from include.systems.hubspot.related import RelatedRecords, Wanted
from include.systems.registry import System

MOST = 1_000
"""Records of one call."""
PRIMARY = "Primary"
_NONE = "OBJECT_NOT_FOUND"
"""The category of the error for a record without associations, and for one that is gone meanwhile."""


class Chosen(NamedTuple):
    """The record that is meant, how many there were, and whether nothing but their ids could tell them apart."""

    number: str
    among: int
    several: bool


def choose(found: Mapping[str, Sequence[str]], by: Association) -> Chosen | None:
    """One of the records, each given with the labels of its associations; None if none has the label asked for."""
    able = sorted((one for one, labels in found.items() if not by.label or by.label in labels), key=int)
    if not able:
        return None
    primary = [one for one in able if PRIMARY in found[one]]
    return Chosen((primary or able)[0], len(able), len(able) > 1 and len(primary) != 1)


class AssociatedRecords:
    """Records of one related object by association; read while further pages are searched, as `RelatedRecords`."""

    def __init__(self, client: RestClient, system: System, kind: str, records: RelatedRecords, pool: Executor) -> None:
        """`kind` is the object of the rows; `records` reads those that were chosen."""
        self._client, self._system, self._kind, self._records, self._pool = client, system, kind, records, pool
        self.related, self._several = records.related, 0

    def start(self, rows: Iterable[Record]) -> Wanted:
        """Begin to read what the rows are associated with."""
        numbers = [_number(row) for row in rows]
        parts = [numbers[first : first + MOST] for first in range(0, len(numbers), MOST)]
        return Wanted(associated=[self._pool.submit(self._read, part) for part in parts])

    def go_on(self, rows: Sequence[Record], wanted: Wanted) -> None:
        """Begin to read the records that are meant, where all associations are there; what failed is left to `join`."""
        if wanted.then is None and all(call.done() and not call.exception() for call in wanted.associated):
            wanted.then = self._meant(rows, wanted)

    def join(self, rows: Sequence[Record], wanted: Wanted) -> tuple[list[RejectedRow], int]:
        """Say which record is meant and how many there are, and put that record's columns on each row."""
        return self._records.join(rows, wanted.then or self._meant(rows, wanted))

    def _meant(self, rows: Sequence[Record], wanted: Wanted) -> Wanted:
        found = {number: each for batch in wanted.associated for number, each in batch.result().items()}
        by = self.related.by or Association()
        for row in rows:
            chosen = choose(found.get(_number(row), {}), by)
            row[self.related.join_on] = chosen.number if chosen else None
            row[f"{self.related.join_on}_count"] = chosen.among if chosen else 0
            self._several += chosen is not None and chosen.several
        return self._records.start(rows)

    def take_several(self) -> int:
        """How many rows since the last call have several records that nothing but their ids tells apart."""
        found, self._several = self._several, 0
        return found

    def _read(self, numbers: Sequence[str]) -> dict[str, dict[str, list[str]]]:
        return read_associations(self._client, self._system, (self._kind, self.related.object), numbers)


def read_associations(
    client: RestClient, system: System, kinds: tuple[str, str], numbers: Sequence[str]
) -> dict[str, dict[str, list[str]]]:
    """By record of the first object, the labels of its associations by the other record's id, at most 1,000 records.

    Those without any are not there. Raises ContractBroken for what hides some.
    """
    about = f"associations of {kinds[0]} with {kinds[1]}"
    path = f"/crm/v4/associations/{kinds[0]}/{kinds[1]}/batch/read"
    found: dict[str, dict[str, list[str]]] = {}
    inputs: list[dict[str, str]] = [{"id": number} for number in numbers]
    seen = set[tuple[str, str]]()
    while inputs:
        body = client.call("POST", path, {"inputs": inputs}, accept=(200, 207)).body
        inputs = []
        for result in results_of(body, system, about, _is_result):
            number, after = str(result["from"]["id"]), _after(result)
            for to in result["to"]:
                labels = [str(one.get("label") or "") for one in to["associationTypes"]]
                found.setdefault(number, {}).setdefault(str(to["toObjectId"]), []).extend(labels)
            if after is not None:
                if (number, after) in seen:
                    raise _broken("a page of associations leads to itself", system, about)
                seen.add((number, after))
                inputs.append({"id": number, "after": after})
        for error in body.get("errors") or []:  # a record without associations is no fault, whatever else hides some
            category = error.get("category") if isinstance(error, dict) else None
            if category != _NONE:
                raise _broken(f"associations were refused: {str(category)[:60]}", system, about)
    return found


def check_labels(client: RestClient, system: System, kind: str, related: Related) -> None:
    """Raise ContractBroken where two objects cannot be associated, or have no such label."""
    about = _pair(kind, related)
    answer = client.call("GET", f"/crm/v4/associations/{kind}/{related.object}/labels", accept=(200, 400)).body
    if not isinstance(answer, dict) or "results" not in answer:
        raise _broken("the two objects cannot be associated", system, about)
    known = {str(item.get("label") or "") for item in results_of(answer, system, about, _is_type)}
    label = related.by.label if related.by else ""
    if label and label not in known:
        raise _broken(f"label: {explain_missing(label, known - {''})}", system, about)


def _pair(kind: str, related: Related) -> str:
    return f"associations of {kind} with {related.object}"


def _broken(problem: str, system: System, about: str) -> ContractBroken:
    action = "Correct the use case's spec, or ask the CRM's administrator"
    return ContractBroken(problem, system=system.name, about=about, action=action)


def _number(row: Record) -> str:
    """The record's id at the CRM, which ends its row id."""
    return str(row["row_id"]).rpartition("/")[2]


def _after(result: Record) -> str | None:
    after = ((result.get("paging") or {}).get("next") or {}).get("after")
    return None if after is None else str(after)


def _is_type(item: Record) -> bool:
    return "typeId" in item


def _is_result(item: Record) -> bool:
    start, ends = item.get("from"), item.get("to")
    return isinstance(start, dict) and "id" in start and isinstance(ends, list) and all(map(_is_end, ends))


def _is_end(item: Any) -> bool:
    types = item.get("associationTypes") if isinstance(item, dict) else None
    if not isinstance(types, list) or not all(isinstance(one, dict) for one in types):
        return False
    return str(item.get("toObjectId", "")).isdecimal()
