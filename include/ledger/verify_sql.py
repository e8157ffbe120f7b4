"""The queries of a verification: each finds what does not prove itself, as table, row and problem.

The formulas are written out instead of calling the ledger's own functions: a verification that trusts code kept in the
database it verifies proves less, and only expressions run in parallel there.
"""

from __future__ import annotations

from collections.abc import Mapping

from include.ledger.verify_erased import IS_REMOVED

AUDITED: Mapping[str, str] = {
    "inference": "inference_id recorded_at batch run_id use_case row_id row_key inference_key prompt_version "
    "prompt_hash model parameters messages kind attempt tokens_estimated cost_reserved batch_job_id",
    "inference_result": "inference_id recorded_at batch run_id outcome detail http_status model_answered "
    "provider_request_id raw_text parsed tokens_in tokens_out tokens_cached cost price_dated latency_ms queue_ms "
    "cost_basis",
    "decision": "decision_id recorded_at batch run_id use_case row_id row_key inference_key verdict rule decided_by "
    "origin inference_id output confidence shown_sha256",
    "evaluation": "evaluation_id recorded_at batch run_id use_case prompt_version prompt_hash model contract_hash "
    "labels_sha256 rows correct verdict reasons scores against cost",
    "evaluation_row": "evaluation_row_id recorded_at batch run_id evaluation_id row_sha256 inference_key verdict",
    "comparison": "comparison_id recorded_at batch run_id use_case prompt_hash model row_id row_key decision_id "
    "destination object external_id held_by fields differs",
    "erasure": "erasure_id recorded_at batch run_id request_id table_name row_ref columns sealed was now erased_by "
    "reason login",
    "removal": "removal_id recorded_at batch run_id table_name rows held still_named policy removed_by login",
}
"""Tables whose every row is sealed when it is recorded, and what its digest covers; the first column is its key."""
ADDED = {"inference": "batch_job_id", "inference_result": "cost_basis"}
"""Columns that came after the first form: rows recorded before have them empty, and no digest over them."""
LATER = {"evaluation": "condition"}
"""The same, of tables whose digests are all in binary form: it covers the column only where that is not empty."""


def parts(table: str, only: str) -> dict[str, str]:
    """What the queries about an append-only table are completed with; `only` is a condition on `run_id`."""
    names = AUDITED[table].split()
    column = ADDED.get(table)
    added = f"- CASE WHEN x.{column} IS NULL THEN '{column}' ELSE 'digest' END" if column else ""
    columns = ", ".join(f"x.{name}" for name in names)
    digest = f"sha256(record_send(ROW({columns})))"
    if later := LATER.get(table):
        digest = f"CASE WHEN x.{later} IS NULL THEN {digest} ELSE sha256(record_send(ROW({columns}, x.{later}))) END"
    sealed = _SEALED.format(table=table, only=only)
    return {"table": table, "key": names[0], "digest": digest, "added": added, "sealed": sealed, "only": only}


_SHA = "encode(sha256(convert_to({}, 'UTF8')), 'hex')"
_EVENT_HASH = _SHA.format("(to_jsonb(e) - 'hash')::text")

# Where every stream was when the head was written; nothing without one.
_BASE = """
SELECT DISTINCT ON (stream) stream, seq, hash FROM (
    SELECT details ->> 'run_id' AS stream, details ->> 'hash' AS hash,
           CASE WHEN details ->> 'seq' ~ '^[0-9]{1,18}$' THEN (details ->> 'seq')::bigint END AS seq
      FROM nightledger.event WHERE stream = 'ledger' AND type = 'chain.anchored'
       AND seq <= (SELECT seq FROM nightledger.event WHERE stream = 'ledger' AND hash = CAST(:since AS text))
     UNION ALL
    SELECT stream, hash, seq FROM nightledger.event WHERE stream = 'ledger' AND hash = CAST(:since AS text)) known
 WHERE seq IS NOT NULL ORDER BY stream, seq DESC"""

