"""Records of an entity set of which one property holds one value: what belongs to a customer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.models import Column, Record
from include.systems.port import Belongs, Lookup, Surroundings

if TYPE_CHECKING:
    from include.systems.odata.reading import ODataReader


@dataclass(frozen=True, slots=True, kw_only=True)
class ODataBelonging:
    """Records of entity set `object` whose property `of` holds the value of the row's column `owner`.

    `keys` and `changed` are as in `ODataRecords`; the last changed come first.
    """

    system: str
    object: str
    of: str
    owner: str
    keys: tuple[Column, ...]
    changed: Column
    columns: tuple[Column, ...] = ()

    @property
    def declared(self) -> Sequence[Column]:
        """Every column of a record, the keys first."""
        return (*self.keys, self.changed, *self.columns)

    def open(self, here: Surroundings) -> Lookup:
        """The adapter."""
        from include.systems.odata.declared import ODataRecords

        system, kind = self.system, self.object
        records = ODataRecords(system=system, object=kind, keys=self.keys, changed=self.changed, columns=self.columns)
        return _Filtered(self, records.open(here))


@dataclass
class _Filtered:
    """Asks for the records by that property."""

    source: ODataBelonging
    reader: ODataReader

    def check_contract(self) -> None:
        """Raise ContractBroken for a property that is not there, or is of another type."""
        from include.systems.odata.columns import check_columns

        self.reader.check_contract()
        check_columns(self.reader.service, [Column(self.source.of, self.source.of)])

    def read(self, owner: str, most: int) -> Belongs:
        """The records that were changed last, first."""
        page, more = self.reader.read_where(self.source.of, owner, most)
        return Belongs([_own(row) for row in page.rows], more, len(page.rejected))


def _own(row: Record) -> Record:
    return {name: value for name, value in row.items() if name not in ("row_key", "lineage")}
