"""Files of a folder that arrived in an interval, copied one after another as they were when they arrived."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from include.errors import FileNotReady
from include.models import Interval
from include.systems.documents.place import Place
from include.systems.files.folder import ASK_AGAIN, Seen

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file as it was copied to `path`, None where it is too large or `gone`; `arrived` is its time at its server."""

    name: str
    path: Path | None
    bytes: int
    sha256: str
    arrived: datetime
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The files of one folder; those over `most_bytes` are named and not copied."""

    system: str
    folder: str
    most_bytes: int

    def within(self, place: Place, pattern: str, interval: Interval) -> Iterator[Arrival]:
        """Files of the interval, by name; one that is written to meanwhile is left to the interval that it is in then.

        One that was there and is taken away before it is copied is told as `gone`: nobody else will read it.
        """
        found = place.look(interval.start.strftime(pattern))
        yield from self._copied(place, {name: seen for name, seen in found.items() if _is_in(seen, interval)}, interval)

    def since(self, place: Place, pattern: str, interval: Interval) -> Iterator[Arrival]:
        """Files that were written to in the interval or after it, by name."""
        found = place.look(interval.start.strftime(pattern))
        first = interval.start.timestamp()
        yield from self._copied(place, {name: seen for name, seen in found.items() if seen.modified >= first}, None)

    def named(self, place: Place, names: Sequence[str]) -> Iterator[Arrival]:
        """These files as they are now; those that are gone are left out."""
        yield from self._copied(place, place.look_at(names), None)

    def _copied(self, place: Place, found: Mapping[str, Seen], interval: Interval | None) -> Iterator[Arrival]:
        with tempfile.TemporaryDirectory() as folder:
            into = Path(folder) / "document"
            for name in sorted(found):
                arrival = self._copy(place, name, found[name], interval, into)
                if arrival is not None:
                    yield arrival

    def _copy(self, place: Place, name: str, seen: Seen, interval: Interval | None, into: Path) -> Arrival | None:
        """The file, its copy proven to be of one moment; raises FileNotReady for one that never stays."""
        for _ in range(_TRIES):
            arrived = datetime.fromtimestamp(seen.modified, UTC)
            if seen.bytes > self.most_bytes:
                return Arrival(name, None, seen.bytes, "", arrived)
            try:
                sha256 = place.copy(name, seen, into)
                now = place.look_at([name]).get(name)
            except FileNotFoundError:
                now = None
            if now is None:
                return Arrival(name, None, seen.bytes, "", arrived, gone=True) if interval else None
            if now == seen:
                return Arrival(name, into, seen.bytes, sha256, arrived)
            if interval is not None and not _is_in(now, interval):
                return None
            seen = now
        raise FileNotReady(f"{name} is still growing", system=self.system, about=self.folder, action=ASK_AGAIN)


def _is_in(seen: Seen, interval: Interval) -> bool:
    return interval.start <= datetime.fromtimestamp(seen.modified, UTC) < interval.end
