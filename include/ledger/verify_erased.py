"""The queries of a verification about what was erased, removed and held: each such word must be true of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

TOMBSTONES: Mapping[str, Mapping[str, str]] = {
    "inference": {"messages": """'[{"role": "user", "content": "[erased]"}]'::jsonb"""},
    "inference_result": {
        "detail": "CASE WHEN x.detail IS NOT NULL THEN '[erased]' END",
        "raw_text": "CASE WHEN x.raw_text IS NOT NULL THEN '[erased]' END",
        "parsed": "NULL::jsonb",
    },
    "decision": {"output": """CASE WHEN x.output IS NOT NULL THEN '{"erased": true}'::jsonb END"""},
}
"""What the columns of an erased audit row hold, written out here as the formulas are."""
REFS: Mapping[str, str] = {
    "manifest": "x.run_id || '/' || x.dataset",
    "answer": "x.inference_key || '@' || (extract(epoch FROM x.recorded_at) * 1000000)::bigint",
    "quarantine": "x.quarantine_id::text",
    "dead_letter": "x.dead_letter_id::text",
    "review_item": "x.review_item_id::text",
    "outcome": "x.run_id || '/' || x.row_id",
    "outbox_intent": "x.outbox_id::text",
    "outbox_result": "x.outbox_id::text",
}
"""How an erasure names a row of a table that is sealed by run."""

_NEWEST = """
SELECT DISTINCT ON (row_ref) row_ref, was, now, sealed, run_id FROM nightledger.erasure
 WHERE table_name = '{table}' AND {only} ORDER BY row_ref, recorded_at DESC"""

_REMOVED = "EXISTS (SELECT FROM nightledger.removal r WHERE r.run_id = {run} AND r.table_name = '{table}')"

# A row without its tombstone, and one that was given other content together with it.
_ERASED = """
SELECT '{table}', e.row_ref, CASE WHEN x.{key} IS NULL THEN 'is on record as erased, but gone'
         WHEN {blank} THEN 'was changed after it was erased' ELSE 'is on record as erased, but holds content' END
  FROM ({newest}) e LEFT JOIN nightledger.{table} x ON x.{key}::text = e.row_ref
 WHERE ((x.digest, {digest}) IS DISTINCT FROM (e.was, e.now) OR NOT ({blank}))
   AND NOT {removed}"""


def erased(parts: Mapping[str, str]) -> str:
    """A query for rows of an audit table that are not what their erasure says; `parts` as in `verify_sql.parts`."""
    table, only = parts["table"], parts["only"]
    blank = " AND ".join(f"x.{name} IS NOT DISTINCT FROM ({held})" for name, held in TOMBSTONES[table].items())
    newest, removed = _NEWEST.format(table=table, only=only), _REMOVED.format(run="e.run_id", table=table)
    return _ERASED.format(**parts, blank=blank, newest=newest, removed=removed)


_CAME_BACK = """
SELECT '{table}', e.row_ref, 'is on record as erased, but holds what it held before'
  FROM ({newest}) e JOIN (SELECT {run} AS run_id, {ref} AS row_ref, sha256(record_send(ROW({names}))) AS digest
                            FROM {rows}) x ON (x.run_id, x.row_ref) = (e.run_id, e.row_ref)
 WHERE e.sealed = CAST(:columns AS text[]) AND x.digest = e.was AND e.was <> e.now"""


def came_back(table: str, names: str, rows: str, run: str, only: str) -> str:
    """A query for rows of a table sealed by run that hold again what was erased."""
    newest = _NEWEST.format(table=table, only=only)
    return _CAME_BACK.format(table=table, newest=newest, run=run, ref=REFS[table], names=names, rows=rows)


def counted(table: str, columns: Sequence[str], held: str, only: str) -> str:
    """Rows of `held` (run_id, row_ref, digest), with the digest that they were sealed with where they were erased."""
    names = ", ".join(f"'{name}'" for name in columns)
    newest = _NEWEST.format(table=table, only=f"sealed = ARRAY[{names}]::text[] AND {only}")
    return f"""
