"""Whole nights without Airflow: every stage on real PostgreSQL, HTTP, SFTP and the openai SDK, with faults."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import requests
from sqlalchemy import text
from sqlalchemy.engine import make_url

from include.cli import main
from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.errors import AccessDenied, LedgerUnavailable, QualityStop
from include.ledger.dead_letters import Selection, begin_replay, dismiss, list_groups
from include.ledger.verify import verify
from include.models import Interval, Manifest, Mode, Record, ReInfer, RunOptions
from include.night.check.check import check
from include.night.enrich.enrich import enrich
from include.night.extract.extract import extract
from include.night.gate.answers import check_answers
from include.night.gate.gate import gate
from include.night.write.write import write
from include.operations.replay import replay
from include.run import Night
from include.settings import ROOT
from include.spec.prompt import load_prompt
from include.spec.use_case import load
from include.stages import close
from include.systems.connections import EnvironmentConnections
from tests.core.conftest import Ledger

END = datetime(2026, 11, 20, 2, tzinfo=UTC)
LEADS = 60


class Sandbox:
    """The running stand-ins with their own counts."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints

    def billed(self) -> Record:
        url = f"{self.endpoints.model_root}/sandbox/billed?detail=1"
        found: Record = requests.get(url, timeout=10).json()
        return found

    def written(self) -> int:
        return int(requests.get(f"{self.endpoints.crm_url}/sandbox/crm/requests", timeout=10).json()["records_written"])

    def fail(self, where: str, **rates: float) -> None:
        base = self.endpoints.model_root if where == "model" else self.endpoints.crm_url
        path = "/sandbox/faults" if where == "model" else "/sandbox/crm/faults"
        requests.post(f"{base}{path}", json={"seed": 3, "rates": rates}, timeout=10).raise_for_status()


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    config = SandboxConfig(
        state=tmp_path_factory.mktemp("sandbox"),
        anchor=END,
        days=2,
        leads_per_day=LEADS,
        crm_latency_ms=0,
        model_latency_ms=2,
        model_jitter_ms=0,
        crm_requests_per_10s=10_000,
        scenarios={"2026-11-18": "mostly_missing_industry"},
    )
    with running_sandbox(config) as endpoints:
        yield Sandbox(endpoints)


NightOf = Callable[..., Night]


@pytest.fixture
def night_of(sandbox: Sandbox, make_night: Callable[..., Night], warehouse_url: str, tmp_path: Path) -> NightOf:

    def make(day: int = 0, *, token: str = "", key: str = "", settings: Record | None = None, **options: Any) -> Night:
        e, db = sandbox.endpoints, make_url(warehouse_url)
        extra = {"host_key": e.sftp_host_key, "key_file": e.sftp_key_file}
        given: dict[str, Record] = {
            "CRM_DEFAULT": {"host": e.crm_url, "password": token or e.crm_token},
            "SFTP_DEFAULT": {"host": e.sftp_host, "port": e.sftp_port, "login": e.sftp_login, "extra": extra},
            "OPENAI_DEFAULT": {"host": e.model_url, "password": key or e.model_key},
            "WAREHOUSE_DEFAULT": {"host": db.query["host"], "schema": db.database, "login": db.username},
        }
        start = END + timedelta(days=day - 1)
        return make_night(
            interval=Interval(start, start + timedelta(days=1)),
            connections={f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in given.items()},
            options=RunOptions(**{"mode": Mode.AUTO, **options}),
            prompt=load_prompt(load("crm_lead_scoring")).as_mapping(),
            settings=settings,
        )

    return make


def run(night: Night) -> Record:
    """All stages in order; what the last one says."""
    enriched = enrich(night, check(night, extract(night)))
    check_answers(night, enriched)
    write(night, gate(night, enriched))
    return close(night)


def rows(ledger: Ledger, query: str) -> list[Any]:
    with ledger.owner.connect() as connection:
        return list(connection.execute(text(query)).all())


