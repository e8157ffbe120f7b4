"""Calls to models that fail or are slow, over the last minutes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping, text

from include.database import to_json
from include.ledger.alerts import Alert
from include.links import run_page
from include.spec.use_case import UseCase


def find_calls(connection: Connection, cases: Sequence[UseCase], now: datetime) -> Iterator[Alert]:
    """What there is to say of the calls of each use case that asks a model.

    A call that was given up because another one answered is no failure. Slow are only calls that were answered or ran
    out of time: a refusal comes fast and says nothing of the model.
    """
    windows = [
        {"use_case": case.name, "since": now - timedelta(minutes=case.alerts.window_minutes)}
        for case in cases
        if case.model is not None
    ]
    found = {row["use_case"]: row for row in connection.execute(_CALLS, {"windows": to_json(windows)}).mappings()}
    for case in cases:
        row = found.get(case.name)
        if row is None:
            continue
        yield from _failing(case, row)
        yield from _slow(case, row)


def _failing(case: UseCase, row: RowMapping) -> Iterator[Alert]:
    calls, failed, limits = row["calls"], row["failed"], case.alerts
    if calls < limits.least_calls or failed / calls <= limits.error_rate:
        return
    said = f"{failed:,} of {calls:,} calls in {limits.window_minutes} minutes failed ({failed / calls:.1%}, "
    said += f"more than {limits.error_rate:.1%}), most of them as {row['commonest'].replace('_', ' ')}."
    yield Alert(f"calls_failing/{case.name}", case.name, "calls_failing", "severe", said, run_page(row["run_id"]))


def _slow(case: UseCase, row: RowMapping) -> Iterator[Alert]:
    answered, slow, limits = row["answered"], row["p95_ms"], case.alerts
    if answered < limits.least_calls or slow <= limits.latency_p95_seconds * 1000:
        return
    said = f"5 % of {answered:,} calls in {limits.window_minutes} minutes took {slow / 1000:,.1f} s or more "
    said += f"(more than {limits.latency_p95_seconds:,.1f} s)."
    yield Alert(f"calls_slow/{case.name}", case.name, "calls_slow", "warning", said, run_page(row["run_id"]))


# Only of runs that are open or ended within the window: results are found by run. What was decided in the process is no
# call, and neither is what a batch brought: the provider took its time, not the call.
_CALLS = text("""
WITH w AS (SELECT * FROM jsonb_to_recordset(CAST(:windows AS jsonb)) AS n (use_case text, since timestamptz)),
asking AS (SELECT r.run_id, r.use_case, r.started_at, w.since FROM w JOIN nightledger.run r USING (use_case)
            WHERE r.started_at > w.since - interval '3 days' AND coalesce(r.finished_at, 'infinity') > w.since)
SELECT a.use_case, count(*) AS calls, count(*) FILTER (WHERE x.outcome <> 'ok') AS failed,
       mode() WITHIN GROUP (ORDER BY x.outcome) FILTER (WHERE x.outcome <> 'ok') AS commonest,
       count(*) FILTER (WHERE x.outcome NOT IN ('rate_limited', 'http_error')) AS answered,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY x.latency_ms)
           FILTER (WHERE x.outcome NOT IN ('rate_limited', 'http_error')) AS p95_ms,
       (array_agg(a.run_id ORDER BY a.started_at DESC))[1] AS run_id
  FROM asking a JOIN nightledger.inference_result x ON x.run_id = a.run_id AND x.recorded_at > a.since
 WHERE x.outcome <> 'cancelled' AND x.price_dated IS DISTINCT FROM 'local'
 GROUP BY a.use_case""")
