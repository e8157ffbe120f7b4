"""Rows that come in files, as a use case declares them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from include.errors import ConfigurationError
from include.models import Column
from include.systems.files.drop import Proof
from include.systems.files.source.forms import Csv, Form
from include.systems.files.source.unpacking import Bounds
from include.systems.port import Origin, Surroundings

if TYPE_CHECKING:
    from include.systems.files.source.rows import FilesReader


@dataclass(frozen=True, slots=True)
class Arrived:
    """Which files belong to an interval: those whose name says so, or whose time of writing lies in it.

    By `name`, the pattern is filled with the interval's start on the clocks of `zone`; a file that comes later is read
    by the same night, run again. By `time`, it belongs to the night in which it was written, and is never missed.
    """

    zone: str = "UTC"
    by: Literal["name", "time"] = "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Rows of the files in a folder of an SFTP server, this machine or an object store (connection's extra `path`).

    `pattern` is filled by strftime, then globbed; `at_least` so many files are expected (0: none may have come).
    `proof` and `settle_seconds` say what tells that a file is complete, as for `FileDrop`. A file is of at most
    `largest` bytes, and what is packed becomes no more than `bounds`. Once read, files are moved to `archive`, and
    found there when the interval is read again.

    A row's id is `<file>#<key>`, or `<file>#line <n>` where the key is missing or was in the file before; so the same
    record in two files is two rows.
    """

    system: str
    folder: str
    pattern: str
    key: Column
    columns: tuple[Column, ...]
    archive: str = ""
    format: Form = field(default_factory=Csv)
    when: Arrived = field(default_factory=Arrived)
    at_least: int = 1
    proof: Proof = "any"
    settle_seconds: float = 5.0
    largest: int = 2 << 30
    bounds: Bounds = field(default_factory=Bounds)
    max_field_chars: int = 4_000

    @property
    def object(self) -> str:
        """What is read of the system: the folder."""
        return self.folder

    @property
    def declared(self) -> tuple[Column, ...]:
        """Every column of the rows that it gives, the key first."""
        return (self.key, *self.columns)

    @property
    def changed(self) -> None:
        """No column: a file's name or time decides to which interval its rows belong."""
        return

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Where each column comes from."""
        return {one.name: Origin(self.system, self.folder, one.source_name) for one in self.declared}

    @property
    def refers(self) -> Mapping[str, str]:
        """Nothing else is joined."""
        return {}

    def open(self, here: Surroundings) -> FilesReader:
        """The adapter; raises ConfigurationError for a declaration that cannot work."""
        from include.systems.files.source.rows import FilesReader

        problem = ""
        if not self.folder or not self.pattern or "/" in self.pattern:
            problem = "`folder` and a `pattern` without folders are needed"
        elif self.archive == self.folder:
            problem = "`archive` must be another folder"
        try:
            ZoneInfo(self.when.zone)
        except (ZoneInfoNotFoundError, ValueError):
            problem = f"no time zone {self.when.zone!r}"
        if problem:
            raise ConfigurationError(problem, system=self.system, about=self.folder)
        return FilesReader(here, here.system(self.system), self)
