"""`dead-letters` on whole nights: only what is chosen is asked, paid or written, also after kills and changes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from include.cli import main
from include.database import transaction
from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.ledger import door
from include.ledger.dead_letters import Selection
from include.ledger.record import DeadLetter, bury
from include.ledger.verify import verify
from include.models import Record
from include.night.enrich import enrich as enrich_module
from include.operations.replay import replay
from include.settings import ROOT, Settings
from include.spec.prompt import Prompt, load_prompt
from include.spec.use_case import FailurePlan, UseCase
from include.systems.connections import EnvironmentConnections
from include.use_cases.crm_lead_scoring import spec
from tests.core.conftest import Ledger, MakeNight
from tests.core.ledger.nights import let_leases_run_out
from tests.core.night.enrich.test_enrich import rows
from tests.core.test_whole_night import Sandbox

END = datetime(2026, 11, 20, 2, tzinfo=UTC)
LEADS, CONCURRENCY = 60, 4
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    config = SandboxConfig(
        state=tmp_path_factory.mktemp("sandbox"),
        anchor=END,
        days=2,
        leads_per_day=LEADS,
        crm_latency_ms=0,
        model_latency_ms=10,
        model_jitter_ms=0,
        crm_requests_per_10s=10_000,
    )
    with running_sandbox(config) as endpoints:
        yield Sandbox(endpoints)


@pytest.fixture
def environment(
    sandbox: Sandbox, ledger: Ledger, warehouse_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """What the command line needs to reach everything; set for this process too."""
    e, ours, warehouse = sandbox.endpoints, make_url(ledger.urls.service), make_url(warehouse_url)
    extra = {"host_key": e.sftp_host_key, "key_file": e.sftp_key_file}
    connections = {
        "CRM_DEFAULT": {"host": e.crm_url, "password": e.crm_token},
        "SFTP_DEFAULT": {"host": e.sftp_host, "port": e.sftp_port, "login": e.sftp_login, "extra": extra},
        "OPENAI_DEFAULT": {"host": e.model_url, "password": e.model_key},
        "WAREHOUSE_DEFAULT": {
            "host": warehouse.query["host"],
            "schema": warehouse.database,
            "login": warehouse.username,
        },
        "NIGHTLEDGER_DB": {"host": ours.query["host"], "schema": ours.database, "login": ours.username},
    }
    given = {f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in connections.items()}
    given |= {"NIGHTLEDGER_HOME": str(tmp_path), "NIGHTLEDGER_TOKEN_SECRET": "test secret"}
    given["NIGHTLEDGER_CONCURRENCY"] = str(CONCURRENCY)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


@pytest.fixture
def letters(environment: dict[str, str]) -> Command:
    """`dead-letters` as a person types it; returns the exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        out = io.StringIO()
        return main(["dead-letters", *arguments], out), out.getvalue()

    return run


def run_night(day: int = 0, *more: str) -> Record:
    """A whole night in mode auto, from the command line; what `close` said."""
    end, out = END + timedelta(days=day), io.StringIO()
    when = ["--from", (end - timedelta(days=1)).isoformat(), "--to", end.isoformat()]
    assert main(["run", "all", spec.SPEC.name, *when, "--mode", "auto", *more], out) == 0
    said: Record = json.loads(out.getvalue().splitlines()[-1])["close"]
    return said


def dead(ledger: Ledger, cause: str) -> set[str]:
    query = f"SELECT DISTINCT row_id FROM dead_letter WHERE cause = '{cause}'"
    return {row_id for (row_id,) in rows(ledger, query)}


def last_outcomes(ledger: Ledger) -> dict[str, str]:
    newest = "SELECT run_id FROM run ORDER BY started_at DESC LIMIT 1"
    return dict(map(tuple, rows(ledger, f"SELECT row_id, outcome FROM outcome WHERE run_id = ({newest})")))


