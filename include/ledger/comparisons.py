"""What records held beside what mode shadow would have written: by name of field, never a value."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from include.database import copy_rows
from include.ledger import tables
from include.ledger.reviews import TIME_OUT
from include.models import Record
from include.systems.port import Sink

NIGHTS_BACK = 7
"""So many nights in mode shadow are looked back at: people need days to fill in what they know."""
WRITES_BACK = 20
"""So many of our writes to a record are held against what it holds, the newest first."""
HeldBy = Literal["person", "version"]


class Asking(NamedTuple):
    """Whose answers are compared: those of a use case by one prompt and model."""

    use_case: str
    prompt_hash: str
    model: str


class Proposal(NamedTuple):
    """What mode shadow would have written for one row."""

    decision_id: UUID
    row_id: str
    row_key: str
    origin: str
    output: Record


class Comparison(NamedTuple):
    """One record beside one proposal: whose word it held, the fields that were compared, those that differ."""

    row_id: str
    row_key: str
    decision_id: UUID
    external_id: str
    held_by: HeldBy
    fields: Sequence[str]
    differs: Sequence[str]


class Ours(NamedTuple):
    """One of our own writes to a record: its values, and whether a person had decided on it."""

    fields: Record
    by_person: bool


def proposals(connection: Connection, run_id: str, asking: Asking, most: int) -> list[Proposal]:
    """Rows of the newest nights in mode shadow of which no person's word is known, by their newest answer.

    At most `most`; another sample each night, so that records that nobody fills in do not hide the others. Answers of
    the model alone: what the fallback rule says is no merit of the prompt.
    """
    given = {**asking._asdict(), "run_id": run_id, "nights": NIGHTS_BACK, "most": most}
    return [Proposal(*row) for row in connection.execute(_PROPOSALS, given)]


def our_writes(connection: Connection, sink: Sink, ids: Collection[str]) -> dict[str, list[Ours]]:
    """What we ourselves have written to these records, or may have, whichever use case it was; newest first."""
    given = {"destination": sink.system, "object": sink.object, "ids": list(ids), "most": WRITES_BACK}
    found: dict[str, list[Ours]] = {}
    for number, fields, decided_by in connection.execute(_OURS, given):
        found.setdefault(number, []).append(Ours(fields, decided_by not in (None, "gate", TIME_OUT)))
    return found


def record_comparisons(
    connection: Connection, run_id: str, asking: Asking, sink: Sink, found: Sequence[Comparison]
) -> list[Comparison]:
    """Append what is not on record yet, sealed; returns it. One process at a time for each use case."""
    connection.execute(_LOCK, {"name": f"comparison/{asking.use_case}"})
    rows = [one.row_id for one in found]
    known = {tuple(row) for row in connection.execute(_KNOWN, {**asking._asdict(), "rows": rows})}
    new = [one for one in found if (one.row_id, one.held_by) not in known]
    names = [
        *("comparison_id", "batch", "run_id", *Asking._fields, "destination", "object", *Comparison._fields),
    ]
    batch = uuid4()
    values = (
        (uuid4(), batch, run_id, *asking, sink.system, sink.object, *one[:5], list(one.fields), list(one.differs))
        for one in new
    )
    copy_rows(connection, tables.comparison, names, values)
    return new


class Counted(NamedTuple):
    """Records compared, and those of them that held what would have been written."""

    compared: int = 0
    agreed: int = 0


class Shadowed(NamedTuple):
    """What shadow has shown of a prompt and model: nights that succeeded, records that people had filled in themselves,
    and those that held what a version before had written.
    """

    nights: int = 0
    people: Counted = Counted()
    version: Counted = Counted()


def measure_shadow(connection: Connection, asking: Asking, most: int) -> Shadowed:
    """Nights in mode shadow, and the newest comparisons of each kind, at most so many."""
    given = {**asking._asdict(), "most": most}
    nights = int(connection.scalar(_NIGHTS, given) or 0)
    found = {row.held_by: Counted(row.compared, row.agreed) for row in connection.execute(_COUNTED, given)}
    return Shadowed(nights, found.get("person", Counted()), found.get("version", Counted()))


_OF_ASKING = "use_case = :use_case AND prompt_hash = :prompt_hash AND model = :model"
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext(:name))")

# The newest attempt at each of the newest nights; no sample holds a row that people have spoken on.
_PROPOSALS = text(f"""
WITH nights AS (
    SELECT run_id, interval_start FROM (
        SELECT DISTINCT ON (interval_start, interval_end) run_id, interval_start FROM nightledger.run
         WHERE {_OF_ASKING} AND mode = 'shadow' AND (status = 'succeeded' OR run_id = :run_id)
           AND contract_hash = (SELECT contract_hash FROM nightledger.run WHERE run_id = :run_id)
         ORDER BY interval_start DESC, interval_end DESC, attempt DESC LIMIT :nights) newest),
newest AS (
    SELECT DISTINCT ON (d.row_id) d.row_id, d.row_key, d.decision_id, d.origin, d.inference_id, d.output
      FROM nights n JOIN nightledger.decision d ON d.run_id = n.run_id
     WHERE d.verdict = 'shadow' AND d.origin = 'model'
     ORDER BY d.row_id, n.interval_start DESC, d.recorded_at DESC),
drawn AS (
    SELECT * FROM newest d
     WHERE NOT EXISTS (SELECT FROM nightledger.comparison c WHERE c.use_case = :use_case
                          AND c.prompt_hash = :prompt_hash AND c.model = :model AND c.row_id = d.row_id
                          AND c.held_by = 'person')
     ORDER BY md5(d.row_id || :run_id) LIMIT :most)
SELECT d.decision_id, d.row_id, d.row_key, d.origin, coalesce(d.output, nightledger.said(r.parsed, r.raw_text))
  FROM drawn d LEFT JOIN nightledger.inference_result r ON r.inference_id = d.inference_id AND r.outcome = 'ok'
 WHERE coalesce(d.output, nightledger.said(r.parsed, r.raw_text)) IS NOT NULL""")

_OURS = text("""
SELECT wanted.id, o.fields, d.decided_by FROM unnest(CAST(:ids AS text[])) AS wanted (id)
 CROSS JOIN LATERAL (SELECT * FROM nightledger.outbox WHERE destination = :destination AND object = :object
                        AND external_id = wanted.id AND status IN ('written', 'intended') AND undo_of IS NULL
                      ORDER BY outbox_id DESC LIMIT :most) o
  LEFT JOIN nightledger.decision d ON d.decision_id = o.decision_id
 ORDER BY wanted.id, o.outbox_id DESC""")

_KNOWN = text(
    f"SELECT row_id, held_by FROM nightledger.comparison WHERE {_OF_ASKING} AND row_id = ANY (CAST(:rows AS text[]))"
)

_NIGHTS = text(f"""
SELECT count(DISTINCT interval_start) FROM nightledger.run r
 WHERE {_OF_ASKING} AND mode = 'shadow' AND status = 'succeeded' AND options ->> 'limit' IS NULL
   AND EXISTS (SELECT FROM nightledger.decision d WHERE d.run_id = r.run_id AND d.verdict = 'shadow')""")

_COUNTED = text(f"""
SELECT kinds.held_by, count(*) AS compared, count(*) FILTER (WHERE differs = '{{}}') AS agreed
  FROM (VALUES ('person'), ('version')) AS kinds (held_by)
 CROSS JOIN LATERAL (SELECT differs FROM nightledger.comparison
                      WHERE {_OF_ASKING} AND held_by = kinds.held_by ORDER BY recorded_at DESC LIMIT :most) newest
 GROUP BY 1""")
