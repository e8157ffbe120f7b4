"""The facts of a run for its report, read from the ledger; every number is counted by the database from stored rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from include.database import Database, transaction
from include.errors import ConfigurationError
from include.ledger.cause import Cause, Deferred, explain_failure, until_when
from include.ledger.failures import find_failures
from include.report.sections import (
    Agreement,
    DeadLetters,
    Decided,
    Expectation,
    Facts,
    Failover,
    Header,
    ModelUse,
    OpenLetters,
    Previous,
    Projection,
    Review,
    Rows,
    SecondCalls,
    Source,
    Tally,
    Verdict,
    Writes,
)
from include.spec.names import names
from include.spec.use_case import load

NIGHTS = 30


def collect(ledger: Database, run_id: str, truth: Mapping[str, str] | None = None) -> Facts:
    """Read the facts of a run, from one snapshot; `truth` (row key -> label) adds the agreement of tiers with it.

    Raises ConfigurationError if there is no such run.
    """
    with transaction(ledger) as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        found = _Reader(connection, run_id)
        header = found.rows(_HEADER)
        if not header:
            raise ConfigurationError("no such run", system="ledger", about=run_id)
        raw, head = found.manifest("raw"), Header(**header[0])
        rows = _rows(found, raw)
        return Facts(
            header=head,
            rows=rows,
            cause=_cause(found, header[0], rows),
            deferred=read_deferred(connection, run_id),
            sources=_sources(raw),
            transformed=_transformed(raw),
            new_columns=tuple((raw or {}).get("new_columns") or ()),
            expectations=tuple(
                Expectation(**row | {"examples": tuple(row["examples"])}) for row in found.dicts(_CHECKS)
            ),
            quarantine=_tallies(found, _QUARANTINE, counts=True),
            rejected_lines=_tallies(found, _QUARANTINE, counts=False),
            model=_model(found, header[0]["use_case"]),
            verdicts=tuple(Verdict(**row) for row in found.rows(_VERDICTS)),
            review=Review(**found.rows(_REVIEW)[0], reasons=_tallies(found, _WAITING)),
            writes=_writes(found),
            dead_letters=tuple(DeadLetters(**row) for row in found.rows(_DEAD)),
            open_letters=OpenLetters(**found.rows(_OPEN)[0]),
            previous=_previous(found),
            drifted=tuple(row["name"] for row in found.rows(_DRIFTED)),
            agreement=_agreement(found, truth) if truth else None,
        )


class _Reader:
    """Runs the section's queries for one run."""

    def __init__(self, connection: Connection, run_id: str) -> None:
        self.connection, self.run_id = connection, run_id

    def rows(self, query: str, **values: Any) -> list[RowMapping]:
        return list(self.connection.execute(text(query), {"run": self.run_id, **values}).mappings())

    def dicts(self, query: str) -> list[dict[str, Any]]:
        return [dict(row) for row in self.rows(query)]

    def manifest(self, dataset: str) -> dict[str, Any] | None:
        """Facts of a recorded dataset, with its `rows`; None if the run did not get that far."""
        found = self.rows(_MANIFEST, dataset=dataset)
        return {**found[0]["facts"], "rows": found[0]["rows"]} if found else None

    def event(self, kind: str) -> dict[str, Any]:
        """Details of the run's latest event of a type; empty if there is none."""
        found = self.rows(_EVENT, kind=kind)
        return dict(found[0]["details"]) if found else {}


def _cause(found: _Reader, run: RowMapping, rows: Rows) -> Cause | None:
    if run["status"] not in ("failed", "stopped", "running"):
        return None
    failure = find_failures(found.connection, [found.run_id]).get(found.run_id)
    if failure is None and run["status"] == "running":
        return None
    return explain_failure(failure, dict(run), rows.counts, rows.rows_in)


def read_deferred(connection: Connection, run_id: str) -> tuple[Deferred, ...]:
    """Why rows of a run wait, and until when, most rows first."""
    found = connection.execute(text(_DEFERRED), {"run": run_id}).mappings()
    return tuple(Deferred(row["rows"], row["reason"], until_when(row["reason"])) for row in found)


def _rows(found: _Reader, raw: Mapping[str, Any] | None) -> Rows:
    counts = {row["outcome"]: row["rows"] for row in found.rows(_OUTCOMES)}
    return Rows(None if raw is None else int(raw.get("input_rows", raw["rows"])), counts)


def _tallies(found: _Reader, query: str, **values: Any) -> tuple[Tally, ...]:
    return tuple(Tally(row["name"], row["count"], tuple(row["examples"])) for row in found.rows(query, **values))