def spy_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the use case has another prompt."""

    def newer(case: UseCase) -> Prompt:
        prompt = load_prompt(case)
        return replace(prompt, version="2", system=prompt.system + "\nThink twice.")

    monkeypatch.setattr(door, "load_prompt", newer)
    monkeypatch.setattr(enrich_module, "load_prompt", newer)


def test_rows_of_an_outage_are_listed_shown_replayed_and_then_written(
    letters: Command, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as outage:
        outage.setattr("include.night.enrich.dispatch.wait_seconds", lambda *args, **more: 0.01)
        plan = FailurePlan("dead_letter", "dead_letter", "dead_letter", "a person replays them")
        outage.setattr(spec, "SPEC", replace(spec.SPEC, failure_plan=plan))
        sandbox.fail("model", http_503=0.7, refusal=0.1)
        night = run_night()
    down, refused = dead(ledger, "model_unavailable"), dead(ledger, "refused")
    assert len(down) > 2
    assert len(refused) > 0
    assert night["counts"]["dead_letter"] == len(down) + len(refused)
    sandbox.fail("model")

    code, listed = letters("list", "--cause", "model_unavailable")
    assert code == 0
    assert listed.splitlines()[0].split()[-6:-4] == [str(len(down)), "rows"]
    ((number,),) = rows(ledger, "SELECT min(dead_letter_id) FROM dead_letter WHERE cause = 'model_unavailable'")
    shown = json.loads(letters("show", str(number))[1])
    assert shown["record"]["email"] is None or shown["record"]["email"].startswith("token:")
    assert shown["tries"] == 5
    assert (shown["system"], shown["row_id"] in down) == ("model", True)

    asked, written = sandbox.billed()["calls"], sandbox.written()
    code, said = letters("replay", "--cause", "model_unavailable")
    (done,) = [json.loads(line) for line in said.splitlines()[:-1]]
    assert (code, done["rows"], done["status"]) == (0, len(down), "succeeded")
    assert sandbox.billed()["calls"] - asked == len(down)
    ended = last_outcomes(ledger)
    assert len(ended) == LEADS
    assert {ended[row] for row in down} <= {"written", "in_review"}
    assert {ended[row] for row in refused} == {"dead_letter"}
    assert sandbox.written() - written == sum(outcome == "written" for outcome in ended.values()) > 0

    asked, written = sandbox.billed()["calls"], sandbox.written()
    assert letters("replay", "--cause", "model_unavailable")[1].startswith("0 rows of 0 nights")
    assert (sandbox.billed()["calls"], sandbox.written()) == (asked, written)
    assert "refused" in letters("list")[1]
    assert verify(ledger.owner).holds


def test_a_new_prompt_is_asked_for_the_chosen_rows_only(
    letters: Command, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.fail("model", refusal=0.1, prose=0.3)
    run_night()
    chosen = dead(ledger, "invalid_output")
    assert chosen
    assert dead(ledger, "refused")
    sandbox.fail("model")
    asked = sandbox.billed()["calls"]
    spy_prompt(monkeypatch)
    code, _ = letters("replay", "--cause", "invalid_output")
    assert code == 0
    assert sandbox.billed()["calls"] - asked == len(chosen)
    assert {row_id for (row_id,) in rows(ledger, "SELECT row_id FROM inference WHERE prompt_version = '2'")} == chosen


def test_a_replay_of_a_night_that_asked_everything_again_does_not(
    letters: Command, sandbox: Sandbox, ledger: Ledger
) -> None:
    run_night()
    sandbox.fail("model", refusal=0.2)
    run_night(0, "--re-infer", "all")
    refused = dead(ledger, "refused")
    sandbox.fail("model")
    asked = sandbox.billed()["calls"]
    assert letters("replay")[0] == 0
    assert sandbox.billed()["calls"] - asked <= len(refused)
    assert "0 rows" in letters("list")[1]


def test_writes_that_were_rejected_are_sent_again_without_asking_and_others_wait(
    letters: Command, sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as wrong:
        sink = replace(spec.SPEC.sinks[0], fields={"score": "nl_lead_tier"})
        wrong.setattr(spec, "SPEC", replace(spec.SPEC, sinks=(sink,)))
        run_night()
    rejected = sorted(dead(ledger, "rejected_by_destination"))
    assert len(rejected) > 4
    waiting = f"UPDATE dead_letter SET cause = 'no_result' WHERE row_id IN ('{rejected[0]}', '{rejected[1]}')"
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql(waiting)
    asked, written = sandbox.billed()["calls"], sandbox.written()
    assert letters("replay", "--system", "crm", "--cause", "rejected_by_destination")[0] == 0
    assert sandbox.billed()["calls"] == asked
    assert sandbox.written() - written == len(rejected) - 2
    ended = last_outcomes(ledger)
    assert [ended[row] for row in rejected[:2]] == ["dead_letter", "dead_letter"]
    assert {ended[row] for row in rejected[2:]} == {"written"}


def test_a_replay_killed_half_way_loses_nothing_and_pays_only_what_was_in_flight_twice(
    letters: Command, sandbox: Sandbox, ledger: Ledger, environment: dict[str, str]
) -> None:
    sandbox.fail("model", refusal=0.7)
    run_night()
    refused = dead(ledger, "refused")
    assert len(refused) > 20
    sandbox.fail("model", refusal=0.2)
    before = sandbox.billed()["calls"]
    slow = {**os.environ, **environment, "NIGHTLEDGER_CONCURRENCY": "2"}
    command = [sys.executable, "-W", "ignore", "-m", "include.cli", "dead-letters", "replay"]
    with subprocess.Popen(command, env=slow, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while sandbox.billed()["calls"] < before + 5:
            assert run.poll() is None
            time.sleep(0.005)
        run.kill()
    let_leases_run_out(ledger.owner)
    assert len(refused) > sandbox.billed()["calls"] - before
    assert rows(ledger, "SELECT count(*) FROM dead_letter WHERE status = 'replayed'") == [(len(refused),)]
    code, said = letters("replay")
    (done,) = [json.loads(line) for line in said.splitlines()[:-1]]
    assert (code, done["rows"], done["left_open"]) == (1 if done["died_again"] else 0, len(refused), 0)
    assert done["run_id"].endswith("-2")
    assert len(refused) <= sandbox.billed()["calls"] - before <= len(refused) + 2
    still = {row for (row,) in rows(ledger, "SELECT row_id FROM dead_letter WHERE status = 'open'")}
    assert still == {row for row, outcome in last_outcomes(ledger).items() if outcome == "dead_letter"}
    assert len(still) == done["died_again"]
    assert verify(ledger.owner).holds


def test_two_replays_at_once_do_it_once(
    letters: Command, sandbox: Sandbox, ledger: Ledger, environment: dict[str, str]
) -> None:
    sandbox.fail("model", refusal=0.3)
    run_night()
    refused = dead(ledger, "refused")
    sandbox.fail("model")
    asked = sandbox.billed()["calls"]

    def one(actor: str) -> list[Record]:
        return replay(EnvironmentConnections(environment), Settings.read(environment), Selection(), actor)

    with ThreadPoolExecutor(2) as pool:
        done = [night for nights in pool.map(one, ("Kim", "Alex")) for night in nights]
    assert [night["rows"] for night in done] == [len(refused)]
    assert sandbox.billed()["calls"] - asked == len(refused)
    assert rows(ledger, "SELECT count(*) FROM run WHERE external_ref LIKE 'replay/%%'") == [(1,)]


def test_a_night_that_cannot_run_keeps_its_letters_open_and_the_next_is_replayed(
    letters: Command, sandbox: Sandbox, ledger: Ledger, make_night: MakeNight
) -> None:
    sandbox.fail("model", refusal=0.2)
    run_night(-1)
    run_night()
    first, second = (
        len({row for (row,) in rows(ledger, f"SELECT row_id FROM dead_letter WHERE run_id LIKE '%%{day}T0200-1'")})
        for day in ("20261119", "20261120")
    )
    assert min(first, second) > 0
    file_line = DeadLetter("line/1", "1", "refused", "", "key", {"line": 1}, {"company": "A"}, 1)
    other = make_night(day=-9)
    with transaction(ledger.service) as connection:
        bury(connection, other, "enrich", [file_line])
    with ledger.owner.begin() as connection:  # as if the run had been one of a file
        connection.exec_driver_sql("UPDATE dead_letter SET use_case = 'file_other' WHERE row_id = 'line/1'")
    sandbox.fail("model")
    ((uri,),) = rows(ledger, "SELECT uri FROM manifest WHERE dataset = 'raw' ORDER BY run_id LIMIT 1")
    Path(uri).write_bytes(bytes(Path(uri).stat().st_size))
    code, said = letters("replay")
    bad, good = (json.loads(line) for line in said.splitlines()[:-1])
    assert code == 1
    assert (bad["status"], bad["left_open"]) == ("failed", first)
    assert (good["status"], good["rows"], good["died_again"]) == ("succeeded", second, 0)
    listed = letters("list")[1].splitlines()
    assert [line.split()[0] for line in listed[:-1]] == [spec.SPEC.name, "file_other"]


def test_dismissing_needs_a_filter_and_a_reason_and_keeps_it(
    letters: Command, sandbox: Sandbox, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.fail("model", refusal=0.2)
    run_night()
    count = len(dead(ledger, "refused"))
    assert letters("dismiss", "--cause", "refused")[0] == 2
    assert letters("dismiss", "--reason", "spam")[0] == 2
    assert "--reason" in (said := capsys.readouterr().err)
    assert "filter" in said
    assert letters("dismiss", "--cause", "refused", "--reason", "spam") == (0, f"{count} letters dismissed\n")
    assert letters("list")[1].startswith("0 rows")
    assert letters("list", "--status", "dismissed")[1].splitlines()[-1].startswith(f"{count} rows")
    assert letters("replay")[1].startswith("0 rows of 0 nights")


@pytest.mark.parametrize(
    ("arguments", "said"), [(("show",), "number"), (("show", "7"), "no such"), (("list", "--from", "now"), "ISO 8601")]
)
def test_what_is_asked_wrongly_is_said(
    letters: Command, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert letters(*arguments)[0] == 2
    assert said in capsys.readouterr().err
