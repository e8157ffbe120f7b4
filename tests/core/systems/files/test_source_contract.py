"""Files keep what every source promises, over SFTP and in a folder of this machine."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Any

import pytest

from include.models import Column
from include.systems.files.source.declared import Files
from include.systems.files.source.rows import FilesReader
from tests.core.systems.contracts import NIGHT, SourceWorld, VersionedSourceContract, versions
from tests.core.systems.files.conftest import Shelf

SOURCE = Files(
    system="shop",
    folder="drop",
    archive="archive",
    pattern="orders_%Y-%m-%d.csv",
    key=Column("no", "number"),
    columns=(Column("name", "name"), Column("amount", "amount", "number")),
    settle_seconds=0.05,
)


class FilesWorld(SourceWorld):
    """Orders of a day in a file; a row belongs to the night by the date in the file's name."""

    reads_anew = False

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.rows: dict[int, tuple[datetime, str, Any]] = {}
        self.header = "no,name,amount"

    def put(self, number: int, changed: datetime, name: str = "Ann", amount: Any = "1.5") -> None:
        self.rows[number] = (changed, name, amount)
        self._write()

    def remove(self, number: int) -> None:
        del self.rows[number]
        self._write()

    def rename_column(self, old: str, new: str) -> None:
        self.header = ",".join(new if one == old else one for one in self.header.split(","))
        self._write()

    def id_of(self, number: int) -> str:
        return f"orders_{NIGHT.start:%Y-%m-%d}.csv#{1000 + number}"

    def open(self) -> FilesReader:
        return SOURCE.open(self.shelf.standing)

    def _write(self) -> None:
        days: dict[str, list[int]] = {}
        for number, (changed, _, _) in self.rows.items():
            days.setdefault(f"{changed - timedelta(hours=2):%Y-%m-%d}", []).append(number)
        for day, numbers in days.items():
            lines = [f"{1000 + n},{self.rows[n][1]},{self.rows[n][2]}" for n in numbers]
            file = self.shelf.put("\n".join([self.header, *lines]) + "\n", f"orders_{day}.csv")
            written = max(self.rows[n][0] for n in numbers).timestamp()
            os.utime(file, (written, written))


class TestFiles(VersionedSourceContract):
    @pytest.fixture
    def world(self, shelf: Shelf) -> FilesWorld:
        return FilesWorld(shelf)

    def test_a_row_carries_a_token_that_changes_with_it(self, world: SourceWorld) -> None:
        """The token is the file's content and the line: another file is another token for each of its rows."""
        self.fill(world)
        before = versions(world)
        assert len(set(before.values())) == len(before)
        assert versions(world) == before
        world.put(4, NIGHT.start + timedelta(hours=9, seconds=1), name="name 4", amount=44)
        after = versions(world)
        assert all(before[row] != after[row] for row in before)
