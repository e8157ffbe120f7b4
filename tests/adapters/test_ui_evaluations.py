"""Evaluations on a page: what counts now, side by side, under conditions; started and set aside by whom one lets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from include.database import transaction
from include.ledger.audit import Pins
from include.ledger.control import change_control
from include.ledger.evaluations import Evaluation, RowVerdict, newest, record_evaluation
from include.ledger.verify import verify
from include.spec.prompt import load_prompt
from include.spec.use_case import load
from tests.adapters.test_ui_review import PATH, words
from tests.adapters.ui_stand import MINE, ORIGIN, Stand, connection_of, open_stand
from tests.core.conftest import Ledger, LedgerUrls, MakeNight

DAG, ENGINE, OTHERS = "evaluate", "erp_demand_forecast", "crm_enrichment"
CASE = load(MINE)
PROMPT = load_prompt(CASE)
HOSTILE = "<script>alert(1)</script>"
REASON = "19 of 24 rows are right (79.2%), 90.0% are needed"
Put = Callable[..., UUID]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    dags = {MINE: "blue", ENGINE: "blue", OTHERS: "red", DAG: "blue"}
    with open_stand(tmp_path_factory.mktemp("airflow"), dags) as found:
        yield found


@pytest.fixture
def stand(server: Stand, ledger_urls: LedgerUrls, monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", connection_of(ledger_urls.service))
    server.renew()
    return server


@pytest.fixture
def put(make_night: MakeNight, ledger: Ledger) -> Put:
    """Puts an evaluation on record, and returns its id."""

    def record(
        verdict: str = "passed",
        right: int = 24,
        model: str = CASE.model_name,
        version: str = "v1",
        reasons: Sequence[str] = (),
        use_case: str = MINE,
        **more: Any,
    ) -> UUID:
        night = make_night(case=load(use_case))
        scores = {
            "macro_f1": {"tier": 0.912},
            "fields": {"tier": {"hits": right, "of": 24}},
            "slices": {f"large {HOSTILE}": {"hits": 5, "of": 6}},
            "calibration_error": 0.1234,
            "schema_failures": 2,
            "must_not_broken": 1,
            "latency_ms": {"p50": 310, "p95": 1250},
            "row_cost_usd": "0.00012",
            "not_answered": {"invalid": 2},
            **more.pop("scores", {}),
        }
        known = {"labels_sha256": "a" * 64, "cost": Decimal("0.0029"), **more}
        found = Evaluation(rows=24, correct=right, verdict=verdict, reasons=reasons, scores=scores, **known)  # type: ignore[arg-type]
        prompt = PROMPT.hash if version == "v1" else version[-1] * 64
        pins = Pins(version, prompt, model, {}, CASE.contract_hash)
        told = [RowVerdict(f"{at:064}", f"key{at}", "right" if at < right else "wrong") for at in range(24)]
        with transaction(ledger.service) as connection:
            record_evaluation(connection, night, pins, found, told)
        return found.evaluation_id

    return record


def look(client: TestClient, path: str = f"/evaluations?use_case={MINE}") -> str:
    answer = client.get(f"{PATH}{path}")
    assert answer.status_code == 200, answer.text
    assert "<script>alert" not in answer.text
    return words(answer.text)


def send(client: TestClient, path: str, **form: Any) -> Any:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(f"{PATH}/control").text)
    data = {"csrf_token": found[1] if found else "", **form}
    return client.post(f"{PATH}/evaluations/{path}", data=data, headers={"Origin": ORIGIN})


def test_with_nothing_on_record_the_page_says_what_to_do(stand: Stand) -> None:
    told = look(stand.client("ann"))
    for part in ("which nobody has evaluated", "Press Evaluate above", 'evaluated="required"'):
        assert part in told, told
    assert f"nightledger evaluate {MINE}" in look(stand.client("vic"))
    assert "asks no model" in look(stand.client("ann"), f"/evaluations?use_case={ENGINE}")


def test_what_counts_now_and_why_a_night_would_be_refused(stand: Stand, put: Put, ledger: Ledger) -> None:
    passed = put()
    client = stand.client("ann")
    assert "A night would ask with v1 by sandbox-small, which passed" in look(client)
    failed = put("failed", 19, reasons=[REASON])
    told = look(client)
    for part in ("A night would be refused now", REASON, f"--set-aside {failed}"):
        assert part in told, told
    put("compared", 3)
    put("too_few", 1)
    assert REASON in look(client), "what judges nothing lifts nothing"
    change_control(ledger.service, CASE, "ada", "a trial", {"off": True})
    assert "The asking is switched off" in look(client)
    page = look(client, f"/evaluations/{failed}")
    for part in (
        "counts for v1 by sandbox-small: nights with them ask nothing",
        REASON,
        "wrong 5 20.8 %",
        "large <script",
    ):
        assert part.replace("<script", "&lt;script") in page, page
    assert "is the evaluation that counts" not in look(client, f"/evaluations/{passed}")


def test_versions_and_models_stand_side_by_side_on_the_same_rows(stand: Stand, put: Put) -> None:
    put("compared", 20, model="sandbox-large", scores={"row_cost_usd": "0.0034"})
    before = put("passed", 22)
    looked_at = put("compared", 10)
    put(
        "passed",
        23,
        version="v2",
        against=before,
        scores={"against": {"lost": 1, "won": 2, "p": 0.875, "smallest": 0.208}},
    )
    put("compared", 11, labels_sha256="b" * 64)
    client = stand.client("ann")
    told = look(client)
    side = told[told.index("Side by side") : told.index("Over time")]
    assert [found.split(" by ")[0] for found in re.findall(r"v\d by sandbox-\w+", side)] == ["v2", "v1", "v1"]
    for part in ("95.8 %", "83.3 %", "79.8 % to 99.3 %", "0.912", "0.123", "1.2 s", "$0.0034", "labels aaaaaaaaaaaa"):
        assert part in side, side
    assert "45.8 %" not in side, "other rows"
    page = client.get(f"{PATH}/evaluations?use_case={MINE}").text
    drawn = page[page.index("Side by side") : page.index("Over time")]
    assert str(before) in drawn
    assert str(looked_at) not in drawn, "one that judged goes before"
    assert "v1: 1 lost, 2 won, p&nbsp;=&nbsp;0.88" in told
    other = look(client, f"/evaluations?use_case={MINE}&labels={'b' * 64}")
    assert "45.8 %" in other[other.index("Side by side") : other.index("Over time")]


def test_conditions_of_the_newest_validation_stand_by_themselves(stand: Stand, put: Put) -> None:
    put("compared", 24, condition="as it was", labels_sha256="c" * 64)
    put()
    told = look(stand.client("ann"))
    under = told[told.index("Under conditions") : told.index("All evaluations")]
    assert "as it was" in under
    assert "as it was" not in told[: told.index("Under conditions")]
    assert "1 evaluation on this page" in told, "they are not in the list"


def test_evaluations_are_paged_newest_first(stand: Stand, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.pages.evaluations.PAGE_ROWS", 2)
    ids = [str(put(right=24 - at)) for at in range(5)]
    client, seen, path = stand.client("ann"), list[str](), f"evaluations?use_case={MINE}"
    while path:
        page = client.get(f"{PATH}/{path}").text
        seen += re.findall(r"<tr>.*?evaluations/([0-9a-f-]{36})", page[page.index('id="all"') :])
        found = re.search(r'rel="next" href="/nightledger/([^"]+)"', page)
        path = found[1].replace("&amp;", "&") if found else ""
    assert seen == ids[::-1]


def test_a_failed_evaluation_is_set_aside_with_a_reason(stand: Stand, put: Put, ledger: Ledger) -> None:
    failed, client = put("failed", 3, reasons=[REASON]), stand.client("ann")
    assert send(client, f"{failed}/set-aside", reason=" ").status_code == 400
    answer = send(client, f"{failed}/set-aside", reason=f"a stand-in {HOSTILE}")
    assert answer.headers["location"] == f"{PATH}/evaluations/{failed}?said=aside"
    with ledger.service.connect() as connection:
        assert newest(connection, MINE, PROMPT.hash, CASE.model_name) is None
    page = look(client, f"/evaluations/{failed}?said=aside")
    for part in ("Set aside by ann", "a stand-in &lt;script", "no longer stops or lifts nights"):
        assert part in page, page
    assert "A night would ask with v1 by sandbox-small, which nobody has evaluated" in look(client)
    assert send(client, f"{failed}/set-aside", reason="again").status_code == 409
    assert verify(ledger.service).findings == ()


def test_who_may_only_read_starts_and_sets_aside_nothing(stand: Stand, put: Put, ledger: Ledger) -> None:
    failed = put("failed", 3)
    page = stand.client("vic").get(f"{PATH}/evaluations/{failed}").text
    assert "Set aside</button>" not in page
    assert "/evaluations/start" not in stand.client("vic").get(f"{PATH}/evaluations?use_case={MINE}").text
    for user, status in (("vic", 403), ("rob", 404)):
        bearer = {"Authorization": f"Bearer {stand.token(user)}"}
        client = stand.client(user)
        for path, form in ((f"{failed}/set-aside", {"reason": "x"}), ("start", {"use_case": MINE})):
            assert client.post(f"{PATH}/evaluations/{path}", data=form, headers=bearer).status_code == status
    with ledger.service.connect() as connection:
        found = newest(connection, MINE, PROMPT.hash, CASE.model_name)
    assert found is not None
    assert found.evaluation_id == failed


def test_what_is_another_teams_or_nobodys_is_not_there(stand: Stand, put: Put, ledger: Ledger) -> None:
    put()
    theirs = put(use_case=OTHERS)
    client = stand.client("ann")
    for path in (f"/evaluations?use_case={OTHERS}", f"/evaluations/{theirs}", f"/evaluations/{uuid4()}"):
        assert client.get(f"{PATH}{path}").status_code == 404
    assert OTHERS not in look(client)
    assert "None is on record" in look(client, f"/evaluations?use_case={MINE}&before={theirs}")
    for path in ("/evaluations/1", f"/evaluations?use_case={MINE}&labels=x", f"/evaluations?use_case={MINE}&before=x"):
        assert client.get(f"{PATH}{path}").status_code == 422


def test_an_evaluation_is_started_as_the_user_with_what_the_form_says(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[Any]()

    def airflow(request: Any, viewer: Any, method: str, path: str, body: Any = None) -> Any:
        asked.append((viewer.name, method, path, body))
        return {"is_paused": False, "dag_run_id": "page__ann__2026", "state": "running", "conf": {"use_case": MINE}}

    for place in ("operations", "routes.evaluations"):
        monkeypatch.setattr(f"nightledger.ui.{place}.call_airflow", airflow)
    client = stand.client("ann")
    answer = send(client, "start", use_case=MINE, prompt="v1", models=" sandbox-large ", labels="")
    assert answer.headers["location"] == f"{PATH}/evaluations?use_case={MINE}&run=page__ann__2026"
    name, method, path, body = asked[-1]
    assert (name, method, path) == ("ann", "POST", f"/dags/{DAG}/dagRuns")
    assert body["conf"] == {"use_case": MINE, "ask": True, "prompt": "v1", "models": "sandbox-large"}
    page = client.get(answer.headers["location"])
    assert "The evaluation is running" in words(page.text)
    assert 'data-again="5"' in page.text
    assert "Evaluations of crm_lead_scoring" in client.get(f"{PATH}/evaluations?of=manual__1").text


def test_a_run_leads_to_the_evaluation_that_counted_when_it_began(
    stand: Stand, put: Put, make_night: MakeNight
) -> None:
    first = put()
    night = make_night(prompt=PROMPT.as_mapping(), day=1)
    later = put("failed", 3)
    page = stand.client("ann").get(f"{PATH}/runs/{night.run_id}").text
    assert f"{PATH}/evaluations/{first}" in page
    assert str(later) not in page
    assert f"{PATH}/evaluations?use_case={MINE}" in stand.client("ann").get(f"{PATH}/control").text
