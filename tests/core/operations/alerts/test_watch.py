"""A look tells what stands once for each cause, over every channel, whoever else looks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from include.database import transaction
from include.errors import ConfigurationError, QualityStop, SystemUnavailable
from include.ledger import alerts as record
from include.ledger.alerts import Silence, Standing, end_silence, last_look, silence
from include.ledger.failures import failures_on_record
from include.ledger.leases import Lease
from include.models import Mode, Outcome
from include.operations.alerts import watch
from include.operations.alerts.watch import Look, Watcher, look, rehearse
from include.spec.alerting import Quiet
from include.systems.alerting import posting
from include.systems.connections import EnvironmentConnections
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import end_rows
from tests.core.operations.alerts.finding import CASE, SYSTEMS, day, ended, watched
from tests.core.operations.alerts.test_counted import drifted, waiting
from tests.core.systems.alerting.receivers import Endpoint, MailServer, endpoint, mail_server

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "_PAUSE_SECONDS", 0.0)


@dataclass
class People:
    """The three receivers and a watcher that reaches them."""

    ledger: Ledger
    chat: Endpoint
    pager: Endpoint
    mail: MailServer

    def connections(self) -> dict[str, str]:
        extra = {"from_email": "night@example.org", "to": "duty@example.org", "disable_ssl": True, "disable_tls": True}
        stored: dict[str, Any] = {
            "slack": {"host": self.chat.server.url, "password": "T0/B0/secret"},
            "pagerduty": {"host": self.pager.server.url, "password": "key"},
            "smtp": {"host": "127.0.0.1", "port": self.mail.port, "extra": extra},
        }
        return {f"AIRFLOW_CONN_ALERT_{name.upper()}": json.dumps(one) for name, one in stored.items()}

    def watcher(self, *only: str, **limits: Any) -> Watcher:
        all_of_them = self.connections()
        names = [f"AIRFLOW_CONN_ALERT_{name.upper()}" for name in only] or list(all_of_them)
        connections = EnvironmentConnections({name: all_of_them[name] for name in names})
        site = "https://airflow.example/"
        made = Watcher.of(self.ledger.service, connections, SYSTEMS, by="test", site=site, use_cases=[])
        return replace(made, watched=watched(**limits))

    def look(self, at: datetime = NOW, *only: str, **limits: Any) -> Look:
        return look(self.watcher(*only, **limits), now=at)

    @property
    def chatted(self) -> list[str]:
        return [one["text"].splitlines()[0] for one in self.chat.said]

    @property
    def paged(self) -> list[tuple[str, str]]:
        return [(one["event_action"], one["dedup_key"]) for one in self.pager.said]

    @property
    def mailed(self) -> list[str]:
        return [str(one["Subject"]) for one in self.mail.taken]

    def on_record(self) -> list[Standing]:
        with transaction(self.ledger.service) as connection:
            return [*record.list_standing(connection, [CASE, ""]), *record.list_over(connection, [CASE, ""], 9)]


@pytest.fixture
def people(ledger: Ledger) -> Iterator[People]:
    with endpoint() as chat, endpoint(202) as pager, mail_server() as mail:
        yield People(ledger, chat, pager, mail)


FAILED = f"*Severe: {CASE}: A night failed*"


@pytest.fixture
def failed_night(make_night: MakeNight) -> Any:
    night = make_night(interval=day(-1))
    ended(night, "failed")
    return night


def test_an_alert_is_told_once_over_every_channel(people: People, failed_night: Any) -> None:
    done = people.look()
    assert (len(done.standing), done.severe, done.told, done.failed) == (1, 1, 3, ())
    for minutes in (5, 10, 15):
        assert people.look(NOW + minutes * MINUTE).told == 0
    key = f"night_failed/{CASE}/{failed_night.interval.slug}"
    assert people.chatted == [FAILED]
    assert people.paged == [("trigger", key)]
    assert people.mailed == [f"Severe: {CASE}: A night failed"]
    page = f"https://airflow.example/nightledger/runs/{failed_night.run_id.replace('/', '%2F')}"
    assert people.chat.said[0]["text"].endswith(f"<{page}>")
    assert page in people.mail.taken[0].get_content()
    (one,) = people.on_record()
    assert (one.first_seen, one.last_seen, one.notified_at) == (NOW, NOW + 15 * MINUTE, NOW)
    assert {name: told.sent_at for name, told in one.channels.items()} == dict.fromkeys(
        ("slack", "smtp", "pagerduty"), NOW
    )


def test_what_is_severe_is_told_again_after_a_day_and_a_warning_is_not(
    people: People, make_night: MakeNight, failed_night: Any
) -> None:
    drifted(make_night(interval=day(0)), ("volume", "", "drifted"))
    people.look()
    people.look(NOW + 24 * HOUR - MINUTE)
    assert len(people.chatted) == 2
    people.look(NOW + 24 * HOUR)
    assert people.chatted[2:] == [f"*Still: Severe: {CASE}: A night failed*"]
    people.look(NOW + 25 * HOUR)
    assert len(people.chatted) == 3
    people.look(NOW + 25 * HOUR, remind_hours=1)
    assert len(people.chatted) == 4


def test_what_went_away_is_over_once_after_a_while(people: People, make_night: MakeNight, failed_night: Any) -> None:
    people.look()
    again = make_night(interval=day(-1))
    people.look(NOW + 30 * MINUTE)
    assert people.chatted == [FAILED], "it is being run again, which is no end yet"
    ended(again, "succeeded")
    people.look(NOW + 39 * MINUTE)
    assert people.chatted == [FAILED], "it may come back, as a share of failing calls does"
    for minutes in (40, 45):
        people.look(NOW + minutes * MINUTE)
    over = f"*Over: Severe: {CASE}: A night failed*"
    assert people.chatted == [FAILED, over]
    assert people.mailed[1:] == [f"Over: Severe: {CASE}: A night failed"]
    assert [action for action, _ in people.paged] == ["trigger", "resolve"]
    (one,) = people.on_record()
    assert one.resolved_at == NOW + 40 * MINUTE
    ended(make_night(interval=day(-1)), "failed")
    people.look(NOW + 50 * MINUTE)
    assert people.chatted == [FAILED, over, FAILED], "it came back: that is something new"
    assert len(people.on_record()) == 2


def test_what_comes_back_before_it_was_gone_for_long_is_the_same_thing(people: People, make_night: MakeNight) -> None:
    night = make_night(interval=day(-1))
    for at, verdict in ((0, "drifted"), (5, "steady"), (9, "drifted"), (14, "steady"), (18, "steady")):
        drifted(night, ("volume", "", verdict))
        people.look(NOW + at * MINUTE)
    assert people.chatted == [f"*Warning: {CASE}: A night drifted*"]
    people.look(NOW + 19 * MINUTE)
    assert len(people.chatted) == 2


def test_who_does_not_want_to_hear_that_it_is_over_hears_nothing_but_the_pager_closes(
    people: People, make_night: MakeNight, failed_night: Any
) -> None:
    people.look(tell_resolved=False)
    ended(make_night(interval=day(-1)), "succeeded")
    people.look(NOW + HOUR, tell_resolved=False)
    assert (len(people.chatted), len(people.mailed)) == (1, 1)
    assert [action for action, _ in people.paged] == ["trigger", "resolve"]


def test_what_got_severe_is_told_again(people: People) -> None:
    scope = f"day/{CASE}/{NOW:%Y-%m-%d}"
    put = "INSERT INTO nightledger.budget (scope, ceiling, spent) VALUES (:scope, 10, 8.5)"
    more = "UPDATE nightledger.budget SET spent = :spent"
    with transaction(people.ledger.owner) as connection:
        connection.execute(text(put), {"scope": scope})
    people.look()
    for spent in (9, 10, 8.5):
        with transaction(people.ledger.owner) as connection:
            connection.execute(text(more), {"spent": spent})
        people.look()
    told = f"{CASE}: A budget is nearly used up*"
    assert people.chatted == [f"*Warning: {told}", f"*Worse: Severe: {told}"]
    assert len({key for _, key in people.paged}) == 1


def test_a_silence_holds_back_what_is_told_after_it_if_it_still_stands(
    people: People, make_night: MakeNight, failed_night: Any
) -> None:
    gone = make_night(interval=day(-2))
    ended(gone, "failed")
    quiet = Silence(0, CASE, "night_failed", NOW - HOUR, NOW + HOUR, "UTC", "the CRM moves", "ann")
    silence(people.ledger.service, quiet)
    drifted(make_night(interval=day(0)), ("volume", "", "drifted"))
    done = people.look()
    assert (len(done.standing), done.silenced) == (3, 2)
    assert people.chatted == [f"*Warning: {CASE}: A night drifted*"]
    ended(make_night(interval=day(-2)), "succeeded")
    people.look(NOW + HOUR - MINUTE)
    assert len(people.chatted) == 1
    people.look(NOW + HOUR)
    assert people.chatted[1:] == [FAILED], "what went away meanwhile is nothing to tell"
    assert len(people.on_record()) == 3


def test_a_silence_keeps_a_pager_open_no_longer_than_the_trouble(
    people: People, make_night: MakeNight, failed_night: Any
) -> None:
    people.look()
    silence(people.ledger.service, Silence(0, "", "", NOW, NOW + 4 * HOUR, "UTC", "we move", "ann"))
    ended(make_night(interval=day(-1)), "succeeded")
    people.look(NOW + HOUR)
    assert [action for action, _ in people.paged] == ["trigger", "resolve"]
    assert people.chatted == [FAILED]
    people.look(NOW + 4 * HOUR)
    assert people.chatted == [FAILED, f"*Over: Severe: {CASE}: A night failed*"]


@pytest.mark.parametrize(
    ("use_case", "cause"), [("", "night_failed"), (CASE, ""), ("", ""), ("other", ""), (CASE, "night_late")]
)
def test_a_silence_holds_for_its_use_case_and_cause(
    people: People, failed_night: Any, use_case: str, cause: str
) -> None:
    number = silence(
        people.ledger.service, Silence(0, use_case, cause, NOW - HOUR, NOW + HOUR, "UTC", "we move", "ann")
    )
    applies = use_case != "other" and cause != "night_late"
    assert people.look().silenced == int(applies)
    assert end_silence(people.ledger.service, number, "bob")
    assert not end_silence(people.ledger.service, number, "bob")
    assert people.look(NOW + MINUTE).silenced == 0
    with transaction(people.ledger.service) as connection:
        said = connection.execute(text("SELECT type, actor FROM event WHERE stream = 'alerts' ORDER BY seq")).all()
    assert [tuple(one) for one in said] == [("alerts.silenced", "ann"), ("alerts.unsilenced", "bob")]


@pytest.mark.parametrize(
    ("ended_at", "moment", "covered"),
    [
        (None, NOW - MINUTE, False),
        (None, NOW, True),
        (None, NOW + HOUR, False),
        (NOW + MINUTE, NOW, True),
        (NOW + MINUTE, NOW + MINUTE, False),
    ],
)
def test_a_silence_covers_its_start_and_not_its_end(ended_at: datetime | None, moment: datetime, covered: bool) -> None:
    quiet = Silence(1, "", "", NOW, NOW + HOUR, "UTC", "we move", "ann", ended_at)
    alert = record.Alert("k", CASE, "night_failed", "severe", "It failed.", "/")
    assert quiet.covers(alert, moment) is covered


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"why": "  "}, "needs a reason"),
        ({"cause": "none"}, "no such cause"),
        ({"ends_at": NOW - 3 * HOUR}, "must end after"),
        ({"starts_at": NOW - 9 * HOUR, "ends_at": NOW - HOUR}, "must end after"),
        ({"ends_at": NOW + timedelta(days=32)}, "too long"),
    ],
)
def test_a_silence_that_would_hide_too_much_or_nothing_is_refused(
    ledger: Ledger, change: dict[str, Any], problem: str
) -> None:
    asked = Silence(0, CASE, "", NOW - HOUR, NOW + HOUR, "UTC", "we move", "ann")
    with pytest.raises(ConfigurationError, match=problem):
        silence(ledger.service, replace(asked, **change))


def test_a_declared_window_is_kept_on_its_own_clocks(people: People, failed_night: Any) -> None:
    quiet = Quiet(start="22:00", end="04:00", tz="Europe/Berlin", days=("fri",), why="backup")
    people.look(datetime(2026, 10, 23, 20, 0, tzinfo=UTC), quiet=(quiet,), failed_days=99)
    assert people.chatted == []
    people.look(datetime(2026, 10, 24, 1, 59, tzinfo=UTC), quiet=(quiet,), failed_days=99)
    assert people.chatted == []
    people.look(datetime(2026, 10, 24, 2, 0, tzinfo=UTC), quiet=(quiet,), failed_days=99)
    assert people.chatted == [FAILED]


@pytest.mark.parametrize(
    ("moment", "covered"),
    [
        ((2026, 11, 20, 20, 59), False),
        ((2026, 11, 20, 21, 0), True),  # Friday 22:00 in Berlin, an hour later by UTC than in summer
        ((2026, 11, 21, 2, 59), True),
        ((2026, 11, 21, 3, 0), False),
        ((2026, 11, 21, 22, 0), False),
        ((2026, 11, 20, 2, 0), False),
    ],
)
def test_a_window_over_midnight_begins_on_its_day(moment: tuple[int, ...], covered: bool) -> None:
    quiet = Quiet(start="22:00", end="04:00", tz="Europe/Berlin", days=("fri",), why="backup")
    assert quiet.covers(datetime(*moment, tzinfo=UTC)) is covered  # type: ignore[misc]


@pytest.mark.parametrize(
    "wrong",
    [{"tz": "Mars/Olympus"}, {"start": "25:00"}, {"end": "22:00"}, {"days": ("friday",)}, {"start": "22:00+01:00"}],
)
def test_a_window_that_no_clock_has_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Quiet(**{"start": "22:00", "end": "04:00", "tz": "UTC", "why": "x", **wrong})


def test_two_watchers_at_once_tell_once(people: People, failed_night: Any) -> None:
    at_once = threading.Barrier(4)

    def one() -> Look:
        watcher = people.watcher()
        at_once.wait()
        return look(watcher, now=NOW)

    with ThreadPoolExecutor(4) as pool:
        done = [each.result() for each in [pool.submit(one) for _ in range(4)]]
    assert sum(each.told for each in done) == 3
    assert (people.chatted, len(people.paged), len(people.mailed)) == ([FAILED], 1, 1)
    assert len(people.on_record()) == 1


def test_who_comes_while_another_looks_tells_nothing_and_says_what_stands(people: People, failed_night: Any) -> None:
    people.look(NOW, "pagerduty")
    other = Lease(people.ledger.service, watch.LEASE)
    assert other.take()
    done = people.look(NOW + MINUTE)
    assert (done.skipped, done.severe, done.told) == (True, 1, 0)
    assert people.chatted == []
    with transaction(people.ledger.service) as connection:
        other.give_up(connection)
    assert people.look(NOW + MINUTE).told == 2


def test_a_watcher_that_was_overtaken_stops_telling(
    people: People, failed_night: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a long pause: another took the lease between finding and telling."""
    told_by_us = watch.tell

    def overtaken(*given: Any) -> Any:
        with transaction(people.ledger.service) as connection:
            connection.execute(text("UPDATE nightledger.lease SET holder = holder + 1"))
        return told_by_us(*given)

    monkeypatch.setattr(watch, "tell", overtaken)
    assert people.look().told == 0
    assert people.chatted == []


