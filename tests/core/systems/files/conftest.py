"""Files that a test writes and stages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from upath import UPath

from include.models import Record
from include.systems.files.formats.reading import Reading
from include.systems.files.formats.stage import stage_file
from include.systems.files.formats.staged import FileRows
from tests.core.night.extract.conftest import Drop
from tests.core.night.extract.conftest import drop as drop
from tests.core.night.extract.conftest import sftp_server as sftp_server
from tests.core.systems.sql.standing import Standing

Stage = Callable[..., tuple[FileRows, list[Record]]]


@pytest.fixture
def told() -> list[tuple[str, str, str]]:
    return []


@pytest.fixture
def places(tmp_path: Path) -> Callable[[], list[tuple[int, str | None]]]:
    return lambda: [tuple(row.values()) for row in pq.read_table(tmp_path / "places.parquet").to_pylist()]


@pytest.fixture
def stage(tmp_path: Path, told: list[tuple[str, str, str]]) -> Stage:
    def run(content: str | bytes, name: str = "rows.csv", **more: Any) -> tuple[FileRows, list[Record]]:
        source = tmp_path / name
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        key = more.pop("key", ())
        found = stage_file(
            source, UPath(tmp_path), key=key, reading=Reading(**more), tell=lambda *what: told.append(what)
        )
        return found, pq.read_table(tmp_path / "raw.parquet").to_pylist()

    return run


@dataclass
class Shelf:
    """A folder that files are dropped into, and how a run reaches it."""

    root: Path
    standing: Standing

    def put(self, data: str | bytes, name: str, *, checksum: bool = True, folder: str = "drop") -> Path:
        path, raw = self.root / folder / name, data.encode() if isinstance(data, str) else data
        path.write_bytes(raw)
        if checksum:
            Path(f"{path}.sha256").write_text(f"{hashlib.sha256(raw).hexdigest()}  {name}\n")
        return path


@pytest.fixture
def local_shelf(tmp_path: Path) -> Shelf:
    for name in ("drop", "archive"):
        (tmp_path / name).mkdir()
    return Shelf(tmp_path, Standing({"extra": {"path": str(tmp_path)}}))


@pytest.fixture
def sftp_shelf(drop: Drop) -> Shelf:
    connection = {"host": "127.0.0.1", "port": drop.port, "login": "nl", "password": "right"}
    return Shelf(drop.root, Standing({**connection, "extra": {"host_key": drop.host_key}}))


@pytest.fixture(params=["sftp", "local"])
def shelf(request: pytest.FixtureRequest) -> Shelf:
    found: Shelf = request.getfixturevalue(f"{request.param}_shelf")
    return found
