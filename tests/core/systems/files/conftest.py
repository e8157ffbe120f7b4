"""Files that a test writes and stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from upath import UPath

from include.models import Record
from include.systems.files.formats.reading import Reading
from include.systems.files.formats.stage import stage_file
from include.systems.files.formats.staged import FileRows

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
