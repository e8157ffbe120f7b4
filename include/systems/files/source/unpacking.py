"""Files out of zip and gzip within bounds, so that a small file never becomes a full disk."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from include.errors import ContractBroken

_BLOCK = 1 << 20
_SMALL = 10 << 20
"""Bytes up to which the ratio does not matter: text of blanks packs a thousandfold and harms nobody."""
_WORKBOOK = {"[Content_Types].xml", "mimetype", "content.xml"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a packed file may become: so many members, bytes in all, and times its own size (above 10 MiB)."""

    members: int = 1_000
    bytes: int = 4 << 30
    ratio: int = 200


@dataclass(frozen=True, slots=True)
class Member:
    """A file as it is read: where it lies here, and what it is called on record."""

    path: Path
    name: str


class _Unpacking:
    """Counts what comes out of one packed file."""

    def __init__(self, source: Path, bounds: Bounds) -> None:
        self._name, self._bounds, self._written = source.name, bounds, 0
        self._packed = max(source.stat().st_size, 1)

    def copy(self, packed: IO[bytes], into: Path) -> None:
        """Write one member; raises ContractBroken as soon as a bound is passed."""
        with into.open("wb") as out:
            while block := packed.read(_BLOCK):
                self._written += len(block)
                if self._written > self._bounds.bytes:
                    raise self.refusal(f"becomes more than {self._bounds.bytes:,} bytes")
                if self._written > max(_SMALL, self._bounds.ratio * self._packed):
                    raise self.refusal(f"becomes more than {self._bounds.ratio} times its size")
                out.write(block)

    def refusal(self, problem: str) -> ContractBroken:
        action = "Ask the sender, or raise `bounds` in the spec if that is right"
        return ContractBroken(f"is packed and {problem}: taken for a zip bomb", about=self._name, action=action)


def unpack(source: Path, folder: Path, bounds: Bounds) -> list[Member]:
    """The files in a zip or gzip, else the file itself; told by its first bytes, not by its name.

    Members of a zip are called `<file>!<member>`, a gzip's one as the file. A workbook is a zip too, and stays one,
    within the same bounds. Raises ContractBroken for a damaged archive, one with a password, and one beyond the bounds.
    """
    with source.open("rb") as handle:
        head = handle.read(4)
    unpacking = _Unpacking(source, bounds)
    try:
        if head.startswith(b"\x1f\x8b"):
            into = folder / "unpacked"
            with gzip.open(source) as packed:
                unpacking.copy(packed, into)  # type: ignore[arg-type]
            return [Member(into, source.name)]
        if head == b"PK\x03\x04":
            return _unzip(source, folder, unpacking, bounds)
    except (gzip.BadGzipFile, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ContractBroken(f"cannot be unpacked ({type(error).__name__})", about=source.name) from error
    return [Member(source, source.name)]


def _unzip(source: Path, folder: Path, unpacking: _Unpacking, bounds: Bounds) -> list[Member]:
    members = []
    with zipfile.ZipFile(source) as archive:
        infos = archive.infolist()
        if len(infos) > bounds.members:
            raise unpacking.refusal(f"has {len(infos):,} members, {bounds.members:,} are the most")
        workbook = not _WORKBOOK.isdisjoint(one.filename for one in infos)
        for number, info in enumerate(infos):
            if info.is_dir() or info.filename.startswith("__MACOSX/"):
                continue
            into = folder / f"member{number}{PurePosixPath(info.filename).suffix[:8]}"  # never a path of the sender's
            with archive.open(info) as packed:
                unpacking.copy(packed, into)
            members.append(Member(into, f"{source.name}!{info.filename}"))
    if workbook:
        for member in members:
            member.path.unlink()
        return [Member(source, source.name)]
    return members
