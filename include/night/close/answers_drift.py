"""The answers of a night as a whole, held against those of the nights before by the same prompt and model.

Confidence in ten bins, and the values of fields with a closed list, are kept as counts in `run.totals`; the statistics
and their thresholds are those that columns of the input are held to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from include.database import to_json
from include.ledger.record import record_event
from include.night.check.past_nights import PastNight
from include.night.check.signals import Measured, category_share, distribution, usual_nights
from include.quality.profile import ColumnProfile
from include.run import Night
from include.spec.closed_lists import has_list

CONFIDENCE = "confidence"
BINS = 10
_Counts = Mapping[str, Mapping[str, int]]


def watch_answers(connection: Connection, night: Night) -> list[str]:
    """Keep the counts of the model's answers with the run, and say what of them drifted; in the caller's transaction.

    Belongs before the run is sealed. Nothing is said of replays, trials, and nights of few answers.
    """
    if night.only is not None or night.case.model is None:
        return []
    fields = [name for name in _schema(night)["properties"] if has_list(_schema(night), name)]
    counts: dict[str, dict[str, int]] = {}
    for name, value, rows in connection.execute(_COUNTS, {"run": night.run_id, "fields": fields}):
        counts.setdefault(name, {})[value] = rows
    connection.execute(_KEEP, {"run": night.run_id, "answers": to_json(counts)})
    rows = max((sum(of.values()) for of in counts.values()), default=0)
    if night.options.limit is not None or rows < night.case.rollout.few:
        return []
    found = list(_drifted(connection, night, counts))
    if found:
        record_event(connection, night.run_id, "answers.drifted", {"words": "; ".join(found)})
    return found


def _schema(night: Night) -> dict[str, Any]:
    schema: dict[str, Any] = night.case.module("output").Output.model_json_schema()
    return schema


def _drifted(connection: Connection, night: Night, counts: _Counts) -> Iterator[str]:
    given = {"run": night.run_id, "nights": night.case.drift.nights}
    past = [_night(*row) for row in connection.execute(_PAST, given)]
    for name, column in _columns(counts).items():
        known = [one for one in past if name in one.columns]
        usual = usual_nights(known, night.interval.start, night.case.drift)
        if usual is None:
            continue
        measured = (distribution if name == CONFIDENCE else category_share)(column, usual, night.case.drift)
        if measured.drifted:
            yield _words(name, measured)


def _words(name: str, found: Measured) -> str:
    if name == CONFIDENCE:
        return f"confidence of the answers: stability index {found.value:.2f}, at most {found.threshold or 0:.2f}"
    share = f"{found.value:.0%}, usually {found.expected or 0:.0%}"
    return f"{name} of the answers: {found.detail.removeprefix('value ')} in {share}"


def _night(run_id: str, start: datetime, answers: _Counts) -> PastNight:
    columns = _columns(answers)
    return PastNight(run_id, start, max((one.rows for one in columns.values()), default=0), columns)


def _columns(counts: _Counts) -> dict[str, ColumnProfile]:
    return {name: _profile(name, of) for name, of in counts.items() if sum(of.values())}


def _profile(name: str, counts: Mapping[str, int]) -> ColumnProfile:
    """Counts in the form in which columns of the input are held against each other."""
    rows = sum(counts.values())
    if name == CONFIDENCE:
        return ColumnProfile(name, "histogram", rows, 0, {"counts": [counts.get(str(n), 0) for n in range(BINS)]})
    return ColumnProfile(name, "text", rows, 0, {"kind": "category", "values": list(counts.items()), "others": 0})


_COUNTS = text(f"""
WITH answered AS MATERIALIZED (
    SELECT coalesce(d.output, nightledger.said(r.parsed, r.raw_text)) AS output, d.confidence
      FROM nightledger.decision d
      LEFT JOIN nightledger.inference_result r ON r.inference_id = d.inference_id AND r.outcome = 'ok'
     WHERE d.run_id = :run AND d.origin = 'model')
SELECT f.name, answered.output ->> f.name, count(*)
  FROM answered CROSS JOIN unnest(CAST(:fields AS text[])) AS f (name)
 WHERE answered.output ->> f.name IS NOT NULL GROUP BY 1, 2
 UNION ALL
SELECT '{CONFIDENCE}', least(floor(confidence * {BINS}), {BINS - 1})::int::text, count(*)
  FROM answered WHERE confidence BETWEEN 0 AND 1 GROUP BY 1, 2""")

_KEEP = text("""
UPDATE nightledger.run SET totals = coalesce(totals, '{}') || jsonb_build_object('answers', CAST(:answers AS jsonb))
 WHERE run_id = :run""")

_PAST = text("""
SELECT DISTINCT ON (p.interval_start) p.run_id, p.interval_start, p.totals -> 'answers' AS answers
  FROM nightledger.run p JOIN nightledger.run here ON here.run_id = :run
 WHERE p.use_case = here.use_case AND p.prompt_hash = here.prompt_hash AND p.model = here.model
   AND p.interval_start < here.interval_start
   AND p.interval_end - p.interval_start = here.interval_end - here.interval_start
   AND p.status = 'succeeded' AND p.options ->> 'limit' IS NULL AND p.totals -> 'answers' <> '{}'
 ORDER BY p.interval_start DESC, p.attempt DESC LIMIT :nights""")
