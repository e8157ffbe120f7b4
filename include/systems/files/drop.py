"""A file that another party drops once per interval, as a use case declares it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from include.models import Column
from include.systems.port import Origin

Proof = Literal["any", "checksum", "done"]


@dataclass(frozen=True, slots=True)
class FileDrop:
    """A file expected once per interval; `pattern` is filled by strftime with the interval's start, then globbed.

    Rows are joined where file column `key` equals staged column `join_on`; `prefix` names the staged columns. `proof`
    is what says that the file is complete: its sha256 ("checksum": beside it or in `MANIFEST.sha256`), a marker
    ("done": the file's name and `.done`), or whichever there is, else that size and time stay for `settle_seconds`
    ("any"); a writer that may pause for longer needs one of the first two.
    """

    system: str
    folder: str
    archive: str
    pattern: str
    columns: tuple[Column, ...]
    key: str
    join_on: str
    prefix: str
    required: bool = True
    settle_seconds: float = 5.0
    max_field_chars: int = 4_000
    proof: Proof = "any"

    @property
    def declared(self) -> tuple[Column, ...]:
        """The columns that it adds to a row, under their staged names."""
        return tuple(Column(column.source_name, self.prefix + column.name, column.kind) for column in self.columns)

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Where each of those columns comes from."""
        return {column.name: Origin(self.system, self.folder, column.source_name) for column in self.declared}
