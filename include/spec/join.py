"""Columns of another record, found by its id: the purchase order of an invoice, the company of a ticket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar

from include.errors import ConfigurationError
from include.models import Column, Kind, Record, RejectedRow
from include.spec.reshape import require
from include.spec.transforms import Applied, added
from include.systems.port import UNPLACED, Origin, Reader, Source, Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """The columns of a record of `source`, but for its key, on every row whose columns `on` hold the record's id.

    They are named with `prefix`, and are null where there is no such record; `<prefix>found` says whether there was. An
    id of several parts is made of several columns. The source must be one that can be read by ids; its records are read
    as they are when the night runs, whatever its interval.

    Memory: every record that is joined.
    """

    whole: ClassVar[bool] = False

    source: Source
    on: str | tuple[str, ...]
    prefix: str

    @property
    def parts(self) -> tuple[str, ...]:
        """The columns of which an id is made."""
        return (self.on,) if isinstance(self.on, str) else self.on

    @property
    def declared(self) -> tuple[Column, ...]:
        """The columns that it adds, under their names there and here."""
        key = self.source.key.name
        return tuple(
            Column(column.source_name, self.prefix + column.name, column.kind)
            for column in self.source.declared
            if column.name != key
        )

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Where each of those columns comes from."""
        return {self.prefix + name: origin for name, origin in self.source.origins.items()}

    @property
    def made_of(self) -> Mapping[str, Sequence[str]]:
        """Whether the record was found, of the columns with its id; the others come from elsewhere."""
        return {f"{self.prefix}found": self.parts}

    def columns(self, given: Mapping[str, Kind]) -> Mapping[str, Kind]:
        """Those of the record, and whether it was found."""
        for name in self.parts:
            require(given, name, of=f"{self.prefix}found")
        for column in self.declared:
            given = added(given, column.name, column.kind)
        return added(given, f"{self.prefix}found", "boolean")

    def apply(self, rows: list[Record], end: datetime) -> list[Record]:
        """Only what `open` gives can be applied."""
        raise ConfigurationError("was not opened", system=self.source.system, about=f"join {self.prefix}")

    def open(self, here: Surroundings) -> Joining:
        """The join at work in one run; raises ConfigurationError where its source cannot be read by ids."""
        reader = self.source.open(here)
        if reader.read_ids([]) is None:
            problem = "cannot be read by ids, so nothing can be joined from it"
            raise ConfigurationError(
                problem, system=self.source.system, about=self.source.object, action="Join a file of it by `FileDrop`"
            )
        reader.check_contract()
        return Joining(self, reader)


@dataclass
class Joining:
    """A join at work: each record is read once. `asked` counts rows that have an id, `matched` those found."""

    declared: Join
    reader: Reader
    asked: int = 0
    matched: int = 0
    whole: ClassVar[bool] = False
    _known: dict[str, Record | None] = field(default_factory=dict)

    @property
    def made_of(self) -> Mapping[str, Sequence[str]]:
        """As declared."""
        return self.declared.made_of

    def columns(self, given: Mapping[str, Kind]) -> Mapping[str, Kind]:
        """As declared."""
        return self.declared.columns(given)

    def apply(self, rows: list[Record], end: datetime) -> list[Record]:
        """The same rows with the columns; a record that cannot be read is set aside, and its rows go on without it."""
        ids = [self._id(row) for row in rows]
        rejected = self._read(sorted({one for one in ids if one is not None} - self._known.keys()))
        prefix, names = self.declared.prefix, [column.name for column in self.declared.declared]
        for row, one in zip(rows, ids, strict=True):
            record = self._known.get(one) if one is not None else None
            row.update({name: record[name.removeprefix(prefix)] if record else None for name in names})
            row[f"{prefix}found"] = record is not None
            if record:
                row["lineage"] |= self._place(record)
            self.asked += one is not None
            self.matched += record is not None
        return Applied(rows, rejected)

    def _id(self, row: Record) -> str | None:
        """The record's id as readers write it: several parts stand with commas between them, and none within."""
        parts = [row[name] for name in self.declared.parts]
        if any(part is None or part == "" for part in parts):
            return None
        if len(parts) == 1:
            return str(parts[0])
        return ",".join(str(part).replace("%", "%25").replace(",", "%2C") for part in parts)

    def _read(self, ids: Sequence[str]) -> list[RejectedRow]:
        if not ids:
            return []
        source, rejected = self.declared.source, list[RejectedRow]()
        self._known |= dict.fromkeys(ids)
        for page in self.reader.read_ids(ids) or ():
            rejected += [replace(one, counts_as_input=False) for one in page.rejected]
            for row in page.rows:
                self._known[row["row_id"].removeprefix(f"{source.system}/{source.object}/")] = row
        return rejected

    def _place(self, record: Record) -> Record:
        """Where the record was found, by the name of its object; the row's own places stay."""
        places = [place for name, place in record["lineage"].items() if name not in UNPLACED]
        return {f"{self.declared.source.system} {self.declared.source.object}": " ".join(map(str, places))}
