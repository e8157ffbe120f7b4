"""The facts of a run's data quality, read from the ledger: results, trends, drift, and the rows set aside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from include.database import Database, transaction
from include.errors import ConfigurationError
from include.night.check.drift import DriftFact
from include.night.check.past_nights import read_profiles
from include.quality.profile import ColumnProfile
from include.report.quality_drawings import NIGHTS, draw
from include.report.quality_parts import (
    Brought,
    FailureSet,
    Held,
    OwnerLoad,
    Point,
    QualityFacts,
    QualityRun,
    Reason,
    WorstColumn,
)
from include.report.sections import Rows


def collect_quality(ledger: Database, run_id: str) -> QualityFacts:
    """Read what is stored of a run's data quality, from one snapshot; raises ConfigurationError without such a run."""
    with transaction(ledger) as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        return read_quality(connection, run_id)


def read_quality(connection: Connection, run_id: str) -> QualityFacts:
    """The same within a transaction of the caller's."""
    read = _Reader(connection, run_id)
    found = read.dicts(_RUN)
    if not found:
        raise ConfigurationError("no such run", system="ledger", about=run_id)
    run = QualityRun(**found[0])
    nights = tuple(Brought(**row) for row in read.dicts(_NIGHTS, nights=NIGHTS))
    drift = tuple(DriftFact(**row) for row in read.dicts(_DRIFT))
    columns = read_profiles(connection, run_id)
    held = _expectations(read, [night.run_id for night in nights])
    return QualityFacts(
        run=run,
        rows=_rows(read),
        rejected_lines=read.dicts(_LINES)[0]["lines"],
        nights=nights,
        expectations=held,
        drift=drift,
        drawings=tuple(draw(read.connection, run, columns, drift)),
        worst=_worst(held, columns, drift),
        reasons=tuple(Reason(**row) for row in _with_states(read.dicts(_REASONS))),
        owners=tuple(OwnerLoad(**row) for row in _with_states(read.dicts(_OWNERS))),
        failures=tuple(FailureSet(**row) for row in read.dicts(_FAILURES)),
    )


class _Reader:
    """Runs queries about one run."""

    def __init__(self, connection: Connection, run_id: str) -> None:
        self.connection, self.run_id = connection, run_id

    def dicts(self, query: str, **values: Any) -> list[dict[str, Any]]:
        rows = self.connection.execute(text(query), {"run": self.run_id, **values})
        return [dict(row) for row in rows.mappings()]


def _rows(read: _Reader) -> Rows:
    counts = {row["outcome"]: row["rows"] for row in read.dicts(_OUTCOMES)}
    raw = read.dicts(_RAW)
    return Rows(int(raw[0]["rows_in"]) if raw else None, counts)


def _expectations(read: _Reader, runs: Sequence[str]) -> tuple[Held, ...]:
    trends: dict[str, list[Point]] = defaultdict(list)
    for row in read.dicts(_TREND, runs=list(runs)):
        trends[row.pop("expectation")].append(Point(**row))
    states: dict[str, dict[str, int]] = defaultdict(dict)
    for row in read.dicts(_STATES):
        states[row["expectation"]][row["status"]] = row["rows"]
    return tuple(
        Held(
            **row
            | {
                "columns": tuple(row["columns"]),
                "examples": tuple(row["examples"]),
                "needed": None if row["needed"] is None else float(row["needed"]),
                "states": states[row["id"]],
                "trend": tuple(trends[row["id"]]),
            }
        )
        for row in read.dicts(_CHECKS)
    )


def _worst(
    held: Sequence[Held], columns: Mapping[str, ColumnProfile], drift: Sequence[DriftFact]
) -> tuple[WorstColumn, ...]:
    """Columns with failing rows or drift, most failing rows first."""
    failing: dict[str, int] = defaultdict(int)
    failed: dict[str, list[str]] = defaultdict(list)
    for one in (one for one in held if one.stage == "check" and (one.failing or not one.success)):
        for column in one.columns:
            failing[column] += one.failing
            failed[column].append(one.id)
    signals: dict[str, list[str]] = defaultdict(list)
    for fact in drift:
        if fact.verdict == "drifted" and fact.column:
            signals[fact.column].append(fact.signal)
    found = [
        WorstColumn(
            name,
            failing[name],
            tuple(failed[name]),
            columns[name].null_share if name in columns else None,
            tuple(signals[name]),
        )
        for name in {*failed, *signals}
    ]
    return tuple(sorted(found, key=lambda one: (-one.failing, -len(one.drifted), one.name)))


