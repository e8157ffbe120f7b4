"""`nightledger watch`: one look, a rehearsal, and a watch that a ledger away for a moment does not end."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from include.cli import main
from include.commands import watch as command
from include.database import transaction
from include.errors import ConfigurationError, LedgerUnavailable
from include.operations.alerts.watch import Look, Watcher
from tests.core.conftest import Ledger, MakeNight
from tests.core.operations.alerts.finding import day, ended
from tests.core.operations.alerts.test_counted import drifted
from tests.core.systems.alerting.receivers import Endpoint, endpoint


@pytest.fixture(autouse=True)
def chat(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    db = make_url(ledger.urls.service)
    where = {"host": db.query["host"], "schema": db.database, "login": db.username}
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", json.dumps(where))
    with endpoint() as taken:
        monkeypatch.setenv("AIRFLOW_CONN_ALERT_SLACK", json.dumps({"host": taken.server.url}))
        yield taken


def said(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    return main(["watch", *arguments], out), out.getvalue()


def test_a_quiet_night_is_exit_code_0(chat: Endpoint) -> None:
    code, words = said("--once")
    assert (code, words) == (0, "0 alerts stand, 0 severe, 0 silenced; channels: slack; 0 messages sent\n")


def test_a_warning_is_told_and_is_no_finding(chat: Endpoint, make_night: MakeNight) -> None:
    drifted(make_night(interval=day(-1)), ("volume", "", "drifted"))
    code, words = said("--once")
    assert code == 0
    assert "warning  crm_lead_scoring" in words
    assert "1 messages sent" in words
    assert len(chat.said) == 1


def test_something_severe_is_exit_code_1_for_as_long_as_it_stands(chat: Endpoint, make_night: MakeNight) -> None:
    ended(make_night(interval=day(-1)), "failed")
    assert [said("--once", "--site", "https://airflow.example")[0] for _ in range(2)] == [1, 1]
    assert len(chat.said) == 1
    assert "<https://airflow.example/nightledger/runs/" in chat.said[0]["text"]


def test_a_dry_run_says_what_would_be_told(chat: Endpoint, ledger: Ledger, make_night: MakeNight) -> None:
    ended(make_night(interval=day(-1)), "failed")
    code, words = said("--dry-run")
    assert code == 1
    assert "would tell slack: new severe night_failed/crm_lead_scoring/" in words
    assert "nothing written or sent" in words
    assert chat.said == []
    with transaction(ledger.service) as connection:
        assert connection.scalar(text("SELECT count(*) FROM alert")) == 0


def test_nobody_reached_is_an_error(chat: Endpoint, make_night: MakeNight, capsys: pytest.CaptureFixture[str]) -> None:
    ended(make_night(interval=day(-1)), "failed")
    chat.statuses[:] = [404]
    assert said("--once")[0] == 2
    assert "no channel took an alert: slack answered 404" in capsys.readouterr().err


def test_a_watch_goes_on_where_the_ledger_was_away_and_ends_where_a_setting_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endings = iter([LedgerUnavailable("restarts", system="ledger"), None, ConfigurationError("is wrong")])
    waited: list[float] = []

    def look(watcher: Watcher) -> Look:
        error = next(endings)
        if error:
            raise error
        return Look(())

    monkeypatch.setattr(command, "look", look)
    monkeypatch.setattr(command.time, "sleep", waited.append)
    code, words = said("--every", "7")
    assert code == 2
    assert words.splitlines()[0] == "LedgerUnavailable: ledger: restarts"
    assert words.splitlines()[1].startswith("0 alerts stand")
    assert waited == [7, 7]
