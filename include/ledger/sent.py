"""What was sent about a row: every call, what was written of it, and where the ledger still has it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from include.models import Record


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a row was shown in; `system` is the registry's entry, empty where none is on record.

    `for_row` is the row that was asked about: another one where it showed the same, so that this one has its answer
    too. `erased` says that what was shown is not kept any more.
    """

    at: datetime
    use_case: str
    run_id: str
    row_key: str
    for_row: str
    inference_id: UUID
    kind: str
    system: str
    model: str
    request_id: str
    outcome: str
    contract_hash: str
    erased: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """A place where the ledger has something of a row: a write, or an entry that lies there; `what` says which."""

    at: datetime
    use_case: str
    run_id: str
    row_key: str | None
    place: str
    number: str
    what: str
    erased: bool


def find_calls(connection: Connection, keys: Mapping[str, Collection[str]]) -> list[Call]:
    """Calls of these rows (keys by use case), oldest first; those of engines in the process were sent to nobody."""
    found = []
    for use_case, rows in sorted(keys.items()):
        given = {"use_case": use_case, "keys": sorted(rows)}
        found += [Call(**row) for row in connection.execute(_CALLS, given).mappings()]
    return sorted(found, key=lambda one: (one.at, str(one.inference_id)))


def find_traces(
    connection: Connection, keys: Mapping[str, Collection[str]], loose: Mapping[str, Collection[str]]
) -> list[Trace]:
    """Writes, quarantine, dead letters and review items of these rows, and of entries that belong to no row key."""
    found = []
    for use_case, rows in sorted(keys.items()):
        given: Record = {"use_case": use_case, "keys": sorted(rows), "numbers": []}
        for query in _TRACES.values():
            found += [Trace(**row) for row in connection.execute(query, given).mappings()]
    for table, refs in loose.items():
        if table in _TRACES:
            given = {"use_case": "", "keys": [], "numbers": [int(ref) for ref in refs]}
            found += [Trace(**row) for row in connection.execute(_TRACES[table], given).mappings()]
    return sorted(found, key=lambda one: one.at)


def find_datasets(connection: Connection, runs: Collection[str]) -> list[Record]:
    """What these runs staged, as far as the ledger knows: run, dataset and place."""
    query = text(
        "SELECT run_id, dataset, uri FROM nightledger.manifest WHERE run_id = ANY (CAST(:runs AS text[])) ORDER BY 1, 2"
    )
    return [dict(row) for row in connection.execute(query, {"runs": sorted(runs)}).mappings()]


_IS_ERASED = """EXISTS (SELECT FROM nightledger.erasure e WHERE e.table_name = '{0}' AND e.row_ref = x.{1}::text)"""
_SYSTEM = """coalesce(i.parameters ->> 'endpoint', (SELECT h.system FROM nightledger.answer_home h
                   WHERE h.use_case = i.use_case AND h.model = i.model), '')"""

_CALLS = text(f"""
WITH ours AS (
    SELECT inference_id, row_key FROM nightledger.inference
     WHERE use_case = :use_case AND row_key = ANY (CAST(:keys AS text[]))
     UNION
    SELECT inference_id, row_key FROM nightledger.decision
     WHERE use_case = :use_case AND row_key = ANY (CAST(:keys AS text[])) AND inference_id IS NOT NULL)
SELECT i.recorded_at AS at, i.use_case, i.run_id, o.row_key, i.row_key AS for_row, i.inference_id, i.kind, i.model,
       {_SYSTEM} AS system, coalesce(r.provider_request_id, '') AS request_id,
       coalesce(r.outcome, 'no result on record') AS outcome, coalesce(u.contract_hash, '') AS contract_hash,
       {_IS_ERASED.format("inference", "inference_id").replace("x.", "i.")} AS erased
  FROM ours o JOIN nightledger.inference i USING (inference_id)
  LEFT JOIN nightledger.inference_result r USING (inference_id)
  LEFT JOIN nightledger.run u ON u.run_id = i.run_id
 WHERE i.kind NOT IN ('local', 'tool')""")


def _trace(table: str, key: str, place: str, what: str) -> Any:
    return text(f"""
SELECT x.recorded_at AS at, x.use_case, x.run_id, x.row_key, {place} AS place, x.{key}::text AS number, {what} AS what,
       {_IS_ERASED.format(table.removesuffix(" view"), key)} AS erased
  FROM nightledger.{table} x
 WHERE x.use_case = :use_case AND x.row_key = ANY (CAST(:keys AS text[]))
    OR x.{key} = ANY (CAST(:numbers AS bigint[]))""")


_TRACES: Mapping[str, Any] = {
    "outbox_intent": _trace(
        "outbox_intent",
        "outbox_id",
        "x.destination || '/' || x.object || ' ' || x.external_id",
        "'write ' || (SELECT status FROM nightledger.outbox o WHERE o.outbox_id = x.outbox_id)",
    ),
    "quarantine": _trace("quarantine", "quarantine_id", "'quarantine'", "x.status"),
    "dead_letter": _trace("dead_letter", "dead_letter_id", "'dead letters'", "x.status"),
    "review_item": _trace("review_item", "review_item_id", "'review'", "x.status"),
}


def columns_of(sees: Sequence[str], tokenised: Sequence[str]) -> str:
    """The columns that a model is shown, those as tokens marked."""
    return ", ".join(f"{name} (tokens)" if name in tokenised else name for name in sees)
