"""Rows set aside while a night's sources are read."""

from __future__ import annotations

from sqlalchemy import func, select

from include.database import transaction
from include.ledger import tables
from include.ledger.record import quarantine
from include.models import RejectedRow
from include.run import Night

STAGE = "extract"
_AT_ONCE = 1_000


class Rejections:
    """Passes rejected rows to quarantine, a thousand at a time; `context` counts those that are no input rows."""

    def __init__(self, night: Night) -> None:
        """Nothing is kept before the first thousand or `finish`."""
        self._night = night
        self._waiting: dict[str, RejectedRow] = {}
        self._context = 0

    @property
    def context(self) -> int:
        """Rejected rows so far that only give context, e.g. lines of a file."""
        return self._context

    def earlier(self) -> set[str]:
        """Input rows that an interrupted attempt of this run has set aside."""
        row = tables.quarantine.c
        mine = (row.run_id == self._night.run_id) & (row.stage == STAGE) & row.counts_as_input
        with transaction(self._night.ledger) as connection:
            return set(connection.scalars(select(row.row_id).where(mine)))

    def add(self, row: RejectedRow) -> None:
        """Set one row aside; the same `row_id` again replaces it."""
        self._context += not row.counts_as_input and row.row_id not in self._waiting
        self._waiting[row.row_id] = row
        if len(self._waiting) >= _AT_ONCE:
            self._flush()

    def finish(self) -> int:
        """Write what waits. Returns the run's rejected input rows as the ledger has them.

        That includes rows an interrupted attempt set aside, even if they have left the interval since: they were read
        and have an outcome, so they count.
        """
        self._flush()
        row = tables.quarantine.c
        query = select(func.count()).where(row.run_id == self._night.run_id, row.stage == STAGE, row.counts_as_input)
        with transaction(self._night.ledger) as connection:
            count: int = connection.execute(query).scalar_one()
        return count

    def _flush(self) -> None:
        if self._waiting:
            with transaction(self._night.ledger) as connection:
                quarantine(connection, self._night, STAGE, self._waiting.values())
            self._waiting = {}
