"""Files that another party drops on an SFTP server: found, complete, fetched once."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, TypeVar

import paramiko

from include.errors import AccessDenied, ContractBroken, FileNotReady, SystemUnavailable
from include.models import Interval, Record
from include.night import Night
from include.sources.folder import (
    ASK_AGAIN,
    CHECKSUM,
    DONE,
    MANIFEST,
    Look,
    look,
    matches,
    read_digests,
    read_manifest,
)
from include.sources.transfer import Wanted, copy_files
from include.use_case import FileDrop

_AGAIN = re.compile(r"\.[0-9a-f]{8}$")
_NAMED = 5
_T = TypeVar("_T")


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


def fetch_drop(
    sftp: paramiko.SFTPClient,
    drop: FileDrop,
    interval: Interval,
    into: Path,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched | None:
    """Copy the interval's file to the local path `into`, or None if there is none and it is not required.

    In the archive a file delivered again carries eight digits of its sha256 as suffix; the latest counts. Raises
    ContractBroken if several match, FileNotReady while the file is missing, growing, unproven or unlike its checksum.
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
    _require_sent(sftp, drop, pattern, seen)
    if names:
        return _fetch(sftp, drop, pattern, seen, [(names[0], into)], sleep)[0]
    archived = look(sftp, drop.archive)
    candidates = [name for name in archived.files if _first_name(name, pattern)]
    if candidates:
        return _fetch_archived(sftp, drop, pattern, archived, candidates, into)
    if not drop.required:
        return None
    problem, action = f"no file matches {pattern!r}, nor in {drop.archive}", "Wait for the delivery, or ask the sender"
    raise FileNotReady(problem, system=drop.system, about=drop.folder, action=action)


def fetch_files(
    sftp: paramiko.SFTPClient,
    drop: FileDrop,
    interval: Interval,
    into: Path,
    sleep: Callable[[float], None] = time.sleep,
) -> list[tuple[Fetched, Path]]:
    """Copy every file of the interval that lies in the drop's folder to the local folder `into`, in order of names.

    The folder is listed once before and once after, whatever the number of files. All or none: raises FileNotReady
    naming the files that are growing, unproven, unlike their checksum, or in the manifest and never sent.
    """
    pattern = interval.start.strftime(drop.pattern)
    seen = look(sftp, drop.folder, pattern)
    names = sorted(name for name in seen.files if matches(name, pattern))
    _require_sent(sftp, drop, pattern, seen)
    wanted = [(name, into / str(number)) for number, name in enumerate(names)]
    files = _fetch(sftp, drop, pattern, seen, wanted, sleep) if names else []
    return [(file, place) for file, (_, place) in zip(files, wanted, strict=True)]


def _require_sent(sftp: paramiko.SFTPClient, drop: FileDrop, pattern: str, seen: Look) -> None:
    """Raise FileNotReady for files that the manifest names and that are neither in the folder nor in the archive."""
    named = {name for name in read_manifest(sftp, drop.system, seen) if matches(name, pattern)}
    absent = named - seen.files.keys()
    if absent:
        archived = look(sftp, drop.archive).files
        absent -= archived.keys() | {_AGAIN.sub("", name) for name in archived}
    if absent:
        raise _not_ready(drop, dict.fromkeys(sorted(absent), f"is in {MANIFEST} and was never sent"))


def _fetch(
    sftp: paramiko.SFTPClient,
    drop: FileDrop,
    pattern: str,
    seen: Look,
    wanted: Sequence[tuple[str, Path]],
    sleep: Callable[[float], None],
) -> list[Fetched]:
    names = [name for name, _ in wanted]
    digests = _taking(drop, seen, lambda: read_digests(sftp, drop.system, seen, names))
    marked = {name for name in names if name + DONE in seen.files}
    _require_proof(drop, names, digests, marked)
    started = time.monotonic()
    sums = _copy(sftp, drop, seen, wanted)
    if not set(names) <= digests.keys() | marked:
        sleep(max(drop.settle_seconds - (time.monotonic() - started), 0.0))
    _require_complete(drop, seen, look(sftp, drop.folder, pattern), digests, sums)
    return [_fetched(drop, name, seen, name, sums, digests) for name in names]


