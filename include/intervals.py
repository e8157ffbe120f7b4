"""Which nights there are: 24 hours from 02:00 UTC, named after the day they begin on."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from include.errors import ConfigurationError
from include.models import Interval

STARTS = time(2, tzinfo=UTC)
FIRST_NIGHT = date(2026, 1, 1)
"""No night before this one is run by the schedule, by a trigger or by `make night`."""


def night_of(day: date) -> Interval:
    """The night that begins on `day`."""
    start = datetime.combine(day, STARTS)
    return Interval(start, start + timedelta(days=1))


def last_night(now: datetime) -> Interval:
    """The last night that is over at `now`."""
    today = now.astimezone(UTC).date()
    found = night_of(today - timedelta(days=1))
    return found if found.end <= now else night_of(today - timedelta(days=2))


def read_night(text: str, now: datetime, first: date = FIRST_NIGHT) -> Interval:
    """The night of a date or of `yesterday`; of an empty text the last one that is over at `now`.

    Raises ConfigurationError for what is no date, and for a night before `first` or not over at `now`.
    """
    last, text = last_night(now), text.strip()
    if not text:
        return last
    newest = last.start.date()
    about, action = f"night {text}", f"Give a date from {first} to {newest}, or none for the last complete night"
    try:
        day = now.astimezone(UTC).date() - timedelta(days=1) if text == "yesterday" else date.fromisoformat(text)
    except ValueError as error:
        problem = "is neither a date of the form YYYY-MM-DD nor `yesterday`"
        raise ConfigurationError(problem, about=about, action=action) from error
    about = f"night {day}"
    if day > newest:
        raise ConfigurationError(
            "is not over yet: a night ends at 02:00 UTC of the next day", about=about, action=action
        )
    if day < first:
        raise ConfigurationError(f"lies before the first night, {first}", about=about, action=action)
    return night_of(day)


def read_span(first: str, last: str, now: datetime, most: int) -> tuple[Interval | None, dict[str, str]]:
    """The nights from one date to another, both included and at most so many; else what is wrong, by field."""
    found, wrong = dict[str, Interval](), dict[str, str]()
    for name, day in (("first", first), ("last", last)):
        try:
            if not day.strip():
                raise ConfigurationError("is missing: give it as YYYY-MM-DD", about="date")
            found[name] = read_night(day, now)
        except ConfigurationError as error:
            wrong[name] = f"The {error.about} {error.problem}."
    if wrong:
        return None, wrong
    span = (found["first"].start, found["last"].end)
    if span[0] >= span[1]:
        return None, {"last": f"The last night, {last}, lies before the first, {first}."}
    if span[1] - span[0] > timedelta(days=most):
        return None, {"last": f"At most {most} nights at once; plan the rest afterwards."}
    return Interval(*span), {}
