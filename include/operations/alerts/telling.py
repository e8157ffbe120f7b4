"""Tell people what stands, once over each channel; what a channel did not take is told at the next look."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from include.database import Database
from include.ledger.alerts import CAUSES, Standing, Told, note_told
from include.spec.alerting import Alerts
from include.systems.alerting.notice import Channel, ChannelFailed, Kind, Notice

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be said of an alert over one channel."""

    kind: Kind
    standing: Standing
    channel: str


@dataclass(slots=True)
class Outcome:
    """What became of it: how much each channel took, why channels failed, and alerts that none ever took."""

    taken: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)

    @property
    def nobody_reached(self) -> bool:
        """Whether something stands that nobody knows of, and no channel took anything."""
        return bool(self.unknown) and not self.taken


def find_due(standing: Sequence[Standing], channels: Sequence[str], limits: Alerts, now: datetime) -> Iterator[Due]:
    """What is to be said of alerts of one use case: what is new to a channel, got worse, is severe and still stands
    after `remind_hours`, or is over.
    """
    for one in standing:
        for channel in channels:
            kind = _kind(one, channel, one.channels.get(channel, Told()), limits, now)
            if kind:
                yield Due(kind, one, channel)


def _kind(one: Standing, channel: str, told: Told, limits: Alerts, now: datetime) -> Kind | None:
    if one.resolved_at is not None:
        # A pager keeps an incident open until it is told, whatever people want to read.
        wanted = told.sent_at and not told.over_at and (limits.tell_resolved or channel == "pagerduty")
        return "over" if wanted else None
    if told.sent_at is None:
        return "new"
    if one.alert.severity != "severe":
        return None
    if told.severity != "severe":
        return "worse"
    return "reminder" if now - told.sent_at >= timedelta(hours=limits.remind_hours) else None


def tell(
    ledger: Database,
    due: Sequence[Due],
    channels: Sequence[Channel],
    now: datetime,
    site: str,
    still_ours: Callable[[], bool],
) -> Outcome:
    """Send what is due, each message put on record before the next one leaves.

    A channel that is down is left alone for the rest of the look. `still_ours` is asked before each message: a watcher
    that was paused for so long that another has taken over says nothing more.
    """
    outcome, by_name, down = Outcome(), {one.name: one for one in channels}, set[str]()
    for one in due:
        if one.channel in down:
            continue
        if not still_ours():
            log.warning("another watcher has taken over; what is left is told by that one")
            break
        before = one.standing.channels.get(one.channel, Told())
        try:
            by_name[one.channel].send(notice_of(one, site))
        except ChannelFailed as error:
            log.warning("alerts: %s %s; told again at the next look", one.channel, error)
            outcome.failed.setdefault(one.channel, str(error))
            if one.standing.notified_at is None:
                outcome.unknown.add(one.standing.alert_id)
            failed = replace(before, error=str(error), failed_at=now, failures=before.failures + 1)
            note_told(ledger, one.standing.alert_id, one.channel, failed, None)
            if error.down:
                down.add(one.channel)
            continue
        outcome.taken[one.channel] = outcome.taken.get(one.channel, 0) + 1
        note_told(ledger, one.standing.alert_id, one.channel, _taken(before, one, now), now)
    return outcome


def _taken(before: Told, due: Due, now: datetime) -> Told:
    if due.kind == "over":
        return Told(before.sent_at, before.severity, now)
    return Told(now, due.standing.alert.severity)


def notice_of(due: Due, site: str) -> Notice:
    """The message; `site` is where Airflow is, e.g. `https://airflow.example`."""
    alert = due.standing.alert
    return Notice(
        due.kind,
        alert.key,
        alert.severity,
        alert.use_case,
        alert.cause,
        CAUSES[alert.cause],
        alert.sentence,
        f"{site.rstrip('/')}{alert.page}",
    )