def _fetch_archived(
    sftp: paramiko.SFTPClient, drop: FileDrop, pattern: str, archived: Look, names: Sequence[str], into: Path
) -> Fetched:
    name = max(names, key=lambda one: (archived.files[one].modified, one))
    digests = _taking(drop, archived, lambda: read_digests(sftp, drop.system, archived, [name]))
    sums = _copy(sftp, drop, archived, [(name, into)])
    _require_complete(drop, archived, archived, digests, sums)
    return _fetched(drop, str(_first_name(name, pattern)), archived, name, sums, digests)


def _copy(sftp: paramiko.SFTPClient, drop: FileDrop, seen: Look, wanted: Sequence[tuple[str, Path]]) -> dict[str, str]:
    """The sha256 of each file as it was copied, by name."""
    places = [(Wanted(seen.path(name), seen.files[name].bytes), into) for name, into in wanted]
    sums = _taking(drop, seen, lambda: copy_files(sftp, places))
    return dict(zip((name for name, _ in wanted), sums, strict=True))


def _taking(drop: FileDrop, seen: Look, read: Callable[[], _T]) -> _T:
    try:
        return read()
    except FileNotFoundError as error:
        about = error.filename or seen.folder
        raise FileNotReady("the file was taken away while it was read", system=drop.system, about=about) from error


def _require_proof(drop: FileDrop, names: Iterable[str], digests: Mapping[str, str], marked: Collection[str]) -> None:
    if drop.proof == "checksum":
        unproven = {name: f"has no sum, beside it or in {MANIFEST}" for name in names if name not in digests}
    elif drop.proof == "done":
        unproven = {name: f"has no {DONE} marker beside it" for name in names if name not in marked}
    else:
        unproven = {}
    if unproven:
        raise _not_ready(drop, unproven)


def _require_complete(
    drop: FileDrop, before: Look, after: Look, digests: Mapping[str, str], sums: Mapping[str, str]
) -> None:
    """Raise FileNotReady for the files that two looks saw differently or whose content is not what its sum says."""
    problems = {}
    for name, sha256 in sums.items():
        first, then = before.files[name], after.files.get(name)
        if then is None:
            problems[name] = "was taken away while it was read"
        elif first != then:
            problems[name] = f"is still growing ({first.bytes} bytes, then {then.bytes})"
        elif digests.get(name, sha256) != sha256:
            source = CHECKSUM if name + CHECKSUM in before.files else MANIFEST
            problems[name] = f"differs from its {source}: still growing or damaged"
    if problems:
        raise _not_ready(drop, problems, before.folder)


def _not_ready(drop: FileDrop, problems: Mapping[str, str], folder: str = "") -> FileNotReady:
    """One error for all files: each problem with the files that have it, the first few by name."""
    named: dict[str, list[str]] = {}
    for name, problem in problems.items():
        named.setdefault(problem, []).append(name)
    said = []
    for problem, names in named.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        said.append(f"{', '.join(names[:_NAMED])}{more} {problem}")
    return FileNotReady("; ".join(said[:_NAMED]), system=drop.system, about=folder or drop.folder, action=ASK_AGAIN)


def _fetched(
    drop: FileDrop, first: str, seen: Look, name: str, sums: Mapping[str, str], digests: Mapping[str, str]
) -> Fetched:
    found, path = seen.files[name], f"{drop.folder}/{first}"
    checksum = name in digests
    return Fetched(drop.system, drop.archive, path, seen.path(name), sums[name], found.bytes, found.modified, checksum)


def _first_name(name: str, pattern: str) -> str | None:
    """The name under which an archived file was dropped, if it matches the pattern."""
    return next((candidate for candidate in (name, _AGAIN.sub("", name)) if matches(candidate, pattern)), None)