SELECT held.run_id, coalesce(e.was, held.digest) AS digest FROM ({held}) held
  LEFT JOIN ({newest}) e ON (e.run_id, e.row_ref, e.now) = (held.run_id, held.row_ref, held.digest)"""


IS_REMOVED = _REMOVED
# A removed run left none of its rows.
LEFT = """
SELECT '{table}', r.run_id, 'is on record as removed, but rows of it are there'
  FROM (SELECT run_id FROM nightledger.removal WHERE table_name = '{table}' AND {only}) r
 WHERE EXISTS (SELECT FROM nightledger.{table} x WHERE x.run_id = r.run_id)"""

# As many rows were removed as the run's events had sealed.
REMOVED = """
SELECT r.table_name, r.run_id, 'was removed with ' || r.rows || ' rows, its events had sealed ' || coalesce(s.rows, 0)
  FROM (SELECT * FROM nightledger.removal
         WHERE {only} AND table_name IN ('inference', 'inference_result', 'decision')) r
  LEFT JOIN (SELECT stream, details ->> 'table' AS name,
                    sum(CASE WHEN details ->> 'rows' ~ '^[0-9]{{1,18}}$' THEN (details ->> 'rows')::bigint END) AS rows
               FROM nightledger.event WHERE type = 'audit.sealed' GROUP BY 1, 2) s
    ON (s.stream, s.name) = (r.run_id, r.table_name)
 WHERE coalesce(s.rows, 0) <> r.rows"""

# What is held is what somebody said, and nothing is let go without a word.
HELD = """
WITH said AS (
    SELECT details ->> 'hold_id' AS hold_id, seq, type, details FROM nightledger.event
     WHERE stream = 'holds' AND type IN ('hold.set', 'hold.lifted'))
SELECT 'legal_hold', coalesce(h.hold_id::text, s.hold_id), CASE
         WHEN s.hold_id IS NULL THEN 'nobody is on record as having set it'
         WHEN h.hold_id IS NULL THEN 'was deleted, though event holds/' || s.seq || ' set it'
         WHEN (h.lifted_at IS NULL) IS DISTINCT FROM (l.hold_id IS NULL) THEN 'was lifted, or set again, without a word'
         ELSE 'is not what event holds/' || s.seq || ' set' END
  FROM nightledger.legal_hold h
  FULL JOIN (SELECT * FROM said WHERE type = 'hold.set') s ON s.hold_id = h.hold_id::text
  LEFT JOIN (SELECT * FROM said WHERE type = 'hold.lifted') l ON l.hold_id = s.hold_id
 WHERE (h.use_case, h.row_key, extract(epoch FROM h.starts_at)::text, extract(epoch FROM h.ends_at)::text)
       IS DISTINCT FROM (s.details ->> 'use_case', s.details ->> 'row_key',
                         extract(epoch FROM (s.details ->> 'starts_at')::timestamptz)::text,
                         extract(epoch FROM (s.details ->> 'ends_at')::timestamptz)::text)
    OR (h.lifted_at IS NULL) IS DISTINCT FROM (l.hold_id IS NULL)"""

ERASURES = """
SELECT request_id::text AS request, min(recorded_at) AS at, erased_by AS by, reason, sum(rows)::bigint AS rows,
       jsonb_object_agg(table_name, rows) AS tables
  FROM (SELECT request_id, erased_by, reason, table_name, min(recorded_at) AS recorded_at, count(*) AS rows
          FROM nightledger.erasure WHERE {only} GROUP BY 1, 2, 3, 4) per_table
 GROUP BY request_id, erased_by, reason ORDER BY 2 DESC"""

REMOVALS = """
SELECT policy, removed_by AS by, min(recorded_at) AS at, count(DISTINCT run_id) AS runs, sum(rows)::bigint AS rows
  FROM nightledger.removal WHERE {only} GROUP BY 1, 2 ORDER BY 3 DESC"""
