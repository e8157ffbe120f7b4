"""Every table of the public sets is read or refused in words: rows and what cannot be read are all of its records."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from upath import UPath

from include.errors import NightledgerError
from include.settings import ROOT
from include.systems.files.formats.encoding import find_encoding
from include.systems.files.formats.layout import find_layout
from include.systems.files.formats.opening import open_file
from include.systems.files.formats.reading import Reading
from include.systems.files.formats.stage import stage_file
from tests.core.systems.files.plain import plain_records

PUBLIC = ROOT.parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not PUBLIC.is_dir(), reason=f"the public sets are not in {PUBLIC}")
SUFFIXES = {".csv", ".tsv", ".txt", ".tab", ".gz", ".bz2", ".zip", ".jsonl", ".xlsx", ".xls", ".ods", ".parquet"}


def tables(folder: Path) -> list[Path]:
    found = [one for one in folder.rglob("*") if one.suffix.lower() in SUFFIXES and not one.name.startswith("LICENSE")]
    return sorted(one for one in found if "documents_" not in str(one) and "email_mime" not in str(one))


def hold(path: Path, folder: Path) -> str:
    """Stage a file and count its records again; returns how it ended."""
    folder.mkdir()
    told: list[tuple[str, str, str]] = []
    try:
        found = stage_file(path, UPath(folder), tell=lambda *what: told.append(what))
    except NightledgerError:
        return "refused"
    places = pq.read_table(folder / "places.parquet")
    assert found.rows.rows == found.places.rows == places.num_rows == pq.read_metadata(folder / "raw.parquet").num_rows
    assert sum(not column for _, column, _ in told) == found.unreadable
    lines = places["line"].to_pylist() + [int(place.rpartition(":")[2]) for place, column, _ in told if not column]
    assert len(set(lines)) == len(lines)
    opened = open_file(path, folder)
    encoding = find_encoding(opened.path)
    if opened.format == "text" and found.encoding is not None:
        text = opened.path.read_bytes().decode(encoding.codec, "replace")
        layout = find_layout(text, True, Reading(), path.name)
        if layout is None:
            assert not text.strip()
            assert not found.rows.rows
            return "read"
        if not found.unreadable:
            assert sum(1 for _ in plain_records(text, layout)) == found.rows.rows
        physical = list(io.StringIO(text, newline=""))[layout.line - 1 :]
        assert found.rows.rows + found.unreadable + found.empty <= len(physical)
    return "read"


@pytest.mark.parametrize(
    "name", sorted(one.name for one in PUBLIC.iterdir() if one.is_dir()) if PUBLIC.is_dir() else []
)
def test_all_records_of_every_table_are_read_or_told(tmp_path: Path, name: str) -> None:
    found = tables(PUBLIC / name)
    if not found:
        pytest.skip("the set has no table")
    ended = [hold(path, tmp_path / str(number)) for number, path in enumerate(found)]
    assert ended.count("read") > len(ended) / 2