_SINCE = f"nightledger.event e LEFT JOIN ({_BASE}) b USING (stream) WHERE (b.seq IS NULL OR e.seq > b.seq)"

CHANGED = f"SELECT DISTINCT stream FROM {_SINCE}"

EVENTS = f"""
SELECT 'event', stream || '/' || seq, CASE
         WHEN hash IS DISTINCT FROM computed THEN 'its content does not match its hash: it was changed'
         WHEN seq <> before_seq + 1 THEN 'follows ' || before_seq || ': ' || seq - before_seq - 1 || ' deleted'
         ELSE 'does not continue the hash of the event before it' END
  FROM (SELECT e.stream, e.seq, e.hash, e.prev_hash, {_EVENT_HASH} AS computed,
               coalesce(lag(e.seq) OVER w, b.seq, 0) AS before_seq,
               coalesce(lag(e.hash) OVER w, b.hash, '') AS before_hash
          FROM {_SINCE} WINDOW w AS (PARTITION BY e.stream ORDER BY e.seq)) chain
 WHERE hash IS DISTINCT FROM computed OR seq <> before_seq + 1 OR prev_hash IS DISTINCT FROM before_hash"""

_LAST = "SELECT DISTINCT ON (stream) stream, seq, hash FROM nightledger.event ORDER BY stream, seq DESC"

HEADS = f"""
SELECT 'chain_head', stream, CASE
         WHEN h.seq IS NULL THEN 'is missing, though the stream has ' || e.seq || ' events'
         WHEN e.seq IS NULL THEN 'says ' || h.seq || ' events, the stream has none: they were deleted'
         WHEN e.seq < h.seq THEN 'says ' || h.seq || ' events, the last is ' || e.seq || ': the tail was deleted'
         ELSE 'differs from event ' || e.seq || ', the last of the stream' END
  FROM nightledger.chain_head h FULL JOIN ({_LAST}) e USING (stream)
 WHERE (h.seq, h.hash) IS DISTINCT FROM (e.seq, e.hash)"""

_ANCHORED = """
SELECT seq, details ->> 'run_id' AS run_id, details ->> 'seq' AS at, details ->> 'hash' AS hash
  FROM nightledger.event WHERE stream = 'ledger' AND type = 'chain.anchored'"""

ANCHORS = f"""
SELECT 'event', coalesce(a.run_id, '?') || '/' || coalesce(a.at, '?'),
       CASE WHEN e.seq IS NULL THEN 'is gone' ELSE 'has another hash' END || ', though anchored by ledger/' || a.seq
  FROM ({_ANCHORED}) a LEFT JOIN nightledger.event e ON e.stream = a.run_id AND e.seq::text = a.at
 WHERE e.hash IS DISTINCT FROM a.hash"""

UNANCHORED = f"""
SELECT 'event', e.stream || '/' || e.seq, 'is the last of its stream, but no event of stream ledger anchors it'
  FROM ({_LAST}) e LEFT JOIN ({_ANCHORED}) a ON a.run_id = e.stream AND a.at = e.seq::text
  LEFT JOIN nightledger.run r ON r.run_id = e.stream AND r.finished_at IS NULL
 WHERE e.stream <> 'ledger' AND a.seq IS NULL AND r.run_id IS NULL"""

CLOSED = """
SELECT 'run', coalesce(r.run_id, c.stream), CASE
         WHEN r.run_id IS NULL THEN 'was deleted, though event ' || c.stream || '/' || c.seq || ' closed it'
         WHEN c.seq IS NULL THEN 'is closed, but its stream has no event run.closed'
         ELSE 'its status or counts differ from event ' || c.stream || '/' || c.seq || ', which closed it' END
  FROM (SELECT * FROM nightledger.run) r
  FULL JOIN (SELECT DISTINCT ON (stream) stream, seq, details FROM nightledger.event WHERE type = 'run.closed'
              ORDER BY stream, seq DESC) c ON c.stream = r.run_id
 WHERE (r.finished_at IS NOT NULL OR c.seq IS NOT NULL)
   AND (r.status, r.counts) IS DISTINCT FROM (c.details ->> 'status', c.details -> 'counts')"""

