"""What readers of folders have in common: the folder, pages of what its files give, and the counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from include.models import Record, RejectedRow
from include.systems.documents.place import Place, Where, open_place
from include.systems.port import Page, Surroundings

_CHARACTERS = 20_000_000
"""Of texts, with which a page ends before its rows are all there."""
USABLE = "usable"
"""What a file or message without any problem is counted as; `read` is what the night says of a whole source."""


class Item(NamedTuple):
    """A row or one set aside, when it arrived, how many characters it holds, and what it is counted as."""

    found: Record | RejectedRow
    arrived: datetime
    characters: int
    outcome: str


class FolderReader:
    """A folder of one system; `facts` counts bytes of files, and what was read by what became of it.

    Memory: one page's texts. One copy of a file at a time lies in the folder for temporary files.
    """

    def __init__(self, here: Surroundings, system: str, folder: str, where: Where) -> None:
        self._here, self._folder, self._where = here, folder, where
        self._system = here.system(system)
        self.pages = 0
        self.rows = 0
        self.watermark: datetime | None = None
        self.facts: Record = {}
        self._calls = 0

    @property
    def calls(self) -> int:
        """Requests to the server: looks and copies."""
        return self._calls

    @property
    def retries(self) -> int:
        """Connecting is tried again where it is done; nothing else is."""
        return 0

    def check_contract(self) -> None:
        """Raise ContractBroken if the folder is not there, naming the likely rename."""
        with self._place() as place:
            place.require()

    @contextmanager
    def _place(self) -> Iterator[Place]:
        with open_place(self._here, self._system.name, self._folder, self._where) as place:
            try:
                yield place
            finally:
                self._calls += place.calls

    def _paged(self, items: Iterable[Item]) -> Iterator[Page]:
        page, held = Page(1, [], []), 0
        for item in items:
            self._count(item)
            if isinstance(item.found, RejectedRow):
                page.rejected.append(item.found)
            else:
                page.rows.append(item.found)
            held += item.characters
            if len(page.rows) + len(page.rejected) == self._system.page_rows or held > _CHARACTERS:
                self.pages += 1
                yield page
                page, held = Page(self.pages + 1, [], []), 0
        if page.rows or page.rejected:
            self.pages += 1
            yield page

    def _count(self, item: Item) -> None:
        self.rows += 1
        self._add(item.outcome, 1)
        self.watermark = max(item.arrived, self.watermark or item.arrived)

    def _add(self, fact: str, number: int) -> None:
        self.facts[fact] = self.facts.get(fact, 0) + number