def _sources(raw: Mapping[str, Any] | None) -> tuple[Source, ...]:
    """What the extract stage said about its sources; tolerates facts it did not leave."""
    if raw is None:
        return ()
    if raw.get("reused_from"):
        return (Source("staging", f"snapshot of {raw['reused_from']}", raw["rows"], raw.get("rejected_input")),)
    if raw.get("sources"):
        pages = [_read(one["system"], one["object"], one["rows"], one["rejected"], one) for one in raw["sources"]]
    else:  # as runs of earlier versions said it
        told = (raw.get("read") or {}).items()
        pages = [_read(system, "records of the interval", n, raw.get("rejected_input"), raw) for system, n in told]
    return (*pages, *map(_file, raw.get("files") or ()), *map(_absent, raw.get("absent_files") or ()))


def _transformed(raw: Mapping[str, Any] | None) -> tuple[Tally, ...]:
    found = (raw or {}).get("transformed") or {}
    return tuple(Tally(name, count, ()) for name, count in found.items() if count)


def _read(system: str, what: str, rows: int, rejected: int | None, counts: Mapping[str, Any]) -> Source:
    notes = tuple(f"{name} {counts.get(name, 0)}" for name in ("pages", "calls", "retries"))
    return Source(system, what, rows, rejected, notes)


def _file(file: Mapping[str, Any]) -> Source:
    checked = "checksum verified" if file.get("checksum") else "no checksum delivered"
    notes = [str(file["encoding"])] if file.get("encoding") else []
    notes += [f"{file.get('bytes', 0):,} bytes", checked]
    rows = int(file.get("rows", 0))
    return Source(file.get("system", "?"), file.get("path", "?"), rows, file.get("rejected"), tuple(notes))


def _absent(prefix: str) -> Source:
    return Source("files", f"{prefix.rstrip('_')}: no file came", 0, None)


def _model(found: _Reader, use_case: str) -> ModelUse:
    calls, results = found.rows(_CALLS)[0], found.rows(_RESULTS)[0]
    ended = found.manifest("enriched") or {}
    cost = found.rows(_MONTH, nights=NIGHTS)[0]
    return ModelUse(
        **calls,
        **results,
        second=SecondCalls(**found.rows(_SECOND_CALLS)[0]),
        outcomes=_tallies(found, _CALL_OUTCOMES),
        rows_answered=int(ended.get("answered_rows", ended.get("rows", 0))),
        rows_reused=int(ended.get("reused", 0)),
        rows_by_rule=int(ended.get("fallback", 0)),
        ceiling=load(use_case).cost_ceiling_usd if use_case in names() else None,
        projection=Projection(cost["nights"], Decimal(cost["cost"]) / max(cost["nights"], 1)),
        failovers=tuple(Failover(**row) for row in found.rows(_FAILOVERS)),
        rows_decided=int(ended.get("decided_rows", 0)),
        local=tuple(Decided(**row) for row in found.rows(_DECIDED)),
    )


def _writes(found: _Reader) -> tuple[Writes, ...]:
    """The outbox by status, and what the warehouse's merge said."""
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for row in found.rows(_WRITES):
        counts[row["destination"]][row["status"]] = row["rows"]
    merged = found.event("warehouse.upserted")
    by_status = {name: count for name, count in merged.items() if isinstance(count, int) and count}
    if by_status:
        counts[f"warehouse {merged.get('table', '')}".strip()] = by_status
    return tuple(Writes(destination, statuses) for destination, statuses in counts.items())


def _previous(found: _Reader) -> Previous | None:
    row = next(iter(found.dicts(_PREVIOUS)), None)
    return Previous(**row, rows=sum(row["counts"].values())) if row else None


def _agreement(found: _Reader, truth: Mapping[str, str]) -> Agreement:
    """Cross table of tier and label; only the counts stay in memory."""
    table: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    streamed = found.connection.execution_options(yield_per=1000).execute(text(_TIERS), {"run": found.run_id})
    for row_key, tier in streamed:
        if row_key in truth:
            table[tier][truth[row_key]] += 1
    labels = tuple(sorted({label for row in table.values() for label in row}))
    order = sorted(table, key=lambda tier: ({"hot": 0, "warm": 1, "cold": 2}.get(tier, 3), tier))
    return Agreement({tier: dict(table[tier]) for tier in order}, labels)


_HEADER = """
SELECT run_id, use_case, interval_start, interval_end, attempt, mode, status, detail, model, prompt_version,
       prompt_hash, code_version, git_sha, external_ref, started_at, finished_at,
       coalesce((SELECT hash FROM nightledger.chain_head WHERE stream = run_id), '') AS chain_head,
       coalesce((SELECT hash FROM nightledger.chain_head WHERE stream = 'ledger'), '') AS ledger_head
  FROM nightledger.run WHERE run_id = :run"""

_MANIFEST = "SELECT rows, facts FROM nightledger.manifest WHERE run_id = :run AND dataset = :dataset"