def test_a_night_adds_up_and_the_next_run_of_it_pays_and_writes_nothing(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger
) -> None:
    first = run(night_of())
    assert first["status"] == "succeeded"
    assert sum(first["counts"].values()) == LEADS
    assert {"written", "quarantined"} <= first["counts"].keys()
    billed, written = sandbox.billed()["calls"], sandbox.written()
    assert billed == rows(ledger, "SELECT count(*) FROM inference")[0][0]
    assert written == first["counts"]["written"]
    again = run(night_of())
    assert again["run_id"] != first["run_id"]
    assert (sandbox.billed()["calls"], sandbox.written()) == (billed, written)
    assert again["counts"]["unchanged"] == first["counts"]["written"]
    assert verify(ledger.owner).findings == ()


def test_every_call_has_an_intent_before_it_and_money_adds_up(night_of: NightOf, ledger: Ledger) -> None:
    run(night_of())
    late = "SELECT count(*) FROM inference i JOIN inference_result r USING (inference_id) "
    assert rows(ledger, late + "WHERE i.recorded_at >= r.recorded_at") == [(0,)]
    cost, tokens_in, tokens_out = rows(
        ledger, "SELECT sum(cost), sum(tokens_in), sum(tokens_out) FROM inference_result"
    )[0]
    assert cost == (tokens_in * Decimal("0.15") + tokens_out * Decimal("0.60")) / 1_000_000


def test_no_row_vanishes_whatever_the_model_does(night_of: NightOf, sandbox: Sandbox, ledger: Ledger) -> None:
    kinds = ("http_500", "http_503", "reset", "prose", "fenced", "wrong_enum", "empty", "refusal", "truncated")
    sandbox.fail("model", **dict.fromkeys(kinds, 0.06))
    done = run(night_of())
    assert sum(done["counts"].values()) == LEADS
    outcomes = dict(map(tuple, rows(ledger, "SELECT outcome, count(*) FROM inference_result GROUP BY 1")))
    assert {"ok", "invalid", "http_error"} <= outcomes.keys()
    most = "SELECT max(n) FROM (SELECT count(*) n FROM inference WHERE kind = 're-ask' GROUP BY row_id) x"
    assert rows(ledger, most)[0][0] <= 2
    asked = Counter(call["status"] for call in sandbox.billed()["requests"])
    assert sum(asked.values()) == rows(ledger, "SELECT count(*) FROM inference")[0][0]
    assert verify(ledger.owner).findings == ()


def test_a_refused_row_is_a_dead_letter_and_is_not_asked_again_unasked(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger
) -> None:
    sandbox.fail("model", refusal=0.3)
    first = run(night_of())
    assert first["counts"]["dead_letter"] > 3
    billed = sandbox.billed()["calls"]
    sandbox.fail("model")
    assert run(night_of())["counts"]["dead_letter"] == first["counts"]["dead_letter"]
    assert sandbox.billed()["calls"] == billed
    replayed = run(night_of(re_infer=ReInfer.FAILED))
    assert "dead_letter" not in replayed["counts"]
    assert sandbox.billed()["calls"] == billed + first["counts"]["dead_letter"]


