"""Each channel against a receiver that speaks its protocol."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.errors import ConfigurationError
from include.systems.alerting import posting
from include.systems.alerting.chat import Chat
from include.systems.alerting.mail import Mail
from include.systems.alerting.notice import ChannelFailed, Notice
from include.systems.alerting.opening import Broken, open_channels
from include.systems.alerting.pager import Pager
from include.systems.connections import EnvironmentConnections, StoredConnection
from tests.core.certificates import make_certificates
from tests.core.systems.alerting.receivers import endpoint, mail_server

NOTICE = Notice(
    "new",
    "night_failed/leads/20261120",
    "severe",
    "leads",
    "night_failed",
    "A night failed",
    "The night of <2026-11-20> failed & nobody knows why.",
    "https://airflow.example/nightledger/runs/leads%2F1",
)
SECRET = "T000/B000/x-secret-x"


# The mail server does not count TLS from the first byte as TLS.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "_PAUSE_SECONDS", 0.0)


def stored(host: str, **fields: Any) -> StoredConnection:
    return StoredConnection("alert_x", host=host, **fields)


def mail_to(port: int, extra: Mapping[str, Any] | None = None, **fields: Any) -> Mail:
    said = {"from_email": "night@example.org", "to": "duty@example.org, lead@example.org", **(extra or {})}
    return Mail(StoredConnection("alert_smtp", host="127.0.0.1", port=port, extra=said, **fields))


CLEAR = {"disable_ssl": True, "disable_tls": True}


def test_a_chat_gets_a_text_with_what_its_format_escapes() -> None:
    with endpoint() as taken:
        Chat(stored(f"{taken.server.url}/services", password=SECRET)).send(NOTICE)
        (seen,) = taken.server.seen
        assert (seen.method, seen.target) == ("POST", f"/services/{SECRET}")
        assert seen.headers["content-type"].startswith("application/json")
        assert "authorization" not in seen.headers
        assert seen.json == {
            "text": "*Severe: leads: A night failed*\n"
            "The night of &lt;2026-11-20&gt; failed &amp; nobody knows why.\n"
            "<https://airflow.example/nightledger/runs/leads%2F1>"
        }


def test_a_pager_opens_and_resolves_one_incident_by_our_key() -> None:
    with endpoint(202) as taken:
        pager = Pager(stored(taken.server.url, password="key-of-32"))
        pager.send(NOTICE)
        pager = Pager(stored(f"{taken.server.url}/v2/enqueue", password="key-of-32"))
        pager.send(replace(NOTICE, kind="over"))
        opened, over = taken.said
        assert [one.target for one in taken.server.seen] == ["/v2/enqueue"] * 2
        assert (opened["event_action"], over["event_action"]) == ("trigger", "resolve")
        assert opened["dedup_key"] == over["dedup_key"] == NOTICE.key
        assert opened["routing_key"] == over["routing_key"] == "key-of-32"
        payload = opened["payload"]
        assert {"summary", "source", "severity"} <= payload.keys(), "the API refuses an event without them"
        assert payload["severity"] == "critical"
        assert opened["links"] == [{"href": NOTICE.page, "text": "Page"}]
        pager.send(replace(NOTICE, key="k" * 256, severity="warning", sentence="s" * 2000))
        assert len(taken.said[-1]["dedup_key"]) <= 255
        assert len(taken.said[-1]["payload"]["summary"]) == 1024
        assert taken.said[-1]["payload"]["severity"] == "warning"


def test_a_pager_without_a_key_is_refused_and_has_its_vendors_host() -> None:
    with pytest.raises(ConfigurationError, match="no routing key"):
        Pager(stored("https://pager.example"))
    assert Pager(stored("", password="k"))._endpoint.base_url == "https://events.pagerduty.com"


def test_a_mail_reaches_every_recipient() -> None:
    with mail_server() as server:
        mail_to(server.port, CLEAR).send(NOTICE)
        (message,) = server.taken
        assert message["Subject"] == "Severe: leads: A night failed"
        assert (message["From"], message["X-To"]) == ("night@example.org", "duty@example.org, lead@example.org")
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["Message-ID"].endswith("@example.org>")
        assert message.get_content().splitlines() == [NOTICE.sentence, "", NOTICE.page]


@pytest.mark.parametrize("how", ["tls", "starttls"])
def test_a_login_is_sent_under_tls_only_and_the_certificate_is_checked(tmp_path: Path, how: str) -> None:
    files = make_certificates(tmp_path)
    extra = {"verify": str(files.authority)} | ({"disable_ssl": True} if how == "starttls" else {})
    with mail_server(**{how: files.server_context()}, password=b"secret") as server:
        mail_to(server.port, extra, login="night", password="secret").send(NOTICE)
        assert [message["Subject"] for message in server.taken] == ["Severe: leads: A night failed"]
        with pytest.raises(ChannelFailed, match="SSLCertVerificationError"):
            mail_to(server.port, {**extra, "verify": True}, login="night", password="secret").send(NOTICE)
        with pytest.raises(ChannelFailed, match="answered 535") as refused:
            mail_to(server.port, extra, login="night", password="wrong").send(NOTICE)
        assert refused.value.down
        assert len(server.taken) == 1


def test_a_server_without_starttls_gets_no_login() -> None:
    with mail_server(password=b"secret") as server:
        with pytest.raises(ChannelFailed, match="SMTPNotSupportedError"):
            mail_to(server.port, {"disable_ssl": True}, login="night", password="secret").send(NOTICE)
        assert server.logins == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"extra": {"to": "a@b.c"}}, "sender or recipients"),
        ({"extra": {"from_email": "a@b.c"}}, "sender or recipients"),
        ({"extra": {"from_email": "a@b.c", "to": ["x"]}}, "sender or recipients"),
        ({"extra": {"from_email": "a@b.c\r\nBcc: all@b.c", "to": "x@y.z"}}, "sender or recipients"),
        ({"host": "", "extra": {"from_email": "a@b.c", "to": "x@y.z"}}, "host"),
        ({"host": "mail.example", "extra": {"from_email": "a@b.c", "to": "x@y.z", **CLEAR}}, "in clear"),
        ({"login": "me", "extra": {"from_email": "a@b.c", "to": "x@y.z", **CLEAR}}, "in clear"),
    ],
)
def test_a_mail_connection_that_cannot_do_is_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Mail(replace(StoredConnection("alert_smtp", host="localhost"), **fields))


def test_refused_recipients_are_said_without_their_addresses() -> None:
    with mail_server() as server:
        server.refuses = "550 duty@example.org is unknown"
        with pytest.raises(ChannelFailed, match=r"refused every recipient \(550\)") as error:
            mail_to(server.port, CLEAR).send(NOTICE)
        assert "example.org" not in str(error.value)


@pytest.mark.parametrize(
    ("statuses", "calls", "problem", "down"),
    [
        ((503, 200), 2, "", False),
        ((429, 200), 2, "", False),
        ((503,), 2, "answered 503", True),
        ((404,), 1, "answered 404", True),
        ((400,), 1, "answered 400", False),
    ],
)
def test_tries_are_few(statuses: tuple[int, ...], calls: int, problem: str, down: bool) -> None:
    with endpoint(*statuses) as taken:
        chat = Chat(stored(f"{taken.server.url}/services/{SECRET}"))
        if problem:
            with pytest.raises(ChannelFailed, match=problem) as error:
                chat.send(NOTICE)
            assert error.value.down is down
            assert "secret" not in str(error.value)
        else:
            chat.send(NOTICE)
        assert len(taken.server.seen) == calls


def test_only_the_connections_host_is_reached() -> None:
    with endpoint() as inner, endpoint(307, location=f"{inner.server.url}/metadata") as taken:
        with pytest.raises(ChannelFailed, match="redirect, which is not followed"):
            Chat(stored(taken.server.url)).send(NOTICE)
        with pytest.raises(ChannelFailed, match="redirect, which is not followed"):
            Pager(stored(taken.server.url, password="k")).send(NOTICE)
        assert len(taken.server.seen) == 2
        assert inner.server.seen == []


def test_an_answer_that_does_not_come_is_not_waited_for_and_not_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "SECONDS", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(ChannelFailed, match=r"did not answer \(ReadTimeout\)") as error:
            Chat(stored(f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}")).send(NOTICE)
        assert time.monotonic() - began < 5
        assert error.value.down
        silent.accept()
        silent.settimeout(0.1)
        with pytest.raises(TimeoutError):
            silent.accept()
        assert SECRET not in str(error.value)


def test_nobody_there_is_down_and_names_no_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for channel in (Chat(stored(f"http://127.0.0.1:{port}/{SECRET}")), mail_to(port, CLEAR)):
        with pytest.raises(ChannelFailed, match="Connection") as error:
            channel.send(NOTICE)  # type: ignore[attr-defined]
        assert error.value.down
        assert str(port) not in str(error.value)


def test_channels_are_those_that_are_stored_and_a_wrong_one_is_seen() -> None:
    assert open_channels(EnvironmentConnections({})) == []
    stored_ones = {
        "AIRFLOW_CONN_ALERT_SLACK": json.dumps({"host": "ftp://nowhere"}),
        "AIRFLOW_CONN_ALERT_PAGERDUTY": json.dumps({"password": "k"}),
    }
    broken, pager = open_channels(EnvironmentConnections(stored_ones))
    assert isinstance(broken, Broken)
    assert [broken.name, pager.name] == ["slack", "pagerduty"]
    with pytest.raises(ChannelFailed, match="names no host that HTTP can reach"):
        broken.send(NOTICE)
