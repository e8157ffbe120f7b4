"""Each row once: a row that came before, by its id or by its key, is set aside before anything is paid for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from hashlib import blake2b

from include.models import Record, RejectedRow
from include.staging import IDENTITY
from include.systems.port import UNPLACED, Page

SAME_ID = "another row of this run has the same row id; the first one was kept"
SAME_KEY = "another row of this run has the same key and would be written to the same record; the first one was kept"


class Distinct:
    """Proves that row ids and row keys of a run are unique; memory holds 16 bytes of hash for each.

    A further row of the same id is named `<id>#2`, `<id>#3` and so on, so that it has an outcome of its own.
    """

    def __init__(self, earlier: Collection[str] = ()) -> None:
        """`earlier` were set aside by an interrupted attempt: they are not let in again, since they have their outcome
        and are counted.
        """
        self._earlier = frozenset(earlier)
        self._seen: set[bytes] = set()
        self._repeated: dict[str, int] = {}
        self.set_aside = 0

    def admit(self, page: Page, owner: str = "") -> Page:
        """The page without rows that came before; they are among its rejected ones, with the reason.

        `owner` can mend them at their source.
        """
        rows, again = list[Record](), list[RejectedRow]()
        for row in page.rows:
            row_id, key = row["row_id"], row["row_key"]
            if row_id in self._earlier:
                continue
            if not self._is_new("id", row_id):
                again.append(self._reject(row, self._next(row_id), SAME_ID, owner))
            elif not self._is_new("key", key):
                again.append(self._reject(row, row_id, SAME_KEY, owner))
            else:
                rows.append(row)
        again += self._name(page.rejected)
        return Page(page.number, rows, again)

    def _is_new(self, kind: str, name: str) -> bool:
        before = len(self._seen)
        self._seen.add(blake2b(f"{kind}:{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest())
        return len(self._seen) > before

    def _reject(self, row: Record, row_id: str, reason: str, owner: str) -> RejectedRow:
        self.set_aside += 1
        record = {name: value for name, value in row.items() if name not in IDENTITY}
        source = "; ".join(f"{name}: {place}" for name, place in row["lineage"].items() if name not in UNPLACED)
        return RejectedRow(row_id, row["row_key"], source, (reason,), record, owner=owner)

    def _name(self, rejected: Collection[RejectedRow]) -> Iterator[RejectedRow]:
        """Rows that cannot be read anyway, under ids that are free."""
        for one in rejected:
            if not one.counts_as_input or one.row_id in self._earlier or self._is_new("id", one.row_id):
                yield one
            else:
                self.set_aside += 1
                yield replace(one, row_id=self._next(one.row_id), reasons=(SAME_ID, *one.reasons))

    def _next(self, row_id: str) -> str:
        self._repeated[row_id] = self._repeated.get(row_id, 1) + 1
        return f"{row_id}#{self._repeated[row_id]}"
