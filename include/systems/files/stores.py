"""Folders of files that others share: on an SFTP server, on this machine or on an object store."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import paramiko
from upath import UPath

from include.errors import AccessDenied, FileNotReady, SystemUnavailable
from include.storage import reaching
from include.systems.files.folder import (
    ASK_AGAIN,
    LARGEST_MANIFEST,
    MANIFEST,
    Look,
    Seen,
    look,
    look_at,
    parse_manifest,
)
from include.systems.files.transfer import PIECE, Wanted, copy_file, read_file
from include.systems.port import Surroundings

_BLOCK = 1 << 20


class Store(Protocol):
    """Paths are relative to the account's folder, as the declarations have them."""

    calls: int

    def look(self, folder: str, pattern: str = "*") -> Look:
        """What is in the folder now; nothing where there is no such folder."""
        ...

    def look_at(self, folder: str, names: Sequence[str]) -> Look:
        """What is under these names in the folder now."""
        ...

    def copy(self, wanted: Wanted, into: Path, beside: Wanted | None = None) -> tuple[str, bytes | None]:
        """Copy a file here; its sha256, and the content of a small one that lies `beside` it."""
        ...

    def read(self, wanted: Wanted) -> bytes:
        """A small file."""
        ...

    def put(self, local: Path, path: str) -> None:
        """Write a file under a name of its own, then give it the path in one step, in place of what was there."""
        ...


class SftpStore:
    """An SFTP server's folders, over one session."""

    def __init__(self, sftp: paramiko.SFTPClient) -> None:
        """`calls` counts looks, copies and writes."""
        self._sftp, self.calls = sftp, 0

    def look(self, folder: str, pattern: str = "*") -> Look:
        """As `Store`."""
        self.calls += 1
        return look(self._sftp, folder, pattern)

    def look_at(self, folder: str, names: Sequence[str]) -> Look:
        """As `Store`."""
        self.calls += 1
        return look_at(self._sftp, folder, names)

    def copy(self, wanted: Wanted, into: Path, beside: Wanted | None = None) -> tuple[str, bytes | None]:
        """As `Store`."""
        self.calls += 1
        return copy_file(self._sftp, wanted, into, beside)

    def read(self, wanted: Wanted) -> bytes:
        """As `Store`."""
        self.calls += 1
        return read_file(self._sftp, wanted)

    def put(self, local: Path, path: str) -> None:
        """As `Store`; what arrived is held against the size of what was sent."""
        self.calls += 1
        place = PurePosixPath(path)
        for one in reversed([place.parent, *place.parent.parents]):
            self._make(str(one))
        temporary = f"{place.parent}/.{place.name}.part"
        with local.open("rb") as ours, self._sftp.open(temporary, "wb") as theirs:
            while block := ours.read(_BLOCK):
                self._write(theirs, block)
        arrived, sent = self._sftp.stat(temporary).st_size, local.stat().st_size
        if arrived != sent:
            raise OSError(errno.EIO, f"{arrived} of {sent} bytes arrived")
        self._sftp.posix_rename(temporary, path)

    def _write(self, theirs: paramiko.SFTPFile, block: bytes) -> None:
        """One wait for a block: its last piece alone asks for the answers to all."""
        theirs.set_pipelined(True)
        theirs.write(block[:-PIECE])
        theirs.set_pipelined(False)
        theirs.write(block[-PIECE:])

    def _make(self, folder: str) -> None:
        try:
            self._sftp.stat(folder)
        except FileNotFoundError:
            self._sftp.mkdir(folder)


class PathStore:
    """A folder of this machine or of an object store."""

    def __init__(self, root: UPath) -> None:
        """`calls` counts looks, copies and writes."""
        self._root, self.calls = root, 0

    def look(self, folder: str, pattern: str = "*") -> Look:
        """As `Store`."""
        self.calls += 1
        place = self._root / folder
        with reaching(place, "read"):
            place.fs.invalidate_cache(place.path)
            names = [one.name for one in place.iterdir()] if place.is_dir() else []
        return self._look(folder, names)

    def look_at(self, folder: str, names: Sequence[str]) -> Look:
        """As `Store`."""
        self.calls += 1
        return self._look(folder, names)

    def copy(self, wanted: Wanted, into: Path, beside: Wanted | None = None) -> tuple[str, bytes | None]:
        """As `Store`."""
        self.calls += 1
        said = self.read(beside) if beside else None
        place, sha256 = self._root / wanted.path, hashlib.sha256()
        with reaching(place, "read"), place.open("rb") as theirs, into.open("wb") as ours:
            while block := theirs.read(_BLOCK):
                sha256.update(block)
                ours.write(block)
        return sha256.hexdigest(), said

    def read(self, wanted: Wanted) -> bytes:
        """As `Store`."""
        with reaching(self._root / wanted.path, "read"), (self._root / wanted.path).open("rb") as handle:
            data: bytes = handle.read(wanted.bytes)
        return data

    def put(self, local: Path, path: str) -> None:
        """As `Store`; an object appears whole by itself, so that it is written under its own name."""
        self.calls += 1
        place = self._root / path
        if getattr(place, "protocol", "") not in ("", "file", "local"):
            with reaching(place, "write"), local.open("rb") as ours, place.open("wb") as theirs:
                shutil.copyfileobj(ours, theirs, _BLOCK)
            return
        target = Path(place.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.part")
        shutil.copyfile(local, temporary)
        sync(temporary)
        temporary.replace(target)
        sync(target.parent)

    def _look(self, folder: str, names: Sequence[str]) -> Look:
        found = {}
        for name in names:
            place = self._root / folder / name
            try:
                with reaching(place, "read"):
                    stat, is_folder = place.stat(), place.is_dir()
            except FileNotFoundError:
                continue
            if not is_folder:
                found[name] = Seen(int(stat.st_size), int(stat.st_mtime))
        return Look(folder, found)


def sync(place: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def open_store(here: Surroundings, system: str) -> Iterator[Store]:
    """The folders of a system: those of its connection's extra `path` (a folder or URL), else of its SFTP server.

    Lost connections and refusals become SystemUnavailable and AccessDenied.
    """
    entry = here.system(system)
    root = here.connections.get(entry.connection).extra.get("path")
    try:
        if root:
            yield PathStore(UPath(str(root)))
            return
        with here.connections.open("sftp", entry.connection) as sftp:
            channel: Any = sftp.get_channel()
            if channel is not None:
                channel.settimeout(entry.timeout_seconds)
            yield SftpStore(sftp)
    except PermissionError as error:
        action = f"Grant the account of connection `{entry.connection}`: {', '.join(entry.scopes)}"
        raise AccessDenied("access to a folder or file was refused", system=system, action=action) from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        code = errno.errorcode.get(getattr(error, "errno", None) or 0, "no code")
        problem = f"the transfer failed ({type(error).__name__}, {code})"
        raise SystemUnavailable(problem, system=system, action="Retry later") from error


def manifest_of(store: Store, system: str, seen: Look) -> dict[str, str]:
    """The sums of the folder's `MANIFEST.sha256` by name; nothing where there is none. Raises FileNotReady."""
    if MANIFEST not in seen.files:
        return {}
    about, size = seen.path(MANIFEST), seen.files[MANIFEST].bytes
    if size > LARGEST_MANIFEST:
        raise FileNotReady(f"larger than {LARGEST_MANIFEST} bytes", system=system, about=about, action=ASK_AGAIN)
    return parse_manifest(system, about, store.read(Wanted(about, size)))
