"""What waits for a person: nights that drifted, modes that were taken back, and answers that nobody has decided on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from include.database import to_json
from include.ledger.alerts import Alert
from include.ledger.control import ITSELF
from include.links import PAGES, run_page
from include.models import Interval
from include.night.close.demote import CAUSES
from include.operations.alerts.nights import name_of
from include.spec.use_case import UseCase

REVIEW_PAGE = f"{PAGES}/review"
_NAMED = 5
_RECENT = timedelta(days=7)


def find_drift(connection: Connection, cases: Sequence[UseCase], now: datetime) -> Iterator[Alert]:
    """Use cases whose newest checked night drifted; the same signals of the same columns are the same thing."""
    watched = [case.name for case in cases if case.alerts.drift]
    for row in connection.execute(_DRIFT, {"cases": watched, "since": now - _RECENT}):
        digest = hashlib.sha256("\0".join(row.signals).encode()).hexdigest()[:12]
        named = ", ".join(row.signals[:_NAMED])
        more = f" and {len(row.signals) - _NAMED} more" if len(row.signals) > _NAMED else ""
        night = name_of(Interval(row.interval_start, row.interval_end))
        said = f"The night of {night} lies further from those before it than chance explains: {named}{more}."
        key = f"night_drifted/{row.use_case}/{digest}"
        yield Alert(key, row.use_case, "night_drifted", "warning", said, run_page(row.run_id))


def find_taken_back(connection: Connection, cases: Sequence[UseCase], now: datetime) -> Iterator[Alert]:
    """Use cases whose mode auto was taken back by itself, until a person has set something, or for a week."""
    given = {"cases": [case.name for case in cases], "since": now - _RECENT, "actor": ITSELF}
    for row in connection.execute(_TAKEN_BACK, given):
        why = CAUSES.get(row.cause, "no reason is on record")
        said = f"Mode auto was taken back at {row.changed_at:%Y-%m-%d %H:%M} UTC: {why}. People decide again."
        key = f"taken_back/{row.use_case}/{row.seq}"
        yield Alert(key, row.use_case, "taken_back", "severe", said, f"{PAGES}/control")


def find_review(connection: Connection, cases: Sequence[UseCase], now: datetime) -> Iterator[Alert]:
    """Use cases with answers that waited for a person for longer than they say."""
    ages = [{"use_case": one.name, "before": now - timedelta(hours=one.alerts.review_hours)} for one in cases]
    limits = {one.name: one.alerts.review_hours for one in cases}
    for row in connection.execute(_REVIEW, {"ages": to_json(ages)}):
        hours = (now - row.oldest) / timedelta(hours=1)
        said = f"{row.late:,} of {row.waiting:,} answers have waited for a person for more than "
        said += f"{limits[row.use_case]:g} hours, the oldest for {hours:,.0f}."
        page = f"{REVIEW_PAGE}?use_case={row.use_case}"
        yield Alert(f"review_waiting/{row.use_case}", row.use_case, "review_waiting", "warning", said, page)


# Of the newest full run that was checked. Signals of an earlier check of the same run are older than its newest.
_DRIFT = text("""
SELECT r.use_case, r.run_id, r.interval_start, r.interval_end,
       array_agg(replace(d.signal, '_', ' ') || CASE d.column_name WHEN '' THEN '' ELSE ' of ' || d.column_name END
                 ORDER BY d.signal, d.column_name) AS signals
  FROM (SELECT DISTINCT ON (use_case) use_case, run_id, interval_start, interval_end, checked.at
          FROM nightledger.run r
         CROSS JOIN LATERAL (SELECT max(recorded_at) AS at FROM nightledger.drift_result
                              WHERE run_id = r.run_id) checked
         WHERE use_case = ANY (:cases) AND started_at > :since AND options ->> 'limit' IS NULL
           AND checked.at IS NOT NULL
         ORDER BY use_case, interval_end DESC, attempt DESC) r
  JOIN nightledger.drift_result d ON d.run_id = r.run_id AND d.recorded_at = r.at AND d.verdict = 'drifted'
 GROUP BY 1, 2, 3, 4 ORDER BY 1""")

# The newest change of each use case, if it was made by the night itself.
_TAKEN_BACK = text("""
SELECT c.use_case, c.changed_at, e.seq, e.details ->> 'cause' AS cause
  FROM nightledger.control c
 CROSS JOIN LATERAL (SELECT seq, actor, details FROM nightledger.event WHERE stream = 'control/' || c.use_case
                      ORDER BY seq DESC LIMIT 1) e
 WHERE c.use_case = ANY (:cases) AND e.actor = :actor AND e.details ? 'cause' AND c.changed_at > :since
 ORDER BY 1""")

_REVIEW = text("""
SELECT n.use_case, count(*) AS waiting, count(*) FILTER (WHERE v.recorded_at <= n.before) AS late,
       min(v.recorded_at) AS oldest
  FROM jsonb_to_recordset(CAST(:ages AS jsonb)) AS n (use_case text, before timestamptz)
  JOIN nightledger.review_item v ON v.use_case = n.use_case AND v.status = 'waiting'
 GROUP BY 1 HAVING min(v.recorded_at) <= min(n.before) ORDER BY 1""")
