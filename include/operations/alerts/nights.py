"""Nights that failed, that are late or never began, and systems that refused a credential to one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from sqlalchemy import Connection, RowMapping, text

from include.intervals import last_night
from include.ledger.alerts import Alert
from include.ledger.cause import KINDS
from include.ledger.failures import Failure, find_failures
from include.links import PAGES, run_page, system_page
from include.models import Interval
from include.spec.use_case import UseCase

SCHEDULED_DAYS = 90
"""A use case is expected to run while its schedule has started a run within so many days."""
_ENDED_BADLY = ("failed", "stopped", "abandoned")
_STEPS_LOOKED_AT = 10


@dataclass(frozen=True, slots=True)
class _Night:
    """All full runs of one interval: the newest, whether any succeeded, ended badly or was started by the schedule."""

    interval: Interval
    newest: RowMapping
    succeeded: bool
    failed: bool
    scheduled: bool

    @property
    def status(self) -> str:
        return str(self.newest["status"])

    @property
    def ended_badly(self) -> bool:
        """Whether it still has to be run; one that is being run again has not succeeded yet."""
        return self.status in _ENDED_BADLY or (self.status == "running" and self.failed and not self.succeeded)


def find_nights(connection: Connection, cases: Sequence[UseCase], now: datetime) -> Iterator[Alert]:
    """What there is to say of each use case's nights; trials, which are cut to a number of rows, count for nothing."""
    nights = _nights(connection, [case.name for case in cases], now)
    recent = {
        case.name: [
            one
            for one in nights.get(case.name, ())
            if one.status == "running" or one.newest["ended_at"] > now - timedelta(days=case.alerts.failed_days)
        ]
        for case in cases
    }
    bad = [one.newest["run_id"] for found in recent.values() for one in found if one.status != "succeeded"]
    failures = find_failures(connection, bad) if bad else {}
    for case in cases:
        refused = _refused(case, recent[case.name], failures)
        yield from refused.values()
        told = {run for runs in refused for run in runs}
        for one in recent[case.name]:
            if one.ended_badly and one.newest["run_id"] not in told:
                yield _failed(case, one, failures.get(one.newest["run_id"]))
        yield from _late(case, nights.get(case.name, []), now)


def _nights(connection: Connection, names: list[str], now: datetime) -> dict[str, list[_Night]]:
    """By use case its nights of the last months, the newest interval first."""
    found: dict[str, list[_Night]] = {name: [] for name in names}
    values = {"cases": names, "since": now - timedelta(days=SCHEDULED_DAYS)}
    for row in connection.execute(_NIGHTS, values).mappings():
        interval = Interval(row["interval_start"], row["interval_end"])
        found[row["use_case"]].append(_Night(interval, row, row["succeeded"], row["failed"], row["scheduled"]))
    return found


def _refused(case: UseCase, nights: Sequence[_Night], failures: Mapping[str, Failure]) -> dict[tuple[str, ...], Alert]:
    """By the runs they stopped, one alert for each system that refused a credential."""
    by_system: dict[str, list[_Night]] = {}
    for one in nights:
        failure = failures.get(one.newest["run_id"])
        if failure and failure.error == "AccessDenied":
            by_system.setdefault(failure.system, []).append(one)
    found = {}
    for system, stopped in by_system.items():
        days = ", ".join(sorted(name_of(one.interval) for one in stopped[:5]))
        where = system or "A system"
        said = f"{where} refused the credential of {case.name} (401 or 403); nights stopped by it: {days}."
        page = system_page(system) if system else run_page(stopped[0].newest["run_id"])
        alert = Alert(f"access_denied/{case.name}/{system}", case.name, "access_denied", "severe", said, page)
        found[tuple(one.newest["run_id"] for one in stopped)] = alert
    return found


def _failed(case: UseCase, night: _Night, failure: Failure | None) -> Alert:
    ended = {
        "stopped": "was stopped",
        "abandoned": "was abandoned: nobody works on it any more",
        "running": "failed and is being run again",
    }
    why = KINDS.get(failure.error, "the code failed" if failure.error else "") if failure else ""
    step = f" in step {failure.stage}" if failure and failure.stage else ""
    said = f"The night of {name_of(night.interval)} {ended.get(night.status, 'failed')}{step}"
    key = f"night_failed/{case.name}/{night.interval.slug}"
    sentence = f"{said}: {why[:1].lower()}{why[1:]}." if why else f"{said}."
    return Alert(key, case.name, "night_failed", "severe", sentence, run_page(night.newest["run_id"]))


