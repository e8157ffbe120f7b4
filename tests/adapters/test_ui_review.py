"""People decide on answers that wait, each as far as Airflow lets them, and are told what came of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from include.models import Mode, Record, RunOptions
from include.night.gate.gate import gate
from include.run import Night
from nightledger.ui.rates import Rate
from tests.adapters.ui_stand import MINE, ORIGIN, OTHERS, Stand, connection_of, open_stand
from tests.core.conftest import Ledger, LedgerUrls, MakeNight
from tests.core.night.gate.answers import answer, stage_enriched

PATH = "/nightledger"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    dags = {MINE: "blue", OTHERS: "red", "review": "blue"}
    with open_stand(tmp_path_factory.mktemp("airflow"), dags) as found:
        yield found


@pytest.fixture
def stand(server: Stand, ledger_urls: LedgerUrls, monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", connection_of(ledger_urls.service))
    server.renew()
    return server


@pytest.fixture
def queue(make_night: MakeNight) -> Callable[..., Night]:
    """A night whose answers, by row key, all wait for a person."""

    def make(answers: dict[str, Record] | None = None, **more: Any) -> Night:
        night = make_night(options=RunOptions(mode=Mode.GATED), **more)
        given = answers or {"sure": answer(confidence=0.95), "unsure": answer(confidence=0.2, tier="cold", score=7)}
        gate(night, stage_enriched(night, given))
        return night

    return make


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def items(ledger: Ledger) -> dict[str, Record]:
    with ledger.service.connect() as connection:
        found = connection.execute(text("SELECT * FROM nightledger.review_item")).mappings()
        return {row["row_key"]: dict(row) for row in found}


def named(ledger: Ledger, *keys: str) -> list[str]:
    held = items(ledger)
    return [f"{held[key]['review_item_id']}:{held[key]['shown_sha256']}" for key in keys]


def send(client: TestClient, path: str, **form: Any) -> Any:
    """A form of our own pages, as a browser sends it."""
    page = client.get(f"{PATH}/review").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    data = {"csrf_token": token[1] if token else "", **form}
    return client.post(f"{PATH}/{path}", data=data, headers={"Origin": ORIGIN})


def change(client: TestClient, ledger: Ledger, action: str, *keys: str, **form: Any) -> Any:
    return send(client, "review/changes", use_case=MINE, action=action, item=named(ledger, *keys), **form)


def test_the_queue_shows_the_riskiest_first_with_what_was_seen_and_proposed(stand: Stand, queue: Any) -> None:
    queue()
    page = stand.client("ann").get(f"{PATH}/review")
    assert page.status_code == 200
    told = words(page.text)
    assert "2 answers of crm_lead_scoring wait" in told
    assert told.index("unsure") < told.index("sure 2026")
    for part in ("tier cold", "score 7", "0.20", "job_title buyer", "mode gated: a person decides"):
        assert part in told, told
    assert f'<script src="{PATH}/static/review.js' in page.text


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("below=0.5", ["unsure"]),
        ("field=tier&value=hot", ["sure"]),
        ("field=tier&value=warm", []),
        ("reason=mode%20gated:%20a%20person%20decides", ["unsure", "sure"]),
        ("reason=other", []),
        ("key=sure", ["sure"]),
        ("sink=crm/contacts", ["unsure", "sure"]),
        ("sink=crm/tickets", []),
        ("night=2026-11-20", ["unsure", "sure"]),
        ("night=2026-11-21", []),
        ("status=rejected", []),
        ("mine=true", []),
        ("after=0.5:0", ["sure"]),
    ],
)
def test_filters_narrow_the_queue(stand: Stand, queue: Any, query: str, left: list[str]) -> None:
    queue()
    page = stand.client("ann").get(f"{PATH}/review?{query}")
    assert page.status_code == 200
    assert re.findall(r'<th scope="row"><a href="[^"]+">(\w+)</a>', page.text) == left


def test_an_answer_is_shown_with_all_that_helps_to_decide(stand: Stand, queue: Any, ledger: Ledger) -> None:
    queue()
    number = items(ledger)["unsure"]["review_item_id"]
    page = stand.client("ann").get(f"{PATH}/review/{number}")
    assert page.status_code == 200
    told = words(page.text)
    for part in (
        "Row unsure",
        "job_title buyer",
        "Approve as it stands here",
        "Confidence 0.20",
        "as a time-out",
        "Next one",
    ):
        assert part in told, told
    assert "<option selected>cold</option>" in page.text
    assert 'name="answer-score" type="number"' in page.text


def test_many_are_approved_in_one_action_and_the_dag_is_started(
    stand: Stand, queue: Any, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue({f"row{n}": answer() for n in range(500)})
    started: list[Any] = []
    runs: dict[str, Any] = {"dag_runs": []}
    monkeypatch.setattr("nightledger.ui.routes.review.call_airflow", lambda *_: runs)
    monkeypatch.setattr(
        "nightledger.ui.routes.review.start_operation", lambda *given: started.append(given[-1]) or "page__a__1"
    )
    done = change(stand.client("ann"), ledger, "approve", *items(ledger), back="review?use_case=crm_lead_scoring")
    assert done.status_code == 303
    assert done.headers["location"] == f"{PATH}/review?use_case=crm_lead_scoring&said=approve&count=500&run=page__a__1"
    assert {row["status"] for row in items(ledger).values()} == {"approved"}
    assert {row["decided_by"] for row in items(ledger).values()} == {"ann"}
    assert "500 answers approved" in words(stand.client("ann").get(done.headers["location"]).text)
    assert len(started) == 1
    runs["dag_runs"].append({"dag_run_id": "page__b__2"})
    back = change(stand.client("ann"), ledger, "undo", "row1")
    assert "run=" not in back.headers["location"]
    again = change(stand.client("ann"), ledger, "approve", "row1")
    assert again.headers["location"].endswith("count=1&run=page__b__2")
    assert len(started) == 1


def test_a_rejection_needs_a_comment(stand: Stand, queue: Any, ledger: Ledger) -> None:
    queue()
    client = stand.client("ann")
    refused = change(client, ledger, "reject", "sure")
    assert (refused.status_code, "Say why" in refused.text) == (400, True)
    assert items(ledger)["sure"]["status"] == "waiting"
    assert change(client, ledger, "reject", "sure", comment="not ours").status_code == 303
    assert (items(ledger)["sure"]["status"], items(ledger)["sure"]["comment"]) == ("rejected", "not ours")


def test_an_edit_is_held_against_the_output_model(stand: Stand, queue: Any, ledger: Ledger) -> None:
    queue()
    client, held = stand.client("ann"), items(ledger)["sure"]
    path, shown = f"review/{held['review_item_id']}/edit", held["shown_sha256"]
    broken = send(client, path, shown=shown, **{"answer-score": "101", "answer-tier": "hot"})
    assert broken.status_code == 409
    assert "score: Input should be less than or equal to 100" in words(broken.text)
    assert 'name="answer-score" type="number" step="any" value="101"' in broken.text
    good = send(client, path, shown=shown, comment="too high", **{"answer-score": "70", "answer-reasons": '["one"]'})
    assert good.status_code == 303
    row = items(ledger)["sure"]
    assert (row["status"], row["output"]["score"], row["output"]["reasons"]) == ("edited", 70, ["one"])
    assert row["output"]["tier"] == "hot"
    stale = send(client, path, shown="0" * 64, **{"answer-score": "71"})
    assert (stale.status_code, "was edited by ann" in stale.text) == (409, True)


def test_what_somebody_else_has_decided_is_said_and_the_rest_is_done(stand: Stand, queue: Any, ledger: Ledger) -> None:
    queue()
    change(stand.client("admin"), ledger, "approve", "sure")
    both = change(stand.client("ann"), ledger, "approve", "sure", "unsure")
    assert both.status_code == 409
    told = words(both.text)
    assert "1 answer done, 1 not" in told
    assert "was approved by admin at" in told
    assert items(ledger)["unsure"]["decided_by"] == "ann"


def test_a_decision_is_taken_back_and_an_item_assigned(stand: Stand, queue: Any, ledger: Ledger) -> None:
    queue()
    client = stand.client("ann")
    change(client, ledger, "approve", "sure")
    assert 'value="undo"' in client.get(f"{PATH}/review?status=due").text
    assert change(client, ledger, "undo", "sure").status_code == 303
    assert items(ledger)["sure"]["status"] == "waiting"
    change(client, ledger, "assign", "sure", to="ann")
    assert re.findall(r'<th scope="row"><a href="[^"]+">(\w+)</a>', client.get(f"{PATH}/review?mine=true").text) == [
        "sure"
    ]


def test_who_may_only_read_decides_nothing(stand: Stand, queue: Any, ledger: Ledger) -> None:
    queue()
    page = stand.client("vic").get(f"{PATH}/review").text
    assert "unsure" in page
    assert 'value="approve"' not in page
    bearer = {"Authorization": f"Bearer {stand.token('vic')}"}
    form = {"use_case": MINE, "action": "approve", "item": named(ledger, "sure")}
    assert stand.client("vic").post(f"{PATH}/review/changes", data=form, headers=bearer).status_code == 403
    number = items(ledger)["sure"]["review_item_id"]
    edited = {"shown": items(ledger)["sure"]["shown_sha256"], "answer-score": "1"}
    assert stand.client("vic").post(f"{PATH}/review/{number}/edit", data=edited, headers=bearer).status_code == 403
    assert items(ledger)["sure"]["status"] == "waiting"


def test_others_see_nothing_of_it(stand: Stand, queue: Any, ledger: Ledger) -> None:
    queue()
    number = items(ledger)["sure"]["review_item_id"]
    client = stand.client("rob")
    bearer = {"Authorization": f"Bearer {stand.token('rob')}"}
    form = {"use_case": MINE, "action": "approve", "item": named(ledger, "sure")}
    for answer_ in (
        client.get(f"{PATH}/review/{number}"),
        client.get(f"{PATH}/review?use_case={MINE}"),
        client.get(f"{PATH}/review/examples/{MINE}"),
        client.post(f"{PATH}/review/changes", data=form, headers=bearer),
    ):
        assert answer_.status_code == 404


def test_a_form_that_is_not_ours_changes_nothing(stand: Stand, queue: Any, ledger: Ledger) -> None:
    queue()
    form = {"use_case": MINE, "action": "approve", "item": named(ledger, "sure"), "csrf_token": "guess"}
    done = stand.client("ann").post(f"{PATH}/review/changes", data=form, headers={"Origin": ORIGIN})
    assert done.status_code == 403
    assert items(ledger)["sure"]["status"] == "waiting"


def test_items_of_another_queue_are_refused_one_by_one(stand: Stand, queue: Any, ledger: Ledger) -> None:
    queue()
    foreign = f"{10**9}:{'0' * 64}"
    client = stand.client("ann")
    item = [*named(ledger, "sure"), foreign]
    done = send(client, "review/changes", use_case=MINE, action="approve", item=item)
    assert (done.status_code, "there is no such item in this queue" in done.text) == (409, True)
    assert items(ledger)["sure"]["status"] == "approved"


@pytest.mark.parametrize("name", ["1", "1:abc", f"x:{'0' * 64}", f"{2**64}:{'0' * 64}"])
def test_an_item_without_what_was_shown_is_no_item(stand: Stand, queue: Any, ledger: Ledger, name: str) -> None:
    queue()
    client = stand.client("ann")
    done = send(client, "review/changes", use_case=MINE, action="approve", item=[name])
    assert done.status_code == 400


def test_corrections_are_examples_for_the_next_version(stand: Stand, queue: Any, ledger: Ledger) -> None:
    queue()
    client, held = stand.client("ann"), items(ledger)["unsure"]
    change(client, ledger, "reject", "sure", comment="wrong tier")
    path = f"review/{held['review_item_id']}/edit"
    send(client, path, shown=held["shown_sha256"], **{"answer-score": "44", "answer-tier": "warm"})
    found = client.get(f"{PATH}/review/examples/{MINE}")
    rejected, edited = (json.loads(line) for line in found.text.splitlines())
    assert (rejected["input"], rejected["expected"]) == ({"job_title": "buyer"}, None)
    assert (rejected["rejected"]["tier"], rejected["comment"]) == ("hot", "wrong tier")
    assert edited["expected"]["tier"] == "warm"


def test_what_the_record_holds_now_is_told_or_why_not(
    stand: Stand, queue: Any, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue()
    monkeypatch.setattr("nightledger.ui.routes.review.LOOKS", Rate(2, 3600))  # that of the process others have used up
    monkeypatch.setenv("AIRFLOW_CONN_CRM_DEFAULT", json.dumps({"conn_type": "http", "host": "http://127.0.0.1:9"}))
    number = items(ledger)["sure"]["review_item_id"]
    page = stand.client("ann").get(f"{PATH}/review/{number}?now=true")
    assert page.status_code == 200
    assert "cannot be read now" in words(page.text)


def test_machines_decide_with_a_token(stand: Stand, queue: Any, ledger: Ledger) -> None:
    queue()
    client, bearer = stand.client(), {"Authorization": f"Bearer {stand.token('ann')}"}
    found = client.get(f"{PATH}/api/review?use_case={MINE}", headers=bearer).json()
    assert [one["row_key"] for one in found["items"]] == ["unsure", "sure"]
    unsure, sure = ({name: one[name] for name in ("number", "shown_sha256")} for one in found["items"])
    edited = sure | {"output": answer(score=200)}
    body = {"use_case": MINE, "action": "edit", "items": [edited, unsure | {"output": answer(score=20)}]}
    done = client.post(f"{PATH}/api/review/changes", json=body, headers=bearer).json()
    assert done["done"] == {"edited": 1}
    assert list(done["refused"]) == [str(sure["number"])]
    shown = client.get(f"{PATH}/api/review/{unsure['number']}", headers=bearer).json()
    assert (shown["item"]["status"], shown["item"]["output"]["score"]) == ("edited", 20)
    vic = {"Authorization": f"Bearer {stand.token('vic')}"}
    assert client.post(f"{PATH}/api/review/changes", json=body, headers=vic).status_code == 403
