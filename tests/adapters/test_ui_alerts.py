"""Page Alerts: what the viewer may see of it, and silences by whom Airflow lets change the DAG."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from include.database import transaction
from include.ledger.alerts import Alert, LastLook, Told, keep_found, note_look, note_told
from tests.adapters.ui_stand import MINE, ORIGIN, OTHERS, Stand, connection_of, open_stand
from tests.core.conftest import Ledger, LedgerUrls, MakeNight
from tests.core.operations.alerts.finding import day, ended

PAGE = "/nightledger/alerts"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    dags = {MINE: "blue", OTHERS: "red", "watch": "red"}
    with open_stand(tmp_path_factory.mktemp("airflow"), dags) as found:
        yield found


@pytest.fixture
def stand(server: Stand, ledger_urls: LedgerUrls, monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", connection_of(ledger_urls.service))
    server.renew()
    return server


def alert(use_case: str, cause: str = "night_failed", sentence: str = "It <b>failed</b>.") -> Alert:
    return Alert(f"{cause}/{use_case}", use_case, cause, "severe", sentence, "/nightledger/runs/a%2Fb")


def keep(ledger: Ledger, *alerts: Alert) -> None:
    with transaction(ledger.service) as connection:
        keep_found(connection, alerts, NOW)


def looked(ledger: Ledger, ago: timedelta = timedelta(0), problem: str | None = None) -> None:
    note_look(ledger.service, LastLook(datetime.now(UTC) - ago, "airflow/x", 0.1, ("slack", "smtp"), problem))


def form(stand: Stand, user: str, page: str = PAGE) -> tuple[object, dict[str, str]]:
    client = stand.client(user)
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page).text)
    return client, {"csrf_token": found[1] if found else ""}


def local(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M}"


def test_a_viewer_sees_alerts_of_their_use_cases_and_of_none_alone(stand: Stand, ledger: Ledger) -> None:
    keep(ledger, alert(MINE), alert(OTHERS, "night_late", "It is late."), alert("", "credential_expiring", "Soon."))
    looked(ledger)
    note_told(ledger.service, 1, "slack", Told(NOW, "severe"), NOW)
    note_told(ledger.service, 1, "smtp", Told(error="answered 535", failed_at=NOW, failures=2), None)
    page = stand.client("ann").get(PAGE).text
    assert 'href="/nightledger/runs/a%2Fb">A night failed</a>' in page
    assert "It &lt;b&gt;failed&lt;/b&gt;." in page
    assert "Soon." in page
    assert "It is late." not in page
    assert re.search(r"slack: <time", page)
    assert "answered 535 (2 times" in page
    assert "Looked at" in page
    assert "Nobody has looked" not in page
    others = stand.client("rob").get(PAGE).text
    assert "Soon." in others
    assert "It &lt;b&gt;failed&lt;/b&gt;." not in others
    assert MINE not in others


def test_thresholds_stand_beside_each_use_case(stand: Stand, ledger: Ledger) -> None:
    page = stand.client("ann").get(PAGE).text
    (row,) = re.findall(rf'<tr><th scope="row">{MINE}</th>(.*?)</tr>', page)
    cells = re.findall(r"<td>(.*?)</td>", row)
    assert cells == [
        "6 h after its interval",
        "more than 2.0 %",
        "5 s",
        "15 min, 50 calls or more",
        "more than 1.5 times the mean of 30 days",
        "80.0 %",
        "24 h",
        "told",
        "severe ones after 24 h",
    ]


def test_a_watch_that_does_not_run_is_said_and_the_page_looks_itself(
    stand: Stand, ledger: Ledger, make_night: MakeNight
) -> None:
    ended(make_night(interval=day(-1)), "failed")
    client = stand.client("ann")
    assert "Nobody has looked yet" in client.get(PAGE).text
    looked(ledger, timedelta(minutes=14))
    page = client.get(PAGE).text
    assert "Nobody has looked" not in page
    assert "The night of" not in page
    looked(ledger, timedelta(minutes=16), "slack answered 404")
    page = client.get(PAGE).text
    assert "Nobody has looked since" in page
    assert "The night of" in page
    assert "slack answered 404" in page


def test_a_silence_is_added_and_ended_by_whom_airflow_lets_change_the_dag(stand: Stand, ledger: Ledger) -> None:
    looked(ledger)
    keep(ledger, alert(MINE))
    client, fields = form(stand, "ann")
    berlin = NOW + timedelta(hours=3)
    given = {"use_case": MINE, "ends": local(berlin), "tz": "Asia/Tokyo", "cause": "night_failed", "reason": "it moves"}
    refused = client.post(f"{PAGE}/silences", data={**fields, **given}, headers={"Origin": ORIGIN})
    assert refused.status_code == 400, "by Tokyo's clocks that was hours ago"
    given["tz"] = "UTC"
    done = client.post(f"{PAGE}/silences", data={**fields, **given}, headers={"Origin": ORIGIN})
    assert (done.status_code, done.headers["location"]) == (303, f"{PAGE}?said=silenced")
    page = client.get(PAGE).text
    assert "it moves" in page
    assert ">silenced</span>" in page
    with transaction(ledger.service) as connection:
        kept = connection.execute(text("SELECT use_case, cause, by, ends_at FROM silence")).one()
        said = connection.execute(text("SELECT type, actor FROM event WHERE stream = 'alerts'")).one()
    assert tuple(kept)[:3] == (MINE, "night_failed", "ann")
    assert kept.ends_at == berlin.replace(second=0, microsecond=0)
    assert tuple(said) == ("alerts.silenced", "ann")
    done = client.post(f"{PAGE}/silences/1/end", data=fields, headers={"Origin": ORIGIN})
    assert done.headers["location"] == f"{PAGE}?said=ended"
    assert "it moves" not in client.get(PAGE).text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reason": " "}, "Say why"),
        ({"cause": "nothing"}, "no such cause"),
        ({"ends": "tomorrow"}, "Give a time"),
        ({"tz": "Mars/Olympus"}, "Give a time"),
        ({"tz": "../../etc/passwd"}, "Give a time"),
        ({"ends": local(NOW + timedelta(days=40))}, "too long"),
        ({"ends": local(NOW - timedelta(days=1))}, "must end after"),
        ({"starts": "9999-12-31T23:59", "tz": "America/Lima"}, "Give a time"),
    ],
)
def test_a_form_that_is_filled_in_wrongly_is_said(
    stand: Stand, ledger: Ledger, change: dict[str, str], words: str
) -> None:
    client, fields = form(stand, "ann")
    given = {"use_case": MINE, "ends": local(NOW + timedelta(hours=3)), "reason": "it moves", **fields, **change}
    answer = client.post(f"{PAGE}/silences", data=given, headers={"Origin": ORIGIN})
    assert answer.status_code == 400
    assert words in answer.text


def test_nobody_silences_what_is_not_theirs(stand: Stand, ledger: Ledger) -> None:
    """`vic` may only read, `ann` may change her own DAG, `rob` another team's and the watch's."""
    ends, origin = {"ends": local(NOW + timedelta(hours=3)), "reason": "it moves"}, {"Origin": ORIGIN}
    client, fields = form(stand, "rob")
    assert client.post(f"{PAGE}/silences", data={**fields, **ends, "use_case": ""}, headers=origin).status_code == 303
    assert client.post(f"{PAGE}/silences", data={**fields, **ends, "use_case": MINE}, headers=origin).status_code == 404
    ann, fields = form(stand, "ann")
    assert "it moves" in ann.get(PAGE).text, "it holds for her use case too"
    assert ann.post(f"{PAGE}/silences", data={**fields, **ends, "use_case": ""}, headers=origin).status_code == 404
    assert ann.post(f"{PAGE}/silences/1/end", data=fields, headers=origin).status_code == 404
    assert ann.post(f"{PAGE}/silences/2/end", data=fields, headers=origin).status_code == 404
    assert '<option value="">all</option>' not in ann.get(PAGE).text.split('id="silences"')[1].split("Cause")[0]
    vic = stand.client("vic")
    assert "Reason, kept on record" not in vic.get(PAGE).text
    token = re.search(r'name="csrf_token" value="([^"]+)"', vic.get("/nightledger/backfill").text)
    given = {"csrf_token": token[1] if token else "", **ends, "use_case": MINE}
    assert vic.post(f"{PAGE}/silences", data=given, headers=origin).status_code == 403
    with transaction(ledger.service) as connection:
        assert connection.scalar(text("SELECT count(*) FROM silence WHERE ended_at IS NULL")) == 1


def test_every_runbook_link_leads_somewhere(stand: Stand, ledger: Ledger) -> None:
    looked(ledger, problem="slack answered 404")
    client = stand.client("ann")
    assert "/nightledger/runbooks/alerts" in client.get(PAGE).text
    assert "Nobody was called" in client.get("/nightledger/runbooks/alerts").text
