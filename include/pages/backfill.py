"""What is on record of the nights of a backfill, how long nights take, and what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from include.database import Database
from include.ledger.backfill_plans import Plan
from include.models import Interval, Record
from include.pages.nights import COLUMNS, Night, as_night
from include.pages.reading import reading, rows

MOST_NIGHTS = 366
WAITS = ("queued", "not made yet")
NEVER_BEGAN = "did not begin: cancelled, or ended before its first step"
OVER = ("success", "failed", NEVER_BEGAN)


@dataclass(frozen=True, slots=True)
class OnRecord:
    """The newest attempt of a night, and who started it."""

    night: Night
    external_ref: str


@dataclass(frozen=True, slots=True)
class Pace:
    """How long full nights took: `around` seconds of a night apart from asking, `per_call` seconds of asking a call.

    It is taken from `nights` of them.
    """

    around: float
    per_call: float
    nights: int

    def seconds(self, calls: int, at_limits: float) -> float:
        """Seconds of a night with so many calls, which the systems' limits alone make `at_limits` seconds long."""
        return self.around + max(calls * self.per_call, at_limits)


@dataclass(frozen=True, slots=True)
class Watched:
    """A night of a backfill: `state` in words, `dag_run` of Airflow's where it has one, and what is on record of it.

    `mine` says whether the run is this backfill's own.
    """

    day: date
    state: str
    dag_run: str | None
    mine: bool
    night: Night | None


@dataclass(frozen=True, slots=True)
class Watch:
    """The nights of a backfill with their sums; `seconds_left` is an estimate, None if there is none.

    `cost` and `budget` are US dollars under the backfill's own ceiling, None if it has none; `expected` is what the
    plan that it was started from said of its nights.
    """

    nights: tuple[Watched, ...]
    counts: Mapping[str, int]
    rows_in: int
    cost: Decimal
    budget: Decimal | None
    expected: Decimal | None
    seconds_left: float | None

    @property
    def done(self) -> int:
        """Nights of its own that have ended."""
        return sum(night.mine and night.state in OVER for night in self.nights)

    @property
    def due(self) -> int:
        """Nights that it runs, or has run."""
        return sum(night.mine or night.state in WAITS for night in self.nights)


def nights_on_record(ledger: Database, use_case: str, span: Interval) -> list[OnRecord]:
    """The newest attempt of every night that starts within the span, oldest first."""
    values = {"use_case": use_case, "start": span.start, "end": span.end, "most": MOST_NIGHTS}
    with reading(ledger) as connection:
        return [OnRecord(as_night(row), row["external_ref"]) for row in rows(connection, _NIGHTS, **values)]


def find_pace(ledger: Database, use_case: str) -> Pace | None:
    """How long the last full nights of a use case took; None if none has ended yet."""
    with reading(ledger) as connection:
        found = rows(connection, _PACE, use_case=use_case)[0]
    return Pace(found["around"], found["per_call"], found["nights"]) if found["nights"] else None


def estimate_seconds(nights: Iterable[Record], pace: Pace | None) -> float:
    """Seconds of planned nights one after the other; without a pace what the systems' limits take at the least."""
    known = pace or Pace(0.0, 0.0, 0)
    return sum(known.seconds(one["calls"], sum(one["minutes"].values()) * 60) for one in nights if not one["problem"])


def watch_nights(
    ledger: Database,
    use_case: str,
    backfill: Record,
    due: Sequence[datetime],
    runs: Sequence[Record],
    plan: Plan | None,
) -> Watch:
    """What became of every night of a backfill.

    `backfill` and `runs` are as Airflow's API gives them, `due` is when its nights begin.
    """
    span = Interval(min(due), max(due).replace(hour=23, minute=59, second=59)) if due else None
    on_record = nights_on_record(ledger, use_case, span) if span else []
    night_of: dict[Any, Night] = {one.external_ref: one.night for one in on_record}
    night_of |= {one.night.interval_start: one.night for one in on_record}
    run_of = {datetime.fromisoformat(run["logical_date"]): run for run in runs if run["logical_date"]}
    nights = tuple(_watched(start, run_of.get(start), use_case, backfill, night_of) for start in sorted(due))
    own = [one.night for one in nights if one.mine and one.night]
    name = (backfill["dag_run_conf"] or {}).get("backfill")
    with reading(ledger) as connection:
        paid = rows(connection, _BUDGET, scope=f"backfill/{use_case}/{name}") if name else []
    by_itself = sum((one.cost_usd or Decimal(0) for one in own), Decimal(0))
    return Watch(
        nights=nights,
        counts=sum((Counter(one.counts) for one in own), Counter[str]()),
        rows_in=sum(one.rows_in or 0 for one in own),
        cost=paid[0]["spent"] if paid else by_itself,
        budget=paid[0]["ceiling"] if paid else None,
        expected=_expected(plan, {one.day for one in nights if one.mine or one.state in WAITS}),
        seconds_left=None if backfill["completed_at"] else _left(nights, backfill, plan, find_pace(ledger, use_case)),
    )


