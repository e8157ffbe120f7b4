"""Why a row has its value and whether the ledger holds, as each user may see it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from include.database import transaction
from include.ledger import erasure
from include.ledger.erasure import Target
from include.ledger.record import DeadLetter, bury
from include.ledger.verifications import verify_on_record
from include.models import Mode, Outcome, RunOptions
from include.run import Night
from tests.adapters.ui_stand import MINE, ORIGIN, OTHERS, Stand, connection_of, open_stand
from tests.core.conftest import Ledger, LedgerUrls, MakeNight
from tests.core.ledger.nights import ask, decide, end_rows, reject_rows, rows_of, write_rows
from tests.core.ledger.test_seals import run_night

PATH = "/nightledger"
VERIFICATION = "ledger_verification"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    dags = {MINE: "blue", OTHERS: "red", VERIFICATION: "red"}
    with open_stand(tmp_path_factory.mktemp("airflow"), dags) as found:
        yield found


@pytest.fixture
def stand(server: Stand, ledger_urls: LedgerUrls, monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", connection_of(ledger_urls.service))
    server.renew()
    return server


@pytest.fixture
def written(ledger: Ledger, make_night: MakeNight) -> Night:
    """A night that wrote row 1, over a value with an address in it."""
    night, rows = make_night(options=RunOptions(mode=Mode.AUTO)), rows_of(1)
    write_rows(night, rows, decide(night, rows, verdict="write", inferences=ask(night, rows, cost="0.0021")))
    end_rows(night, {rows[0]: Outcome.WRITTEN})
    with ledger.owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        held = 'UPDATE nightledger.outbox_intent SET before = \'{"nl_lead_score": "ada@leak.example"}\''
        connection.execute(text(held))
    return night


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_a_row_says_what_was_written_why_and_by_whom(stand: Stand, written: Night) -> None:
    page = stand.client("ann").get(f"{PATH}/explain?use_case={MINE}&key=1")
    assert page.status_code == 200
    told = words(page.text)
    for part in (
        "Why row 1 has its value",
        "Night of 2026-11-20 written",
        "Written to crm contacts 1",
        "nl_lead_score [e-mail] 80",
        "write, by gate; rule: mode is shadow",
        "tier hot, score 80",
        "sandbox-small, prompt v1",
        "$0.0021, 40 tokens in, 10 out",
        "page 3, index 1",
    ):
        assert part in told, told
    assert f'href="{PATH}/runs/{written.run_id}"' in page.text


def test_rows_that_ended_otherwise_lead_to_where_they_wait(stand: Stand, written: Night, make_night: MakeNight) -> None:
    reject_rows(make_night(day=1), "check", {rows_of(1)[0]: "not met: Country is known (country_known)"})
    dead = make_night(day=2)
    with transaction(dead.ledger) as connection:
        bury(connection, dead, "enrich", [DeadLetter(rows_of(1)[0], "1", "refused", "no", None, {}, {}, 5)])
    page = stand.client("ann").get(f"{PATH}/explain?key=1").text
    told = words(page)
    assert f'href="{PATH}/quarantine/1"' in page
    assert f'href="{PATH}/dead-letters/1"' in page
    assert "Country is known" in told
    assert "refused: no, 5 tries" in told
    assert told.index("dead letter") < told.index("quarantined") < told.index("Written to")


def test_an_unknown_key_says_what_was_searched(stand: Stand, written: Night) -> None:
    told = words(stand.client("ann").get(f"{PATH}/explain?key=%20no-such%20").text)
    assert f"No night of {MINE} has met a row with the key no-such" in told
    assert "or written to a record of crm contacts with this id" in told


def test_what_the_model_was_shown_is_shown_once_it_is_on_record_who_looks(
    stand: Stand, written: Night, ledger: Ledger
) -> None:
    client = stand.client("admin")
    page = client.get(f"{PATH}/explain?key=1").text
    assert "job_title: buyer" not in page
    assert "leak.example" not in page
    machines = client.get(f"{PATH}/api/explain?key=1")
    assert (machines.status_code, "leak.example" in machines.text, "buyer" in machines.text) == (200, False, False)
    assert machines.json()["entries"][0]["changes"] == [{"name": "nl_lead_score", "before": "[e-mail]", "after": "80"}]
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token
    form = {"csrf_token": token[1], "use_case": MINE, "key": "1"}
    seen = client.post(f"{PATH}/explain/values", data=form, headers={"Origin": ORIGIN})
    assert seen.status_code == 200
    assert "job_title: buyer" in seen.text
    assert "ada@leak.example" in seen.text
    with transaction(ledger.service) as connection:
        said = "SELECT stream, actor, details ->> 'row_key' FROM nightledger.event WHERE type = 'personal.viewed'"
        assert [tuple(row) for row in connection.execute(text(said))] == [(f"personal/{MINE}", "admin", "1")]
    empty = client.post(f"{PATH}/explain/values", data=form | {"key": " "}, headers={"Origin": ORIGIN})
    assert (empty.status_code, "Say which row" in empty.text) == (400, True)


def test_a_reader_may_not_look_and_leaves_nothing_on_record(stand: Stand, written: Night, ledger: Ledger) -> None:
    client = stand.client("vic")
    page = client.get(f"{PATH}/explain?key=1").text
    assert "Show what the model was shown" not in page
    bearer = {"Authorization": f"Bearer {stand.token('vic')}"}
    refused = client.post(f"{PATH}/explain/values", data={"use_case": MINE, "key": "1"}, headers=bearer)
    assert (refused.status_code, "job_title" in refused.text) == (403, False)
    with transaction(ledger.service) as connection:
        assert connection.scalar(text("SELECT count(*) FROM nightledger.event WHERE type = 'personal.viewed'")) == 0


def test_a_finding_is_seen_by_all_and_named_to_whom_the_dag_is_readable(
    stand: Stand, written: Night, ledger: Ledger
) -> None:
    ann, admin = stand.client("ann"), stand.client("admin")
    assert "was not verified yet" in ann.get(f"{PATH}/verify").text
    with ledger.owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        key = connection.execute(text("UPDATE decision SET verdict = 'reject' RETURNING decision_id")).scalar_one()
    verify_on_record(ledger.service, "airflow/page__kim__2026-11-22T02:00:00.1")
    mine, all_of_it = ann.get(f"{PATH}/verify").text, admin.get(f"{PATH}/verify").text
    for page in (mine, all_of_it):
        assert "The ledger does NOT hold" in page
        assert "runbooks/ledger" in page
    assert (str(key) in mine, "kim" in mine) == (False, False)
    assert (str(key) in all_of_it, "kim" in all_of_it) == (True, True)
    told = [client.get(f"{PATH}/api/verifications").json()[0] for client in (ann, admin)]
    assert [(one["found"], one["by"], [row["row"] for row in one["findings"]]) for one in told] == [
        (1, "", []),
        (1, "kim", [str(key)]),
    ]
    assert "its content does not match its digest: it was changed" in all_of_it
    assert "The ledger does NOT hold" in ann.get(f"{PATH}/nights").text
    assert ann.get(f"{PATH}/runbooks/ledger").status_code == 200


def test_a_ledger_that_holds_is_said_to_and_is_no_news_on_other_pages(
    stand: Stand, written: Night, ledger: Ledger
) -> None:
    assert verify_on_record(ledger.service, "kim").holds
    client = stand.client("admin")
    told = words(client.get(f"{PATH}/verify").text)
    assert "The ledger holds" in told
    assert "No head is kept outside of the ledger" in told
    assert "ledger" not in words(client.get(f"{PATH}/nights").text.split("<main")[1]).lower().replace("nightledger", "")


def test_airflow_decides_who_may_verify(stand: Stand, ledger: Ledger) -> None:
    for user in ("ann", "vic"):
        bearer = {"Authorization": f"Bearer {stand.token(user)}"}
        answer = stand.client().post(f"{PATH}/verify", data={"everything": "true"}, headers=bearer)
        assert answer.status_code == 403, answer.text
        assert "Airflow refused" in answer.text


def test_a_row_that_was_erased_is_said_to_be_on_every_page(stand: Stand, make_night: MakeNight, ledger: Ledger) -> None:
    night = run_night(make_night)
    request = erasure.ask(ledger.service, Target({MINE: ["1", "2", "3", "4", "bad"]}), "kim", "asked by letter")
    assert erasure.erase(ledger.owner, request)["outbox_intent"] == 2
    verify_on_record(ledger.service, "kim")
    numbers = {
        table: ledger_number(ledger, f"SELECT {table}_id FROM {table}")
        for table in ("quarantine", "dead_letter", "review_item")
    }
    browser = stand.client("ann")
    pages = {
        "explain?use_case=crm_lead_scoring&key=1": "erased",
        "explain?use_case=crm_lead_scoring&key=4": "[erased]",
        "explain?use_case=crm_lead_scoring&key=bad": "[erased]",
        f"quarantine/{numbers['quarantine']}": "[erased]",
        f"dead-letters/{numbers['dead_letter']}": "[erased]",
        f"review/{numbers['review_item']}": "erased",
        "quarantine?status=dismissed": "[erased]",
        f"runs/{night.run_id}": night.run_id,
    }
    for place, said in pages.items():
        page = browser.get(f"{PATH}/{place}")
        assert page.status_code == 200, place
        assert said in words(page.text), place
        assert "buyer" not in page.text, place
        assert "nl_lead_score" not in page.text, place
    assert "Erased and removed" not in browser.get(f"{PATH}/verify").text, "of every team's rows"
    told = words(stand.client("admin").get(f"{PATH}/verify").text)
    assert "Erased and removed, on record" in told
    assert "by kim: asked by letter" in told


def ledger_number(ledger: Ledger, query: str) -> int:
    with transaction(ledger.service) as connection:
        return int(connection.execute(text(query)).scalar_one())
