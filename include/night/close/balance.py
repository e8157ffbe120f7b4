"""Rows in against rows out (invariant I1), compared in the database and not in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from include.database import Database, transaction
from include.errors import ContractBroken
from include.models import Manifest
from include.staging import read_chunks

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Balance:
    """How many rows came in, where they ended, and what keeps the two from adding up; examples are row ids."""

    rows_in: int
    counts: dict[str, int]
    missing: int = 0
    unknown: int = 0
    repeated: int = 0
    unstaged: int = 0
    examples: tuple[str, ...] = ()
    unread: str | None = None

    @property
    def problem(self) -> str | None:
        """What does not add up, in words, or None."""
        if self.unread:
            return f"the rows cannot be counted: {self.unread}"
        found = (
            (self.missing, "rows have no outcome"),
            (self.unknown, "outcomes belong to no input row"),
            (self.repeated, "row ids occur more than once in the input"),
            (self.unstaged, "rows lie between what the sources gave and what was staged or set aside"),
        )
        parts = [f"{count:,} {what}" for count, what in found if count]
        return ", ".join(parts) + (f" (e.g. {', '.join(self.examples)})" if self.examples else "") if parts else None


def compare(ledger: Database, run_id: str, raw: Manifest | None) -> Balance:
    """Hold the rows of dataset `raw`, and those rejected while extracting, against the run's outcomes.

    Row ids pass through memory one chunk at a time. Without `raw`, or without its file, only the outcomes are counted.
    """
    with transaction(ledger) as connection:
        counts = connection.execute(text(_COUNTS), {"run": run_id}).all()
    ended: dict[str, int] = {str(outcome): int(count) for outcome, count in counts}
    if raw is None:
        return Balance(sum(ended.values()), ended)
    try:
        return _compare(ledger, run_id, raw, ended)
    except ContractBroken as error:
        return Balance(int(raw.facts.get("input_rows", raw.rows)), ended, unread=str(error))


def _compare(ledger: Database, run_id: str, raw: Manifest, ended: dict[str, int]) -> Balance:
    with transaction(ledger) as connection:
        connection.execute(text("CREATE TEMP TABLE expected (row_id text) ON COMMIT DROP"))
        _copy_row_ids(connection, raw)
        connection.execute(text(_REJECTED), {"run": run_id})
        connection.execute(text("ANALYZE pg_temp.expected"))
        expected, distinct = connection.execute(text(_EXPECTED)).one()
        missing, examples = _count(connection, _MISSING, run_id)
        unknown, others = _count(connection, _UNKNOWN, run_id)
    rows_in = int(raw.facts.get("input_rows", expected))
    shown = tuple([*examples, *others][:EXAMPLES])
    return Balance(rows_in, ended, missing, unknown, expected - distinct, abs(rows_in - expected), shown)


def _copy_row_ids(connection: Connection, raw: Manifest) -> None:
    driver: Any = connection.connection
    with driver.cursor() as cursor, cursor.copy("COPY pg_temp.expected FROM STDIN") as copy:
        for batch in read_chunks(raw, columns=["row_id"]):
            for row_id in batch.column(0).to_pylist():
                copy.write_row((row_id,))


def _count(connection: Connection, query: str, run_id: str) -> tuple[int, list[str]]:
    rows = connection.execute(text(query), {"run": run_id, "most": EXAMPLES}).all()
    return (int(rows[0].total), [str(row.row_id) for row in rows]) if rows else (0, [])


_COUNTS = "SELECT outcome, count(*) FROM nightledger.outcome WHERE run_id = :run GROUP BY outcome ORDER BY 2 DESC"

_REJECTED = """
INSERT INTO pg_temp.expected SELECT row_id FROM nightledger.quarantine
 WHERE run_id = :run AND stage = 'extract' AND counts_as_input"""

_EXPECTED = "SELECT count(*), count(DISTINCT row_id) FROM pg_temp.expected"

_MISSING = """
SELECT e.row_id, count(*) OVER () AS total FROM (SELECT DISTINCT row_id FROM pg_temp.expected) e
 WHERE NOT EXISTS (SELECT FROM nightledger.outcome o WHERE o.run_id = :run AND o.row_id = e.row_id)
 ORDER BY e.row_id LIMIT :most"""

_UNKNOWN = """
SELECT o.row_id, count(*) OVER () AS total FROM nightledger.outcome o
 WHERE o.run_id = :run AND NOT EXISTS (SELECT FROM pg_temp.expected e WHERE e.row_id = o.row_id)
 ORDER BY o.row_id LIMIT :most"""
