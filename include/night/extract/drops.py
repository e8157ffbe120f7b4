"""Files that another party drops on an SFTP server: found, complete, fetched once."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import paramiko

from include.errors import AccessDenied, ContractBroken, FileNotReady, SystemUnavailable
from include.models import Interval, Record
from include.run import Night
from include.systems.files.drop import FileDrop
from include.systems.files.folder import (
    ASK_AGAIN,
    CHECKSUM,
    DONE,
    LARGEST_CHECKSUM,
    MANIFEST,
    Look,
    look,
    look_at,
    matches,
    read_digest,
    read_manifest,
)
from include.systems.files.transfer import Wanted, copy_file

_AGAIN = re.compile(r"\.[0-9a-f]{8}$")
_NAMED = 5


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
        with night.connections.open("sftp", entry.connection) as sftp:
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


def fetch_drop(
    sftp: paramiko.SFTPClient,
    drop: FileDrop,
    interval: Interval,
    into: Path,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched | None:
    """Copy the interval's file to the local path `into`, or None if there is none and it is not required.

    In the archive a file delivered again carries eight digits of its sha256 as suffix; the latest counts. A file that
    another night archives while it is read here is read from there. Raises ContractBroken if several match,
    FileNotReady while the file is missing, growing, unproven or unlike its checksum.
    """
    pattern = interval.start.strftime(drop.pattern)
    seen = look(sftp, drop.folder, pattern)
    names = [name for name in seen.files if matches(name, pattern)]
    if len(names) > 1:
        raise ContractBroken(
            f"{len(names)} files match {pattern!r}, one is expected",
            system=drop.system,
            about=drop.folder,
            action="Make the pattern narrower, or move the other files away",
        )
    listed = read_manifest(sftp, drop.system, seen)
    _require_sent(sftp, drop, pattern, seen, listed)
    taken: _TakenAway | None = None
    if names:
        try:
            return _fetch(sftp, drop, seen, names[0], listed, into, sleep)
        except _TakenAway as error:
            taken = error
    archived = look(sftp, drop.archive)
    candidates = [name for name in archived.files if _first_name(name, pattern)]
    if taken:
        candidates = [name for name in candidates if archived.files[name] == seen.files[names[0]]]
        if not candidates:
            raise taken
    if candidates:
        return _fetch_archived(sftp, drop, pattern, archived, candidates, into)
    if not drop.required:
        return None
    problem, action = f"no file matches {pattern!r}, nor in {drop.archive}", "Wait for the delivery, or ask the sender"
    raise FileNotReady(problem, system=drop.system, about=drop.folder, action=action)


def _require_sent(
    sftp: paramiko.SFTPClient, drop: FileDrop, pattern: str, seen: Look, listed: Mapping[str, str]
) -> None:
    """Raise FileNotReady for files that the manifest names and that are neither in the folder nor in the archive."""
    absent = {name for name in listed if matches(name, pattern)} - seen.files.keys()
    if absent:
        archived = look(sftp, drop.archive).files
        absent -= archived.keys() | {_AGAIN.sub("", name) for name in archived}
    if absent:
        more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
        said = f"{', '.join(sorted(absent)[:_NAMED])}{more} is in {MANIFEST} and was never sent"
        raise FileNotReady(said, system=drop.system, about=drop.folder, action=ASK_AGAIN)


def _fetch(
    sftp: paramiko.SFTPClient,
    drop: FileDrop,
    seen: Look,
    name: str,
    listed: Mapping[str, str],
    into: Path,
    sleep: Callable[[float], None],
) -> Fetched:
    marked, summed = name + DONE in seen.files, name + CHECKSUM in seen.files or name in listed
    if drop.proof == "checksum" and not summed:
        raise _not_ready(drop, seen.folder, name, f"has no sum, beside it or in {MANIFEST}")
    if drop.proof == "done" and not marked:
        raise _not_ready(drop, seen.folder, name, f"has no {DONE} marker beside it")
    started = time.monotonic()
    fetched = _copy(sftp, drop, seen, name, listed, into)
    if not summed and not marked:
        sleep(max(drop.settle_seconds - (time.monotonic() - started), 0.0))
    first, then = seen.files[name], look_at(sftp, drop.folder, [name]).files.get(name)
    if then is None:
        raise _taken_away(drop, seen.folder, name)
    if first != then:
        raise _not_ready(drop, seen.folder, name, f"is still growing ({first.bytes} bytes, then {then.bytes})")
    return fetched


def _fetch_archived(
    sftp: paramiko.SFTPClient, drop: FileDrop, pattern: str, archived: Look, names: Sequence[str], into: Path
) -> Fetched:
    name = max(names, key=lambda one: (archived.files[one].modified, one))
    fetched = _copy(sftp, drop, archived, name, read_manifest(sftp, drop.system, archived), into)
    return replace(fetched, path=f"{drop.folder}/{_first_name(name, pattern)}")


def _copy(
    sftp: paramiko.SFTPClient, drop: FileDrop, seen: Look, name: str, listed: Mapping[str, str], into: Path
) -> Fetched:
    """The file as it was copied; raises FileNotReady if it is gone, or its content is not what its sum says."""
    found, beside = seen.files[name], seen.files.get(name + CHECKSUM)
    sums = Wanted(seen.path(name + CHECKSUM), min(beside.bytes, LARGEST_CHECKSUM)) if beside else None
    try:
        sha256, said = copy_file(sftp, Wanted(seen.path(name), found.bytes), into, sums)
    except FileNotFoundError as error:
        raise _taken_away(drop, seen.folder, name) from error
    digest = listed.get(name) if said is None else read_digest(drop.system, seen.path(name + CHECKSUM), said)
    if digest not in (None, sha256):
        source = MANIFEST if said is None else CHECKSUM
        raise _not_ready(drop, seen.folder, name, f"differs from its {source}: still growing or damaged")
    at, proven = seen.path(name), digest is not None
    return Fetched(drop.system, drop.archive, f"{drop.folder}/{name}", at, sha256, found.bytes, found.modified, proven)


class _TakenAway(FileNotReady):
    """A file that was there a moment ago is not any more."""


def _taken_away(drop: FileDrop, folder: str, name: str) -> _TakenAway:
    problem = f"{name} was taken away while it was read"
    return _TakenAway(problem, system=drop.system, about=folder, action=ASK_AGAIN)


def _not_ready(drop: FileDrop, folder: str, name: str, problem: str) -> FileNotReady:
    return FileNotReady(f"{name} {problem}", system=drop.system, about=folder, action=ASK_AGAIN)


def _first_name(name: str, pattern: str) -> str | None:
    """The name under which an archived file was dropped, if it matches the pattern."""
    return next((candidate for candidate in (name, _AGAIN.sub("", name)) if matches(candidate, pattern)), None)
