"""`plan` on the running stand-ins: what it says beforehand is what the nights then take."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from include.cli import main
from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.models import Manifest, Record
from include.operations.rehearse import good_rows
from include.run import Night
from include.settings import ROOT
from tests.core.conftest import Ledger
from tests.core.night.enrich.test_enrich import count, rows
from tests.core.test_whole_night import Sandbox

END = datetime(2026, 11, 20, 2, tzinfo=UTC)
DAYS, LEADS = 3, 80
CASE = "crm_lead_scoring"
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    config = SandboxConfig(
        state=tmp_path_factory.mktemp("sandbox"),
        anchor=END,
        days=DAYS,
        leads_per_day=LEADS,
        crm_latency_ms=0,
        model_latency_ms=2,
        model_jitter_ms=0,
    )
    with running_sandbox(config) as endpoints:
        yield Sandbox(endpoints)


@pytest.fixture
def command(
    sandbox: Sandbox, ledger: Ledger, warehouse_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    e, own, house = sandbox.endpoints, make_url(ledger.urls.service), make_url(warehouse_url)
    extra = {"host_key": e.sftp_host_key, "key_file": e.sftp_key_file}
    connections: dict[str, Record] = {
        "CRM_DEFAULT": {"host": e.crm_url, "password": e.crm_token},
        "SFTP_DEFAULT": {"host": e.sftp_host, "port": e.sftp_port, "login": e.sftp_login, "extra": extra},
        "OPENAI_DEFAULT": {"host": e.model_url, "password": e.model_key},
        "WAREHOUSE_DEFAULT": {"host": house.query["host"], "schema": house.database, "login": house.username},
        "NIGHTLEDGER_DB": {"host": own.query["host"], "schema": own.database, "login": own.username},
    }
    for name, value in connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(value))
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIGHTLEDGER_TOKEN_SECRET", "test secret")

    def run(*arguments: str, first: int = DAYS, last: int = 0) -> tuple[int, str]:
        out = io.StringIO()
        span = ["--from", night(first), "--to", night(last)]
        return main([*arguments, *span], out), out.getvalue()

    return run


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Change one entry of the registry for the test."""

    def change(old: str, new: str) -> None:
        known = (ROOT / "include" / "systems.toml").read_text(encoding="utf-8")
        assert old in known
        file = tmp_path / "systems.toml"
        file.write_text(known.replace(old, new), encoding="utf-8")
        monkeypatch.setenv("NIGHTLEDGER_SYSTEMS", str(file))

    return change


def night(days_before: int) -> str:
    return (END - timedelta(days=days_before)).isoformat()


def plan(command: Command, *more: str, **span: int) -> Record:
    code, said = command("plan", CASE, "--json", *more, **span)
    return {**json.loads(said), "code": code}


def filled(ledger: Ledger) -> dict[str, int]:
    """How many rows each table holds, of those that hold any."""
    tables = [name for (name,) in rows(ledger, "SELECT tablename FROM pg_tables WHERE schemaname = 'nightledger'")]
    return {name: number for name in tables if (number := count(ledger, name))}