_SAID = ("external_ref", "mode", "model", "prompt_hash", "contract_hash")

OPENED = f"""
SELECT 'run', o.stream, CASE
         WHEN r.run_id IS NULL THEN 'was deleted, though event ' || o.stream || '/' || o.seq || ' opened it'
         ELSE 'its mode, model, prompt or options differ from event ' || o.stream || '/' || o.seq || ', which opened it'
       END
  FROM (SELECT * FROM nightledger.event WHERE type = 'run.opened') o
  LEFT JOIN nightledger.run r ON r.run_id = o.stream
 WHERE ({", ".join(f"r.{name}" for name in _SAID)}, r.options)
       IS DISTINCT FROM ({", ".join(f"o.details ->> '{name}'" for name in _SAID)}, o.details -> 'options')"""

# What people have set is what they last said, so that nobody lets nights go further without a word.
CONTROLLED = """
SELECT 'control', coalesce(c.use_case, substr(e.stream, 9)), CASE
         WHEN e.stream IS NULL THEN 'nobody is on record as having set it'
         WHEN c.use_case IS NULL THEN 'was deleted, though event ' || e.stream || '/' || e.seq || ' set it'
         ELSE 'is not what event ' || e.stream || '/' || e.seq || ' set' END
  FROM nightledger.control c
  FULL JOIN (SELECT DISTINCT ON (stream) stream, seq, details FROM nightledger.event WHERE type = 'control.changed'
              ORDER BY stream, seq DESC) e ON e.stream = 'control/' || c.use_case
 WHERE (c.mode, c.off::text, c.prompt)
       IS DISTINCT FROM (e.details ->> 'mode', e.details ->> 'off', e.details ->> 'prompt')"""

COUNT = "SELECT count(*) FROM nightledger.{table} WHERE {only}"

# Rows without a stream of their own are digested in binary form, those recorded before as JSON.
ROWS = """
SELECT '{table}', {key}::text, 'its content does not match its digest: it was changed'
  FROM nightledger.{table} x
 WHERE digest IS DISTINCT FROM CASE WHEN stream IS NULL THEN {digest}
       ELSE sha256(convert_to((to_jsonb(x) - 'digest' {added})::text, 'UTF8')) END
   AND {only}
   AND NOT EXISTS (SELECT FROM nightledger.erasure e WHERE e.table_name = '{table}' AND e.row_ref = x.{key}::text
                      AND e.was = x.digest AND e.now = {digest})"""

# A tampered event may hold anything in the place of its batch; a cast that fails would end the verification.
_SEALED = """
SELECT * FROM (
    SELECT stream AS run_id, stream || '/' || seq AS event, details ->> 'rows' AS rows, details ->> 'digest' AS digest,
           CASE WHEN details ->> 'batch' ~ '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$'
                THEN (details ->> 'batch')::uuid END AS batch
      FROM nightledger.event WHERE type = 'audit.sealed' AND details ->> 'table' = '{table}') every WHERE {only}"""

BATCHES = (
    """
WITH held AS (
    SELECT batch, count(*)::text AS rows, """
    + _SHA.format("string_agg(encode(digest, 'hex'), '' ORDER BY digest)")
    + """ AS digest FROM nightledger.{table} WHERE {only} GROUP BY batch)
SELECT '{table}', 'batch ' || coalesce(s.batch::text, held.batch::text, '?'), CASE
         WHEN event IS NULL THEN 'no event seals it: ' || held.rows || ' rows were inserted past the triggers'
         WHEN coalesce(held.rows, '0') IS DISTINCT FROM s.rows
         THEN 'event ' || event || ' sealed ' || coalesce(s.rows, 'no') || ' rows, it holds '
              || coalesce(held.rows, '0')
         ELSE 'differs from its seal in event ' || event || ': a row was changed together with its digest' END
  FROM ({sealed}) s FULL JOIN held ON held.batch = s.batch
 WHERE (held.rows, held.digest) IS DISTINCT FROM (s.rows, s.digest)
   AND NOT (held.batch IS NULL AND """
    + IS_REMOVED.format(run="s.run_id", table="{table}")
    + """)"""
)

