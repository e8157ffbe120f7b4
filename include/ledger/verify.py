"""Prove that nothing in the ledger was changed, added or removed after it was recorded (invariant I4)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from include.ledger.database import transaction

AUDITED = {"inference": "inference_id", "inference_result": "inference_id", "decision": "decision_id"}
ADDED = {"inference": "batch_job_id", "inference_result": "cost_basis"}
"""Columns that came after the first form: rows recorded before have them empty, and no digest over them."""
MOST_FINDINGS = 100  # per check, so that a wholly rewritten ledger does not fill the client's memory


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where the ledger does not prove itself; `row` is the primary key, never content."""

    table: str
    row: str
    problem: str

    def __str__(self) -> str:
        return f"{self.table} {self.row}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked, how long it took, and every finding (at most 100 for each check)."""

    events: int
    streams: int
    batches: int
    rows: int
    seconds: float
    head: str
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether the ledger is as it was recorded."""
        return not self.findings

    def as_text(self) -> str:
        """The verdict for a terminal, one line for each finding."""
        verdict = "The ledger holds." if self.holds else f"The ledger does NOT hold: {len(self.findings)} findings."
        checked = f"{self.events:,} events in {self.streams:,} streams, {self.batches:,} sealed batches"
        lines = [f"{verdict} Checked {checked}, {self.rows:,} rows in {self.seconds:.1f} s."]
        lines += [f"  {finding}" for finding in self.findings]
        return "\n".join([*lines, f"Head of the ledger: {self.head or '(no run closed yet)'}"])


def verify(engine: Engine) -> Verification:
    """Recompute every hash of the ledger in the database, in one snapshot, so nights may go on meanwhile.

    `head` is the last hash of stream `ledger`, into which every closed run is anchored: whoever keeps a copy of it
    elsewhere can also tell a ledger that was rewritten as a whole.
    """
    started = time.monotonic()
    with transaction(engine) as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        # Every join is on equal keys; without statistics on jsonb the planner would loop over all pairs.
        for setting in ("timezone = 'UTC'", "statement_timeout = 0", "work_mem = '64MB'", "enable_nestloop = off"):
            connection.execute(text(f"SET LOCAL {setting}"))
        findings = _find(connection, _EVENTS) + _find(connection, _HEADS)
        for table, key in AUDITED.items():
            for check in (_ROWS, _UNSEALED, _BATCHES):
                parts = {"table": table, "key": key, "added": _added(table), "sealed": _SEALED.format(table=table)}
                findings += _find(connection, check.format(**parts))
        findings += _find(connection, _ANCHORS) + _find(connection, _CLOSED)
        events, streams, batches, head = connection.execute(text(_TOTALS)).one()
        counts = [connection.scalar(text(f"SELECT count(*) FROM nightledger.{table}")) for table in AUDITED]
    rows = sum(int(count or 0) for count in counts)
    return Verification(events, streams, batches, rows, time.monotonic() - started, head, tuple(findings))


def _added(table: str) -> str:
    column = ADDED.get(table)
    return f"- CASE WHEN x.{column} IS NULL THEN '{column}' ELSE 'digest' END" if column else ""


def _find(connection: Connection, query: str) -> list[Finding]:
    rows = connection.execute(text(f"{query} LIMIT {MOST_FINDINGS + 1}")).all()
    found = [Finding(*row) for row in rows[:MOST_FINDINGS]]
    if len(rows) > MOST_FINDINGS:
        found.append(Finding(rows[-1][0], "(more)", f"more than {MOST_FINDINGS} rows fail this check"))
    return found


# The formulas are written out instead of calling the ledger's own functions: a verification that trusts code kept in
# the database it verifies proves less, and only expressions run in parallel there.
_SHA = "encode(sha256(convert_to({}, 'UTF8')), 'hex')"
_EVENT_HASH = _SHA.format("(to_jsonb(e) - 'hash')::text")

_EVENTS = f"""
SELECT 'event', stream || '/' || seq, CASE
         WHEN hash IS DISTINCT FROM computed THEN 'its content does not match its hash: it was changed'
         WHEN seq <> before_seq + 1 THEN 'follows ' || before_seq || ': ' || seq - before_seq - 1 || ' deleted'
         ELSE 'does not continue the hash of the event before it' END
  FROM (SELECT stream, seq, hash, prev_hash, {_EVENT_HASH} AS computed,
               lag(seq, 1, 0::bigint) OVER w AS before_seq, lag(hash, 1, '') OVER w AS before_hash
          FROM nightledger.event e WINDOW w AS (PARTITION BY stream ORDER BY seq)) chain
 WHERE hash IS DISTINCT FROM computed OR seq <> before_seq + 1 OR prev_hash IS DISTINCT FROM before_hash"""

_HEADS = """
SELECT 'chain_head', stream, CASE
         WHEN h.seq IS NULL THEN 'is missing, though the stream has ' || e.seq || ' events'
         WHEN e.seq IS NULL THEN 'says ' || h.seq || ' events, the stream has none: they were deleted'
         WHEN e.seq < h.seq THEN 'says ' || h.seq || ' events, the last is ' || e.seq || ': the tail was deleted'
         ELSE 'differs from event ' || e.seq || ', the last of the stream' END
  FROM nightledger.chain_head h
  FULL JOIN (SELECT DISTINCT ON (stream) stream, seq, hash FROM nightledger.event ORDER BY stream, seq DESC) e
       USING (stream)
 WHERE (h.seq, h.hash) IS DISTINCT FROM (e.seq, e.hash)"""

_ROWS = """
SELECT '{table}', {key}::text, 'its content does not match its digest: it was changed'
  FROM nightledger.{table} x
 WHERE digest IS DISTINCT FROM """ + _SHA.format("(to_jsonb(x) - 'digest' {added})::text")

# A tampered event may hold anything in the place of its batch; a cast that fails would end the verification.
_SEALED = """
SELECT stream || '/' || seq AS event, details ->> 'rows' AS rows, details ->> 'digest' AS digest,
       CASE WHEN details ->> 'batch' ~ '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$'
            THEN (details ->> 'batch')::uuid END AS batch
  FROM nightledger.event WHERE type = 'audit.sealed' AND details ->> 'table' = '{table}'"""

_UNSEALED = """
SELECT '{table}', {key}::text, 'no event seals its batch ' || batch || ': it was inserted past the triggers'
  FROM nightledger.{table} x WHERE NOT EXISTS (SELECT FROM ({sealed}) s WHERE s.batch = x.batch)"""

_BATCHES = (
    """