def everything(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


def cost(ledger: Ledger) -> Decimal:
    return Decimal(rows(ledger, "SELECT coalesce(sum(cost), 0) FROM inference_result")[0][0])


def test_what_nights_cost_is_told_before_and_again_they_cost_nothing(command: Command, ledger: Ledger) -> None:
    told = plan(command, "--mode", "auto")
    assert (told["code"], told["problems"], len(told["nights"])) == (0, [], DAYS)
    for day, one in zip(range(DAYS, 0, -1), told["nights"], strict=True):
        before, calls = cost(ledger), count(ledger, "inference")
        assert command("run", "all", CASE, "--mode", "auto", first=day, last=day - 1)[0] == 0
        assert one["calls"] == count(ledger, "inference") - calls
        assert abs(Decimal(one["cost_usd"]) / (cost(ledger) - before) - 1) < Decimal("0.2")
        assert one["rows_read"] == one["rows"] + one["quarantined"] == LEADS
    assert abs(Decimal(told["total"]["cost_usd"]) / cost(ledger) - 1) < Decimal("0.2")
    again = plan(command, "--mode", "auto")
    assert (again["total"]["calls"], Decimal(again["total"]["cost_usd"])) == (0, 0)
    assert again["total"]["reused"] == told["total"]["rows"]


def test_a_date_that_has_not_run_is_planned_by_what_others_took(command: Command, ledger: Ledger) -> None:
    command("run", "all", CASE, first=2, last=0)
    command("run", "all", CASE, first=DAYS, last=2)
    before = cost(ledger)
    told = plan(command, "--re-infer", "all")
    assert told["total"]["reused"] == 0
    for day in range(DAYS, 0, -1):
        command("run", "all", CASE, "--re-infer", "all", first=day, last=day - 1)
    paid = cost(ledger) - before
    assert abs(Decimal(told["total"]["cost_usd"]) / paid - 1) < Decimal("0.03")


def test_a_plan_leaves_nothing_behind(
    command: Command, ledger: Ledger, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before, files = filled(ledger), everything(Path(sandbox.endpoints.state))
    assert plan(command, "--mode", "auto")["total"]["asked"] > LEADS
    after = filled(ledger)
    assert after.pop("quota") == 2  # the calls of the CRM were made, and count for everybody who uses its key
    assert after == before
    assert everything(scratch) == []
    assert not (tmp_path / "home").exists() or everything(tmp_path / "home") == []
    assert {name for name in everything(Path(sandbox.endpoints.state)) if "archive" in name} == {
        name for name in files if "archive" in name
    }
    assert sandbox.billed()["calls"] == sandbox.written() == 0


def test_nobody_who_asks_waits_for_a_plan(command: Command, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    met = []

    def look(night: Night) -> Manifest:
        with ledger.owner.begin() as connection:
            connection.execute(text("SET LOCAL lock_timeout = '200ms'"))
            connection.execute(text("LOCK TABLE nightledger.inference IN ROW EXCLUSIVE MODE"))  # as an intent does
        met.append(night.interval)
        return good_rows(night)

    monkeypatch.setattr("include.operations.plan_nights.good_rows", look)
    assert plan(command)["code"] == 0
    assert len(met) == DAYS


def test_the_table_fits_a_terminal_and_names_every_system_and_budget(command: Command) -> None:
    code, said = command("plan", CASE, "--mode", "auto")
    lines = said.splitlines()
    assert code == 0
    assert max(map(len, lines)) <= 120
    assert [line.split()[0] for line in lines[2 : 3 + DAYS]] == ["2026-11-17", "2026-11-18", "2026-11-19", "total"]
    assert re.search(r"crm read +[0-9.]+ min +12 requests; 100 requests in 10 s", said)
    assert re.search(r"model ask +[0-9.]+ min +\d+ requests, [0-9,]+ tokens; 3,000 requests in 60 s", said)
    assert re.search(r"crm write +[0-9.]+ min +6 requests", said)
    for scope in ("one run, the dearest", "day/", "month/", "key/model/", "backfill/"):
        assert re.search(rf"  {scope}.* 0\.\d{{4}} of +[0-9.]+ +0\.0000 used before", said)
    assert re.fullmatch(r"Fits: 0\.\d{4} USD, 0\.0 minutes at the limits", lines[-1])


def test_nights_that_fit_one_by_one_but_not_together_do_not_fit_a_window(
    command: Command, registry: Callable[[str, str], None]
) -> None:
    registry("requests = 3000, tokens = 2000000", "requests = 100")
    alone = plan(command)
    assert (alone["code"], [one["minutes"]["model ask"] for one in alone["nights"]]) == (0, [0, 0, 0])
    together = plan(command, "--window", "0.01")
    assert together["code"] == 1
    (problem,) = together["problems"]
    assert "mostly `model ask` (100 requests in 60 s), do not fit 0.0 hours; widen the window" in problem
    assert plan(command, "--window", "0.1")["code"] == 0


def test_a_night_that_cannot_fit_is_named_and_a_batch_is_the_way_out(
    command: Command, registry: Callable[[str, str], None]
) -> None:
    registry("requests = 3000, tokens = 2000000, per_seconds = 60", "tokens = 500, per_seconds = 600")
    told = plan(command, last=DAYS - 1)
    assert told["code"] == 1
    assert re.search(
        r"the night of 2026-11-17: .*`model ask` \(500 tokens in 600 s\).*--asking batch", told["problems"][0]
    )
    assert plan(command, "--asking", "batch", last=DAYS - 1)["code"] == 0
    code, said = command("plan", CASE, "--asking", "batch", "--window", "4", last=DAYS - 1)
    assert code == 1
    assert "promised within 24 h a batch" in said
    assert said.splitlines()[-1].startswith("DOES NOT FIT")


def test_a_ceiling_that_would_be_passed_is_named(command: Command, registry: Callable[[str, str], None]) -> None:
    registry("budget_usd_per_day = 50", "budget_usd_per_day = 0.01")
    told = plan(command)
    assert told["code"] == 1
    (problem,) = told["problems"]
    assert re.search(r"pass the ceiling 0.01 of `key/model/\d{4}-\d\d-\d\d`; raise it", problem)
    assert plan(command, last=DAYS - 1)["code"] == 0


def test_a_night_that_would_stop_says_why_and_the_others_are_planned(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = command("plan", CASE, first=DAYS + 1, last=-400)
    assert code == 1
    lines = said.splitlines()
    assert lines[2].split() == ["2026-11-16", *"-" * 14]
    assert re.search(r"the night of 2026-11-16 would stop: sftp drop: no file matches", said)
    assert "2027-12-24 would stop: the interval is not over yet" in said
    assert re.search(r"^ +total +240 ", said, re.MULTILINE)
    monkeypatch.setenv("AIRFLOW_CONN_CRM_DEFAULT", json.dumps({"host": "http://127.0.0.1:1", "password": "hunter2"}))
    monkeypatch.setattr("include.systems.http.wait_seconds", lambda *args, **more: 0.0)
    told = plan(command)
    assert [("crm" in one["problem"], one["rows"]) for one in told["nights"]] == [(True, 0)] * DAYS
    assert "hunter2" not in str(told)


def test_steps_may_have_another_length(command: Command) -> None:
    told = plan(command, "--step", "48")
    assert [(one["from"][:10], one["to"][:10]) for one in told["nights"]][-1] == ("2026-11-19", "2026-11-20")
    assert told["nights"][0]["rows_read"] == 2 * LEADS


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--step", "0"], "--step: must be a number of hours above 0"),
        (["--step", "nan"], "--step: must be a number of hours above 0"),
        (["--window", "-1"], "--window: must be a number of hours above 0"),
        (["--from", "yesterday"], "needs times in ISO 8601"),
        (["--from", "2027-01-01"], "the interval is empty"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_read(
    wrong: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", CASE, "--from", night(1), "--to", night(0), *wrong]) == 2
    assert says in capsys.readouterr().err
