"""A source whose rows count for longer than the night in which they changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from include.errors import ConfigurationError
from include.models import Column, Interval
from include.systems.port import Origin, Page, Reader, Source, Surroundings


@dataclass(frozen=True, slots=True)
class Reaching:
    """The rows of `source` that changed up to the interval's end, from `back` before it on: a history, every night.

    A member of a history alone is no history, so that rows cannot be read anew by their ids.
    What became known after the interval's end is not read, so a backfill sees no later row than its night saw. A source
    that keeps only the last change of a row hides, in a backfill, a row that was corrected since: the period is absent.
    """

    source: Source
    back: timedelta

    def __post_init__(self) -> None:
        """Refuse a reach that reads nothing."""
        if self.back <= timedelta(0):
            raise ConfigurationError("`back` must be positive", system=self.system, about=self.object)

    @property
    def system(self) -> str:
        """That of the source."""
        return self.source.system

    @property
    def object(self) -> str:
        """That of the source."""
        return self.source.object

    @property
    def key(self) -> Column:
        """That of the source."""
        return self.source.key

    @property
    def declared(self) -> Sequence[Column]:
        """Those of the source."""
        return self.source.declared

    @property
    def changed(self) -> Column | None:
        """That of the source."""
        return self.source.changed

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Those of the source."""
        return self.source.origins

    @property
    def refers(self) -> Mapping[str, str]:
        """Those of the source."""
        return self.source.refers

    def open(self, here: Surroundings) -> Reader:
        """The source's reader, over the longer interval."""
        return cast("Reader", _Reader(self.source.open(here), self.back))


class _Reader:
    """Everything is the reader's own but the interval, and rows are not read one by one."""

    def __init__(self, reader: Reader, back: timedelta) -> None:
        self._reader, self._back = reader, back

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def read(self, interval: Interval, limit: int | None = None) -> Iterator[Page]:
        """Pages of the rows that changed from `back` before the interval's end until its end."""
        return self._reader.read(Interval(interval.end - self._back, interval.end), limit)

    def read_ids(self, ids: Sequence[str]) -> None:
        """A row without the others of its history would stand for all of them."""
