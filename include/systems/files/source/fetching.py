"""The files that belong to an interval: found, complete, and copied here once."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from include.errors import ContractBroken, FileNotReady
from include.models import Interval, Record
from include.systems.files.folder import (
    ASK_AGAIN,
    CHECKSUM,
    DONE,
    LARGEST_CHECKSUM,
    MANIFEST,
    Look,
    Seen,
    matches,
    read_digest,
)
from include.systems.files.stores import Store, manifest_of
from include.systems.files.transfer import Wanted

if TYPE_CHECKING:
    from include.systems.files.source.declared import Files

_AGAIN = re.compile(r"\.[0-9a-f]{8}$")
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete file as it was read. `path` is where it was dropped and names it on record; `at` is where it lay.

    `modified` is its time in epoch seconds, `checksum` whether its sha256 was held against the sender's.
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


@dataclass(frozen=True)
class Fetching:
    """What is looked for, and how it is told to be complete."""

    store: Store
    source: Files
    interval: Interval
    sleep: Callable[[float], object] = time.sleep

    @property
    def pattern(self) -> str:
        """The declared pattern, filled with the interval's start on the declared zone's clocks."""
        return self.interval.start.astimezone(ZoneInfo(self.source.when.zone)).strftime(self.source.pattern)

    def fetch(self, into: Path) -> list[tuple[Fetched, Path]]:
        """Copy the interval's files into a local folder, in the order of their names.

        A file that is no longer in the folder is taken from the archive, where a later delivery of the same name
        carries eight digits of its sha256; the latest counts. Raises FileNotReady while files are missing, growing,
        unproven or unlike their checksum, ContractBroken for one that is larger than declared.
        """
        source, store = self.source, self.store
        seen = store.look(source.folder, self.pattern)
        listed = manifest_of(store, source.system, seen)
        names = sorted(name for name in seen.files if matches(name, self.pattern) and self._arrived(seen.files[name]))
        archived = store.look(source.archive) if source.archive else Look("", {})
        older = self._latest(archived, set(names))
        self._require(listed, seen, archived, len(names) + len(older))
        started = time.monotonic()
        found = [self._copy(seen, name, name, listed, into) for name in names]
        self._settle(seen, names, listed, started)
        if older:
            sums = manifest_of(store, source.system, archived)
            found += [self._copy(archived, name, first, sums, into) for first, name in older.items()]
        return sorted(found, key=lambda one: one[0].name)

    def _arrived(self, seen: Seen) -> bool:
        if self.source.when.by == "name":
            return True
        return self.interval.start <= datetime.fromtimestamp(seen.modified, UTC) < self.interval.end

    def _latest(self, archived: Look, present: set[str]) -> dict[str, str]:
        """Archived names by the names under which they were dropped, the latest of each, but for those present."""
        latest: dict[str, str] = {}
        for name in sorted(archived.files, key=lambda one: (archived.files[one].modified, one)):
            first = next((one for one in (name, _AGAIN.sub("", name)) if matches(one, self.pattern)), None)
            if first is not None and first not in present and self._arrived(archived.files[name]):
                latest[first] = name
        return latest

    def _require(self, listed: Mapping[str, str], seen: Look, archived: Look, found: int) -> None:
        """Raise FileNotReady for files that were announced and never sent, and for too few of them."""
        source = self.source
        absent = {name for name in listed if matches(name, self.pattern)} - seen.files.keys()
        absent -= archived.files.keys() | {_AGAIN.sub("", name) for name in archived.files}
        if absent:
            more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
            said = f"{', '.join(sorted(absent)[:_NAMED])}{more} is in {MANIFEST} and was never sent"
            raise FileNotReady(said, system=source.system, about=source.folder, action=ASK_AGAIN)
        if found < source.at_least:
            said = f"{found} files match {self.pattern!r}, {source.at_least} at least are expected"
            action = "Wait for the delivery, or ask the sender"
            raise FileNotReady(said, system=source.system, about=source.folder, action=action)

    def _copy(self, seen: Look, name: str, first: str, listed: Mapping[str, str], into: Path) -> tuple[Fetched, Path]:
        """The file as it was copied; raises FileNotReady if it is gone, unproven, or not what its sum says."""
        source, found, beside = self.source, seen.files[name], seen.files.get(name + CHECKSUM)
        self._hold(seen, name, summed=beside is not None or name in listed)
        sums = Wanted(seen.path(name + CHECKSUM), min(beside.bytes, LARGEST_CHECKSUM)) if beside else None
        local = into / f"{len(list(into.iterdir()))}" / first
        local.parent.mkdir()
        try:
            sha256, said = self.store.copy(Wanted(seen.path(name), found.bytes), local, sums)
        except FileNotFoundError as error:
            raise self._not_ready(seen, name, "was taken away while it was read") from error
        digest = listed.get(name) if said is None else read_digest(source.system, seen.path(name + CHECKSUM), said)
        if digest not in (None, sha256):
            where = MANIFEST if said is None else CHECKSUM
            raise self._not_ready(seen, name, f"differs from its {where}: still growing or damaged")
        fetched = Fetched(
            source.system,
            source.archive,
            f"{source.folder}/{first}",
            seen.path(name),
            sha256,
            found.bytes,
            found.modified,
            digest is not None,
        )
        return fetched, local

    def _hold(self, seen: Look, name: str, *, summed: bool) -> None:
        source, found = self.source, seen.files[name]
        if found.bytes > source.largest:
            problem = f"{name} has {found.bytes:,} bytes, {source.largest:,} are the most"
            action = "Raise `largest` in the spec if that is right"
            raise ContractBroken(problem, system=source.system, about=seen.folder, action=action)
        if seen.folder == source.archive:
            return
        if source.proof == "checksum" and not summed:
            raise self._not_ready(seen, name, f"has no sum, beside it or in {MANIFEST}")
        if source.proof == "done" and name + DONE not in seen.files:
            raise self._not_ready(seen, name, f"has no {DONE} marker beside it")

    def _settle(self, seen: Look, names: Sequence[str], listed: Mapping[str, str], started: float) -> None:
        """Look again: nothing may have changed, after a while where nothing says that a file is complete."""
        if not names:
            return
        proven = {n for n in names if n in listed or n + CHECKSUM in seen.files or n + DONE in seen.files}
        if set(names) - proven:
            self.sleep(max(self.source.settle_seconds - (time.monotonic() - started), 0.0))
        then = self.store.look_at(self.source.folder, names).files
        for name in names:
            if name not in then:
                raise self._not_ready(seen, name, "was taken away while it was read")
            if then[name] != seen.files[name]:
                sizes = f"{seen.files[name].bytes} bytes, then {then[name].bytes}"
                raise self._not_ready(seen, name, f"is still growing ({sizes})")

    def _not_ready(self, seen: Look, name: str, problem: str) -> FileNotReady:
        return FileNotReady(f"{name} {problem}", system=self.source.system, about=seen.folder, action=ASK_AGAIN)


def with_rows(fetched: Fetched, rows: int) -> Fetched:
    """The file with the number of records in it, read or rejected."""
    return replace(fetched, rows=rows)
