"""Data quality of a use case over its nights: a trend per expectation, the worst columns, who has rows to mend."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import RowMapping

from include.database import Database
from include.pages.reading import reading, rows

NIGHTS = 30


@dataclass(frozen=True, slots=True)
class Point:
    """One night of an expectation: failing rows of those checked; `share` is 0..1.

    It is None for one that could not run, and with `table` for one about the table, where no row fails.
    """

    day: date
    run_id: str
    failing: int
    checked: int
    success: bool
    could_not_run: str | None
    table: bool = False

    @property
    def share(self) -> float | None:
        """Failing rows as a share of those checked."""
        unknown = self.could_not_run or (self.table and not self.failing)
        return None if unknown else self.failing / max(self.checked, 1)


@dataclass(frozen=True, slots=True)
class Trend:
    """An expectation over the nights, oldest first; `threshold` is the share of rows that must pass.

    `owners` are those whose rows wait because of it.
    """

    expectation: str
    stage: str
    severity: str
    meaning: str
    columns: tuple[str, ...]
    handling: str
    threshold: float | None
    points: tuple[Point, ...]
    owners: tuple[str, ...] = ()

    @property
    def latest(self) -> Point:
        """The newest night that held it."""
        return self.points[-1]

    @property
    def mean(self) -> float | None:
        """The mean share of failing rows of the nights before the newest, or None without any."""
        shares = [point.share for point in self.points[:-1] if point.share is not None]
        return sum(shares) / len(shares) if shares else None


@dataclass(frozen=True, slots=True)
class WorstColumn:
    """A column by the rows that failed an expectation on it; a row that failed two counts twice."""

    name: str
    latest: int
    total: int
    expectations: int


@dataclass(frozen=True, slots=True)
class Drift:
    """A signal that left its usual range in the newest night."""

    signal: str
    column: str
    statistic: str
    value: float | None
    expected: float | None
    threshold: float | None
    nights: int
    detail: str


@dataclass(frozen=True, slots=True)
class QualityPage:
    """What the page of a use case shows; `nights` are the days that count, oldest first.

    `owners` are those who can mend rows at the source, with how many of theirs are open.
    """

    use_case: str
    nights: tuple[date, ...]
    latest_run: str | None
    trends: tuple[Trend, ...]
    worst: tuple[WorstColumn, ...]
    owners: Mapping[str, int]
    drift: tuple[Drift, ...]

    @property
    def held(self) -> int:
        """Expectations that hold in the newest night that held them."""
        return sum(trend.latest.success for trend in self.trends)


def narrow(
    trends: Sequence[Trend], severity: str = "", failing: str = "", owner: str = "", words: str = ""
) -> list[Trend]:
    """Those that match all that is given; `failing` is `rows` for any failing row, `unmet` for what does not hold."""
    wanted = words.casefold().split()
    return [
        one
        for one in trends
        if (not severity or one.severity == severity)
        and (failing != "unmet" or not one.latest.success)
        and (failing != "rows" or not one.latest.success or one.latest.failing > 0)
        and (not owner or owner in one.owners)
        and all(word in f"{one.expectation} {one.meaning} {' '.join(one.columns)}".casefold() for word in wanted)
    ]


def show_quality(ledger: Database, use_case: str, before: date | None = None, nights: int = NIGHTS) -> QualityPage:
    """The trailing nights of a use case, by default up to its newest."""
    with reading(ledger) as connection:
        found = rows(connection, _NIGHTS, use_case=use_case, before=before, nights=nights)
        runs = {row["run_id"]: row["interval_start"].date() for row in found}
        results = rows(connection, _RESULTS, runs=list(runs))
        latest = next(iter(runs), None)
        owners = rows(connection, _OWNERS, use_case=use_case)
        drift = rows(connection, _DRIFT, run=latest)
        waiting = {row["name"]: tuple(row["owners"]) for row in rows(connection, _WAITING, use_case=use_case)}
    trends = [replace(trend, owners=waiting.get(trend.expectation, ())) for trend in _trends(results, runs)]
    newest = max((trend.latest.day for trend in trends), default=None)
    return QualityPage(
        use_case=use_case,
        nights=tuple(sorted(runs.values())),
        latest_run=latest,
        trends=tuple(sorted(trends, key=_order)),
        worst=_worst(trends, newest),
        owners={row["name"]: row["open"] for row in owners},
        drift=tuple(Drift(**row) for row in drift),
    )


def _trends(results: Sequence[RowMapping], runs: dict[str, date]) -> list[Trend]:
    """Results by expectation; words and threshold are those of its newest night."""
    by_name: dict[str, list[RowMapping]] = defaultdict(list)
    for row in results:
        by_name[row["expectation"]].append(row)
    found = []
    for name, group in by_name.items():
        group.sort(key=lambda row: runs[row["run_id"]])
        last = group[-1]
        points = (
            Point(
                day=runs[r["run_id"]],
                table=r["threshold"] is None,
                **{name: r[name] for name in ("run_id", "failing", "checked", "success", "could_not_run")},
            )
            for r in group
        )
        threshold = None if last["threshold"] is None else float(last["threshold"])
        columns = tuple(last["columns"])
        words = (last["stage"], last["severity"], last["meaning"], columns, last["handling"], threshold)
        found.append(Trend(name, *words, tuple(points)))
    return found


def _order(trend: Trend) -> tuple[bool, int, float, str]:
    """What failed last comes first, the severe before the mild, the many before the few."""
    severity = {"critical": 0, "warning": 1, "info": 2}[trend.severity]
    return trend.latest.success, severity, -(trend.latest.share or 0.0), trend.expectation


def _worst(trends: Sequence[Trend], newest: date | None, most: int = 10) -> tuple[WorstColumn, ...]:
    latest: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    names: dict[str, set[str]] = defaultdict(set)
    for trend in trends:
        for column in trend.columns:
            total[column] += sum(point.failing for point in trend.points)
            latest[column] += trend.latest.failing if trend.latest.day == newest else 0
            names[column].add(trend.expectation)
    ranked = sorted((-count, name) for name, count in total.items() if count)
    return tuple(WorstColumn(name, latest[name], -count, len(names[name])) for count, name in ranked[:most])


_NIGHTS = """
SELECT DISTINCT ON (interval_start) run_id, interval_start FROM nightledger.run
 WHERE use_case = :use_case AND options ->> 'limit' IS NULL
   AND (CAST(:before AS date) IS NULL OR interval_start < CAST(:before AS date))
 ORDER BY interval_start DESC, interval_end DESC, attempt DESC LIMIT :nights"""

_RESULTS = """
SELECT run_id, expectation, stage, severity, meaning, columns, handling, threshold, success, could_not_run,
       unexpected_count AS failing, rows_checked AS checked
  FROM nightledger.quality_result WHERE run_id = ANY(:runs)"""

_OWNERS = """
SELECT owner AS name, sum(rows)::bigint AS open FROM nightledger.quarantine_count
 WHERE use_case = :use_case AND status = 'open' GROUP BY 1 HAVING sum(rows) > 0 ORDER BY 2 DESC, 1 LIMIT 20"""

_WAITING = """
SELECT name, array_agg(DISTINCT owner) AS owners FROM nightledger.quarantine_count, unnest(expectations) AS name
 WHERE use_case = :use_case AND status IN ('open', 'fixed') AND rows > 0 GROUP BY 1"""

_DRIFT = """
SELECT signal, column_name AS column, statistic, value, expected, threshold, nights, detail
  FROM nightledger.drift_result WHERE run_id = :run AND verdict = 'drifted' ORDER BY signal, column_name LIMIT 50"""
