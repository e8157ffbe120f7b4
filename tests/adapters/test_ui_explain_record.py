"""Why a record has its values, as each user may see it."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from sqlalchemy import text

from include.database import transaction
from tests.adapters.test_ui_explain import words
from tests.adapters.ui_stand import MINE, ORIGIN, Stand, connection_of, open_stand
from tests.core.conftest import Ledger, LedgerUrls, MakeNight
from tests.core.ledger.test_explain_record import AUTO, call, decided, put

PATH = "/nightledger/explain/record"
RECORD = {"system": "crm", "object": "contacts", "id": "1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with open_stand(tmp_path_factory.mktemp("airflow"), {MINE: "blue", "crm_enrichment": "red"}) as found:
        yield found


@pytest.fixture
def stand(server: Stand, ledger_urls: LedgerUrls, monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", connection_of(ledger_urls.service))
    server.renew()
    return server


@pytest.fixture
def written(ledger: Ledger, make_night: MakeNight) -> int:
    """The number of a write, after a call that was refused, with one somebody else's hand after it."""
    night = make_night(options=AUTO)
    call(night, "rate_limited")
    number = put(night, "80", "ada@leak.example", decision=decided(night, call(night, "ok", "retry", 2)))
    put(make_night(day=1, options=AUTO), "90", "7")
    return number


def ask(**more: object) -> str:
    return f"{PATH}?{urlencode(RECORD | more)}"


def test_a_record_tells_its_fields_its_writes_and_every_try(stand: Stand, written: int) -> None:
    page = stand.client("ann").get(ask(field="nl_lead_score", write=written))
    assert page.status_code == 200, page.text
    told = words(page.text)
    for part in (
        "Why crm contacts 1 has its values",
        "[e-mail] 80 set gate",
        "80 7 set by somebody else",
        "7 90 set gate",
        f"Write {written} written",
        "2 tries for the answer",
        "rate limited",
        "ok used",
        "none on record at that time",
        "The row as it was staged",
        "Read what it holds now",
    ):
        assert part in told, told
    assert "leak.example" not in page.text
    assert "ask 1" not in page.text


def test_the_form_leads_to_a_record_and_a_row_to_its_record(stand: Stand, written: int) -> None:
    client = stand.client("ann")
    form = client.get("/nightledger/explain").text
    assert '<option value="crm contacts">' in form
    assert client.get(f"{PATH}?place=crm+contacts&id=1&field=").status_code == 200
    row = client.get("/nightledger/explain?key=1").text
    assert "/explain/record?system=crm&amp;object=contacts&amp;id=1" in row


def test_what_cannot_be_read_now_is_said(stand: Stand, written: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told = words(stand.client("ann").get(ask(now="true")).text)
    assert "What the record holds now cannot be read now" in told
    assert "Write" in told


def test_what_the_model_was_shown_is_shown_once_it_is_on_record_who_looks(
    stand: Stand, written: int, ledger: Ledger
) -> None:
    form = {**RECORD, "write": str(written)}
    bearer = {"Authorization": f"Bearer {stand.token('ann')}"}
    shown = stand.client().post(f"{PATH}/values", data=form, headers=bearer)
    assert shown.status_code == 200, shown.text
    assert "ask 1" in shown.text
    assert "retry 2" in shown.text
    with transaction(ledger.service) as connection:
        seen = connection.execute(text("SELECT actor, stream FROM event WHERE type = 'personal.viewed'")).all()
    assert [tuple(one) for one in seen] == [("ann", f"personal/{MINE}")]
    for user, status in (("vic", 403), ("rob", 404)):
        refused = stand.client().post(
            f"{PATH}/values", data=form, headers={"Authorization": f"Bearer {stand.token(user)}"}
        )
        assert (refused.status_code, "ask 1" in refused.text) == (status, False)
    assert stand.client("ann").post(f"{PATH}/values", data=form, headers={"Origin": ORIGIN}).status_code == 403


def test_a_record_is_seen_as_far_as_its_use_cases_are(stand: Stand, written: int) -> None:
    rob = stand.client("rob").get(ask(field="nl_lead_score"))
    assert rob.status_code == 404  # he may see crm_enrichment, which writes companies
    assert stand.client("rob").get(f"{PATH}?place=crm+companies&id=1").status_code == 200
    assert stand.client("ann").get(ask(write=10**9)).status_code == 404
    assert stand.client("ann").get(f"{PATH}?place=crm+companies&id=1").status_code == 404
    assert stand.client("ann").get(f"{PATH}?place=no+such&id=1").status_code == 404
    assert stand.client().get(ask()).status_code in (302, 303, 307, 401)


def test_machines_are_told_the_same(stand: Stand, written: int) -> None:
    bearer = {"Authorization": f"Bearer {stand.token('ann')}"}
    found = stand.client().get(f"/nightledger/api/explain/record?{urlencode(RECORD)}", headers=bearer)
    assert found.status_code == 200, found.text
    (story,) = found.json()["stories"]
    assert [one["step"] for one in story["steps"]] == ["written", "changed", "written"]
    assert ("leak.example" in found.text, "ask 1" in found.text) == (False, False)