_EVENT = "SELECT details FROM nightledger.event WHERE stream = :run AND type = :kind ORDER BY seq DESC LIMIT 1"

_FAILOVERS = """
SELECT details ->> 'from' AS first, details ->> 'to' AS then, coalesce(details ->> 'why', 'it was down') AS why,
       sum((details ->> 'rows')::int) AS rows
  FROM nightledger.event WHERE stream = :run AND type = 'enrich.failed_over' GROUP BY 1, 2, 3 ORDER BY min(seq)"""

_OUTCOMES = (
    "SELECT outcome, count(*) AS rows FROM nightledger.outcome WHERE run_id = :run GROUP BY 1 ORDER BY 2 DESC, 1"
)

_DEFERRED = """
SELECT coalesce(reason, 'nobody said why') AS reason, count(*) AS rows
  FROM nightledger.outcome WHERE run_id = :run AND outcome = 'deferred' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5"""

_CHECKS = """
SELECT expectation AS name, severity, meaning, success, could_not_run, rows_checked AS checked,
       unexpected_count AS failing, threshold, observed, examples[1:5] AS examples
  FROM nightledger.quality_result WHERE run_id = :run
 ORDER BY success, array_position(ARRAY['critical', 'warning', 'info'], severity), unexpected_count DESC, expectation"""

_DRIFTED = """
SELECT replace(signal, '_', ' ') || CASE column_name WHEN '' THEN '' ELSE ' of ' || column_name END AS name
  FROM nightledger.drift_result
 WHERE run_id = :run AND verdict = 'drifted'
   AND recorded_at = (SELECT max(recorded_at) FROM nightledger.drift_result WHERE run_id = :run)
 ORDER BY signal, column_name"""

_QUARANTINE = """
SELECT reason AS name, count(*) AS count, (array_agg(row_id ORDER BY row_id))[1:5] AS examples
  FROM nightledger.quarantine, unnest(reasons) AS reason
 WHERE run_id = :run AND counts_as_input = :counts GROUP BY reason ORDER BY 2 DESC, 1"""

_CALLS = """
SELECT count(*) AS calls, count(*) FILTER (WHERE kind = 'retry') AS retries,
       count(*) FILTER (WHERE kind = 're-ask') AS reasks,
       count(*) FILTER (WHERE NOT EXISTS (SELECT FROM nightledger.inference_result r
                                           WHERE r.inference_id = i.inference_id)) AS without_result
  FROM nightledger.inference i WHERE run_id = :run AND kind NOT IN ('local', 'tool')"""

_DECIDED = """
WITH counted AS (
    SELECT details ->> 'model' AS model, c.key AS name, sum(c.value::int)::int AS count
      FROM nightledger.event, jsonb_each_text(details - 'model') c
     WHERE stream = :run AND type = 'enrich.decided' GROUP BY 1, 2)
SELECT model, coalesce(max(count) FILTER (WHERE name = 'decided'), 0) AS decided,
       coalesce(max(count) FILTER (WHERE name = 'reused'), 0) AS reused,
       coalesce(jsonb_object_agg(name, count) FILTER (WHERE name NOT IN ('decided', 'reused')), '{}') AS left
  FROM counted GROUP BY 1 ORDER BY 1"""

_RESULTS = """
SELECT coalesce(sum(tokens_in), 0)::bigint AS tokens_in, coalesce(sum(tokens_out), 0)::bigint AS tokens_out,
       coalesce(sum(tokens_cached), 0)::bigint AS tokens_cached, coalesce(sum(cost), 0) AS cost,
       count(*) FILTER (WHERE cost_basis = 'bounded') AS bounded,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE outcome IN ('ok', 'tools')) AS latency_p50,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms)
           FILTER (WHERE outcome IN ('ok', 'tools')) AS latency_p95,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY queue_ms) AS queue_p95,
       (count(*) * 60 / nullif(extract(epoch FROM max(recorded_at)
           - (SELECT min(recorded_at) FROM nightledger.inference WHERE run_id = :run)), 0))::float AS calls_per_minute
  FROM nightledger.inference_result WHERE run_id = :run AND price_dated IS DISTINCT FROM 'local'"""

