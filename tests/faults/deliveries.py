"""Deliveries of the histories' own use case: files of rows, each kept beside as it is when it is complete."""

from __future__ import annotations

import csv
import hashlib
import io
import subprocess
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.world import World

WHEN = ["fault_proposals", "--from", "2026-11-19T02:00", "--to", "2026-11-20T02:00", "--mode", "auto"]
NAMES = tuple(f"proposals_2026-11-19_{letter}.csv" for letter in "abc")
BALLAST = 3_000
"""Characters of a column that nobody reads, so that a file takes many pieces to come."""


@dataclass(frozen=True)
class Row:
    """One row of a delivery; its key is that of a proposal."""

    series: str
    demand: int
    note: str


def start(here: World, name: str = "night") -> subprocess.Popen[str]:
    """Start the night."""
    return here.command(name, ["run", "all", *WHEN])


def finish(here: World, night: subprocess.Popen[str]) -> None:
    """Let a night come to its end; one that gave up is started again."""
    here.finish("night", night, lambda: start(here))


def again(here: World) -> None:
    """The same night once more, in peace."""
    finish(here, start(here))


def folder(here: World) -> Path:
    """Where the sender drops files."""
    place = here.folder / "sandbox" / "sftp" / "proposals"
    place.mkdir(exist_ok=True)
    return place


def draw(here: World, rows: int) -> list[list[Row]]:
    """Rows for each file, no series twice: two of three are records of the ERP already, the others are not yet."""
    keys = [
        f"P-{1000 + number},{plant},{ahead}"
        for number in range(24)
        for plant in ("DE01", "FR02")
        for ahead in range(1, 7)
    ]
    chosen = here.chance.sample(keys, rows * len(NAMES))
    made = [Row(key, here.chance.randint(1, 900), f"row of {key}") for key in chosen]
    return [made[at * rows : (at + 1) * rows] for at in range(len(NAMES))]


def content(rows: Sequence[Row], ballast: int = 0) -> bytes:
    """A file of these rows."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["series", "demand", "note", "ballast"])
    writer.writerows([row.series, row.demand, row.note, "x" * ballast] for row in rows)
    return out.getvalue().encode()


def keep(here: World, name: str, data: bytes) -> bytes:
    """Put a delivery on the sender's own record, by name and sha256: what is complete, and may be read."""
    kept = here.folder / "delivered" / name
    kept.mkdir(parents=True, exist_ok=True)
    (kept / hashlib.sha256(data).hexdigest()).write_bytes(data)
    return data


def deliver(here: World, rows: int, ballast: int = 0) -> list[list[Row]]:
    """Drop all files, complete."""
    drawn = draw(here, rows)
    for name, of_file in zip(NAMES, drawn, strict=True):
        (folder(here) / name).write_bytes(keep(here, name, content(of_file, ballast)))
    return drawn


def delivered(here: World, files: Iterable[dict[str, Any]]) -> dict[str, Row]:
    """Row id -> row of the deliveries that a night has read; raises AssertionError for what nobody has sent."""
    found: dict[str, Row] = {}
    for file in files:
        name = str(file["path"]).rpartition("/")[2]
        kept = here.folder / "delivered" / name / str(file["sha256"])
        assert kept.exists(), f"{name} was read as nobody has sent it ({file['bytes']} bytes)"
        text = kept.read_bytes().decode()
        for each in csv.DictReader(io.StringIO(text)):
            key = each["series"].replace("%", "%25").replace(",", "%2C")
            found[f"sftp/proposals/{name}#{key}"] = Row(each["series"], int(each["demand"]), each["note"])
    return found


def bomb() -> bytes:
    """A small archive that becomes sixty mebibytes of rows."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", b"series,demand,note\n" + b"0" * (60 << 20))
    return out.getvalue()