DECIDED = """
SELECT 'decision', decision_id::text, 'is not about what the sealed result of its inference says'
  FROM (SELECT * FROM nightledger.decision WHERE {only} AND origin = 'model' AND decided_by = 'gate') d
  LEFT JOIN (SELECT inference_id, parsed FROM nightledger.inference_result WHERE outcome = 'ok') r USING (inference_id)
 WHERE (r.inference_id IS NULL OR output IS NOT NULL AND output IS DISTINCT FROM parsed)
   AND NOT EXISTS (SELECT FROM nightledger.erasure e
                    WHERE e.table_name = 'inference_result' AND e.row_ref = d.inference_id::text)
   AND NOT EXISTS (SELECT FROM nightledger.removal r, unnest(r.still_named) AS named (inference_id)
                    WHERE r.table_name = 'inference_result' AND named.inference_id = d.inference_id)"""

_RUN_SEALS = """
SELECT DISTINCT ON (stream) stream AS run_id, stream || '/' || seq AS event,
       CASE WHEN jsonb_typeof(details -> 'tables') = 'object' THEN details -> 'tables' ELSE '{{}}' END AS tables
  FROM nightledger.event WHERE type = 'run.sealed' ORDER BY stream, seq DESC"""

FORMS = f"""
SELECT DISTINCT t.key, t.value -> 'columns'
  FROM ({_RUN_SEALS}) s, jsonb_each(s.tables) t
 WHERE {{only}} AND jsonb_typeof(t.value -> 'columns') = 'array' ORDER BY 1, 2"""

_OF_TABLE = f"""
SELECT run_id, event, tables -> :table AS seal FROM ({_RUN_SEALS}) every
 WHERE {{only}} AND tables -> :table -> 'columns' = to_jsonb(CAST(:columns AS text[]))"""

SEALED_ROWS = f"""
SELECT sum(CASE WHEN seal ->> 'rows' ~ '^[0-9]{{{{1,18}}}}$' THEN (seal ->> 'rows')::bigint END) FROM ({_OF_TABLE}) s"""

# A correction of a run's budget is an event of its own, with who and why.
RUNS = f"""
WITH sealed AS ({_OF_TABLE}), held AS ({{held}})
SELECT CAST(:table AS text), s.run_id, CASE
         WHEN coalesce(held.rows, 0)::text IS DISTINCT FROM seal ->> 'rows'
         THEN 'event ' || event || ' sealed ' || coalesce(seal ->> 'rows', 'no') || ' rows of the run, it holds '
              || coalesce(held.rows, 0)
         ELSE 'the rows of the run differ from their seal in event ' || event || ': one was changed' END
  FROM sealed s LEFT JOIN held ON held.run_id = s.run_id
 WHERE (coalesce(held.rows, 0)::text, coalesce(held.digest, '')) IS DISTINCT FROM (seal ->> 'rows', seal ->> 'digest')
   AND NOT (:table = 'budget' AND EXISTS (SELECT FROM nightledger.event c WHERE c.type = 'budget.corrected'
                                             AND c.details ->> 'scope' = 'run/' || s.run_id))
   AND NOT (held.run_id IS NULL AND EXISTS (SELECT FROM nightledger.removal r
             WHERE r.run_id = s.run_id AND r.table_name = :table
               AND (r.rows::text, r.held) = (seal ->> 'rows', seal ->> 'digest')))"""

TOTALS = f"""
SELECT count(*), count(DISTINCT stream), count(*) FILTER (WHERE type = 'audit.sealed'),
       coalesce((SELECT hash FROM nightledger.chain_head WHERE stream = 'ledger'), '')
  FROM {_SINCE}"""