def test_without_a_model_the_rule_proposes_and_a_person_decides(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.night.enrich.dispatch.wait_seconds", lambda *args, **more: 0.01)
    sandbox.fail("model", http_503=1.0)
    down = run(night_of(settings={"outage_seconds": 1.0}))
    assert down["counts"].get("written", 0) == 0
    assert down["counts"]["in_review"] > LEADS / 2
    assert rows(ledger, "SELECT DISTINCT origin FROM answer") == [("rule",)]
    sandbox.fail("model")
    back = run(night_of(re_infer=ReInfer.FAILED))
    assert back["counts"]["written"] > LEADS / 3
    last = "SELECT DISTINCT ON (row_key) origin FROM decision ORDER BY row_key, recorded_at DESC"
    assert set(rows(ledger, last)) == {("model",)}


def test_a_crm_that_stumbles_loses_no_write(
    night_of: NightOf, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.systems.http.wait_seconds", lambda *args, **more: 0.01)
    sandbox.fail("crm", http_500=0.2, reset=0.1)
    done = run(night_of())
    assert sum(done["counts"].values()) == LEADS
    assert done["counts"]["written"] == sandbox.written()


def test_a_critical_expectation_stops_before_the_model(night_of: NightOf, sandbox: Sandbox, ledger: Ledger) -> None:
    night = night_of(-1)
    with pytest.raises(QualityStop, match="industry"):
        check(night, extract(night))
    stopped = close(night, failed={"check": "failed"})
    assert stopped["status"] == "stopped"
    assert sum(stopped["counts"].values()) == LEADS
    assert stopped["counts"]["deferred"] > LEADS / 2
    assert (sandbox.billed()["calls"], sandbox.written()) == (0, 0)


@pytest.mark.parametrize(("mode", "outcome"), [(Mode.SHADOW, "shadowed"), (Mode.GATED, "in_review")])
def test_only_mode_auto_writes(mode: Mode, outcome: str, night_of: NightOf, sandbox: Sandbox) -> None:
    done = run(night_of(mode=mode))
    assert done["counts"].keys() == {outcome, "quarantined"}
    assert sandbox.written() == 0


def test_gated_rows_wait_once_however_often_the_night_runs(night_of: NightOf, ledger: Ledger) -> None:
    waiting = [run(night_of(mode=Mode.GATED))["counts"]["in_review"] for _ in range(2)]
    assert rows(ledger, "SELECT count(*) FROM review_item") == [(waiting[0],)]


def test_a_ceiling_defers_what_it_cannot_pay(
    night_of: NightOf, ledger: Ledger, make_night: Callable[..., Night], monkeypatch: pytest.MonkeyPatch
) -> None:
    night = night_of(settings={"concurrency": 2})
    object.__setattr__(night.case, "cost_ceiling_usd", Decimal("0.004"))
    done = run(night)
    assert done["counts"]["deferred"] > 0
    assert sum(done["counts"].values()) == LEADS
    assert rows(ledger, "SELECT sum(cost) FROM inference_result")[0][0] <= Decimal("0.004")


def test_a_prompt_over_the_models_size_is_never_sent(night_of: NightOf, sandbox: Sandbox, tmp_path: Path) -> None:
    small = (ROOT / "include" / "systems.toml").read_text(encoding="utf-8")
    file = tmp_path / "systems.toml"
    file.write_text(small.replace("sandbox-small = 16384", "sandbox-small = 600"), encoding="utf-8")
    done = run(night_of(settings={"systems_file": file}))
    assert done["counts"].keys() == {"dead_letter", "quarantined"}
    assert sandbox.billed()["calls"] == 0


def test_a_wrong_model_key_stops_at_once_and_says_so(night_of: NightOf, ledger: Ledger) -> None:
    night = night_of(key="sk-wrong")
    good = check(night, extract(night))
    with pytest.raises(AccessDenied, match="model") as caught:
        enrich(night, good)
    assert "sk-wrong" not in str(caught.value)


def test_no_call_leaves_when_the_ledger_is_down(night_of: NightOf, sandbox: Sandbox, ledger: Ledger) -> None:
    night = night_of()
    good = check(night, extract(night))
    with ledger.owner.begin() as connection:
        connection.execute(text("REVOKE INSERT ON nightledger.inference FROM nightledger_service"))
        connection.execute(text("ALTER TABLE nightledger.inference RENAME TO inference_gone"))
    with pytest.raises(Exception, match="inference"):
        enrich(night, good)
    assert sandbox.billed()["calls"] == 0
    assert LedgerUnavailable.verdict == "retry"


def test_what_the_model_is_shown_holds_no_personal_value(night_of: NightOf, ledger: Ledger) -> None:
    night = night_of()
    raw = extract(night)
    personal = [
        v for row in pq.read_table(raw.uri, columns=list(night.case.personal)).to_pylist() for v in row.values()
    ]
    enrich(night, check(night, raw))
    said = json.dumps([row[0] for row in rows(ledger, "SELECT messages FROM inference")])
    kept = json.dumps([row[0] for row in rows(ledger, "SELECT record FROM quarantine")])
    addresses = [value for value in personal if value and ("@" in value or value.startswith("+"))]
    assert len(addresses) > LEADS / 2
    assert [value for value in addresses if value in said or value in kept] == []


def test_the_limit_of_rows_is_kept(night_of: NightOf) -> None:
    assert sum(run(night_of(limit=40))["counts"].values()) == 40


def test_manifests_are_all_that_travels(night_of: NightOf) -> None:
    raw = extract(night_of())
    assert isinstance(raw, Manifest)
    assert len(json.dumps(raw.to_json())) < 8_000


@pytest.fixture
def reach(night_of: NightOf, ledger: Ledger) -> EnvironmentConnections:
    """Every connection of a night, the ledger's included."""
    db = make_url(ledger.urls.service)
    given = dict(night_of(day=-9).connections._environment)  # type: ignore[attr-defined]
    where = {"host": db.query["host"], "schema": db.database, "login": db.username}
    return EnvironmentConnections({**given, "AIRFLOW_CONN_NIGHTLEDGER_DB": json.dumps(where)})


def replayed(reach: EnvironmentConnections, night: Night, **chosen: Any) -> list[Record]:
    return replay(reach, night.settings, Selection(**chosen), "a tester")


def test_replayed_rows_are_asked_and_written_and_nothing_else_is(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger, reach: EnvironmentConnections
) -> None:
    sandbox.fail("model", refusal=0.15, prose=0.3)
    night = night_of()
    before = run(night)["counts"]
    refused = rows(ledger, "SELECT DISTINCT row_id FROM dead_letter WHERE cause = 'refused'")
    unusable = rows(ledger, "SELECT DISTINCT row_id FROM dead_letter WHERE cause = 'invalid_output'")
    assert before["dead_letter"] == len(refused) + len(unusable) > len(refused) > 3
    kept = rows(ledger, "SELECT record FROM dead_letter")
    assert all(record["email"] is None or record["email"].startswith("token:") for (record,) in kept)
    assert all(record["lead_id"] and "job_title" in record for (record,) in kept)
    sandbox.fail("model")
    asked, written = sandbox.billed()["calls"], sandbox.written()
    (done,) = replayed(reach, night, cause="refused")
    assert (done["rows"], done["status"]) == (len(refused), "succeeded")
    assert done["counts"].get("dead_letter", 0) == len(unusable)
    assert sandbox.billed()["calls"] - asked == len(refused)
    assert 0 < sandbox.written() - written <= len(refused)
    assert replayed(reach, night, cause="refused") == []
    groups = list_groups(ledger.service, Selection())
    assert [(group.cause, group.rows) for group in groups] == [("invalid_output", len(unusable))]
    assert sum(one["rows"] for one in replayed(reach, night)) == len(unusable)
    assert list_groups(ledger.service, Selection()) == []
    assert verify(ledger.owner).holds


def test_rows_that_die_again_have_a_new_letter(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger, reach: EnvironmentConnections
) -> None:
    sandbox.fail("model", refusal=0.2)
    night = night_of()
    dead = run(night)["counts"]["dead_letter"]
    (done,) = replayed(reach, night, system="model")
    again = done["counts"].get("dead_letter", 0)
    assert done["rows"] == dead
    assert 0 < again <= dead
    open_letters = "SELECT count(*), min(run_id) FROM dead_letter WHERE status = 'open'"
    assert rows(ledger, open_letters) == [(again, done["run_id"])]


def test_a_replay_that_was_killed_is_taken_up_by_the_next(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger, reach: EnvironmentConnections
) -> None:
    sandbox.fail("model", refusal=0.2)
    night = night_of()
    dead = run(night)["counts"]["dead_letter"]
    sandbox.fail("model")
    assert len(begin_replay(night_of(), Selection(), "killed")) == dead
    assert sum(group.rows for group in list_groups(ledger.service, Selection())) == dead
    (done,) = replayed(reach, night)
    assert (done["rows"], done["counts"].get("dead_letter", 0)) == (dead, 0)
    assert replayed(reach, night) == []


def test_dismissed_letters_are_not_replayed_and_say_why(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger, reach: EnvironmentConnections
) -> None:
    sandbox.fail("model", refusal=0.2)
    night = night_of()
    dead = run(night)["counts"]["dead_letter"]
    assert dismiss(ledger.service, Selection(cause="refused"), "a tester", "known to be spam") == dead
    assert replayed(reach, night) == []
    (kept,) = rows(ledger, "SELECT DISTINCT replays -> 0 ->> 'reason' FROM dead_letter")
    assert kept == ("known to be spam",)


def planned(reach: EnvironmentConnections, night: Night, monkeypatch: pytest.MonkeyPatch, *more: str) -> Record:
    for name, value in (reach._environment or {}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NIGHTLEDGER_TOKEN_SECRET", night.settings.token_secret)
    start, end = (END - timedelta(days=1)).isoformat(), END.isoformat()
    out = io.StringIO()
    code = main(["plan", night.case.name, "--from", start, "--to", end, "--json", *more], out)
    found: Record = json.loads(out.getvalue())
    return {**found, "code": code}


def test_a_plan_of_a_night_never_run_tells_what_it_then_costs_and_the_next_plan_costs_nothing(
    night_of: NightOf, sandbox: Sandbox, ledger: Ledger, reach: EnvironmentConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = night_of()
    before = rows(ledger, "SELECT count(*), count(DISTINCT run_id) FROM nightledger.run")
    plan = planned(reach, night, monkeypatch)
    assert rows(ledger, "SELECT count(*), count(DISTINCT run_id) FROM nightledger.run") == before
    assert rows(ledger, "SELECT count(*) FROM quarantine") == [(0,)]
    assert sandbox.billed()["calls"] == sandbox.written() == 0
    assert plan["code"] == 0
    assert [one["problem"] for one in plan["nights"]] == [""]
    run(night)
    (paid, calls) = rows(ledger, "SELECT sum(cost), count(*) FROM inference_result")[0]
    assert plan["total"]["calls"] == calls == sandbox.billed()["calls"]
    assert abs(Decimal(plan["total"]["cost_usd"]) / paid - 1) < Decimal("0.2")
    again = planned(reach, night, monkeypatch)
    assert (again["total"]["calls"], Decimal(again["total"]["cost_usd"])) == (0, 0)
    assert again["total"]["reused"] + again["total"]["identical"] == plan["total"]["rows"]


def test_a_plan_that_cannot_fit_says_why_and_fails(
    night_of: NightOf, reach: EnvironmentConnections, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = tmp_path / "slow.toml"
    registry = (ROOT / "include" / "systems.toml").read_text(encoding="utf-8")
    slow.write_text(registry.replace("requests = 3000, tokens = 2000000", "requests = 10"), encoding="utf-8")
    monkeypatch.setenv("NIGHTLEDGER_SYSTEMS", str(slow))
    plan = planned(reach, night_of(), monkeypatch, "--window", "0.01")
    assert plan["code"] == 1
    assert any("do not fit 0.0 hours; widen the window" in problem for problem in plan["problems"])


def test_a_plan_of_a_night_that_would_be_stopped_says_so(
    night_of: NightOf, reach: EnvironmentConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = (END - timedelta(days=2)).isoformat()
    plan = planned(reach, night_of(), monkeypatch, "--from", start, "--to", (END - timedelta(days=1)).isoformat())
    assert plan["code"] == 1
    assert "industry" in plan["nights"][0]["problem"]
