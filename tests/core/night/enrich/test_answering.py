"""Several processes, several models: each question is paid once, and one model takes over from another."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from aiohttp import web

from include.database import open_database
from include.errors import QuotaUsedUp
from include.ledger.verify import verify
from include.night.enrich.enrich import enrich
from include.report.facts import collect
from include.report.text import as_text
from include.run import Night
from include.settings import ROOT
from include.spec.use_case import Failover
from include.staging import read_rows
from tests.core.conftest import Ledger
from tests.core.night.enrich.test_enrich import (
    ANSWERS,
    CASE,
    LEADS,
    PROMPT,
    connection_to,
    every_row_ended_once,
    rows,
    serving,
    stage,
)
from tests.core.odd_server import OddServer, Seen, odd_server, refusal
from tests.core.test_whole_night import Sandbox


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with serving(tmp_path_factory.mktemp("sandbox"), latency=20) as sandbox:
        yield sandbox


def test_runs_that_ask_the_same_at_the_same_time_pay_once(
    make_night: Callable[..., Night], sandbox: Sandbox, ledger: Ledger
) -> None:
    given = {"connections": connection_to(sandbox), "prompt": PROMPT, "settings": {"concurrency": 8}}
    nights = [make_night(**given, day=day) for day in range(3)]
    own = [replace(night, ledger=open_database(ledger.urls.service)) for night in nights]
    manifests = [(night, stage(night)) for night in own]
    answered: list[int] = []
    threads = [threading.Thread(target=lambda one=one: answered.append(enrich(*one).rows)) for one in manifests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for night in own:
        night.ledger.dispose()
    assert answered == [LEADS] * 3
    assert sandbox.billed()["billed_calls"] == LEADS
    assert rows(ledger, "SELECT count(*) FROM claim") == [(0,)]
    assert verify(ledger.owner).holds


@pytest.fixture
def with_failover(make_night: Callable[..., Night], sandbox: Sandbox, tmp_path: Path) -> Callable[..., Night]:
    """Nights whose pinned model is asked at `first`, and sandbox-large takes over at the sandbox."""

    def make(first: str, **parts: Any) -> Night:
        registry = (ROOT / "include" / "systems.toml").read_text(encoding="utf-8")
        start, end = registry.index("[model]"), registry.index("[warehouse]")
        second = registry[start:end].replace("[model", "[spare").replace("openai_default", "openai_spare")
        file = tmp_path / "systems.toml"
        file.write_text(registry + second, encoding="utf-8")
        key = sandbox.endpoints.model_key
        hosts = {"OPENAI_DEFAULT": first, "OPENAI_SPARE": sandbox.endpoints.model_url}
        connections = {f"AIRFLOW_CONN_{n}": json.dumps({"host": h, "password": key}) for n, h in hosts.items()}
        settings = {"systems_file": file, "outage_seconds": 1.0, "concurrency": 8}
        model = replace(CASE.model, failover=(Failover("spare", "sandbox-large"),))
        return make_night(connections=connections, prompt=PROMPT, settings=settings, model=model, **parts)

    return make


@pytest.mark.usefixtures("impatient")
def test_another_model_takes_over_while_the_first_is_down(
    with_failover: Callable[..., Night], sandbox: Sandbox, ledger: Ledger
) -> None:
    night = with_failover("http://127.0.0.1:9/v1")
    enriched = enrich(night, stage(night))
    every_row_ended_once(ledger, night, enriched)
    assert {row["origin"] for row in read_rows(enriched)} == {"model"}
    assert rows(ledger, f"SELECT DISTINCT model FROM {ANSWERS}") == [("sandbox-large",)]
    said = rows(ledger, "SELECT details ->> 'to', details ->> 'rows' FROM event WHERE type = 'enrich.failed_over'")
    assert said == [("sandbox-large", str(LEADS))]
    asked = sandbox.billed()["billed_calls"]
    back = with_failover(sandbox.endpoints.model_url, day=1)
    enrich(back, stage(back))
    assert sandbox.billed()["billed_calls"] == asked + LEADS  # the pinned model again, for the same input
    assert rows(ledger, f"SELECT model, count(*) FROM {ANSWERS} GROUP BY 1 ORDER BY 1") == [
        ("sandbox-large", LEADS),
        ("sandbox-small", LEADS),
    ]


@pytest.mark.usefixtures("impatient")
def test_a_retry_after_a_failover_asks_nothing_again(
    with_failover: Callable[..., Night], sandbox: Sandbox, ledger: Ledger
) -> None:
    night = with_failover("http://127.0.0.1:9/v1")
    good = stage(night)
    enrich(night, good)
    again = enrich(night, good)
    assert (again.rows, sandbox.billed()["billed_calls"]) == (LEADS, LEADS)


@pytest.mark.usefixtures("impatient")
def test_when_no_model_is_left_the_failure_plan_decides(
    with_failover: Callable[..., Night], sandbox: Sandbox, ledger: Ledger
) -> None:
    sandbox.fail("model", http_503=1.0)
    plan = replace(CASE.failure_plan, unavailable="deferred")
    night = with_failover("http://127.0.0.1:9/v1", failure_plan=plan)
    enriched = enrich(night, stage(night))
    assert enriched.rows == 0
    outcomes = rows(ledger, "SELECT outcome, count(*) FROM outcome GROUP BY 1")
    assert outcomes == [("deferred", LEADS)]


@pytest.fixture
def without_credit(sandbox: Sandbox) -> Iterator[tuple[OddServer, int]]:
    """An endpoint that answers its first questions as the sandbox does, until its account's quota is used up."""
    most = 20

    def answer(seen: Seen) -> web.Response:
        if len(server.seen) > most:
            return refusal(429, "You exceeded your current quota", code="insufficient_quota")
        headers = {name: seen.headers[name] for name in ("authorization", "content-type")}
        url = sandbox.endpoints.model_root + seen.target
        said = requests.post(url, data=seen.body, headers=headers, timeout=10)
        return web.json_response(said.json(), status=said.status_code)

    with odd_server(answer) as server:
        yield server, most


