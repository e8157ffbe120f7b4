"""The day on which the period began that a night ends in."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from include.errors import ConfigurationError
from include.models import Record
from include.spec.running import Running


@pytest.mark.parametrize(
    ("running", "end", "day"),
    [
        (Running(name="d", every="week"), datetime(2026, 11, 22, 23, 59, tzinfo=UTC), date(2026, 11, 16)),
        (Running(name="d", every="week"), datetime(2026, 11, 23, 0, 0, tzinfo=UTC), date(2026, 11, 23)),
        (Running(name="d", every="week", first=6), datetime(2026, 11, 22, 2, tzinfo=UTC), date(2026, 11, 22)),
        (Running(name="d", every="month"), datetime(2026, 11, 30, 22, tzinfo=UTC), date(2026, 11, 1)),
        (
            Running(name="d", every="month", zone="Asia/Tokyo"),
            datetime(2026, 11, 30, 22, tzinfo=UTC),
            date(2026, 12, 1),
        ),
        (
            Running(name="d", every="day", zone="America/New_York"),
            datetime(2026, 11, 3, 2, tzinfo=UTC),
            date(2026, 11, 2),
        ),
    ],
)
def test_it_is_the_first_day_of_the_period_in_its_zone(running: Running, end: datetime, day: date) -> None:
    rows: list[Record] = [{"row_id": "a"}, {"row_id": "b"}]
    assert [row["d"] for row in running.apply(rows, end)] == [day, day]
    assert running.columns({"a": "text"}) == {"a": "text", "d": "date"}
    with pytest.raises(ConfigurationError, match="twice"):
        running.columns({"d": "text"})