def test_a_channel_that_is_down_is_on_record_and_tried_again_while_others_go_on(
    people: People, failed_night: Any
) -> None:
    people.chat.statuses[:] = [500]
    done = people.look()
    assert (done.told, done.failed) == (2, (("slack", "answered 500"),))
    people.look(NOW + 5 * MINUTE)
    (one,) = people.on_record()
    slack = one.channels["slack"]
    assert (slack.sent_at, slack.error, slack.failures) == (None, "answered 500", 2)
    assert slack.failed_at == NOW + 5 * MINUTE
    people.chat.statuses[:] = [200]
    assert people.look(NOW + 10 * MINUTE).told == 1
    (one,) = people.on_record()
    assert (one.channels["slack"].error, one.channels["slack"].sent_at) == ("", NOW + 10 * MINUTE)
    assert (len(people.paged), len(people.mailed)) == (1, 1)
    with transaction(people.ledger.service) as connection:
        newest = last_look(connection)
    assert newest
    assert (newest.problem, set(newest.channels)) == (None, {"slack", "smtp", "pagerduty"})


def test_a_channel_that_is_down_is_not_asked_for_each_alert(people: People, make_night: MakeNight) -> None:
    for number in (-1, -2, -3):
        ended(make_night(interval=day(number)), "failed")
    people.chat.statuses[:] = [503]
    assert people.look().told == 6
    assert len(people.chatted) == 2, "one message, tried twice"


