"""A folder on disk as the world of the contract suite, whatever its files hold."""

from __future__ import annotations

import os
from abc import abstractmethod
from datetime import datetime
from pathlib import Path
from typing import Any

from include.systems.port import Reader
from tests.core.systems.contracts import NIGHT, SourceWorld
from tests.core.systems.documents.here import Here


class FolderWorld(SourceWorld):
    """A file for each number; what the contract calls a column is the folder, which is all that can be renamed."""

    source: Any

    def __init__(self, base: Path, here: Here) -> None:
        self.here, self.folder = here, base / "in" / "post"
        self.folder.mkdir(parents=True)

    @abstractmethod
    def content(self, number: int, name: str, amount: Any) -> bytes:
        """The file of that number."""

    def put(self, number: int, changed: datetime, name: str = "Ann", amount: Any = "1.5") -> None:
        self.write(self.id_of(number), self.content(number, name, amount), changed)

    def write(self, name: str, data: bytes, changed: datetime = NIGHT.start) -> None:
        (self.folder / name).write_bytes(data)
        os.utime(self.folder / name, (changed.timestamp(), changed.timestamp()))

    def remove(self, number: int) -> None:
        (self.folder / self.id_of(number)).unlink()

    def rename_column(self, old: str, new: str) -> None:
        self.folder.rename(self.folder.with_name("posts"))

    def open(self) -> Reader:
        return self.source.open(self.here)
