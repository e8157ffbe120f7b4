"""Rows of the files of an interval: copied here, unpacked, and held against the spec before the first row is given."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from include.errors import ContractBroken
from include.models import Interval, Record, RejectedRow
from include.systems.files.declared import FirstLines
from include.systems.files.formats.values import clean_text, explain_missing, read_columns
from include.systems.files.source.fetching import Fetched, Fetching, with_rows
from include.systems.files.source.staging import Staged
from include.systems.files.source.unpacking import Member, unpack
from include.systems.files.stores import open_store
from include.systems.ids import join_id
from include.systems.port import VERSION, Page, Surroundings
from include.systems.registry import System

if TYPE_CHECKING:
    from include.systems.files.source.declared import Files

_SHOWN = 200
"""Characters of a value that cannot be read which are kept."""


@dataclass
class _Part:
    """A file, or a member of one that is packed, ready to be read; `told` is what was wrong, by line."""

    fetched: Fetched
    name: str
    staged: Staged
    told: dict[int, list[str]]
    unreadable: dict[int, str]


@dataclass
class FilesReader:
    """Reads files; `facts` name them as they were read: `files` to be moved to the archive, or `left_files`."""

    here: Surroundings
    system: System
    source: Files
    sleep: Callable[[float], object] = time.sleep
    pages: int = 0
    rows: int = 0
    calls: int = 0
    retries: int = 0
    watermark: datetime | None = None
    facts: Record = field(default_factory=dict)
    _folder: tempfile.TemporaryDirectory[str] | None = None
    _ready: tuple[Interval, list[_Part]] | None = None

    def check_contract(self) -> None:
        """Raise ContractBroken for the first file of the run's interval that lacks a declared column.

        Raises FileNotReady as long as the files are not complete.
        """
        self._parts(self.here.interval)

    def read(self, interval: Interval, limit: int | None = None) -> Iterator[Page]:
        """Pages of the rows of the interval's files, file by file, at most `limit` in all.

        All files are copied, unpacked and told to be as declared before the first row: nothing is half read. Raises
        FileNotReady for files that are missing or growing, ContractBroken for those that are not as declared.
        """
        left, page = limit, self._page()
        try:
            for part in self._parts(interval):
                for row in self._rows_of(part):
                    if left is not None and left <= 0:
                        break
                    left = None if left is None else left - 1
                    self.rows += 1
                    if isinstance(row, RejectedRow):
                        page.rejected.append(row)
                    else:
                        page.rows.append(row)
                    if len(page.rows) + len(page.rejected) >= self.system.page_rows:
                        yield self._turn(page)
                        page = self._page()
            if page.rows or page.rejected:
                yield self._turn(page)
        finally:
            self.close()

    def read_ids(self, ids: Sequence[str]) -> None:
        """None: a file is not read anew by ids; a correction comes as another delivery."""
        return

    def close(self) -> None:
        """Delete the copies."""
        if self._folder is not None:
            self._folder.cleanup()
        self._folder = self._ready = None

    def _page(self) -> Page:
        return Page(self.pages + 1, [], [])

    def _turn(self, page: Page) -> Page:
        self.pages += 1
        return page

    def _parts(self, interval: Interval) -> list[_Part]:
        if self._ready is None or self._ready[0] != interval:
            self.close()
            self._folder = tempfile.TemporaryDirectory(prefix="nightledger-files-")
            try:
                self._ready = (interval, self._fetch(interval, Path(self._folder.name)))
            except BaseException:
                self.close()
                raise
        return self._ready[1]

    def _fetch(self, interval: Interval, folder: Path) -> list[_Part]:
        copies, parts = folder / "copies", list[_Part]()
        copies.mkdir()
        with open_store(self.here, self.source.system) as store:
            found = Fetching(store, self.source, interval, self.sleep).fetch(copies)
            self.calls += store.calls
        counted = []
        for fetched, local in found:
            members = [self._stage(fetched, member, local.parent) for member in self._unpacked(local)]
            parts += members
            counted.append(with_rows(fetched, sum(_count(one) for one in members)))
            moment = datetime.fromtimestamp(fetched.modified, UTC)
            self.watermark = max(self.watermark or moment, moment)
        first: dict[str, str] = {}
        again = {one.name: first[one.sha256] for one in counted if first.setdefault(one.sha256, one.name) != one.name}
        self.facts = {"files" if self.source.archive else "left_files": [one.to_json() for one in counted]}
        known = {column.source_name for column in self.source.declared}
        others = dict.fromkeys(name for part in parts for name in part.staged.columns if name not in known)
        if others:
            place = f"{self.source.system}/{self.source.object}"
            self.facts["other_columns"] = [f"{place}: {name}" for name in others]
        if again:
            self.facts["same_content"] = again
        notes = {part.name: list(part.staged.notes) for part in parts if part.staged.notes}
        if notes:
            self.facts["notes"] = notes
        return parts

    def _unpacked(self, local: Path) -> list[Member]:
        try:
            return unpack(local, local.parent, self.source.bounds)
        except ContractBroken as error:
            raise self._broken(local.name, error) from error

    def _stage(self, fetched: Fetched, member: Member, folder: Path) -> _Part:
        into = folder / f"staged{len(list(folder.iterdir()))}"
        into.mkdir()
        told, unreadable = dict[int, list[str]](), dict[int, str]()

        def tell(place: str, column: str, problem: str) -> None:
            line = int(place.rpartition(":")[2])
            if column:
                told.setdefault(line, []).append(f"{column}: {problem}")
            else:
                unreadable[line] = problem

        names = [column.source_name for column in self.source.declared]
        try:
            staged = self.source.format.stage(member, into, names, tell)
        except ContractBroken as error:
            raise self._broken(member.name, error) from error
        missing = [explain_missing(name, staged.columns) for name in names if name not in staged.columns]
        if missing:
            action = "Ask the sender, or correct the spec"
            raise ContractBroken("; ".join(missing), system=self.system.name, about=member.name, action=action)
        return _Part(fetched, member.name, staged, told, unreadable)

    def _broken(self, name: str, error: ContractBroken) -> ContractBroken:
        return ContractBroken(error.problem, system=self.system.name, about=name, action=error.action)

    def _rows_of(self, part: _Part) -> Iterator[Record | RejectedRow]:
        """The rows of one file in its order, those that cannot be read last."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with closing(FirstLines()) as seen:
            for line, texts in part.staged.rows():
                yield self._row(part, line, texts, now, seen)
        for line, problem in part.unreadable.items():
            yield self._rejection(part, line, f"{part.name}#line {line}", None, [problem], {})

    def _row(self, part: _Part, line: int, texts: Record, now: str, seen: FirstLines) -> Record | RejectedRow:
        source = self.source
        raw = {name: None if one is None else clean_text(str(one)) for name, one in texts.items()}
        record, reasons = read_columns(raw, source.declared, personal=self.here.personal)
        reasons += part.told.get(line, ())
        for column in source.declared:
            if len(raw.get(column.source_name) or "") > source.max_field_chars:
                reasons.append(f"{column.name}: longer than {source.max_field_chars} characters")
        key = record[source.key.name]
        named = join_id([str(key)]) if key is not None and seen.claim(str(key), line) is None else f"line {line}"
        number = f"{join_id([part.name])}#{named}"
        if reasons:
            kept = {one.name: (raw.get(one.source_name) or "")[:_SHOWN] for one in source.declared}
            return self._rejection(part, line, number, key, reasons, kept)
        place = f"{source.folder}/{part.name}:{line}"
        version = f"{part.fetched.sha256}:{line}"
        lineage = {self.system.name: place, "retrieved_at": now, VERSION: version}
        row_id = f"{self.system.name}/{source.object}/{number}"
        return {"row_id": row_id, "row_key": str(named if key is None else key), "lineage": lineage, **record}

    def _rejection(
        self, part: _Part, line: int, number: str, key: object, reasons: Sequence[str], kept: Record
    ) -> RejectedRow:
        row_id = f"{self.system.name}/{self.source.object}/{number}"
        place = f"{self.system.name}: {self.source.folder}/{part.name}:{line}"
        shown = number if key is None else str(key)
        return RejectedRow(row_id, shown, place, tuple(reasons), kept, owner=self.system.owner)


def _count(part: _Part) -> int:
    return sum(1 for _ in part.staged.rows()) + len(part.unreadable)
