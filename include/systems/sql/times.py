"""Spans of time as a database's columns hold them: with a zone, without one, or as days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from include.models import Interval


def span(interval: Interval, lag: timedelta, zone: ZoneInfo | None) -> tuple[datetime, datetime]:
    """Start and end of the times of change that belong to an interval; local ones without a zone if `zone` is given."""
    ends = (interval.start - lag, interval.end - lag)
    return (ends[0], ends[1]) if zone is None else (local(ends[0], zone), local(ends[1], zone))


def local(moment: datetime, zone: ZoneInfo) -> datetime:
    """The moment on the zone's clocks, without zone; in autumn, in the time that comes twice, the beginning of that.

    A row written in the second pass could not be told from one of the first, and must not lie before an end up to which
    a night has read already. So both passes belong to the night that comes after.
    """
    given = moment.astimezone(zone)
    first, second = (given.replace(fold=fold).utcoffset() or timedelta(0) for fold in (0, 1))
    naive = given.replace(tzinfo=None, fold=0)
    if first <= second:
        return naive
    midnight = naive.replace(hour=0, minute=0, second=0, microsecond=0)
    return naive - (naive - midnight) % (first - second)


def with_zone(text: str, zone: ZoneInfo) -> str:
    """A local time as one in UTC; a text that is none stays as it is."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return text
