"""Nights that failed, that are late or never began, and credentials that were refused to one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from include.errors import AccessDenied, QualityStop
from include.ledger.failures import failures_on_record
from include.models import Mode, RunOptions
from include.run import Night
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import say
from tests.core.operations.alerts.finding import CASE, began, day, ended, found

SCHEDULED = f"{CASE}/scheduled__2026-11-20T02:00:00+00:00"
ONE = timedelta(seconds=1)


def fail(night: Night, error: Exception, stage: str = "check", status: str = "failed") -> None:
    with pytest.raises(type(error)), failures_on_record(night, stage):
        raise error
    ended(night, status)


@pytest.mark.parametrize(("status", "words"), [("failed", "failed"), ("stopped", "stopped"), ("abandoned", "nobody")])
def test_a_night_that_ended_badly_calls_until_it_has_succeeded(
    ledger: Ledger, make_night: MakeNight, status: str, words: str
) -> None:
    night = make_night(interval=day(-1))
    assert found(ledger.service, "night_failed") == []
    ended(night, status)
    (alert,) = found(ledger.service, "night_failed")
    assert (alert.use_case, alert.severity) == (CASE, "severe")
    assert words in alert.sentence
    assert f"{night.interval.start:%Y-%m-%d}" in alert.sentence
    assert alert.page == f"/nightledger/runs/{night.run_id.replace('/', '%2F')}"
    again = make_night(interval=day(-1))
    (still,) = found(ledger.service, "night_failed")
    assert still.key == alert.key, "it is being run again, and nobody knows yet how that ends"
    assert "failed and is being run again" in still.sentence
    ended(again, "succeeded")
    assert found(ledger.service, "night_failed") == []
    make_night(interval=day(-1))
    assert found(ledger.service, "night_failed") == [], "it has what it needs"


def test_two_nights_that_failed_are_two_things_and_a_trial_is_none(ledger: Ledger, make_night: MakeNight) -> None:
    for number in (-1, -2):
        ended(make_night(interval=day(number)), "failed")
    ended(make_night(interval=day(-3), options=RunOptions(mode=Mode.SHADOW, limit=5)), "failed")
    assert len({one.key for one in found(ledger.service, "night_failed")}) == 2


def test_a_failed_night_calls_for_as_many_days_as_declared(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(interval=day(-5))
    end = day(0).start
    ended(night, "failed", end)
    for seconds, count in ((-1, 1), (0, 0)):
        now = end + timedelta(days=3, seconds=seconds)
        assert len(found(ledger.service, "night_failed", now=now, failed_days=3)) == count


def test_why_a_night_stopped_is_said_in_words_of_ours(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(interval=day(-1))
    fail(night, QualityStop("rows of max.muster@example.com are bad"), status="stopped")
    (alert,) = found(ledger.service, "night_failed")
    assert alert.sentence.endswith("was stopped in step check: a critical expectation failed.")


def test_an_error_that_nobody_foresaw_keeps_its_words_to_itself(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(interval=day(-1))
    fail(night, KeyError("max.muster@example.com"))
    (alert,) = found(ledger.service)
    assert alert.sentence.endswith("failed in step check: the code failed.")


def test_a_refused_credential_is_told_once_and_not_as_a_failed_night_too(ledger: Ledger, make_night: MakeNight) -> None:
    for number in (-1, -2):
        night = make_night(interval=day(number))
        fail(night, AccessDenied("the token pat-eu1-123 of ann@example.com", system="crm"), "extract")
    (alert,) = found(ledger.service)
    assert (alert.cause, alert.severity, alert.key) == ("access_denied", "severe", f"access_denied/{CASE}/crm")
    assert alert.page == "/nightledger/systems#system-crm"
    assert "example.com" not in alert.sentence
    assert "pat-eu1" not in alert.sentence


def test_access_that_came_back_calls_no_more(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(interval=day(-1))
    fail(night, AccessDenied("no", system="crm"), "extract", status="running")
    assert [one.cause for one in found(ledger.service)] == ["access_denied"]
    say(night, "extract.completed")
    assert found(ledger.service) == []


def test_a_scheduled_night_is_late_at_its_deadline_and_not_before(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(interval=day(-1), external_ref=SCHEDULED)
    due = night.interval.end + timedelta(hours=6)
    assert found(ledger.service, now=due - ONE) == []
    (alert,) = found(ledger.service, now=due)
    assert (alert.cause, alert.severity, alert.key) == ("night_late", "severe", f"night_late/{CASE}/running")
    assert "still running" in alert.sentence
    assert f"{due:%Y-%m-%d %H:%M} UTC" in alert.sentence
    assert found(ledger.service, now=due, deadline_hours=6.001) == []
    assert found(ledger.service, now=due, deadline_hours=None) == []
    ended(night, "succeeded")
    assert found(ledger.service, now=due + timedelta(hours=5)) == []


def test_a_night_that_never_began_is_late_from_its_own_deadline_on(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(interval=day(-1), external_ref=SCHEDULED)
    ended(night, "succeeded")
    due = night.interval.end + timedelta(days=1, hours=6)
    assert found(ledger.service, now=due - ONE) == []
    (alert,) = found(ledger.service, now=due)
    assert alert.cause == "night_late"
    assert f"The night of {night.interval.end:%Y-%m-%d} has not begun, 6 hours after" in alert.sentence
    by_hand = make_night(interval=day(0))
    ended(by_hand, "succeeded")
    assert found(ledger.service, now=due) == [], "somebody ran it by hand"


def test_nights_that_no_schedule_starts_are_never_late_unless_that_is_declared(
    ledger: Ledger, make_night: MakeNight
) -> None:
    ended(make_night(interval=day(-3)), "succeeded")
    make_night(interval=day(-2))
    now = day(0).start + timedelta(hours=7)
    assert found(ledger.service, now=now) == []
    missing, running = found(ledger.service, now=now, every_night=True)
    assert f"The night of {day(-1).start:%Y-%m-%d} has not begun" in missing.sentence
    assert f"The night of {day(-2).start:%Y-%m-%d} is still running" in running.sentence
    for number in (-1, -2):
        ended(make_night(interval=day(number)), "succeeded")
    assert found(ledger.service, now=now, every_night=True) == []


def test_a_use_case_that_never_ran_is_late_only_where_every_night_is_expected(ledger: Ledger) -> None:
    now = day(0).start + timedelta(hours=6)
    assert found(ledger.service, now=now) == []
    assert [one.cause for one in found(ledger.service, now=now, every_night=True)] == ["night_late"]


def test_a_schedule_that_leaves_out_the_weekend_is_not_late_on_saturday(ledger: Ledger, make_night: MakeNight) -> None:
    from include.models import Interval

    monday = day(-7)
    over_the_weekend = Interval(monday.start - timedelta(days=2), monday.end)
    for interval in (over_the_weekend, *(day(number) for number in (-6, -5, -4, -3))):
        ended(make_night(interval=interval, external_ref=SCHEDULED), "succeeded")
    friday = day(-3)
    assert found(ledger.service, now=friday.end + timedelta(days=3, hours=6) - ONE) == []
    assert found(ledger.service, now=friday.end + timedelta(days=3, hours=6)) != []


def test_a_failed_night_is_not_late_too(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(interval=day(-1), external_ref=SCHEDULED)
    ended(night, "failed")
    assert [one.cause for one in found(ledger.service, now=night.interval.end + timedelta(hours=9))] == ["night_failed"]


def test_a_schedule_that_started_nothing_for_months_expects_nothing(ledger: Ledger, make_night: MakeNight) -> None:
    night = make_night(interval=day(-89), external_ref=SCHEDULED)
    ended(night, "succeeded")
    now = day(0).start + timedelta(hours=1)
    began(ledger.owner, night, now - timedelta(days=90) + ONE)
    assert len(found(ledger.service, "night_late", now=now)) == 1
    began(ledger.owner, night, now - timedelta(days=90))
    assert found(ledger.service, "night_late", now=now) == []


def test_a_night_that_a_newer_one_overtook_is_missed(ledger: Ledger, make_night: MakeNight) -> None:
    """As after a day on which the scheduler was down: Airflow starts the newest night only."""
    first, last = (make_night(interval=day(number), external_ref=SCHEDULED) for number in (-5, -2))
    for one in (first, last):
        ended(one, "succeeded")
    now = day(0).start
    (alert,) = found(ledger.service, now=now)
    assert f"The night of {day(-3).start:%Y-%m-%d} and 1 more have not begun" in alert.sentence
    ended(make_night(interval=day(-4)), "succeeded")
    (alert,) = found(ledger.service, now=now)
    assert f"The night of {day(-3).start:%Y-%m-%d} has not begun" in alert.sentence
    assert found(ledger.service, now=now, failed_days=2) == []
    assert len(found(ledger.service, now=now, every_night=True)) == 1
    ended(make_night(interval=day(-3)), "succeeded")
    assert found(ledger.service, now=now) == []


def test_a_night_that_runs_on_while_the_next_one_runs_is_late(ledger: Ledger, make_night: MakeNight) -> None:
    for number in (-2, -1):
        make_night(interval=day(number), external_ref=SCHEDULED)
    now = day(0).start + timedelta(hours=1)
    (alert,) = found(ledger.service, now=now)
    assert f"The night of {day(-2).start:%Y-%m-%d} is still running" in alert.sentence


def test_a_night_that_somebody_started_by_hand_is_never_late(ledger: Ledger, make_night: MakeNight) -> None:
    make_night(interval=day(-3), external_ref=f"{CASE}/manual__2026-11-20T02:00:00+00:00")
    assert found(ledger.service, now=day(0).start + timedelta(hours=20)) == []


def test_a_night_that_another_ones_asset_starts_has_a_deadline(ledger: Ledger, make_night: MakeNight) -> None:
    make_night(interval=day(-1), external_ref=f"{CASE}/asset_triggered__2026-11-20T02:00:00+00:00")
    assert len(found(ledger.service, "night_late", now=day(0).start + timedelta(hours=6))) == 1


def test_a_failed_night_that_is_run_again_after_its_deadline_is_one_thing(
    ledger: Ledger, make_night: MakeNight
) -> None:
    for status in ("failed", "running"):
        ended(make_night(interval=day(-1), external_ref=SCHEDULED), status)
    assert [one.cause for one in found(ledger.service, now=day(0).start + timedelta(hours=6))] == ["night_failed"]


def test_a_finished_night_that_is_run_again_is_not_late(ledger: Ledger, make_night: MakeNight) -> None:
    for status in ("succeeded", "running"):
        ended(make_night(interval=day(-1), external_ref=SCHEDULED), status)
    assert found(ledger.service, now=day(0).start + timedelta(hours=6)) == []
