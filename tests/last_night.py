"""The night that `make night` runs when no date is given."""

from __future__ import annotations

from datetime import UTC, datetime

from include.intervals import last_night


def last_interval() -> tuple[datetime, datetime]:
    """Begin and end of the last night that is over."""
    night = last_night(datetime.now(UTC))
    return night.start, night.end