def test_a_message_that_is_refused_does_not_hold_back_the_next(people: People, make_night: MakeNight) -> None:
    for number in (-1, -2):
        ended(make_night(interval=day(number)), "failed")
    people.chat.statuses[:] = [400, 200]
    done = people.look(NOW, "slack")
    assert (done.told, done.failed) == (1, (("slack", "answered 400"),))


def test_the_watch_fails_when_nobody_could_be_reached(people: People, failed_night: Any) -> None:
    for one in (people.chat, people.pager):
        one.statuses[:] = [500]
    people.mail.refuses = "550 no"
    with pytest.raises(SystemUnavailable, match="no channel took an alert: slack answered 500; smtp refused every"):
        people.look()
    assert len(people.on_record()) == 1
    people.mail.refuses = ""
    people.look(NOW + MINUTE)
    assert len(people.mailed) == 1


def test_without_channels_alerts_are_on_record_and_in_the_log(
    people: People, failed_night: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    watcher = replace(people.watcher(), channels=())
    done = look(watcher, now=NOW)
    assert (len(done.standing), done.told) == (1, 0)
    assert len(people.on_record()) == 1
    assert "alert severe: crm_lead_scoring: The night of" in caplog.text
    assert "no channel, since none is stored" in caplog.text


def test_a_rehearsal_writes_nothing_and_tells_nobody(people: People, failed_night: Any) -> None:
    done = rehearse(people.watcher(), now=NOW)
    assert [(one.kind, one.channel) for one in done.due] == [("new", one) for one in ("slack", "smtp", "pagerduty")]
    assert (people.on_record(), people.chatted, people.paged, people.mailed) == ([], [], [], [])
    assert people.look().told == 3


def test_alerts_of_use_cases_that_are_not_watched_are_left_alone(people: People, failed_night: Any) -> None:
    people.look()
    others = replace(people.watcher(), watched=replace(watched(), cases=()))
    look(others, now=NOW + HOUR)
    (one,) = people.on_record()
    assert one.resolved_at is None


def test_a_spec_that_cannot_be_read_is_told_and_leaves_the_others_watched(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    from include.operations.alerts import find

    def load(name: str) -> Any:
        raise SyntaxError(f"{name} of ann@example.com")

    monkeypatch.setattr(find, "load", load)
    unread = find.Watched.named([CASE])
    look(replace(people.watcher(), watched=unread), now=NOW)
    assert people.chatted == [f"*Severe: {CASE}: A use case cannot be watched*"]
    assert "SyntaxError" in people.chat.said[0]["text"]
    assert "ann@" not in people.chat.said[0]["text"]


def test_no_message_holds_a_value_of_a_row(people: People, make_night: MakeNight) -> None:
    """Everything that a look can tell at once, with a person's address wherever a night keeps texts."""
    ann = "ann.example@example.com"
    night = make_night(interval=day(-1), external_ref=f"{CASE}/scheduled__x")
    with pytest.raises(QualityStop), failures_on_record(night, "check"):
        raise QualityStop(f"rows of {ann}", system="crm", about=f"row {ann}", action=f"Ask {ann}")
    end_rows(night, {f"crm/contacts/{ann}": Outcome.IN_REVIEW})
    drifted(night, ("volume", "", "drifted"))
    waiting(people.ledger, night, 99)
    with transaction(people.ledger.service) as connection:
        change = "UPDATE nightledger.run SET status = 'stopped', detail = :said, finished_at = now()"
        connection.execute(text(change), {"said": f"check: {ann}"})
        connection.execute(text("UPDATE nightledger.review_item SET comment = :ann"), {"ann": ann})
    done = people.look()
    assert {one.cause for one in done.standing} == {"night_failed", "night_drifted", "review_waiting"}
    said = json.dumps([*people.chat.said, *people.pager.said], ensure_ascii=False)
    said += "".join(message.as_string() for message in people.mail.taken)
    assert len(people.chat.said) == 3
    assert "ann" not in said.replace("channel", "")
    assert "crm/contacts/" not in said


def test_modes_say_nothing_of_alerts(make_night: MakeNight, people: People) -> None:
    """A night in shadow writes nothing, and somebody still wants to know that it failed."""
    night = make_night(interval=day(-1), mode=Mode.SHADOW)
    ended(night, "failed")
    assert people.look().told == 3
