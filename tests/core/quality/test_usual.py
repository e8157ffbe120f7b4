"""What earlier nights brought, as the row count of a night is held against it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from include.database import transaction
from include.models import Mode, RunOptions
from include.quality.usual import History, read_history
from include.run import Night
from tests.core.ledger.nights import rows_of, stage_raw

MakeNight = Callable[..., Night]


def past(make_night: MakeNight, day: int, rows: int, status: str = "succeeded", **more: Any) -> Night:
    night = make_night(day=day, **more)
    stage_raw(night, rows_of(rows))
    with transaction(night.ledger) as connection:
        given = {"status": status, "run": night.run_id}
        connection.execute(text("UPDATE nightledger.run SET status = :status WHERE run_id = :run"), given)
    return night


def test_only_whole_nights_of_the_same_weekday_count_newest_first(make_night: MakeNight) -> None:
    for week, rows in ((1, 11), (2, 12), (3, 13)):
        past(make_night, -7 * week, rows)
    past(make_night, -1, 99)
    past(make_night, -28, 98, status="failed")
    past(make_night, -35, 97, options=RunOptions(mode=Mode.SHADOW, limit=97))
    past(make_night, -70, 96)
    past(make_night, 7, 95)
    night = make_night()
    assert read_history(night.ledger, night.case.name, night.interval) == History(night.interval, (11, 12, 13))
    assert read_history(night.ledger, "another", night.interval).rows == ()


def test_of_several_attempts_the_last_succeeded_one_counts(make_night: MakeNight) -> None:
    past(make_night, -7, 5)
    past(make_night, -7, 6, external_ref="again")
    past(make_night, -7, 7, status="failed", external_ref="once more")
    night = make_night()
    assert read_history(night.ledger, night.case.name, night.interval).rows == (6,)


def test_nights_of_another_length_are_not_compared(make_night: MakeNight) -> None:
    past(make_night, -7, 5)
    night = make_night()
    longer = type(night.interval)(night.interval.start, night.interval.end + timedelta(days=1))
    assert read_history(night.ledger, night.case.name, longer).rows == ()
