"""Folders and files that only the account that made them may open, whatever the umask; object stores have rights of
their own.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO, Any

from upath import UPath

from include.storage import open_object, reach

FOLDER, FILE = 0o700, 0o600


def make_folder(folder: Path | UPath) -> None:
    """Make a folder and those above it that are missing; one of ours that others may open is closed to them.

    On an object store nothing is made, since that asks for the right to make buckets. Raises ConfigurationError if the
    client of the storage is not installed.
    """
    place = _local(folder)
    if place is None:
        reach(folder)
        return
    missing = [one for one in (place, *place.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=FOLDER, exist_ok=True)
    close_folder(place)


def close_folder(folder: Path | UPath, mode: int = FOLDER) -> None:
    """Take the rights of others off a local folder of this account; earlier versions left them there."""
    place = _local(folder)
    if place is not None:
        found = place.stat()
        if found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) & ~mode:
            place.chmod(mode)


def open_file(file: Path | UPath, mode: str, **more: Any) -> IO[Any]:
    """Open a file for writing, as `open` does; `more` is passed on. Raises as `open_object` for an object store."""
    place = _local(file)
    if place is None:
        return open_object(file, mode, **more)
    return open(place, mode, opener=_open_private, **more)


def write_file(file: Path | UPath, text: str) -> None:
    """Write a text as UTF-8."""
    with open_file(file, "w", encoding="utf-8") as handle:
        handle.write(text)


def _open_private(path: str, flags: int) -> int:
    handle = os.open(path, flags, FILE)
    try:
        if os.fstat(handle).st_uid == os.getuid():
            os.fchmod(handle, FILE)  # it may have been there before, open to others
    except OSError:
        os.close(handle)
        raise
    return handle


def _local(place: Path | UPath) -> Path | None:
    """The place on this machine, or None on an object store."""
    if isinstance(place, Path):
        return Path(place)
    return Path(place.path) if getattr(place, "protocol", "") in ("file", "local") else None
