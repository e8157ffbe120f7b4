"""No page without login, no change without a form of ours, nothing of another team's, and never a traceback."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pyarrow as pa
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import text

from include.database import transaction
from include.errors import AccessDenied
from include.ledger.failures import failures_on_record
from include.ledger.record import quarantine, record_manifest
from include.models import Outcome, RejectedRow
from include.stages import close
from include.staging import StagedWriter
from tests.adapters.ui_stand import MINE, ORIGIN, OTHERS, Stand, connection_of, open_stand
from tests.core.conftest import Ledger, LedgerUrls, MakeNight
from tests.core.ledger.nights import end_rows, reject_rows, rows_of, stage_raw

PATH = "/nightledger"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
RUN = "crm_lead_scoring-20261120T0200-20261121T0200-1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with open_stand(tmp_path_factory.mktemp("airflow"), {MINE: "blue", OTHERS: "red"}) as found:
        yield found


@pytest.fixture
def stand(server: Stand, ledger_urls: LedgerUrls, monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", connection_of(ledger_urls.service))
    server.renew()
    return server


@pytest.fixture
def filled(ledger: Ledger, make_night: MakeNight) -> Ledger:
    """A night of ours with hostile text in it, and one of the other team."""
    night = make_night()
    rows = rows_of(3)
    stage_raw(night, rows)
    end_rows(night, dict.fromkeys(rows[:2], Outcome.WRITTEN))
    reject_rows(night, "check", {rows[2]: HOSTILE})
    others = "UPDATE nightledger.run SET use_case = :name WHERE run_id = :run"
    foreign = make_night(day=1)
    reject_rows(foreign, "check", {rows[0]: "a reason of the red team"})
    with transaction(ledger.owner) as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(others), {"name": OTHERS, "run": foreign.run_id})
        for table in ("quarantine", "quarantine_count"):
            change = f"UPDATE nightledger.{table} SET use_case = :name WHERE run_id = :run"
            connection.execute(text(change), {"name": OTHERS, "run": foreign.run_id})
    return ledger


def routes(stand: Stand) -> list[tuple[str, str]]:
    """Every method and path there is, with something in the place of its parts."""
    found = []
    for route in stand.pages.routes:
        assert isinstance(route, APIRoute), f"{route} has no dependencies, so it has no login"
        path = re.sub(r"\{plan_id\}", "0" * 8 + "-0000-0000-0000-" + "0" * 12, route.path)
        path = re.sub(r"\{(number|backfill_id)\}", "1", path)
        path = re.sub(r"\{action\}", "cancel", re.sub(r"\{[^}]+\}", MINE, path))
        found += [(method, PATH + path) for method in route.methods]
    assert len(found) > 30
    return found


def heading(page: str) -> str:
    return " ".join(re.findall(r"<h1>.*?</p>", page, re.DOTALL))


def token_of(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found
    return found[1]


def test_every_route_needs_a_login(stand: Stand) -> None:
    client = stand.client()
    for method, path in routes(stand):
        answer = client.request(method, path, headers={"Origin": ORIGIN})
        assert answer.status_code in (401, 403), f"{method} {path}: {answer.status_code}"


def test_every_change_needs_a_form_of_ours(stand: Stand, filled: Ledger) -> None:
    client = stand.client("admin")
    token = token_of(client.get(f"{PATH}/backfill").text)
    changes = [path for method, path in routes(stand) if method not in ("GET", "HEAD")]
    assert len(changes) >= 10
    wrong = (
        ({"Origin": ORIGIN}, {}),
        ({"Origin": ORIGIN}, {"csrf_token": "x" * 43}),
        ({"Origin": "http://evil.example"}, {"csrf_token": token}),
        ({}, {"csrf_token": token}),
        ({"Origin": "null"}, {"csrf_token": token}),
        ({"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"}, {"csrf_token": token}),
    )
    for path in changes:
        for headers, form in wrong:
            answer = client.post(path, data=form, headers=headers)
            assert answer.status_code == 403, f"{path} {headers} {form}: {answer.status_code}"
        right = client.post(path, data={"csrf_token": token}, headers={"Origin": ORIGIN})
        assert right.status_code != 403, path


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "bearer  ", "Bearer\t", "BEARER", "Basic x"])
def test_a_header_without_a_token_is_no_proof(stand: Stand, filled: Ledger, header: str) -> None:
    client = stand.client("admin")
    changes = [path for method, path in routes(stand) if method not in ("GET", "HEAD")]
    for path in changes:
        answer = client.post(path, data={}, headers={"Origin": "http://evil.example", "Authorization": header})
        assert answer.status_code in (401, 403), f"{path}: {answer.status_code}"
    with transaction(filled.service) as connection:
        assert connection.scalar(text("SELECT count(*) FROM nightledger.quarantine WHERE status <> 'open'")) == 0


def test_the_login_leads_back_here_whatever_host_the_request_names(stand: Stand) -> None:
    for host in ("evil.example", "evil.example:8080"):
        page = stand.client().get(f"{PATH}/nights?days=7&a=//x", headers={"Host": host})
        assert page.status_code == 401
        assert "evil.example" not in page.text
        assert "login?next=%2Fnightledger%2Fnights%3Fdays%3D7%26a%3D%2F%2Fx" in page.text


def test_the_page_of_a_row_hides_what_nobody_declared_until_somebody_looks(
    stand: Stand, ledger: Ledger, make_night: MakeNight
) -> None:
    night, row = make_night(), {"job_title": "CTO, ada@leak.example", "country": "DE"}
    schema = pa.schema([("row_id", pa.string()), ("row_key", pa.string()), ("job_title", pa.string())])
    with StagedWriter(night.path("raw.parquet"), schema) as writer:
        writer.append({"row_id": "crm/contacts/1", "row_key": "1", "job_title": row["job_title"]})
    record_manifest(night.ledger, writer.manifest(night.run_id, "raw"))
    why = "not met: ada@leak.example is no title (title)"
    with transaction(night.ledger) as connection:
        quarantine(connection, night, "check", [RejectedRow("crm/contacts/1", "1", "page 1", (why,), row)])
    client = stand.client("admin")
    for path in ("quarantine", "quarantine/1", "api/quarantine", "api/quarantine/1"):
        answer = client.get(f"{PATH}/{path}")
        assert answer.status_code == 200
        assert "leak.example" not in answer.text, path
    assert "CTO, token:" in client.get(f"{PATH}/quarantine/1").text
    form = {"csrf_token": token_of(client.get(f"{PATH}/quarantine/1").text)}
    seen = client.post(f"{PATH}/quarantine/1/values", data=form, headers={"Origin": ORIGIN})
    assert "CTO, ada@leak.example" in seen.text


def test_a_form_counts_for_its_user_and_browser_only(stand: Stand, filled: Ledger) -> None:
    mine, theirs = stand.client("admin"), stand.client("ann")
    stolen = token_of(mine.get(f"{PATH}/backfill").text)
    theirs.get(f"{PATH}/backfill")
    form = {"csrf_token": stolen, "use_case": MINE, "action": "dismiss", "number": "1", "reason": "mine"}
    assert theirs.post(f"{PATH}/quarantine/changes", data=form, headers={"Origin": ORIGIN}).status_code == 403
    theirs.cookies.set("nightledger_form", mine.cookies["nightledger_form"])
    assert theirs.post(f"{PATH}/quarantine/changes", data=form, headers={"Origin": ORIGIN}).status_code == 403


def test_a_reader_sees_and_may_change_nothing(stand: Stand, filled: Ledger) -> None:
    client = stand.client("vic")
    page = client.get(f"{PATH}/quarantine").text
    assert "Row" in page
    assert 'name="number"' not in page
    bearer = {"Authorization": f"Bearer {stand.token('vic')}"}
    for body in ({"action": "dismiss", "reason": "x"}, {"action": "fixed", "reason": "x"}, {"action": "replay"}):
        wanted = {"use_case": MINE, "numbers": [1], **body}
        assert client.post(f"{PATH}/api/quarantine/changes", json=wanted, headers=bearer).status_code == 403
    assert client.post(f"{PATH}/quarantine/1/values", headers=bearer).status_code == 403
    wish = {"use_case": MINE, "first": "2026-11-18", "last": "2026-11-19"}
    assert client.post(f"{PATH}/api/backfill/plans", json=wish, headers=bearer).status_code == 403
    with transaction(filled.service) as connection:
        assert connection.scalar(text("SELECT count(*) FROM nightledger.quarantine WHERE status <> 'open'")) == 0
        assert connection.scalar(text("SELECT count(*) FROM nightledger.backfill_plan")) == 0
        assert connection.scalar(text("SELECT count(*) FROM nightledger.event WHERE type = 'personal.viewed'")) == 0


def test_another_teams_data_is_as_if_it_were_not_there(stand: Stand, filled: Ledger) -> None:
    with transaction(filled.service) as connection:
        find = "SELECT run_id, quarantine_id FROM nightledger.quarantine WHERE use_case = :name"
        run_id, number = connection.execute(text(find), {"name": OTHERS}).one()
    client = stand.client("ann")
    asked = (
        *(
            f"nights?use_case={OTHERS}",
            f"runs/{run_id}",
            f"runs/{run_id}/reports/report.html",
            f"quality?use_case={OTHERS}",
        ),
        *(f"quarantine?use_case={OTHERS}", f"quarantine/{number}", f"dead-letters?use_case={OTHERS}"),
        *(f"backfill?use_case={OTHERS}", f"of/{OTHERS}/some_run", f"backfill/{OTHERS}/1"),
        *(f"explain?use_case={OTHERS}&key=1", f"api/explain?use_case={OTHERS}&key=1"),
        *(f"api/nights?use_case={OTHERS}", f"api/runs/{run_id}", f"api/quarantine/{number}"),
        *(f"api/quality?use_case={OTHERS}", f"api/quarantine?use_case={OTHERS}", f"api/dead-letters?use_case={OTHERS}"),
    )
    for path in asked:
        answer = client.get(f"{PATH}/{path}")
        assert answer.status_code == 404, path
        assert "a reason of the red team" not in answer.text
    shared = ("nights", "quarantine?status=all", f"quarantine?status=all&run_id={run_id}", "explain?key=1", "systems")
    for path in (*shared, "api/nights"):
        answer = client.get(f"{PATH}/{path}")
        assert answer.status_code == 200
        assert OTHERS not in answer.text
        assert "a reason of the red team" not in answer.text
    bearer = {"Authorization": f"Bearer {stand.token('ann')}"}
    wanted = {"use_case": MINE, "numbers": [number], "action": "dismiss", "reason": "not mine"}
    assert client.post(f"{PATH}/api/quarantine/changes", json=wanted, headers=bearer).status_code == 200
    with transaction(filled.service) as connection:
        status = "SELECT status FROM nightledger.quarantine WHERE quarantine_id = :number"
        assert connection.scalar(text(status), {"number": number}) == "open"
    assert stand.client("rob").get(f"{PATH}/runs/{run_id}").status_code == 200


def test_text_from_outside_stays_text(stand: Stand, filled: Ledger) -> None:
    client = stand.client("ann")
    for path in ("quarantine", "quarantine/1", f"runs/{RUN}", "explain?key=3"):
        page = client.get(f"{PATH}/{path}")
        assert page.status_code == 200
        assert "<img src=x" not in page.text
        assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in client.get(f"{PATH}/quarantine/1").text
    odd = client.get(f"{PATH}/quarantine", params={"expectation": HOSTILE, "row_key": HOSTILE, "owner": HOSTILE})
    assert "<img src=x" not in odd.text
    assert "<img src=x" not in client.get(f"{PATH}/explain", params={"key": HOSTILE}).text


def test_every_answer_carries_the_safe_headers(stand: Stand, filled: Ledger) -> None:
    client = stand.client("ann")
    for path in ("nights", f"runs/{RUN}", "systems", "api/nights", "runs/nothing", "static/style.css", "nowhere"):
        headers = client.get(f"{PATH}/{path}").headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "SAMEORIGIN"
        assert headers["referrer-policy"] == "same-origin"
    assert "nonce" in stand.client().get(f"{PATH}/nights").headers["content-security-policy"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("runs/crm_lead_scoring-20200101T0200-20200102T0200-1", 404),
        ("runs/%00", 400),
        ("runs/..%2f..%2fetc%2fpasswd", 404),
        (f"runs/{RUN}/reports/..%2f..%2fsecrets.json", 404),
        (f"runs/{RUN}/reports/report.html", 404),
        ("nights?before=0001-01-01", 200),
        ("nights?before=9999-12-31", 200),
        ("nights?before=yesterday", 422),
        ("nights?days=100000", 422),
        ("quarantine?after=0", 200),
        ("quarantine?after=9223372036854775807", 200),
        ("quarantine?after=9223372036854775808", 422),
        ("quarantine?after=-1", 422),
        ("quarantine?status=lost", 400),
        ("quarantine?row_key=%00", 400),
        ("quarantine/999999999", 404),
        ("quarantine/0", 422),
        ("quality?before=0001-01-01", 200),
        ("dead-letters?cause=bad_luck", 400),
        ("explain", 200),
        ("explain?key=no-such", 200),
        ("explain?key=%00", 400),
        (f"explain?key={'x' * 201}", 422),
        ("explain?use_case=no_such&key=1", 404),
        ("verify?run=..%2f..", 422),
        ("dead-letters/1", 404),
        ("backfill/plans/00000000-0000-0000-0000-000000000000", 404),
        ("backfill/plans/one", 422),
        (f"backfill/{MINE}/99", 404),
        (f"of/{MINE}/never", 200),
        ("nowhere", 404),
        ("static/..%2fapp.py", 404),
    ],
)
def test_what_cannot_be_shown_is_said_clearly(stand: Stand, filled: Ledger, path: str, status: int) -> None:
    answer = stand.client("ann").get(f"{PATH}/{path}")
    assert answer.status_code == status, heading(answer.text)
    assert "Traceback" not in answer.text
    assert "<h1>" in answer.text


@pytest.mark.parametrize(
    ("first", "last", "status"),
    [("2026-11-19", "2026-11-18", 400), ("2020-01-01", "2026-01-01", 400), ("2090-01-01", "2090-01-02", 400)],
)
def test_a_range_that_cannot_be_planned_is_refused(
    stand: Stand, filled: Ledger, first: str, last: str, status: int
) -> None:
    bearer = {"Authorization": f"Bearer {stand.token('ann')}"}
    wish = {"use_case": MINE, "first": first, "last": last}
    answer = stand.client().post(f"{PATH}/api/backfill/plans", json=wish, headers=bearer)
    assert answer.status_code == status, answer.text


def test_airflow_decides_whether_an_operation_may_start_and_its_words_are_shown(stand: Stand, filled: Ledger) -> None:
    bearer = {"Authorization": f"Bearer {stand.token('ann')}"}
    wish = {"use_case": MINE, "first": "2026-11-18", "last": "2026-11-19"}
    answer = stand.client().post(f"{PATH}/api/backfill/plans", json=wish, headers=bearer)
    assert answer.status_code in (403, 404)
    assert "Airflow refused" in answer.json()["detail"]
    with transaction(filled.service) as connection:
        assert connection.scalar(text("SELECT status FROM nightledger.backfill_plan")) == "failed"


def test_without_the_ledger_every_page_says_so(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {"conn_type": "postgres", "host": "/nowhere", "schema": "nightledger", "login": "nobody"}
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", json.dumps(gone))
    client = stand.client("ann")
    others = ("explain?key=1", "backfill", "systems", "verify", f"runs/{RUN}")
    for path in ("nights", "quality", "quarantine", "dead-letters", *others):
        answer = client.get(f"{PATH}/{path}")
        assert answer.status_code == 503, path
        assert "cannot be read" in answer.text
        assert "nightledger_db" in answer.text
        assert "Traceback" not in answer.text
    assert client.get(f"{PATH}/api/nights").json()["title"] == "The ledger cannot be read"
    monkeypatch.delenv("AIRFLOW_CONN_NIGHTLEDGER_DB")
    assert client.get(f"{PATH}/nights").status_code == 503


def test_looks_at_personal_values_are_counted_and_put_on_record_first(stand: Stand, filled: Ledger) -> None:
    bearer = {"Authorization": f"Bearer {stand.token('ann')}"}
    client = stand.client()
    seen = [client.post(f"{PATH}/quarantine/1/values", headers=bearer).status_code for _ in range(62)]
    assert set(seen[:60]) <= {200, 404, 400}
    assert seen[60:] == [429, 429]
    with transaction(filled.service) as connection:
        said = "SELECT count(*) FROM nightledger.event WHERE type = 'personal.viewed' AND actor = 'ann'"
        assert connection.scalar(text(said)) == 60


def test_all_rows_that_match_are_settled_and_no_others(stand: Stand, filled: Ledger, make_night: MakeNight) -> None:
    later = make_night(day=2)
    reject_rows(later, "check", dict.fromkeys(rows_of(60), "odd"))
    client = stand.client("ann")
    page = client.get(f"{PATH}/quarantine?run_id={later.run_id}&status=waiting").text
    action = re.search(r'action="([^"]+/quarantine/changes\?[^"]+)"', page)
    assert action
    form = {"csrf_token": token_of(page), "use_case": MINE, "action": "dismiss", "reason": "let go"}
    empty = client.post(action[1].replace("&amp;", "&"), data=form, headers={"Origin": ORIGIN})
    assert (empty.status_code, "Choose at least one row" in empty.text) == (400, True)
    form["everything"] = "true"
    done = client.post(action[1].replace("&amp;", "&"), data=form, headers={"Origin": ORIGIN})
    assert done.status_code == 303
    with transaction(filled.service) as connection:
        found = connection.execute(
            text("SELECT run_id = :run, status, count(*) FROM nightledger.quarantine GROUP BY 1, 2 ORDER BY 1, 2"),
            {"run": later.run_id},
        )
        assert [tuple(row) for row in found] == [(False, "open", 2), (True, "dismissed", 60)]


def test_a_runbook_is_a_page_with_sections_and_no_other_file_is(stand: Stand) -> None:
    client = stand.client("vic")
    page = client.get(f"{PATH}/runbooks/night")
    assert page.status_code == 200
    assert 'id="access-was-denied"' in page.text
    assert 'href="quarantine"' in page.text
    for name in ("nothing", "..%2Fadr", "night.md", "%2e%2e"):
        assert client.get(f"{PATH}/runbooks/{name}").status_code in (404, 422), name


def test_what_a_runbook_holds_is_shown_and_not_obeyed() -> None:
    from nightledger.ui.routes.runbooks import as_html

    title, html = as_html(f"# A <b>title</b>\n\n{HOSTILE}\n\n[x](javascript:alert(1)) [y](budgets.md#a)\n")
    assert title == "A <b>title</b>"
    assert "<script" not in html
    assert 'href="javascript' not in html
    assert 'href="budgets#a"' in html


def test_only_a_run_that_failed_in_a_dag_is_run_on(stand: Stand, filled: Ledger) -> None:
    client = stand.client("ann")
    token = token_of(client.get(f"{PATH}/backfill").text)
    answer = client.post(f"{PATH}/runs/{RUN}/retry", data={"csrf_token": token}, headers={"Origin": ORIGIN})
    assert (answer.status_code, "running it on would not help" in answer.text) == (409, True)


def test_a_value_that_cannot_be_used_is_named_without_the_words_of_a_library(stand: Stand) -> None:
    answer = stand.client("ann").get(f"{PATH}/nights?days=abc")
    assert answer.status_code == 422
    assert "days is not what can be used here" in answer.text
    assert "Input should be" not in answer.text


def test_the_newest_night_says_at_the_top_why_it_failed(stand: Stand, filled: Ledger, make_night: MakeNight) -> None:
    night = make_night(day=2)
    stage_raw(night, rows_of(4))
    denied = AccessDenied(HOSTILE, system="model", action="Renew the key")
    with pytest.raises(AccessDenied), failures_on_record(night, "enrich"):
        raise denied
    close(night, failed={"enrich": "failed"})
    client = stand.client("vic")
    for page in (f"{PATH}/nights", f"{PATH}/nights?use_case={MINE}", f"{PATH}/runs/{night.run_id}"):
        told = client.get(page).text
        assert "<b>Access was denied.</b>" in told, page
        assert "4 rows came in, 4 have no outcome yet" in told
        assert 'href="/nightledger/runbooks/night#access-was-denied"' in told
        assert 'href="/nightledger/systems#system-model"' in told
        assert "<img" not in told
        assert "Run on from" not in told  # who only reads is not offered a change


def test_a_night_with_deferred_rows_is_shown_in_the_colour_of_a_warning(
    stand: Stand, filled: Ledger, make_night: MakeNight
) -> None:
    night = make_night(day=2)
    stage_raw(night, rows_of(8))
    end_rows(night, dict.fromkeys(rows_of(8)[:3], Outcome.WRITTEN))
    end_rows(night, dict.fromkeys(rows_of(8)[3:], Outcome.DEFERRED), stage="enrich")
    close(night)
    for page in (f"{PATH}/nights?use_case={MINE}", f"{PATH}/runs/{night.run_id}"):
        assert '<span class="tag look">succeeded, 62 % deferred</span>' in stand.client("vic").get(page).text
