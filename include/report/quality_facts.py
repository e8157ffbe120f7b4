"""The facts of a run's data quality, read from the ledger: results, trends, drift, and the rows set aside."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from include.database import Database, transaction
from include.errors import ConfigurationError
from include.night.check.drift import DriftFact, compared_nights
from include.night.check.past_nights import PastNight, read_past_nights, read_profiles
from include.night.check.signals import OTHERS, Signal, aligned_counts
from include.quality.gathering import AGE_DAYS
from include.quality.profile import ColumnProfile
from include.report.sections import Rows
from include.spec.names import names
from include.spec.use_case import Drift, load

NIGHTS = 30
MOST_BARS = 12


@dataclass(frozen=True, slots=True)
class QualityRun:
    """The run that the report is about."""

    run_id: str
    use_case: str
    interval_start: datetime
    interval_end: datetime
    attempt: int
    status: str
    detail: str | None
    code_version: str
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Brought:
    """Rows of one night, and how many of them were set aside for what they failed."""

    run_id: str
    start: datetime
    rows: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class Point:
    """One night of an expectation; `failing_share` is 0 to 1, None where it could not run."""

    run_id: str
    start: datetime
    failing: int
    failing_share: float | None
    success: bool


@dataclass(frozen=True, slots=True)
class Held:
    """One expectation of the run, with its trend over the trailing nights (this one last).

    `needed` is the share of rows that must pass, None for an expectation about the table. `examples` are row ids.
    `states` counts the rows that it set aside by what became of them.
    """

    id: str
    stage: str
    type: str
    columns: tuple[str, ...]
    severity: str
    meaning: str
    unit: str
    handling: str
    success: bool
    could_not_run: str | None
    checked: int
    failing: int
    needed: float | None
    observed: str | None
    examples: tuple[str, ...]
    states: Mapping[str, int]
    trend: tuple[Point, ...]

    @property
    def pass_share(self) -> float | None:
        """Rows that pass as a share of those checked, 0 to 1; None without any, and for a verdict on the table."""
        unknown = self.could_not_run or not self.checked or self.needed is None
        return None if unknown else 1 - self.failing / self.checked


@dataclass(frozen=True, slots=True)
class Compared:
    """Shares of rows, tonight and usually, by bin or value: what a drifted column looked like."""

    signal: Signal
    column: str
    unit: str
    labels: tuple[str, ...]
    tonight: tuple[float, ...]
    usual: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Course:
    """A drifted figure night by night, this one last; `low` and `high` bound what counts as steady tonight."""

    signal: Signal
    column: str
    unit: str
    nights: tuple[datetime, ...]
    values: tuple[float, ...]
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class WorstColumn:
    """A column by what is wrong with it tonight; a row that fails two expectations on it counts twice."""

    name: str
    failing: int
    expectations: tuple[str, ...]
    null_share: float | None
    drifted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """Rows set aside for one reason; `expectation` is empty for what could not be read."""

    reason: str
    expectation: str
    owner: str
    stage: str
    states: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Rows in whatever state."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class OwnerLoad:
    """Rows of the run that one owner can mend at the source, by state; `owner` is empty where none is named."""

    owner: str
    states: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Rows in whatever state."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class FailureSet:
    """A dataset that holds every failing row of the expectations of one stage: where it is, and its rows."""

    dataset: str
    uri: str
    rows: int


@dataclass(frozen=True, slots=True)
class QualityFacts:
    """Everything the data-quality report shows; what the run did not get to is empty."""

    run: QualityRun
    rows: Rows
    rejected_lines: int
    nights: tuple[Brought, ...]
    expectations: tuple[Held, ...]
    drift: tuple[DriftFact, ...]
    drawings: tuple[Compared | Course, ...]
    worst: tuple[WorstColumn, ...]
    reasons: tuple[Reason, ...]
    owners: tuple[OwnerLoad, ...]
    failures: tuple[FailureSet, ...]

    @property
    def drifted(self) -> tuple[DriftFact, ...]:
        """The signals that drifted."""
        return tuple(one for one in self.drift if one.verdict == "drifted")


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
        drawings=tuple(_drawings(read, run, columns, drift)),
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


_DRAWN = ("rows", "share of rows", "population stability index", "hours since the newest")


def _drawings(
    read: _Reader, run: QualityRun, columns: Mapping[str, ColumnProfile], drift: Sequence[DriftFact]
) -> list[Compared | Course]:
    drifted = [
        one
        for one in drift
        if one.verdict == "drifted" and one.statistic in _DRAWN and (one.column or one.signal == "volume")
    ]
    if not drifted:
        return []
    declared = load(run.use_case).drift if run.use_case in names() else Drift()
    past = read_past_nights(read.connection, run.run_id, declared.nights)
    found: list[Compared | Course | None] = []
    for fact in drifted:
        column = columns.get(fact.column)
        if fact.signal in ("distribution", "category_share") and column is not None:
            nights = compared_nights(fact.signal, column, run.interval_start, past, declared)
            found.append(_compared(fact, column, nights))
        else:
            found.append(_course(fact, run, past[:NIGHTS]))
    return [drawing for drawing in found if drawing is not None]


def _compared(fact: DriftFact, column: ColumnProfile, past: Sequence[PastNight]) -> Compared | None:
    """Tonight's shares beside those of the nights it was held against."""
    before = [night.columns[column.name] for night in past]
    if not before or (fact.signal == "category_share" and column.kind != "category"):
        return None
    if fact.signal == "category_share":
        now, *each = aligned_counts([column, *before])
        was = sum(each, Counter[str]())
        most = [name for name, _ in (now + was).most_common(MOST_BARS) if name != OTHERS]
        rest = {*now, *was} - set(most)
        labels = [*most, *([OTHERS] if rest else [])]
        tonight = [float(now[name]) for name in most] + ([float(sum(now[name] for name in rest))] if rest else [])
        usual = [float(was[name]) for name in most] + ([float(sum(was[name] for name in rest))] if rest else [])
        unit = "value"
    else:
        labels, unit = (_ages(), "age") if column.kind == "time" else (_bins(column), column.name)
        tonight = [float(count) for count in column.profile["counts"]]
        usual = [float(sum(counts)) for counts in zip(*(was.profile["counts"] for was in before), strict=True)]
    return Compared(fact.signal, column.name, unit, tuple(labels), _shares(tonight), _shares(usual))