WITH held AS (
    SELECT batch, count(*)::text AS rows, """
    + _SHA.format("""string_agg(digest, '' ORDER BY digest COLLATE "C")""")
    + """ AS digest FROM nightledger.{table} GROUP BY batch)
SELECT '{table}', 'batch ' || coalesce(s.batch::text, '?'), CASE
         WHEN coalesce(held.rows, '0') IS DISTINCT FROM s.rows
         THEN 'event ' || event || ' sealed ' || coalesce(s.rows, 'no') || ' rows, it holds '
              || coalesce(held.rows, '0')
         ELSE 'differs from its seal in event ' || event || ': a row was changed together with its digest' END
  FROM ({sealed}) s LEFT JOIN held ON held.batch = s.batch
 WHERE (held.rows, held.digest) IS DISTINCT FROM (s.rows, s.digest)"""
)

_ANCHORED = """
SELECT seq, details ->> 'run_id' AS run_id, details ->> 'seq' AS at, details ->> 'hash' AS hash
  FROM nightledger.event WHERE stream = 'ledger' AND type = 'chain.anchored'"""

_ANCHORS = f"""
SELECT 'event', coalesce(a.run_id, '?') || '/' || coalesce(a.at, '?'),
       CASE WHEN e.seq IS NULL THEN 'is gone' ELSE 'has another hash' END || ', though anchored by ledger/' || a.seq
  FROM ({_ANCHORED}) a LEFT JOIN nightledger.event e ON e.stream = a.run_id AND e.seq::text = a.at
 WHERE e.hash IS DISTINCT FROM a.hash"""

_CLOSED = f"""
WITH closed AS (SELECT DISTINCT ON (stream) stream, seq, details FROM nightledger.event WHERE type = 'run.closed'
                 ORDER BY stream, seq DESC)
SELECT 'run', coalesce(r.run_id, c.stream), CASE
         WHEN r.run_id IS NULL THEN 'was deleted, though event ' || c.stream || '/' || c.seq || ' closed it'
         WHEN c.seq IS NULL THEN 'is closed, but its stream has no event run.closed'
         WHEN a.seq IS NULL THEN 'is closed, but no event of stream ledger anchors ' || c.stream || '/' || c.seq
         ELSE 'its status or counts differ from event ' || c.stream || '/' || c.seq || ', which closed it' END
  FROM (SELECT * FROM nightledger.run) r FULL JOIN closed c ON c.stream = r.run_id
  LEFT JOIN ({_ANCHORED}) a ON a.run_id = c.stream AND a.at = c.seq::text
 WHERE (r.finished_at IS NOT NULL OR c.seq IS NOT NULL)
   AND (a.seq IS NULL OR (r.status, r.counts) IS DISTINCT FROM (c.details ->> 'status', c.details -> 'counts'))"""

_TOTALS = """
SELECT count(*), count(DISTINCT stream), count(*) FILTER (WHERE type = 'audit.sealed'),
       coalesce((SELECT hash FROM nightledger.chain_head WHERE stream = 'ledger'), '')
  FROM nightledger.event"""