def _with_states(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of one thing in several states as one; the thing with most rows first."""
    together: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        status, count = row.pop("status"), row.pop("rows")
        kept = together.setdefault(tuple(row.values()), row | {"states": {}})
        kept["states"][status] = kept["states"].get(status, 0) + count
    return sorted(together.values(), key=lambda one: -sum(one["states"].values()))


_RUN = """
SELECT run_id, use_case, interval_start, interval_end, attempt, status, detail, code_version, finished_at
  FROM nightledger.run WHERE run_id = :run"""

_OUTCOMES = (
    "SELECT outcome, count(*) AS rows FROM nightledger.outcome WHERE run_id = :run GROUP BY 1 ORDER BY 2 DESC, 1"
)

_RAW = """
SELECT coalesce((facts ->> 'input_rows')::bigint, rows) AS rows_in
  FROM nightledger.manifest WHERE run_id = :run AND dataset = 'raw'"""

_LINES = """
SELECT count(*) AS lines FROM nightledger.quarantine WHERE run_id = :run AND NOT counts_as_input"""

# One run per night: the newest finished attempt that was not cut short, but this very run for its own.
_NIGHTS = """
SELECT n.run_id, n.interval_start AS start, coalesce((m.facts ->> 'input_rows')::bigint, m.rows) AS rows,
       coalesce((n.counts ->> 'quarantined')::bigint, 0) AS quarantined
  FROM (SELECT DISTINCT ON (p.interval_start) p.run_id, p.interval_start, p.counts
          FROM nightledger.run p JOIN nightledger.run here ON here.run_id = :run
         WHERE p.use_case = here.use_case AND p.interval_start <= here.interval_start
           AND (p.run_id = here.run_id OR p.finished_at IS NOT NULL AND p.interval_start < here.interval_start
                                          AND p.options ->> 'limit' IS NULL)
         ORDER BY p.interval_start DESC, p.attempt DESC LIMIT :nights) n
  JOIN nightledger.manifest m ON m.run_id = n.run_id AND m.dataset = 'raw'
 ORDER BY n.interval_start"""

_CHECKS = """
SELECT expectation AS id, stage, type, columns, severity, meaning, unit, handling, success, could_not_run,
       rows_checked AS checked, unexpected_count AS failing, threshold AS needed, observed, examples[1:5] AS examples
  FROM nightledger.quality_result WHERE run_id = :run
 ORDER BY stage = 'answers', success, array_position(ARRAY['critical', 'warning', 'info'], severity),
          unexpected_count DESC, expectation"""

_TREND = """
SELECT q.expectation, q.run_id, r.interval_start AS start, q.unexpected_count AS failing, q.success,
       CASE WHEN q.could_not_run IS NULL
            THEN q.unexpected_count::float / greatest(q.rows_checked, 1) END AS failing_share
  FROM nightledger.quality_result q JOIN nightledger.run r USING (run_id)
 WHERE q.run_id = ANY (:runs)
   AND q.expectation IN (SELECT expectation FROM nightledger.quality_result WHERE run_id = :run)
 ORDER BY r.interval_start"""

_STATES = """
SELECT expectation, status, count(*) AS rows FROM nightledger.quarantine, unnest(expectations) AS expectation
 WHERE run_id = :run GROUP BY 1, 2 ORDER BY 3 DESC"""

# Each reason stands beside the expectation it came from; what could not be read failed none.
_REASONS = """
SELECT failed.reason, coalesce(failed.expectation, '') AS expectation, q.owner, q.stage, q.status, count(*) AS rows
  FROM nightledger.quarantine q, unnest(q.reasons, q.expectations) AS failed (reason, expectation)
 WHERE q.run_id = :run AND failed.reason IS NOT NULL GROUP BY 1, 2, 3, 4, 5 ORDER BY 6 DESC, 1 LIMIT 500"""

_OWNERS = """
SELECT owner, status, count(*) AS rows FROM nightledger.quarantine
 WHERE run_id = :run GROUP BY 1, 2 ORDER BY 3 DESC, 1"""

_FAILURES = """
SELECT dataset, uri, rows FROM nightledger.manifest
 WHERE run_id = :run AND starts_with(dataset, 'failures') AND rows > 0 ORDER BY 1"""

# What an earlier check of the same run said, of columns that are gone now, is older than the rest.
_DRIFT = """
SELECT signal, column_name AS column, statistic, value, expected, threshold, verdict, nights, detail
  FROM nightledger.drift_result d
 WHERE run_id = :run
   AND recorded_at = (SELECT max(recorded_at) FROM nightledger.drift_result WHERE run_id = :run)
 ORDER BY array_position(ARRAY['drifted', 'could not run', 'steady', 'no history'], verdict),
          array_position(ARRAY['schema', 'volume', 'repeated', 'null_share', 'category_share', 'values',
                               'distribution', 'level', 'freshness'],
                         signal), column_name"""