@pytest.mark.usefixtures("impatient")
def test_another_model_answers_what_is_left_when_a_quota_is_used_up(
    with_failover: Callable[..., Night], without_credit: tuple[OddServer, int], sandbox: Sandbox, ledger: Ledger
) -> None:
    server, most = without_credit
    night = with_failover(f"{server.url}/v1")
    good = stage(night)
    enriched = enrich(night, good)
    every_row_ended_once(ledger, night, enriched)
    assert enriched.rows == LEADS
    by_model = dict(map(tuple, rows(ledger, f"SELECT model, count(*) FROM {ANSWERS} GROUP BY 1")))
    assert by_model == {"sandbox-small": most, "sandbox-large": LEADS - most}
    assert sandbox.billed()["billed_calls"] == LEADS, "what was paid is used"
    assert len(server.seen) <= most + 8, "and nothing more is sent to the first than was in the air"
    facts = collect(night.ledger, night.run_id)
    assert facts.model.failovers[0][:2] == ("sandbox-small", "sandbox-large")
    cause = "the quota of the vendor's account is used up (429 insufficient_quota: You exceeded your current quota)"
    assert f"{LEADS - most} rows went from sandbox-small to sandbox-large: {cause}" in " ".join(as_text(facts).split())
    asked = len(server.seen)
    assert enrich(night, good).rows == LEADS
    assert len(server.seen) - asked <= 8


def test_without_another_model_a_used_up_quota_ends_the_run(
    with_failover: Callable[..., Night], without_credit: tuple[OddServer, int], ledger: Ledger
) -> None:
    server, most = without_credit
    night = with_failover(f"{server.url}/v1")
    night = replace(night, case=replace(night.case, model=replace(night.case.model, failover=())))
    with pytest.raises(QuotaUsedUp):
        enrich(night, stage(night))
    assert rows(ledger, f"SELECT count(*) FROM {ANSWERS}") == [(most,)]
    assert rows(ledger, "SELECT count(*) FROM claim") == [(0,)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.night.enrich.dispatch.wait_seconds", lambda *args, **more: 0.01)


def test_second_calls_that_come_too_late_end_nothing(
    make_night: Callable[..., Night], tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.night.enrich.dispatch._WATCH_SECONDS", 0.002)
    monkeypatch.setattr("include.night.enrich.hedging.Tail.slow_after", lambda tail: 0.0)
    monkeypatch.setattr("include.night.enrich.hedging.Tail.may_send", lambda tail, calls: True)
    monkeypatch.setattr(
        "include.night.enrich.flow.FIRST_CALLS", 2 * LEADS
    )  # places for second calls from the beginning
    with serving(tmp_path / "sandbox", latency=500) as slow:
        night = make_night(connections=connection_to(slow), prompt=PROMPT, settings={"concurrency": 2 * LEADS})
        enriched = enrich(night, stage(night))
    every_row_ended_once(ledger, night, enriched)
    assert enriched.rows == LEADS
    kinds = dict(map(tuple, rows(ledger, "SELECT kind, count(*) FROM inference GROUP BY 1")))
    assert kinds["ask"] == LEADS
    assert kinds["hedge"] > 0, "no second call went on record, so nothing was shown"
    assert rows(
        ledger, "SELECT count(*) FROM inference LEFT JOIN inference_result USING (inference_id) WHERE outcome IS NULL"
    ) == [(0,)]
    assert rows(ledger, f"SELECT count(*), count(DISTINCT inference_key) FROM {ANSWERS}") == [(LEADS, LEADS)]
    assert rows(ledger, "SELECT count(*) FROM claim") == [(0,)]
    assert verify(ledger.owner).holds