def _late(case: UseCase, nights: Sequence[_Night], now: datetime) -> Iterator[Alert]:
    """At most two alerts: of a night that still runs after its deadline, and of those that never began."""
    if case.alerts.deadline_hours is None:
        return
    deadline = timedelta(hours=case.alerts.deadline_hours)
    expected = [one for one in nights if one.scheduled or case.alerts.every_night]
    for one in expected:
        if one.status == "running" and not (one.succeeded or one.failed) and one.interval.end + deadline <= now:
            said = f"The night of {name_of(one.interval)} is still running"
            yield _late_alert(case, "running", said, one.interval.end + deadline, run_page(one.newest["run_id"]))
            break
    earliest = now - timedelta(days=case.alerts.failed_days)
    if case.alerts.every_night:
        due = list(_by_the_clock(nights, earliest, last_night(now - deadline)))
    else:
        due = _by_the_schedule([one.interval for one in nights if one.scheduled], now)
    due = [one for one in due if one.end + deadline <= now and one.end > earliest]
    if missing := [one for one in due if not any(_overlap(one, night.interval) for night in nights)]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        verb = "have" if more else "has"
        hours = (now - missing[0].end) / timedelta(hours=1)
        said = f"The night of {name_of(missing[0])}{more} {verb} not begun, {hours:,.0f} hours after its interval's end"
        yield _late_alert(case, "missing", said, missing[0].end + deadline, f"{PAGES}/nights")


def _late_alert(case: UseCase, how: str, said: str, due: datetime, page: str) -> Alert:
    sentence = f"{said}; it was due by {due:%Y-%m-%d %H:%M} UTC."
    return Alert(f"night_late/{case.name}/{how}", case.name, "night_late", "severe", sentence, page)


def _by_the_clock(nights: Sequence[_Night], earliest: datetime, newest: Interval) -> Iterator[Interval]:
    """The nights of 02:00 UTC up to `newest`, the newest first, back to the first one that anybody ever ran."""
    oldest = min((one.interval.start for one in nights), default=newest.start)
    one = newest
    while one.end > earliest and one.start >= oldest:
        yield one
        one = Interval(one.start - timedelta(days=1), one.start)


def _by_the_schedule(scheduled: Sequence[Interval], now: datetime) -> list[Interval]:
    """What lies between the intervals that the schedule started, and what should have come after the newest.

    An interval is taken to be as long as the longest of late, so that a schedule that leaves out the weekend is not
    late on Saturday.
    """
    if not scheduled:
        return []
    ordered = sorted(scheduled, key=lambda one: one.start)
    step = max(one.end - one.start for one in ordered[-_STEPS_LOOKED_AT:])
    last = ordered[-1].end
    ahead = max((now - last) // step, 0) * step
    gaps = [(one.end, later.start) for one, later in pairwise(ordered)] + [(last, last + ahead)]
    return sorted((one for start, end in gaps for one in _split(start, end, step)), key=lambda one: one.end)[::-1]


def _split(start: datetime, end: datetime, step: timedelta) -> list[Interval]:
    """What lies between two times, in pieces of that length; the last one may be shorter."""
    found = []
    while start < end:
        found.append(Interval(start, min(start + step, end)))
        start += step
    return found


def _overlap(one: Interval, other: Interval) -> bool:
    return one.start < other.end and other.start < one.end


def name_of(interval: Interval) -> str:
    """A night as people call it: its first day, with its hour where it is shorter than a day."""
    start = interval.start.astimezone(UTC)
    return f"{start:%Y-%m-%d}" if interval.end - interval.start >= timedelta(days=1) else f"{start:%Y-%m-%d %H:%M} UTC"


# Airflow begins a run's id with what started it.
_NIGHTS = text(r"""
SELECT DISTINCT ON (use_case, interval_end, interval_start) use_case, interval_start, interval_end, run_id, status,
       coalesce(finished_at, started_at) AS ended_at, bool_or(status = 'succeeded') OVER night AS succeeded,
       bool_or(status IN ('failed', 'stopped', 'abandoned')) OVER night AS failed,
       bool_or(external_ref ~ '/(scheduled|asset_triggered)__') OVER night AS scheduled
  FROM nightledger.run
 WHERE use_case = ANY (:cases) AND started_at > :since AND options ->> 'limit' IS NULL
WINDOW night AS (PARTITION BY use_case, interval_end, interval_start)
 ORDER BY use_case, interval_end DESC, interval_start DESC, attempt DESC""")
