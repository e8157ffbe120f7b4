"""The enrich stage on real PostgreSQL and the real SDK: every row ends, nothing is paid twice, a kill loses nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.errors import ConfigurationError
from include.ledger.record import record_manifest
from include.ledger.verify import verify
from include.models import Manifest, Mode, Record, ReInfer, RunOptions
from include.night.enrich.enrich import enrich
from include.night.extract.shape import raw_schema
from include.run import Night
from include.settings import ROOT
from include.spec.prompt import load_prompt
from include.spec.use_case import load
from include.staging import StagedWriter, read_rows
from include.use_cases.crm_lead_scoring.output import Output
from tests.core.conftest import Ledger
from tests.core.test_whole_night import Sandbox

CASE = load("crm_lead_scoring")
PROMPT = load_prompt(CASE).as_mapping()
LEADS = 80
CONCURRENCY = 8


@contextmanager
def serving(state: Path, latency: float) -> Iterator[Sandbox]:
    config = SandboxConfig(state=state, days=1, leads_per_day=1, model_latency_ms=latency, model_jitter_ms=0)
    with running_sandbox(config) as endpoints:
        yield Sandbox(endpoints)


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with serving(tmp_path_factory.mktemp("sandbox"), latency=1) as sandbox:
        yield sandbox


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.night.enrich.dispatch.wait_seconds", lambda *args, **more: 0.01)


NightOf = Callable[..., Night]


def connection_to(sandbox: Sandbox) -> dict[str, str]:
    model = {"host": sandbox.endpoints.model_url, "password": sandbox.endpoints.model_key}
    return {"AIRFLOW_CONN_OPENAI_DEFAULT": json.dumps(model)}


@pytest.fixture
def night_of(sandbox: Sandbox, make_night: Callable[..., Night]) -> NightOf:
    """Attempts for day 0 unless another day is given; each call with a new `ref` opens a new run."""

    def make(ref: str = "cli", re_infer: ReInfer = ReInfer.NONE, **parts: Any) -> Night:
        settings = {"concurrency": CONCURRENCY, "outage_seconds": 1.0, **parts.pop("settings", {})}
        options = RunOptions(mode=Mode.SHADOW, re_infer=re_infer)
        given = {"connections": connection_to(sandbox), "prompt": PROMPT, "settings": settings, **parts}
        return make_night(external_ref=ref, options=options, **given)

    return make


def lead(number: int, **changes: Any) -> Record:
    """A staged lead; `number` makes what the model sees of it unlike that of any other."""
    titles = ("Chief Executive Officer", "Buyer", "Head of IT", "Intern", "Sales Manager")
    return {
        "row_id": f"crm/contacts/{number}",
        "row_key": str(number),
        "lineage": json.dumps({"source": "crm", "page": number // 100 + 1, "index": number % 100}),
        "lead_id": str(number),
        "email": f"ada.{number}@private.example",
        "first_name": f"Adelaide{number}",
        "last_name": f"Lovelock{number}",
        "phone": f"+4930555{number:05d}",
        "job_title": titles[number % len(titles)],
        "company_name": f"Works {number}",
        "industry": "manufacturing",
        "employees": 10 * number,
        "page_views": number,
        "last_activity_days": (7, 30, 90, 365, None)[number % 5],
    } | changes


def stage(night: Night, leads: Sequence[Record] | None = None) -> Manifest:
    with StagedWriter(night.path("good.parquet"), raw_schema(night.case)) as writer:
        writer.extend([lead(number) for number in range(LEADS)] if leads is None else leads)
    manifest = writer.manifest(night.run_id, "good")
    record_manifest(night.ledger, manifest)
    return manifest


def run(night: Night, leads: Sequence[Record] | None = None) -> Manifest:
    return enrich(night, stage(night, leads))


def rows(ledger: Ledger, query: str, **values: Any) -> list[Any]:
    with ledger.owner.connect() as connection:
        return list(connection.execute(text(query), values).all())


ANSWERS = "inference JOIN inference_result USING (inference_id) WHERE outcome = 'ok'"


def count(ledger: Ledger, table: str) -> int:
    return int(rows(ledger, f"SELECT count(*) FROM {table}")[0][0])


def ended(ledger: Ledger, night: Night) -> dict[str, str]:
    """Outcomes that the stage gave, by row id."""
    query = "SELECT row_id, outcome FROM outcome WHERE run_id = :run"
    return dict(map(tuple, rows(ledger, query, run=night.run_id)))


def every_row_ended_once(ledger: Ledger, night: Night, enriched: Manifest, leads: int = LEADS) -> None:
    answered = [row["row_id"] for row in read_rows(enriched)]
    given = [*answered, *ended(ledger, night)]
    assert sorted(given) == sorted(f"crm/contacts/{number}" for number in range(leads))


def test_every_row_is_answered_and_every_call_is_on_record(night_of: NightOf, sandbox: Sandbox, ledger: Ledger) -> None:
    night = night_of()
    enriched = run(night)
    every_row_ended_once(ledger, night, enriched)
    for row in read_rows(enriched):
        answer = Output.model_validate_json(row["output"])
        assert (row["origin"], row["reused"], row["confidence"]) == ("model", False, answer.confidence)
        assert set(json.loads(row["input"])) == set(CASE.model_sees)
    billed = sandbox.billed()
    assert billed["billed_calls"] == count(ledger, "inference") == count(ledger, "inference_result") == LEADS
    asked = {(str(i), r) for i, r in rows(ledger, "SELECT inference_id, provider_request_id FROM inference_result")}
    assert {request_id for _, request_id in asked} == {call["request_id"] for call in billed["requests"]}
    assert {row["inference_id"] for row in read_rows(enriched)} == {inference_id for inference_id, _ in asked}
    usage = rows(ledger, "SELECT sum(tokens_in), sum(tokens_out) FROM inference_result")[0]
    assert tuple(usage) == (billed["prompt_tokens"], billed["completion_tokens"])
    assert verify(ledger.service).findings == ()


def test_no_call_used_more_tokens_or_money_than_was_set_aside(night_of: NightOf, ledger: Ledger) -> None:
    run(night_of())
    over = "SELECT count(*) FROM inference JOIN inference_result r USING (inference_id) "
    assert rows(ledger, over + "WHERE r.tokens_in > tokens_estimated OR r.cost > cost_reserved") == [(0,)]


@pytest.mark.parametrize("again", ["cli", "another start"])
def test_a_second_attempt_for_the_interval_asks_nothing(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger, again: str
) -> None:
    first = run(night_of())
    outputs = [{row["row_id"]: row["output"] for row in read_rows(first)}]
    second = run(night_of(again))
    assert sandbox.billed()["calls"] == LEADS == count(ledger, "inference")
    assert second.facts["reused"] == LEADS
    assert all(row["reused"] for row in read_rows(second))
    outputs.append({row["row_id"]: row["output"] for row in read_rows(second)})
    assert len(outputs[1]) == LEADS
    assert outputs[0] == outputs[1]


def test_a_model_answer_is_reused_the_next_night_too(night_of: NightOf, sandbox: Sandbox) -> None:
    run(night_of())
    assert run(night_of(day=1)).facts["reused"] == LEADS
    assert sandbox.billed()["calls"] == LEADS


def test_a_changed_row_is_asked_again_and_only_that(night_of: NightOf, sandbox: Sandbox) -> None:
    run(night_of())
    leads = [lead(0, job_title="Chief Financial Officer"), *[lead(number) for number in range(1, LEADS)]]
    assert run(night_of(day=1), leads).facts["reused"] == LEADS - 1
    assert sandbox.billed()["calls"] == LEADS + 1


def test_a_changed_personal_value_asks_nothing_again(night_of: NightOf, sandbox: Sandbox) -> None:
    run(night_of(), [lead(1)])
    assert run(night_of(day=1), [lead(1, email="new@private.example")]).facts["reused"] == 1
    assert sandbox.billed()["calls"] == 1


@pytest.mark.parametrize("chunk_rows", [1_000, 7])
def test_rows_that_look_the_same_are_asked_once(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger, chunk_rows: int
) -> None:
    same = {"job_title": "Buyer", "company_name": "Works", "employees": 5, "page_views": 1, "last_activity_days": 7}
    night = night_of(settings={"chunk_rows": chunk_rows})
    enriched = run(night, [lead(number, **same) for number in range(30)])
    every_row_ended_once(ledger, night, enriched, 30)
    assert sandbox.billed()["calls"] == 1
    assert len({row["inference_key"] for row in read_rows(enriched)}) == 1


def test_re_infer_all_asks_every_row_again_but_a_retry_of_that_run_does_not(
    night_of: NightOf, sandbox: Sandbox
) -> None:
    run(night_of())
    run(night_of("again", ReInfer.ALL))
    assert sandbox.billed()["calls"] == 2 * LEADS
    assert run(night_of("again", ReInfer.ALL)).facts["reused"] == LEADS
    assert sandbox.billed()["calls"] == 2 * LEADS


def test_re_infer_failed_asks_dead_letters_and_rules_again_and_nothing_else(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger
) -> None:
    sandbox.fail("model", refusal=0.3)
    first = night_of()
    answered = run(first).rows
    dead = len(ended(ledger, first))
    assert 5 < dead == LEADS - answered
    sandbox.fail("model")
    billed = sandbox.billed()["calls"]
    unasked = night_of("again")
    assert run(unasked).rows == answered
    assert set(ended(ledger, unasked).values()) == {"dead_letter"}
    assert sandbox.billed()["calls"] == billed
    replayed = run(night_of("replay", ReInfer.FAILED))
    assert (replayed.rows, replayed.facts["reused"]) == (LEADS, answered)
    assert sandbox.billed()["calls"] == billed + dead


def test_no_row_vanishes_whatever_the_model_does(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger, impatient: None
) -> None:
    kinds = ("http_500", "reset", "prose", "wrong_enum", "empty", "refusal")
    sandbox.fail("model", **dict.fromkeys(kinds, 0.1))
    night = night_of()
    enriched = run(night)
    every_row_ended_once(ledger, night, enriched)
    assert set(ended(ledger, night).values()) == {"dead_letter"}
    causes = {row[0] for row in rows(ledger, "SELECT DISTINCT cause FROM dead_letter")}
    assert "refused" in causes
    assert causes <= {"refused", "invalid_output", "empty_output", "model_unavailable"}
    outcomes = {row[0] for row in rows(ledger, "SELECT DISTINCT outcome FROM inference_result")}
    assert outcomes == {"ok", "http_error", "invalid", "empty", "refused"}
    most = "SELECT max(n) FROM (SELECT count(*) n FROM inference WHERE kind = 're-ask' GROUP BY row_id) x"
    assert 1 <= rows(ledger, most)[0][0] <= CASE.model.reasks == 2
    billed = sandbox.billed()["calls"]
    assert billed == count(ledger, "inference") == count(ledger, "inference_result")
    assert verify(ledger.service).findings == ()


def test_without_a_model_the_rule_answers_and_the_next_night_asks_again(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger, impatient: None
) -> None:
    nothing_known = {"job_title": None, "employees": None, "last_activity_days": None}
    leads = [*[lead(number) for number in range(LEADS - 1)], lead(LEADS - 1, **nothing_known)]
    sandbox.fail("model", http_503=1.0)
    night = night_of()
    enriched = run(night, leads)
    every_row_ended_once(ledger, night, enriched)
    assert {(row["origin"], row["inference_id"]) for row in read_rows(enriched)} == {("rule", None)}
    assert rows(ledger, "SELECT row_key, cause FROM dead_letter") == [(str(LEADS - 1), "model_unavailable")]
    asked = sandbox.billed()["calls"]
    assert asked < 40 * 5, "an outage is not tried out row by row"
    retried = run(night_of(), leads)
    assert (retried.facts["reused"], sandbox.billed()["calls"]) == (LEADS - 1, asked)
    sandbox.fail("model")
    following = run(night_of(day=1), leads)
    assert {row["origin"] for row in read_rows(following)} == {"model"}
    assert following.rows == LEADS
    assert sandbox.billed()["calls"] == asked + LEADS


def test_a_rule_never_replaces_a_models_answer(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger, impatient: None
) -> None:
    run(night_of())
    sandbox.fail("model", http_503=1.0)
    run(night_of("again", ReInfer.ALL))
    sandbox.fail("model")
    assert {row["origin"] for row in read_rows(run(night_of("third")))} == {"model"}


def test_a_ceiling_defers_what_it_cannot_pay_and_the_next_run_pays_it(night_of: NightOf, ledger: Ledger) -> None:
    night = night_of(cost_ceiling_usd=Decimal("0.004"), settings={"concurrency": 2})
    enriched = run(night)
    every_row_ended_once(ledger, night, enriched)
    outcomes = ended(ledger, night)
    assert set(outcomes.values()) == {"deferred"}
    assert 0 < len(outcomes) < LEADS
    assert rows(ledger, "SELECT sum(cost) FROM inference_result")[0][0] <= Decimal("0.004")
    assert enriched.facts["deferred"] == len(outcomes)
    asked = count(ledger, "inference")
    run(night_of(cost_ceiling_usd=Decimal("0.004")))  # a retry of the same run has no second budget
    assert rows(ledger, "SELECT sum(cost) FROM inference_result")[0][0] <= Decimal("0.004")
    following = run(night_of("again"))
    assert (following.rows, count(ledger, "inference")) == (LEADS, LEADS)
    assert asked < LEADS


def test_a_prompt_over_the_models_size_is_never_sent(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger, tmp_path: Path
) -> None:
    known = (ROOT / "include" / "systems.toml").read_text(encoding="utf-8")
    file = tmp_path / "systems.toml"
    assert "sandbox-small = 16384" in known
    file.write_text(known.replace("sandbox-small = 16384", "sandbox-small = 1600"), encoding="utf-8")
    leads = [lead(0), lead(1, company_name="Works " * 1_000)]
    night = night_of(settings={"systems_file": file})
    assert [row["row_key"] for row in read_rows(run(night, leads))] == ["0"]
    assert rows(ledger, "SELECT row_key, cause, tries FROM dead_letter") == [("1", "prompt_too_large", 0)]
    assert sandbox.billed()["calls"] == count(ledger, "inference") == 1


@pytest.mark.parametrize("changed", ["prompt_hash", "contract_hash", "model"])
def test_one_run_uses_one_version(night_of: NightOf, sandbox: Sandbox, ledger: Ledger, changed: str) -> None:
    night = night_of()
    with ledger.owner.begin() as connection:
        other = text(f"UPDATE run SET {changed} = (SELECT repeat('0', 64)) WHERE run_id = :run")
        if changed == "prompt_hash":
            copied = "INSERT INTO prompt SELECT repeat('0', 64), name, version, system_text, user_text FROM prompt"
            connection.execute(text(copied))
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(other, {"run": night.run_id})
    with pytest.raises(ConfigurationError, match="one run uses one version"):
        run(night)
    assert sandbox.billed()["calls"] == 0


def test_no_personal_value_reaches_the_model_or_the_dead_letters(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger
) -> None:
    sandbox.fail("model", refusal=0.2)
    run(night_of())
    said = json.dumps([row[0] for row in rows(ledger, "SELECT messages FROM inference")])
    kept = json.dumps([row[0] for row in rows(ledger, "SELECT record FROM dead_letter")])
    assert "Works 7" in said
    assert kept != "[]"
    for marker in ("private.example", "Adelaide", "Lovelock", "+4930555"):
        assert marker not in said
        assert marker not in kept


def test_an_empty_night_is_no_error(night_of: NightOf, sandbox: Sandbox) -> None:
    assert run(night_of(), []).rows == 0
    assert sandbox.billed()["calls"] == 0


def test_a_killed_attempt_loses_nothing_and_its_retry_asks_again_at_most_what_was_in_flight(
    make_night: Callable[..., Night], ledger: Ledger, tmp_path: Path
) -> None:
    with serving(tmp_path / "sandbox", latency=120) as sandbox:
        connections = connection_to(sandbox)
        night = make_night(connections=connections, prompt=PROMPT, settings={"concurrency": CONCURRENCY})
        good = stage(night)
        kill_when(lambda: count(ledger, ANSWERS) >= LEADS / 4, night, connections, ledger, tmp_path)
        kept = count(ledger, ANSWERS)
        assert LEADS / 4 <= kept < LEADS
        assert rows(ledger, "SELECT run_id FROM manifest WHERE dataset = 'enriched'") == []
        retried = make_night(connections=connections, prompt=PROMPT, settings={"concurrency": CONCURRENCY})
        assert retried.run_id == night.run_id
        enriched = enrich(retried, good)
        every_row_ended_once(ledger, retried, enriched)
        assert enriched.facts["reused"] == kept
        asked = Counter(call["message"] for call in sandbox.billed()["requests"] if call["billed"])
    assert len(asked) == LEADS
    assert max(asked.values()) <= 2
    twice = [message for message, times in asked.items() if times == 2]
    assert len(twice) <= CONCURRENCY
    without_result = "SELECT count(*) FROM inference LEFT JOIN inference_result r USING (inference_id) "
    (lost,) = rows(ledger, without_result + "WHERE r.inference_id IS NULL")[0]
    assert len(twice) <= lost <= CONCURRENCY
    assert count(ledger, "inference") >= sum(asked.values()), "no call is billed without its intent"
    assert verify(ledger.service).findings == ()


def kill_when(
    enough: Callable[[], bool], night: Night, connections: dict[str, str], ledger: Ledger, home: Path
) -> None:
    """Run the stage in a process of its own and end it by SIGKILL once `enough` is true."""
    url = make_url(ledger.urls.service)
    ledger_connection = {"host": url.query["host"], "schema": url.database, "login": url.username}
    ours = {
        "AIRFLOW_CONN_NIGHTLEDGER_DB": json.dumps(ledger_connection),
        "NIGHTLEDGER_HOME": str(home),
        "NIGHTLEDGER_TOKEN_SECRET": "test secret",
        "NIGHTLEDGER_CONCURRENCY": str(CONCURRENCY),
        "NIGHTLEDGER_LEASE_SECONDS": "3",  # what the next attempt waits for
    }
    when = ["--from", night.interval.start.isoformat(), "--to", night.interval.end.isoformat()]
    command = [sys.executable, "-m", "include.cli", "run", "enrich", night.case.name, *when]
    log = home / "killed.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **connections, **ours}, cwd=ROOT, stdout=output, stderr=output
        )
        try:
            deadline = time.monotonic() + 30
            while not enough():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.01)
        finally:
            process.kill()
            process.wait()
    busy = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' "
    while rows(ledger, busy + "AND pid <> pg_backend_pid()"):  # the server still ends what it was given
        time.sleep(0.02)


def test_the_use_case_is_what_these_leads_are_made_for() -> None:
    assert set(lead(0)) <= set(raw_schema(CASE).names)
    assert set(CASE.personal) <= set(lead(0))
