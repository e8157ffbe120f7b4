"""Calls to models that fail or are slow, over the last minutes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping, text

from include.ledger.alerts import Alert
from include.links import run_page
from include.spec.use_case import UseCase


def find_calls(connection: Connection, cases: Sequence[UseCase], now: datetime) -> Iterator[Alert]:
    """What there is to say of the calls of each use case that asks a model.

    A call that was given up because another one answered is no failure. Slow are only calls that were answered or ran
    out of time: a refusal comes fast and says nothing of the model.
    """
    for case in cases:
        if case.model is None:
            continue
        since = now - timedelta(minutes=case.alerts.window_minutes)
        asking = list(connection.scalars(_ASKING, {"use_case": case.name, "since": since}))
        if not asking:
            continue
        row = connection.execute(_CALLS, {"runs": asking, "since": since}).mappings().one()
        page = run_page(asking[0])
        yield from _failing(case, row, page)
        yield from _slow(case, row, page)


def _failing(case: UseCase, row: RowMapping, page: str) -> Iterator[Alert]:
    calls, failed, limits = row["calls"], row["failed"], case.alerts
    if calls < limits.least_calls or failed / calls <= limits.error_rate:
        return
    said = f"{failed:,} of {calls:,} calls in {limits.window_minutes} minutes failed ({failed / calls:.1%}, "
    said += f"more than {limits.error_rate:.1%}), most of them as {row['commonest'].replace('_', ' ')}."
    yield Alert(f"calls_failing/{case.name}", case.name, "calls_failing", "severe", said, page)


def _slow(case: UseCase, row: RowMapping, page: str) -> Iterator[Alert]:
    answered, slow, limits = row["answered"], row["p95_ms"], case.alerts
    if answered < limits.least_calls or slow <= limits.latency_p95_seconds * 1000:
        return
    said = f"5 % of {answered:,} calls in {limits.window_minutes} minutes took {slow / 1000:,.1f} s or more "
    said += f"(more than {limits.latency_p95_seconds:,.1f} s)."
    yield Alert(f"calls_slow/{case.name}", case.name, "calls_slow", "warning", said, page)


# Runs first: asked by their ids, their results are found by an index, however many there are of other nights.
_ASKING = text("""
SELECT run_id FROM nightledger.run
 WHERE use_case = :use_case AND started_at > CAST(:since AS timestamptz) - interval '3 days'
   AND coalesce(finished_at, 'infinity') > :since
 ORDER BY started_at DESC""")

# What was decided in the process, or read by a tool, is no call; a step that asks for tools is no failure. What a batch
# brought has no latency of its own, and is a call like others.
_CALLS = text("""
SELECT count(*) AS calls, count(*) FILTER (WHERE outcome NOT IN ('ok', 'tools')) AS failed,
       mode() WITHIN GROUP (ORDER BY outcome) FILTER (WHERE outcome NOT IN ('ok', 'tools')) AS commonest,
       count(*) FILTER (WHERE outcome NOT IN ('rate_limited', 'http_error')) AS answered,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms)
           FILTER (WHERE outcome NOT IN ('rate_limited', 'http_error')) AS p95_ms
  FROM nightledger.inference_result
 WHERE run_id = ANY (:runs) AND recorded_at > :since
   AND outcome <> 'cancelled' AND price_dated IS DISTINCT FROM 'local'""")