def planned(plan: Plan, days: Iterable[date]) -> list[Record]:
    """The nights of a plan that begin on these days."""
    wanted = {day.isoformat() for day in days}
    return [one for one in plan.nights if one["from"][:10] in wanted]


def cost_of(nights: Iterable[Record]) -> Decimal:
    """What planned nights would cost together, in US dollars."""
    return sum((Decimal(one["cost_usd"]) for one in nights), Decimal(0))


def _watched(
    start: datetime, run: Record | None, use_case: str, backfill: Record, night_of: Mapping[Any, Night]
) -> Watched:
    day = start.astimezone(UTC).date()
    if run is None:
        return Watched(day, "not made" if backfill["completed_at"] else "not made yet", None, False, None)
    dag_run, state = str(run["dag_run_id"]), str(run["state"])
    if not _is_of(run, backfill):
        state = "skipped: already ran" if state in OVER else "skipped: was running"
        return Watched(day, state, dag_run, False, night_of.get(start))
    found = night_of.get(f"{use_case}/{dag_run}")
    if found and found.started_at < datetime.fromisoformat(backfill["created_at"]):
        found = None  # what the same run of Airflow's did before it was cleared
    if state == "failed" and found is None:
        state = NEVER_BEGAN
    return Watched(day, state, dag_run, True, found)


def _is_of(run: Record, backfill: Record) -> bool:
    """Whether a run was made or cleared by the backfill: Airflow's API does not say, but what both carry does."""
    same = (run["conf"] or {}) == (backfill["dag_run_conf"] or {})
    queued = run["queued_at"] and datetime.fromisoformat(run["queued_at"])
    made = datetime.fromisoformat(backfill["created_at"])
    return run["run_type"] == "backfill" and same and bool(queued) and queued >= made


def _expected(plan: Plan | None, days: set[date]) -> Decimal | None:
    return cost_of(planned(plan, days)) if plan else None


def _left(nights: Sequence[Watched], backfill: Record, plan: Plan | None, pace: Pace | None) -> float | None:
    """Seconds until its last night ends: by its own nights that have ended, else by the plan."""
    whole: float
    open_nights = [one for one in nights if one.state in WAITS or (one.mine and one.state not in OVER)]
    ended = (one.night for one in nights if one.mine and one.state == "success" and one.night)
    took = [night.seconds for night in ended if night.seconds]
    if took:
        whole = sum(took) / len(took) * len(open_nights)
    elif plan:
        whole = estimate_seconds(planned(plan, {one.day for one in open_nights}), pace)
    else:
        return None
    return whole / min(int(backfill["max_active_runs"]), max(len(open_nights), 1))


_NIGHTS = f"""
SELECT DISTINCT ON (interval_start, interval_end) {COLUMNS}, external_ref FROM nightledger.run
 WHERE use_case = :use_case AND interval_start >= :start AND interval_start < :end
 ORDER BY interval_start, interval_end, attempt DESC LIMIT :most"""

# Asking is timed by the stage itself; where shards ask side by side, by the one that took longest.
_PACE = """
SELECT count(*) AS nights,
       coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY greatest(seconds - asking, 0)), 0)::float8 AS around,
       coalesce(sum(asking) FILTER (WHERE calls > 0) / nullif(sum(calls), 0), 0)::float8 AS per_call
  FROM (SELECT r.run_id, (r.totals ->> 'seconds')::float8 AS seconds, (r.totals ->> 'calls')::bigint AS calls,
               coalesce((SELECT max((m.facts ->> 'seconds')::float8) FROM nightledger.manifest m
                          WHERE m.run_id = r.run_id AND m.dataset ~ '^enriched(-[0-9]+)?$'
                            AND (m.dataset <> 'enriched' OR NOT EXISTS (
                                SELECT FROM nightledger.manifest p
                                 WHERE p.run_id = r.run_id AND p.dataset LIKE 'enriched-%'))), 0) AS asking
          FROM nightledger.run r
         WHERE r.use_case = :use_case AND r.status = 'succeeded' AND r.options ->> 'limit' IS NULL
           AND r.totals ? 'calls'
         ORDER BY r.started_at DESC LIMIT 20) AS last"""

_BUDGET = "SELECT ceiling, spent FROM nightledger.budget WHERE scope = :scope"
