"""`enrich` on a file: the same engine and ledger, and every line accounted for."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy.engine import make_url

from include.cli import main
from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.ledger.verify import verify
from include.models import Record
from include.night.enrich.parse import CUT_OFF
from include.settings import ROOT
from tests.core.conftest import Ledger
from tests.core.ledger.nights import let_leases_run_out
from tests.core.night.enrich.test_enrich import rows
from tests.core.odd_server import Seen, completion, odd_server, refusal
from tests.core.test_whole_night import Sandbox

ROWS = 40
Enrich = Callable[..., tuple[int, Record, list[Record]]]


@pytest.fixture
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    state = tmp_path_factory.mktemp("sandbox")
    config = SandboxConfig(state=state, days=1, leads_per_day=1, model_latency_ms=20, model_jitter_ms=0)
    with running_sandbox(config) as endpoints:
        yield Sandbox(endpoints)


@pytest.fixture
def environment(sandbox: Sandbox, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    db = make_url(ledger.urls.service)
    where = {"host": db.query["host"], "schema": db.database, "login": db.username}
    given = {
        "OPENAI_API_KEY": sandbox.endpoints.model_key,
        "OPENAI_BASE_URL": sandbox.endpoints.model_url,
        "AIRFLOW_CONN_NIGHTLEDGER_DB": json.dumps(where),
        "NIGHTLEDGER_TOKEN_SECRET": "secret",
        "NIGHTLEDGER_HOME": str(tmp_path),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return given


@pytest.fixture
def flags(tmp_path: Path, environment: dict[str, str]) -> list[str]:
    (tmp_path / "prompt.txt").write_text("You score leads. Answer with one JSON object.")
    name = f"answer_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(
        "from pydantic import BaseModel\nclass Answer(BaseModel):\n    score: int\n    note: str = ''\n"
    )
    lines = [json.dumps({"id": f"lead-{n}", "company": f"Works {n}"}) for n in range(ROWS)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    files = ["--input", str(tmp_path / "rows.jsonl"), "--output", str(tmp_path / "results.jsonl")]
    return ["enrich", *files, "--prompt", str(tmp_path / "prompt.txt"), "--output-model", f"{name}:Answer"]


@pytest.fixture
def enrich(flags: list[str], tmp_path: Path) -> Enrich:
    def run(*more: str, model: str = "sandbox-small") -> tuple[int, Record, list[Record]]:
        out, result = io.StringIO(), tmp_path / "results.jsonl"
        code = main([*flags, "--model", model, *more], out)
        counts = json.loads(out.getvalue().splitlines()[-1]) if out.getvalue() else {}
        return code, counts, [json.loads(line) for line in result.read_text().splitlines()] if result.exists() else []

    return run


def test_every_line_has_its_result_in_order_and_again_costs_nothing(
    enrich: Enrich, sandbox: Sandbox, ledger: Ledger
) -> None:
    code, counts, results = enrich("--rpm", "3000", "--tpm", "1000000")
    assert (code, counts["answered"], counts["calls"]) == (0, ROWS, ROWS)
    assert [line["id"] for line in results] == [f"lead-{n}" for n in range(ROWS)]
    assert all(set(line["output"]) == {"score", "note"} for line in results)
    assert not any(line["reused"] for line in results)
    code, counts, results = enrich()
    assert (code, counts["calls"], counts["reused"]) == (0, 0, ROWS)
    assert all(line["reused"] for line in results)
    assert sandbox.billed()["billed_calls"] == ROWS
    assert verify(ledger.owner).holds


def test_lines_that_are_no_rows_are_set_aside_and_the_rest_goes_on(
    enrich: Enrich, ledger: Ledger, tmp_path: Path
) -> None:
    content = b'{"company": "A"}\nnonsense\n\n[1, 2]\n{"company": "\xff"}\n{"company": "B"}\n{}\n'
    (tmp_path / "rows.jsonl").write_bytes(content)
    code, counts, results = enrich()
    assert code == 1
    assert [(line["line"], line["status"]) for line in results] == [
        (1, "answered"),
        (2, "quarantined"),
        (4, "quarantined"),
        (5, "quarantined"),
        (6, "answered"),
        (7, "dead_letter"),
    ]
    assert results[-1]["cause"] == "empty_input"
    assert (counts["rows"], counts["quarantined"], counts["calls"]) == (6, 3, 2)
    assert rows(ledger, "SELECT count(*) FROM quarantine") == [(3,)]


def test_a_killed_call_is_finished_by_the_next(
    flags: list[str], enrich: Enrich, sandbox: Sandbox, ledger: Ledger, environment: dict[str, str], tmp_path: Path
) -> None:
    lines = [json.dumps({"company": f"Works {n}"}) for n in range(300)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    command = [sys.executable, "-W", "ignore", "-m", "include.cli", *flags, "--model", "sandbox-small"]
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    kept = {**os.environ, **environment, "PYTHONPATH": paths}
    with subprocess.Popen([*command, "--concurrency", "4"], env=kept, cwd=tmp_path, stderr=subprocess.DEVNULL) as run:
        while sandbox.billed()["billed_calls"] < 60:
            assert run.poll() is None
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    let_leases_run_out(ledger.owner)
    assert not (tmp_path / "results.jsonl").exists()
    code, counts, _ = enrich()
    assert (code, counts["answered"]) == (0, 300)
    assert counts["reused"] >= 50
    assert sandbox.billed()["billed_again"] <= 4


def test_a_budget_defers_what_it_cannot_pay(enrich: Enrich) -> None:
    code, counts, results = enrich("--budget", "0.00045", "--concurrency", "2")
    assert code == 1
    assert 0 < counts["answered"] < ROWS
    assert Decimal(counts["cost_usd"]) <= Decimal("0.00045")
    (why,) = {line["detail"] for line in results if line["status"] == "deferred"}
    assert re.fullmatch(r"the budget run/\S+ of 0.00045 USD is used up", why)


def test_a_model_without_price_is_counted_at_the_dearest(
    enrich: Enrich, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prices = (ROOT / "include" / "night" / "enrich" / "prices.toml").read_text(encoding="utf-8")
    table = tmp_path / "prices.toml"
    table.write_text(prices.replace('model = "sandbox-small"', 'model = "renamed"'), encoding="utf-8")
    monkeypatch.setattr("include.night.enrich.prices.assume_price.__defaults__", (None, table))
    code, counts, _ = enrich()
    assert code == 0
    assert Decimal(counts["cost_usd"]) > Decimal("0.005")
    assert rows(ledger, "SELECT DISTINCT cost_basis, price_dated FROM inference_result") == [("estimated", "assumed")]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--budget", "0"], "--budget: must be an amount"),
        (["--rpm", "0"], "must be a number above 0"),
        (["--output-model", "nowhere:Answer"], "cannot be imported"),
        (["--output-model", "json:dumps"], "is no pydantic model"),
        (["--system", "nowhere"], "not in the registry"),
        (["--prompt", "nowhere.txt"], "prompt file cannot be read"),
        (["--input", "nowhere.jsonl"], "cannot be read"),
        (["--model", "no-such-model"], "no such model"),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_paid(
    enrich: Enrich, sandbox: Sandbox, capsys: pytest.CaptureFixture[str], wrong: list[str], says: str
) -> None:
    code, _, results = enrich(*wrong)
    assert (code, results) == (2, [])
    assert says in capsys.readouterr().err
    assert sandbox.billed()["billed_calls"] == 0


def test_without_a_key_it_says_where_it_comes_from(
    enrich: Enrich, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert enrich()[0] == 2
    assert "OPENAI_API_KEY" in capsys.readouterr().err


def test_a_template_is_the_user_message(enrich: Enrich, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("Score {{ row.company }} from 0 to 100.")
    assert enrich()[0] == 0
    said: list[Any] = rows(ledger, "SELECT messages -> 0 ->> 'content' FROM inference ORDER BY 1 LIMIT 1")
    assert said == [("Score Works 0 from 0 to 100.",)]


def test_another_servers_answers_are_not_used_again(
    enrich: Enrich, monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    with (
        odd_server(lambda _: completion('{"score": 1}')) as trial,
        odd_server(lambda _: completion('{"score": 2}')) as ours,
    ):
        assert enrich("--base-url", f"{trial.url}/v1")[1]["calls"] == ROWS
        code, counts, results = enrich("--base-url", f"{ours.url}/v1")
        assert (code, counts["calls"], counts["reused"]) == (0, ROWS, 0)
        assert {line["output"]["score"] for line in results} == {2}
        monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{trial.url}/v1/")
        assert enrich()[1]["reused"] == ROWS, "the same server by another key"
        asked = rows(ledger, "SELECT DISTINCT parameters ->> 'endpoint' FROM inference ORDER BY 1")
        assert {one[0].partition("#")[0] for one in asked} == {trial.url, ours.url}


def test_a_server_without_structured_output_is_asked_in_the_next_form(enrich: Enrich, ledger: Ledger) -> None:
    def answer(seen: Seen) -> web.Response:
        form = seen.json["response_format"]["type"]
        return completion('{"score": 1}') if form == "json_object" else refusal(500, f"{form} is not implemented")

    with odd_server(answer) as server:
        given = ("--base-url", f"{server.url}/v1", "--token-limit", "max_tokens", "--concurrency", "2")
        code, _, _ = enrich(*given)
        assert code == 2
        code, counts, _ = enrich(*given, "--structured-output", "json_schema,json_object")
        assert (code, counts["answered"]) == (0, ROWS)
        assert all(one.json["max_tokens"] == 400 for one in server.seen)
        assert enrich(*given, "--structured-output", "json_schema,json_object")[1]["calls"] == 0
    forms = rows(
        ledger,
        "SELECT i.parameters ->> 'structured_output', r.outcome, count(*) FROM inference i "
        "JOIN inference_result r USING (inference_id) WHERE r.outcome = 'ok' GROUP BY 1, 2",
    )
    assert sum(count for _, _, count in forms) == ROWS
    assert {form for form, _, _ in forms} <= {"json_object", "json_schema, else json_object"}


def test_a_quota_that_is_used_up_ends_the_run_at_once_and_says_so(
    enrich: Enrich, capsys: pytest.CaptureFixture[str]
) -> None:
    quota = {"message": "You exceeded your current quota", "code": "insufficient_quota"}
    with odd_server(lambda _: refusal(429, **quota)) as server:
        code, _, results = enrich("--base-url", f"{server.url}/v1", "--concurrency", "4")
        assert (code, results) == (2, [])
        assert len(server.seen) <= 4
    assert "the quota of the vendor's account is used up (429 insufficient_quota" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", '{"score": 1'])
def test_an_answer_that_is_cut_off_is_paid_once(enrich: Enrich, content: str) -> None:
    with odd_server(lambda _: completion(content, "length")) as server:
        code, counts, results = enrich("--base-url", f"{server.url}/v1")
        assert (code, counts["calls"], len(server.seen)) == (1, ROWS, ROWS)
    assert {(line["cause"], line["detail"]) for line in results} == {("invalid_output", CUT_OFF)}
