"""Files as sinks of a use case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from include.errors import ConfigurationError
from include.models import Kind
from include.systems.port import Sink, Surroundings

if TYPE_CHECKING:
    from include.systems.files.out.writing import FileDestination

RUN = "{run}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOut(Sink):
    """One file per run in the folder `object` of an SFTP server, this machine or an object store.

    `name` is filled by strftime with the interval's start, and `{run}` with the run's id. A row is the record's id, in
    the column `key`, and the `fields`; it is there once, however often it is sent. Each batch leaves a whole file in
    place of the one before, under its name only when it is complete, and a manifest beside it: rows, sha256, run.

    In CSV a text that a spreadsheet would run as a formula has an apostrophe before it. Parquet needs the `kinds` of
    all fields. A text of more than `longest` characters is refused (the default is what a cell of Excel holds).
    """

    name: str
    format: Literal["csv", "jsonl", "parquet"] = "csv"
    key: str = "id"
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    longest: int = 32_767

    def open(self, here: Surroundings) -> FileDestination:
        """The adapter; raises ConfigurationError for a declaration that cannot work."""
        from include.systems.files.out.writing import FileDestination

        columns, problem = list(self.fields.values()), ""
        if RUN not in self.name or "/" in self.name:
            problem = f"`name` must hold {RUN} and no folder: each run has a file of its own"
        elif not columns or len({self.key, *columns}) <= len(columns):
            problem = "`fields` are needed, each under a name of its own, and none under that of `key`"
        elif self.format == "parquet" and set(columns) - set(self.kinds):
            problem = f"Parquet needs `kinds` of {', '.join(sorted(set(columns) - set(self.kinds)))}"
        if problem:
            raise ConfigurationError(problem, system=self.system, about=self.object)
        return FileDestination(self, here)
