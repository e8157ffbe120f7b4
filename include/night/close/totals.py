"""The sums of a run that pages read, so that no page adds up rows of the ledger."""

from __future__ import annotations

from sqlalchemy import Connection, text


def record_totals(connection: Connection, run_id: str, rows_in: int) -> None:
    """Add up a run that is about to be closed and keep the sums with it, in the caller's transaction.

    `rows_in`, `calls`, `tokens_in`, `tokens_out`, `reused` (rows answered without a call), `failed_expectations`,
    `quarantined_open` (input rows, when the run was closed) and `drifted` (signals) are counts; `seconds` is how long
    the run was open; `cost_usd` is text, so that no digit is lost.
    """
    connection.execute(text(_TOTALS), {"run": run_id, "rows_in": rows_in})


_TOTALS = """
UPDATE nightledger.run r SET totals = jsonb_build_object(
    'rows_in', CAST(:rows_in AS bigint),
    'seconds', round(extract(epoch FROM clock_timestamp() - r.started_at), 3),
    'calls', (SELECT count(*) FROM nightledger.inference WHERE run_id = r.run_id AND kind NOT IN ('local', 'tool')),
    'tokens_in', used.tokens_in, 'tokens_out', used.tokens_out, 'cost_usd', used.cost::text,
    'reused', coalesce((SELECT (facts ->> 'reused')::bigint FROM nightledger.manifest
                         WHERE run_id = r.run_id AND dataset = 'enriched'), 0),
    'failed_expectations', (SELECT count(*) FROM nightledger.quality_result WHERE run_id = r.run_id AND NOT success),
    'quarantined_open', (SELECT count(*) FROM nightledger.quarantine
                          WHERE run_id = r.run_id AND status = 'open' AND counts_as_input),
    'drifted', (SELECT count(*) FROM nightledger.drift_result d
                 WHERE run_id = r.run_id AND verdict = 'drifted'
                   AND recorded_at = (SELECT max(recorded_at) FROM nightledger.drift_result WHERE run_id = r.run_id)))
  FROM (SELECT coalesce(sum(tokens_in), 0) AS tokens_in, coalesce(sum(tokens_out), 0) AS tokens_out,
               coalesce(sum(cost), 0) AS cost FROM nightledger.inference_result WHERE run_id = :run) used
 WHERE r.run_id = :run"""
