"""One look at a folder of a file server: which files are there, and what says that each of them is complete."""

from __future__ import annotations

import fnmatch
import glob
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeGuard

import paramiko

from include.errors import FileNotReady
from include.systems.files.transfer import Wanted, read_file, stat_files

CHECKSUM, DONE, MANIFEST = ".sha256", ".done", "MANIFEST.sha256"
_UNFINISHED = (".part", ".partial", ".filepart", ".tmp", ".temp", "~")
_DIGEST = re.compile(r"\s*([0-9a-fA-F]{64})\b")
_LINE = re.compile(r"\\?([0-9a-fA-F]{64}) [ *](.+)")
LARGEST_CHECKSUM = 4_096  # bytes of it that are read
LARGEST_MANIFEST = 64 * 1024 * 1024
ASK_AGAIN = "Retry when the delivery is complete, else ask the sender to deliver it again"


class Seen(NamedTuple):
    """A file's size in bytes and its time on the server in epoch seconds, as one look found them."""

    bytes: int
    modified: int


@dataclass(frozen=True, slots=True)
class Look:
    """The files of one folder at one moment, by name."""

    folder: str
    files: Mapping[str, Seen]

    def path(self, name: str) -> str:
        """Where the file lies on the server."""
        return f"{self.folder}/{name}"


def is_plain(pattern: str) -> bool:
    """Whether the pattern can only be one name."""
    return not glob.has_magic(pattern)


def matches(name: str, pattern: str) -> bool:
    """Whether a file is meant by the pattern: no marker, and hidden or unfinished only where the pattern says so."""
    if "/" in name or name == MANIFEST or name.endswith((CHECKSUM, DONE)) or not fnmatch.fnmatchcase(name, pattern):
        return False
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return not any(name.lower().endswith(end) and not pattern.lower().endswith(end) for end in _UNFINISHED)


def look(sftp: paramiko.SFTPClient, folder: str, pattern: str = "*") -> Look:
    """What is in the folder now; nothing where there is no such folder.

    One listing, or for a pattern that is one name the questions for it and for what may lie beside it.
    """
    if is_plain(pattern):
        return look_at(sftp, folder, [pattern, pattern + CHECKSUM, pattern + DONE, MANIFEST])
    listed = {entry.filename: entry for entry in list_folder(sftp, folder)}
    links = [name for name, entry in listed.items() if stat.S_ISLNK(entry.st_mode or 0)]
    return _look(folder, {**listed, **_stat(sftp, folder, links)})


def look_at(sftp: paramiko.SFTPClient, folder: str, names: Sequence[str]) -> Look:
    """What is under these names in the folder now; one round trip."""
    return _look(folder, _stat(sftp, folder, names))


def _look(folder: str, found: Mapping[str, paramiko.SFTPAttributes | None]) -> Look:
    files = {name: Seen(entry.st_size or 0, entry.st_mtime or 0) for name, entry in found.items() if _is_file(entry)}
    return Look(folder, files)


def _stat(sftp: paramiko.SFTPClient, folder: str, names: Sequence[str]) -> dict[str, paramiko.SFTPAttributes | None]:
    return dict(zip(names, stat_files(sftp, [f"{folder}/{name}" for name in names]), strict=True))


def list_folder(sftp: paramiko.SFTPClient, folder: str) -> list[paramiko.SFTPAttributes]:
    """The folder's entries, none if it does not exist."""
    try:
        return sftp.listdir_attr(folder)
    except FileNotFoundError:
        return []


def _is_file(entry: paramiko.SFTPAttributes | None) -> TypeGuard[paramiko.SFTPAttributes]:
    return entry is not None and not stat.S_ISDIR(entry.st_mode or 0)


def read_digest(system: str, about: str, data: bytes) -> str:
    """The sha256 that the sender says a file has; raises FileNotReady for a checksum file that holds none."""
    match = _DIGEST.match(data.decode("ascii", "replace"))
    if not match:
        raise FileNotReady("holds no sha256", system=system, about=about, action=ASK_AGAIN)
    return match[1].lower()


def read_manifest(sftp: paramiko.SFTPClient, system: str, seen: Look) -> dict[str, str]:
    """The sums of the folder's `MANIFEST.sha256` by name, as `sha256sum` writes it; nothing where there is none.

    Raises FileNotReady if a line is none of a manifest, since half a manifest hides what was never sent.
    """
    if MANIFEST not in seen.files:
        return {}
    about, size = seen.path(MANIFEST), seen.files[MANIFEST].bytes
    if size > LARGEST_MANIFEST:
        raise FileNotReady(f"larger than {LARGEST_MANIFEST} bytes", system=system, about=about, action=ASK_AGAIN)
    return parse_manifest(system, about, read_file(sftp, Wanted(about, size)))


def parse_manifest(system: str, about: str, data: bytes) -> dict[str, str]:
    """The sums in a manifest's text, as `read_manifest` gives them."""
    sums = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        match = _LINE.fullmatch(line.strip())
        if match:
            sums[match[2].removeprefix("./")] = match[1].lower()
        elif line.strip():
            problem = f"line {number} is no sha256 with a file's name"
            raise FileNotReady(problem, system=system, about=about, action=ASK_AGAIN)
    return sums