def _shares(counts: Sequence[float]) -> tuple[float, ...]:
    whole = sum(counts) or 1.0
    return tuple(count / whole for count in counts)


def _bins(column: ColumnProfile) -> list[str]:
    edges = column.profile["edges"]
    return [*(f"≤ {_compact(edge)}" for edge in edges), f"> {_compact(edges[-1])}"] if edges else ["all"]


def _compact(value: float) -> str:
    """A number in four digits, with a letter from a hundred thousand on."""
    for above, unit, letter in ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e5, 1e3, "k")):
        if above <= abs(value) < 1e15:
            return f"{value / unit:.4g} {letter}"
    return f"{value:.4g}"


def _ages() -> list[str]:
    named = [f"{days} d" for days in AGE_DAYS[1:]]
    return ["in the future", *(f"≤ {name}" for name in named), f"> {named[-1]}"]


def _course(fact: DriftFact, run: QualityRun, past: Sequence[PastNight]) -> Course | None:
    """The figure of the earlier nights that have it, and tonight's."""
    if fact.value is None:
        return None
    known: list[tuple[datetime, float]] = []
    for night in reversed(past):
        column = night.columns.get(fact.column)
        value: float | None = night.rows if fact.signal == "volume" else None
        if column is not None:
            value = column.null_share if fact.signal == "null_share" else column.profile.get("newest_age_hours")
        if value is not None:
            known.append((night.start, float(value)))
    known.append((run.interval_start, fact.value))
    expected, allowed = fact.expected, fact.threshold
    low = None if expected is None or allowed is None or fact.signal == "freshness" else max(expected - allowed, 0.0)
    high = None if expected is None or allowed is None else expected + allowed
    days, values = zip(*known, strict=True)
    unit = {"volume": "rows", "null_share": "share without a value"}.get(fact.signal, "hours since the newest")
    return Course(fact.signal, fact.column, unit, days, values, low, high)


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
