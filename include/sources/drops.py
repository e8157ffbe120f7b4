"""Files that another party drops on an SFTP server: found, complete, fetched once."""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import paramiko

from include.errors import AccessDenied, ContractBroken, FileNotReady, SystemUnavailable
from include.models import Interval, Record
from include.night import Night
from include.use_case import FileDrop

CHECKSUM = ".sha256"
_DIGEST = re.compile(r"\s*([0-9a-fA-F]{64})\b")
_AGAIN = re.compile(r"\.[0-9a-f]{8}$")
_ASK_AGAIN = "Retry when the delivery is complete, else ask the sender to deliver it again"
_PIECE = 32_768
_WINDOW = 64 * _PIECE


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete file as it was read. `path` is where it was dropped and names it on record; `at` is where it lay.

    `modified` is its time on the server in epoch seconds, `rows` the number of records in it, read or rejected.
    """

    system: str
    archive: str
    path: str
    at: str
    sha256: str
    bytes: int
    modified: int
    checksum: bool
    rows: int = 0

    @property
    def name(self) -> str:
        """The file's name without folders."""
        return self.path.rpartition("/")[2]

    def to_json(self) -> Record:
        """As plain values, for the manifest's facts."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Record) -> Self:
        """The reverse of `to_json`; other keys are ignored."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})


@contextmanager
def open_drop(night: Night, system: str) -> Iterator[paramiko.SFTPClient]:
    """The one SFTP connection for everything that is read; lost connections and refusals become typed errors."""
    entry = night.system(system)
    try:
        with night.connections.sftp(entry.connection) as sftp:
            channel = sftp.get_channel()
            if channel is not None:
                channel.settimeout(entry.timeout_seconds)
            yield sftp
    except PermissionError as error:
        action = f"Grant the account of connection `{entry.connection}`: {', '.join(entry.scopes)}"
        raise AccessDenied("the server refused access to a folder or file", system=system, action=action) from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        code = errno.errorcode.get(getattr(error, "errno", None) or 0, "no code")
        problem = f"the transfer failed ({type(error).__name__}, {code})"
        raise SystemUnavailable(problem, system=system, action="Retry later") from error


def find_drop(sftp: paramiko.SFTPClient, drop: FileDrop, interval: Interval) -> tuple[str, str] | None:
    """The interval's file as (path it was dropped at, path it lies at), or None; ContractBroken if there are several.

    In the archive a file delivered again carries eight digits of its sha256 as suffix; the latest counts.
    """
    pattern = interval.start.strftime(drop.pattern)
    dropped = [entry.filename for entry in _list(sftp, drop.folder) if _matches(entry.filename, pattern)]
    if len(dropped) > 1:
        raise ContractBroken(
            f"{len(dropped)} files match {pattern!r}, one is expected",
            system=drop.system,
            about=drop.folder,
            action="Make the pattern narrower, or move the other files away",
        )
    if dropped:
        path = f"{drop.folder}/{dropped[0]}"
        return path, path
    archived = [entry for entry in _list(sftp, drop.archive) if _first_name(entry.filename, pattern)]
    if not archived:
        return None
    name = str(max(archived, key=lambda entry: (entry.st_mtime or 0, entry.filename)).filename)
    return f"{drop.folder}/{_first_name(name, pattern)}", f"{drop.archive}/{name}"


def fetch_drop(
    sftp: paramiko.SFTPClient,
    drop: FileDrop,
    interval: Interval,
    into: Path,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched | None:
    """Copy the interval's file to the local path `into`, or None if there is none and it is not required.

    Raises FileNotReady while it is missing, still growing, or differs from the checksum beside it.
    """
    found = find_drop(sftp, drop, interval)
    if found is None:
        if not drop.required:
            return None
        pattern = interval.start.strftime(drop.pattern)
        raise FileNotReady(
            f"no file matches {pattern!r}, nor in {drop.archive}",
            system=drop.system,
            about=drop.folder,
            action="Wait for the delivery, or ask the sender",
        )
    path, at = found
    try:
        expected = _expected_digest(sftp, drop, at)
        before, started = sftp.stat(at), time.monotonic()
        sha256 = _copy(sftp, at, before.st_size or 0, into)
        if expected is None and path == at:
            sleep(max(drop.settle_seconds - (time.monotonic() - started), 0.0))
        after = sftp.stat(at)
    except FileNotFoundError as error:
        raise FileNotReady("the file was taken away while it was read", system=drop.system, about=at) from error
    _require_complete(drop, at, expected, sha256, (before, after))
    size, modified = after.st_size or 0, after.st_mtime or 0
    return Fetched(drop.system, drop.archive, path, at, sha256, size, modified, expected is not None)


def _require_complete(
    drop: FileDrop,
    at: str,
    expected: str | None,
    sha256: str,
    stats: tuple[paramiko.SFTPAttributes, paramiko.SFTPAttributes],
) -> None:
    before, after = ((stat.st_size, stat.st_mtime) for stat in stats)
    if before == after and expected in (None, sha256):
        return
    problem = (
        f"the file is still growing ({before[0]} bytes, then {after[0]})"
        if before != after
        else f"the file differs from its {CHECKSUM}: still growing or damaged"
    )
    raise FileNotReady(problem, system=drop.system, about=at, action=_ASK_AGAIN)


def _copy(sftp: paramiko.SFTPClient, path: str, size: int, into: Path) -> str:
    """Copy `size` bytes with many reads in flight, a window at a time so that memory stays flat; returns the sha256."""
    sha256 = hashlib.sha256()
    with sftp.open(path, "rb") as remote, into.open("wb") as local:
        for start in range(0, size, _WINDOW):
            end = min(start + _WINDOW, size)
            for piece in remote.readv([(at, min(_PIECE, end - at)) for at in range(start, end, _PIECE)]):
                sha256.update(piece)
                local.write(piece)
    return sha256.hexdigest()


def _expected_digest(sftp: paramiko.SFTPClient, drop: FileDrop, at: str) -> str | None:
    try:
        with sftp.open(at + CHECKSUM, "rb") as handle:
            text = handle.read(4_096).decode("ascii", "replace")
    except FileNotFoundError:
        return None
    match = _DIGEST.match(text)
    if not match:
        raise FileNotReady("holds no sha256", system=drop.system, about=at + CHECKSUM, action=_ASK_AGAIN)
    return match[1].lower()


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) and not name.endswith(CHECKSUM)


def _first_name(name: str, pattern: str) -> str | None:
    """The name under which an archived file was dropped, if it matches the pattern."""
    return next((candidate for candidate in (name, _AGAIN.sub("", name)) if _matches(candidate, pattern)), None)


def _list(sftp: paramiko.SFTPClient, folder: str) -> list[paramiko.SFTPAttributes]:
    try:
        return sftp.listdir_attr(folder)
    except FileNotFoundError:
        return []
