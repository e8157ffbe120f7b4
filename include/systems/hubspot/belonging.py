"""All records of one object that are associated with one record of another: what belongs to an account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.models import Column, Record
from include.systems.port import Belongs, Lookup, Surroundings

if TYPE_CHECKING:
    from include.systems.http import RestClient
    from include.systems.registry import System


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSpotBelonging:
    """Records of `object` that are associated with the record of `to` whose id is in the row's column `owner`."""

    system: str
    object: str
    to: str
    owner: str
    key: Column
    columns: tuple[Column, ...]

    @property
    def declared(self) -> Sequence[Column]:
        """The properties of a record, the key first."""
        return (self.key, *self.columns)

    def open(self, here: Surroundings) -> Lookup:
        """The adapter."""
        return _Associated(self, here.client(self.system), here.system(self.system), here.personal)


@dataclass
class _Associated:
    """Asks for the associations of one record, then for the records that they name."""

    source: HubSpotBelonging
    client: RestClient
    system: System
    personal: Sequence[str]

    def check_contract(self) -> None:
        """Raise ContractBroken for a property that is not there, or objects that cannot be associated."""
        from include.systems.hubspot.associated import check_labels
        from include.systems.hubspot.declared import Association, Related
        from include.systems.hubspot.reading import check_properties

        source = self.source
        check_properties(self.client, self.system, source.object, source.declared)
        related = Related(source.object, source.owner, (), by=Association())
        check_labels(self.client, self.system, source.to, related)

    def read(self, owner: str, most: int) -> Belongs:
        """The records with the highest ids, which came last, first."""
        from include.systems.hubspot.associated import read_associations

        if not owner.isdecimal():
            return Belongs(())
        source = self.source
        found = read_associations(self.client, self.system, (source.to, source.object), [owner]).get(owner, {})
        newest = sorted(found, key=int, reverse=True)
        size = min(self.system.batch_rows, 100)
        rows, unreadable, wanted = list[Record](), 0, newest[:most]
        for first in range(0, len(wanted), size):
            read, bad = self._records(wanted[first : first + size])
            rows += read
            unreadable += bad
        return Belongs(rows, len(newest) > most, unreadable)

    def _records(self, numbers: Sequence[str]) -> tuple[list[Record], int]:
        from include.systems.files.formats.values import read_columns
        from include.systems.hubspot.answers import is_object, present, results_of

        kind = self.source.object
        body = {"properties": [c.source_name for c in self.source.declared], "inputs": [{"id": one} for one in numbers]}
        answer = self.client.call("POST", f"/crm/v3/objects/{kind}/batch/read", body, accept=(200, 207)).body
        items = {str(item["id"]): item for item in results_of(answer, self.system, kind, is_object)}
        rows, bad = list[Record](), 0
        for number in numbers:
            if number in items:  # the CRM answers with another id for a record that was merged: it is left out
                raw = {self.source.key.source_name: number, **present(items[number]["properties"])}
                record, reasons = read_columns(raw, self.source.declared, personal=self.personal)
                bad += bool(reasons)
                rows += [] if reasons else [{"row_id": f"{self.system.name}/{kind}/{number}", **record}]
        return rows, bad
