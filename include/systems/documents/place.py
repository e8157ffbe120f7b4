"""A folder that others put files in, on a file server or on this machine: what is there, and a copy of one file."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import paramiko

from include.errors import AccessDenied, ConfigurationError, ContractBroken, SystemUnavailable
from include.systems.connections import OPENERS, StoredConnection
from include.systems.files.folder import Seen, list_folder, look, look_at, matches
from include.systems.files.formats.values import explain_missing
from include.systems.files.transfer import Wanted, copy_file, stat_files
from include.systems.port import Surroundings

Where = Literal["sftp", "local"]
"""A file server, or a folder of this machine below the `path` in the extra of its connection."""
_PIECE = 1 << 20
_BRACES = re.compile(r"\{([^{}]*)\}")
OPENERS.setdefault("local", f"{__name__}:local_path")


class Place(Protocol):
    """One folder; `calls` counts what was asked of it."""

    calls: int

    def require(self) -> None:
        """Raise ContractBroken if there is no such folder, naming the likely rename."""
        ...

    def look(self, pattern: str) -> Mapping[str, Seen]:
        """The files that are meant by the pattern, by name."""
        ...

    def look_at(self, names: Sequence[str]) -> Mapping[str, Seen]:
        """Those of these files that are there."""
        ...

    def copy(self, name: str, seen: Seen, into: Path) -> str:
        """Copy a file as long as it was seen; its sha256. Raises FileNotFoundError if it is gone."""
        ...


@contextmanager
def open_place(here: Surroundings, system: str, folder: str, where: Where) -> Iterator[Place]:
    """The folder of a system of the registry; what fails within the block is raised by its cause.

    Raises ConfigurationError for a connection that cannot be used, AccessDenied, SystemUnavailable.
    """
    entry = here.system(system)
    try:
        if where == "local":
            yield _Local(system, here.connections.open("local", entry.connection), folder)
            return
        with here.connections.open("sftp", entry.connection) as sftp:
            channel = sftp.get_channel()
            if channel is not None:
                channel.settimeout(entry.timeout_seconds)
            yield _Sftp(system, sftp, folder)
    except PermissionError as error:
        action = f"Grant the account of connection `{entry.connection}`: {', '.join(entry.scopes)}"
        raise AccessDenied("access to a folder or file was refused", system=system, action=action) from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        code = errno.errorcode.get(getattr(error, "errno", None) or 0, "no code")
        problem = f"the folder cannot be read ({type(error).__name__}, {code})"
        raise SystemUnavailable(problem, system=system, about=folder, action="Retry later") from error


def local_path(connection: StoredConnection) -> Path:
    """The folder of a connection to this machine; raises ConfigurationError if it names none."""
    path = connection.extra.get("path")
    if not isinstance(path, str) or not Path(path).is_absolute():
        raise ConfigurationError("extra `path` is no absolute path of a folder", system=connection.conn_id)
    return Path(path)


def spread(pattern: str) -> list[str]:
    """The patterns that one with braces stands for: `*.{pdf,xml}` is `*.pdf` and `*.xml`."""
    found = _BRACES.search(pattern)
    if found is None:
        return [pattern]
    return [
        each for one in found[1].split(",") for each in spread(pattern[: found.start()] + one + pattern[found.end() :])
    ]


def _meant(name: str, patterns: Sequence[str]) -> bool:
    return any(matches(name, pattern) for pattern in patterns)


def _absent(system: str, folder: str, others: Sequence[str]) -> ContractBroken:
    name = folder.rstrip("/").rpartition("/")[2]
    action = "Correct the use case's spec, or ask the owner of the folder"
    return ContractBroken(f"{explain_missing(name, others)}, as a folder", system=system, about=folder, action=action)


class _Sftp:
    def __init__(self, system: str, sftp: paramiko.SFTPClient, folder: str) -> None:
        self._system, self._sftp, self._folder = system, sftp, folder.rstrip("/") or "/"
        self.calls = 0

    def require(self) -> None:
        self.calls += 1
        (found,) = stat_files(self._sftp, [self._folder])
        if found is None or not stat.S_ISDIR(found.st_mode or 0):
            above = self._folder.rpartition("/")[0] or ("/" if self._folder.startswith("/") else ".")
            others = [one.filename for one in list_folder(self._sftp, above) if stat.S_ISDIR(one.st_mode or 0)]
            raise _absent(self._system, self._folder, others)

    def look(self, pattern: str) -> Mapping[str, Seen]:
        self.calls += 1
        patterns = spread(pattern)
        found = look(self._sftp, self._folder, pattern if len(patterns) == 1 else "*").files
        return {name: seen for name, seen in found.items() if _meant(name, patterns)}

    def look_at(self, names: Sequence[str]) -> Mapping[str, Seen]:
        self.calls += 1
        return look_at(self._sftp, self._folder, names).files

    def copy(self, name: str, seen: Seen, into: Path) -> str:
        self.calls += 1
        return copy_file(self._sftp, Wanted(f"{self._folder}/{name}", seen.bytes), into)[0]


class _Local:
    """Links are no files here, since one could lead out of the folder."""

    def __init__(self, system: str, base: Path, folder: str) -> None:
        self._system, self._folder, self._path = system, folder, base / folder.strip("/")
        self.calls = 0

    def require(self) -> None:
        self.calls += 1
        if not self._path.is_dir():
            above = self._path.parent
            others = [one.name for one in above.iterdir() if one.is_dir()] if above.is_dir() else []
            raise _absent(self._system, self._folder, others)

    def look(self, pattern: str) -> Mapping[str, Seen]:
        self.calls += 1
        patterns = spread(pattern)
        if not self._path.is_dir():
            return {}
        with os.scandir(self._path) as entries:
            return {
                entry.name: _seen(entry.stat(follow_symlinks=False))
                for entry in entries
                if entry.is_file(follow_symlinks=False) and _meant(entry.name, patterns)
            }

    def look_at(self, names: Sequence[str]) -> Mapping[str, Seen]:
        self.calls += 1
        found = {name: self._path / name for name in names}
        return {name: _seen(path.lstat()) for name, path in found.items() if path.is_file() and not path.is_symlink()}

    def copy(self, name: str, seen: Seen, into: Path) -> str:
        self.calls += 1
        sha256, left = hashlib.sha256(), seen.bytes
        source = os.open(self._path / name, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(source, "rb") as handle, into.open("wb") as copy:
            while left and (piece := handle.read(min(left, _PIECE))):
                left -= len(piece)
                sha256.update(piece)
                copy.write(piece)
        return sha256.hexdigest()


def _seen(found: os.stat_result) -> Seen:
    return Seen(found.st_size, int(found.st_mtime))