# Of two calls for one question the one that was not used is what the second call cost. What it saved is estimated by
# the calls that took longer than the first one had when its question was answered, and were left alone.
_SECOND_CALLS = """
WITH twice AS (
    SELECT second.outcome AS ended, coalesce(second.cost, h.cost_reserved) AS paid, first.latency_ms AS waited,
           coalesce(first.cost, o.cost_reserved) AS paid_first, first.outcome AS ended_first
      FROM nightledger.inference h
      JOIN nightledger.inference o ON o.run_id = h.run_id AND o.row_id = h.row_id AND o.attempt = h.attempt
                                  AND o.kind <> 'hedge'
      LEFT JOIN nightledger.inference_result second ON second.inference_id = h.inference_id
      LEFT JOIN nightledger.inference_result first ON first.inference_id = o.inference_id
     WHERE h.run_id = :run AND h.kind = 'hedge'),
won AS (SELECT waited, paid_first FROM twice WHERE ended = 'ok' AND ended_first <> 'ok'),
alone AS (SELECT avg(latency_ms) AS latency FROM nightledger.inference_result
           WHERE run_id = :run AND outcome = 'ok' AND latency_ms > (SELECT min(waited) FROM won))
SELECT (SELECT count(*) FROM twice) AS calls, (SELECT count(*) FROM won) AS won,
       (SELECT coalesce(sum(CASE WHEN ended = 'ok' AND ended_first <> 'ok' THEN paid_first ELSE paid END), 0)
          FROM twice) AS cost,
       (SELECT sum(greatest(alone.latency - won.waited, 0)) / 1000
          FROM won, alone WHERE alone.latency > 0)::float AS saved"""

_CALL_OUTCOMES = """
SELECT CASE outcome WHEN 'tools' THEN 'asked to read' ELSE outcome END AS name, count(*) AS count,
       '{}'::text[] AS examples
  FROM nightledger.inference_result WHERE run_id = :run AND price_dated IS DISTINCT FROM 'local'
 GROUP BY 1 ORDER BY 2 DESC, 1"""

# A night is an interval: what later attempts for it cost belongs to it.
_MONTH = """
WITH nights AS (
    SELECT n.interval_start, array_agg(n.run_id) AS runs
      FROM nightledger.run n JOIN nightledger.run here ON here.run_id = :run
     WHERE n.use_case = here.use_case AND n.interval_start <= here.interval_start
     GROUP BY n.interval_start HAVING bool_or(n.options ->> 'limit' IS NULL OR n.run_id = :run)
     ORDER BY n.interval_start DESC LIMIT :nights)
SELECT count(*) AS nights,
       coalesce(sum((SELECT sum(cost) FROM nightledger.inference_result WHERE run_id = ANY (runs))), 0) AS cost
  FROM nights"""

_VERDICTS = """
SELECT verdict, rule, count(DISTINCT row_id) AS rows
  FROM nightledger.decision WHERE run_id = :run GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"""

_REVIEW = """
SELECT count(*) FILTER (WHERE v.run_id = :run) AS here, count(*) AS everywhere, min(v.recorded_at) AS oldest
  FROM nightledger.review_item v
 WHERE v.status = 'waiting' AND v.use_case = (SELECT use_case FROM nightledger.run WHERE run_id = :run)"""

_WAITING = """
SELECT reason AS name, count(*) AS count, '{}'::text[] AS examples
  FROM nightledger.review_item WHERE run_id = :run AND status = 'waiting' GROUP BY 1 ORDER BY 2 DESC, 1"""

_WRITES = """
SELECT destination || ' ' || object AS destination, status, count(*) AS rows
  FROM nightledger.outbox WHERE run_id = :run GROUP BY 1, 2 ORDER BY 1, 2"""

_DEAD = """
SELECT stage, split_part(reason, ':', 1) AS cause, count(*) AS rows
  FROM nightledger.outcome WHERE run_id = :run AND outcome = 'dead_letter' GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"""

_OPEN = """
SELECT count(DISTINCT (interval_start, row_id)) AS rows, count(DISTINCT interval_start) AS nights,
       min(recorded_at) AS oldest
  FROM nightledger.dead_letter
 WHERE status = 'open' AND use_case = (SELECT use_case FROM nightledger.run WHERE run_id = :run)"""

_PREVIOUS = """
SELECT p.run_id, p.started_at, p.status, p.counts,
       coalesce((SELECT sum(cost) FROM nightledger.inference_result WHERE run_id = p.run_id), 0) AS cost
  FROM nightledger.run p JOIN nightledger.run here ON here.run_id = :run
 WHERE p.use_case = here.use_case AND p.run_id <> here.run_id AND p.started_at < here.started_at
   AND p.finished_at IS NOT NULL AND (p.options ->> 'limit' IS NULL OR here.options ->> 'limit' IS NOT NULL)
 ORDER BY p.started_at DESC LIMIT 1"""

_TIERS = """
SELECT DISTINCT ON (d.row_id) d.row_key,
       coalesce(d.output ->> 'tier', nightledger.said(r.parsed, r.raw_text) ->> 'tier', '(none)')
  FROM nightledger.decision d
  LEFT JOIN nightledger.inference_result r ON r.inference_id = d.inference_id AND r.outcome = 'ok'
 WHERE d.run_id = :run ORDER BY d.row_id, d.recorded_at DESC"""
