"""How far nights may go, set on a page by whom Airflow lets change the use case."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from include.database import transaction
from include.ledger.control import read_control, set_control
from include.models import Mode
from include.spec.prompt import load_prompt
from include.spec.use_case import load
from tests.adapters.test_ui_review import PATH, change, queue, words
from tests.adapters.ui_stand import MINE, ORIGIN, OTHERS, Stand, connection_of, open_stand
from tests.core.conftest import Ledger, LedgerUrls, MakeNight
from tests.core.ledger.shadows import show_shadow
from tests.core.night.gate.answers import answer

__all__ = ["queue"]
INVOICES = "ap_invoices"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    dags = {MINE: "blue", INVOICES: "blue", OTHERS: "red"}
    with open_stand(tmp_path_factory.mktemp("airflow"), dags) as found:
        yield found


@pytest.fixture
def stand(server: Stand, ledger_urls: LedgerUrls, monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", connection_of(ledger_urls.service))
    server.renew()
    return server


def send(client: TestClient, **form: Any) -> Any:
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get(f"{PATH}/control").text)
    data = {"csrf_token": token[1] if token else "", "use_case": MINE, **form}
    return client.post(f"{PATH}/control/changes", data=data, headers={"Origin": ORIGIN})


def test_each_use_case_says_how_far_it_goes(stand: Stand) -> None:
    told = words(stand.client("ann").get(f"{PATH}/control").text)
    for part in (
        "crm_lead_scoring shadow",
        "as declared: nobody has set another",
        "nobody has decided on an answer of this prompt yet",
        "never auto: an invoice is money",
        "nobody has set anything",
    ):
        assert part in told, told
    assert OTHERS not in told


def test_the_asking_is_switched_off_and_on_in_one_click_each(stand: Stand, ledger: Ledger) -> None:
    client = stand.client("ann")
    assert send(client, action="off", reason="it answers nonsense").headers["location"] == f"{PATH}/control?said=off"
    assert read_control(ledger.service, MINE).off
    told = words(client.get(f"{PATH}/control?said=off").text)
    for part in ("No call leaves any more", "asking is off", "Switch the asking on", "it answers nonsense", "ann"):
        assert part in told, told
    send(client, action="on", reason="mended")
    assert not read_control(ledger.service, MINE).off


def test_mode_and_prompt_are_set_and_given_back(stand: Stand, ledger: Ledger) -> None:
    client = stand.client("ann")
    send(client, action="mode", mode="gated", reason="a good month")
    assert read_control(ledger.service, MINE).mode is Mode.GATED
    send(client, action="mode", mode="declared", reason="back")
    send(client, action="prompt", prompt="v1", reason="the new one is worse")
    now = read_control(ledger.service, MINE)
    assert (now.mode, now.prompt) == (None, "v1")


@pytest.mark.parametrize(
    "form",
    [
        {"action": "off", "reason": " "},
        {"action": "mode", "mode": "wild", "reason": "x"},
        {"action": "prompt", "prompt": "v99", "reason": "x"},
        {"action": "delete", "reason": "x"},
        {"action": "mode", "mode": "auto", "reason": "x", "use_case": INVOICES},
    ],
)
def test_what_cannot_be_set_is_refused(stand: Stand, ledger: Ledger, form: dict[str, str]) -> None:
    assert send(stand.client("ann"), **form).status_code == 400
    assert read_control(ledger.service, form.get("use_case", MINE)).changed_at is None


def test_who_may_only_read_sets_nothing(stand: Stand, ledger: Ledger) -> None:
    client = stand.client("vic")
    page = client.get(f"{PATH}/control").text
    assert MINE in page
    assert "Switch the asking off" not in page
    form = {"use_case": MINE, "action": "off", "reason": "x"}
    for user, status in (("vic", 403), ("rob", 404)):
        bearer = {"Authorization": f"Bearer {stand.token(user)}"}
        answered = stand.client(user).post(f"{PATH}/control/changes", data=form, headers=bearer)
        assert answered.status_code == status
    assert not read_control(ledger.service, MINE).off


def test_auto_is_proposed_once_people_have_agreed_often_enough(
    stand: Stand, queue: Any, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightledger.ui.routes.review.start_applying", lambda *_: "")
    prompt = load_prompt(load(MINE)).as_mapping()
    queue({f"row{n}": answer(score=n) for n in range(60)}, prompt=prompt)
    client = stand.client("ann")
    send(client, action="mode", mode="gated", reason="first people")
    change(client, ledger, "approve", *(f"row{n}" for n in range(49)))
    assert "Mode auto is proposed" not in words(client.get(f"{PATH}/control").text)
    change(client, ledger, "approve", "row49")
    told = words(client.get(f"{PATH}/control").text)
    assert "50 of 50 answers of this prompt approved as they were" in told
    assert "Mode auto is proposed" in told


def test_gated_is_proposed_once_shadow_agreed_with_people(stand: Stand, ledger: Ledger, make_night: MakeNight) -> None:
    client = stand.client("ann")
    told = words(client.get(f"{PATH}/control").text)
    assert "no night of this prompt in mode shadow yet. Missing for gated: 3 more nights in mode shadow" in told
    assert "Mode gated is proposed" not in told
    show_shadow(make_night, 3, compared=60, agreed=57, version=40)
    told = words(client.get(f"{PATH}/control").text)
    assert "3 nights of this prompt. Of 60 records that people had filled in, 57 as proposed; at least 88" in told
    assert "Of 40 records that a version before had written, 40 the same" in told
    assert "Mode gated is proposed" in told
    send(client, action="mode", mode="gated", reason="shadow agreed")
    told = words(client.get(f"{PATH}/control").text)
    assert "Mode gated is proposed" not in told
    assert "auto is proposed after 50 decisions" in told


def test_empty_fields_are_told_and_propose_nothing(stand: Stand, make_night: MakeNight) -> None:
    show_shadow(make_night, 3, compared=0, agreed=0)
    told = words(stand.client("ann").get(f"{PATH}/control").text)
    assert "an empty field is no agreement" in told
    assert "Missing for gated: 50 more records that people have filled in" in told
    assert "Mode gated is proposed" not in told


def test_what_takes_auto_back_is_told_and_that_it_was(stand: Stand, ledger: Ledger) -> None:
    client = stand.client("ann")
    send(client, action="mode", mode="auto", reason="a good month")
    told = words(client.get(f"{PATH}/control").text)
    for part in ("more than 20% overruled", "more than 5% of 20 rows", "3 drifted signals", "answers that drifted"):
        assert part in told, told
    with transaction(ledger.service) as connection:
        set_control(connection, MINE, "nightledger", "back to gated: its answers drifted", {"mode": Mode.GATED})
    told = words(client.get(f"{PATH}/control").text)
    assert "Mode auto was taken back" in told
    send(client, action="mode", mode="gated", reason="seen")
    assert "Mode auto was taken back" not in words(client.get(f"{PATH}/control").text)
