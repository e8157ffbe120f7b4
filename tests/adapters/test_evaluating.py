"""The task of DAG `evaluate`: what it returns, when it fails for good, is skipped or tried again, and what it reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, ParamValidationError

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.errors import SystemUnavailable
from include.ledger.verify import verify
from include.models import Record
from include.spec.names import folder_of
from tests.adapters.ui_stand import MINE, connection_of
from tests.core.conftest import Ledger
from tests.core.night.enrich.test_enrich import rows
from tests.core.test_whole_night import Sandbox

SECRET = "ada.lovelace@private.example"
EXAMPLES = [json.loads(line) for line in (folder_of(MINE) / "evals.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    anchor = datetime(2026, 11, 20, 2, tzinfo=UTC)
    state = tmp_path_factory.mktemp("sandbox")
    with running_sandbox(SandboxConfig(state=state, anchor=anchor, days=1, leads_per_day=1, model_latency_ms=1)) as e:
        yield Sandbox(e)


@pytest.fixture(autouse=True)
def labels(sandbox: Sandbox, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a deployment declares for labelled rows; the task reaches ledger and model by Airflow's names."""
    e = sandbox.endpoints
    model = {"conn_type": "http", "host": e.model_url, "password": e.model_key}
    folder = tmp_path / "labels"
    folder.mkdir()
    for name, value in {
        "AIRFLOW_CONN_NIGHTLEDGER_DB": connection_of(ledger.urls.service),
        "AIRFLOW_CONN_OPENAI_DEFAULT": json.dumps(model),
        "NIGHTLEDGER_HOME": str(tmp_path),
        "NIGHTLEDGER_TOKEN_SECRET": "test secret",
        "NIGHTLEDGER_LABELS": str(folder),
    }.items():
        monkeypatch.setenv(name, value)
    return folder


def run(**given: Any) -> dict[str, Any]:
    from nightledger import evaluation

    params = {name: param.resolve() for name, param in evaluation.form().items()}
    done: dict[str, Any] = evaluation._evaluate.function(params={**params, "use_case": MINE, **given})
    return done


def write(file: Path, number: int = len(EXAMPLES), **changes: Any) -> str:
    """Labelled rows in a file, the first so many of the project's; returns its name."""
    lines = [json.dumps({**one, **changes}) for one in EXAMPLES[:number]]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file.name


def test_a_pass_returns_counts_and_ids_and_costs_nothing_twice(ledger: Ledger) -> None:
    found = run()
    assert (found["verdict"], found["rows"], found["calls"]) == ("passed", 24, 24)
    kept = rows(ledger, "SELECT evaluation_id::text, verdict, correct FROM evaluation")
    assert kept == [(found["evaluations"][0], "passed", found["correct"][0])]
    texts = {str(value) for one in EXAMPLES for value in one["input"].values() if len(str(value)) > 8}
    assert texts
    assert not [text for text in texts if text in json.dumps(found)]
    assert (run()["calls"], run(models="sandbox-small")["verdict"]) == (0, "passed")
    assert verify(ledger.service).findings == ()


def test_what_does_not_pass_fails_for_good_with_the_reasons_and_no_row(labels: Path) -> None:
    shown = {**EXAMPLES[0]["input"], "company_name": f"write to {SECRET}"}
    name = write(labels / "wrong.jsonl", input=shown, expected={"score": -1}, slice=SECRET)
    with pytest.raises(
        AirflowFailException, match=r"NOT PASSED.*0\.0% of 24 rows are right, 90\.0% are needed"
    ) as failed:
        run(labels=name)
    assert SECRET not in str(failed.value)


def test_too_few_rows_are_skipped_and_several_models_judge_nothing(labels: Path, ledger: Ledger) -> None:
    with pytest.raises(AirflowSkipException, match=r"NOT JUDGED.*it takes 20"):
        run(labels=write(labels / "few.jsonl", 3))
    found = run(models="sandbox-small, sandbox-large")
    assert (found["verdict"], found["models"]) == ("compared", ["sandbox-small", "sandbox-large"])
    assert rows(ledger, "SELECT DISTINCT verdict FROM evaluation ORDER BY 1") == [("compared",), ("too_few",)]


def test_a_model_that_is_down_is_tried_again(sandbox: Sandbox, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.night.enrich.dispatch.wait_seconds", lambda *args, **more: 0.01)
    monkeypatch.setenv("NIGHTLEDGER_OUTAGE_SECONDS", "1")
    sandbox.fail("model", http_500=1.0)
    try:
        with pytest.raises(SystemUnavailable, match="nothing is said of the prompt"):
            run()
    finally:
        sandbox.fail("model")
    assert rows(ledger, "SELECT count(*) FROM evaluation") == [(0,)]
    assert run()["verdict"] == "passed"


@pytest.mark.parametrize(
    "name", ["{out}", "../out.jsonl", "link.jsonl", ".", "../{case}/../{case}.jsonl", "a\0b", "x" * 300]
)
def test_a_form_names_no_file_outside_of_the_folders(labels: Path, tmp_path: Path, sandbox: Sandbox, name: str) -> None:
    out = tmp_path / "out.jsonl"
    write(out, expected={SECRET: 1})
    (labels / "link.jsonl").symlink_to(out)
    before = sandbox.billed()["calls"]
    with pytest.raises(AirflowFailException, match="there is no such file") as refused:
        run(labels=name.format(out=out, case=MINE))
    assert SECRET not in str(refused.value)
    assert sandbox.billed()["calls"] == before


def test_without_a_declared_folder_only_the_use_cases_own_files_are_read(
    labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write(labels / "mine.jsonl", 3)
    monkeypatch.delenv("NIGHTLEDGER_LABELS")
    with pytest.raises(AirflowFailException, match="NIGHTLEDGER_LABELS"):
        run(labels=name)
    assert run(labels="evals.jsonl")["verdict"] == "passed"


def test_what_is_answered_in_the_process_is_measured_without_a_ledger(ledger: Ledger) -> None:
    found: Record = run(use_case="erp_demand_forecast")
    assert (found["verdict"], found.keys() & {"evaluations"}) == ("passed", set())
    with pytest.raises(AirflowFailException, match=r"decided with an answer that they must not get$"):
        run(use_case="support_triage", ask=False)
    assert run(use_case="erp_reorder", ask=False)["verdict"] == "passed"
    assert rows(ledger, "SELECT count(*) FROM evaluation") == [(0,)]


def test_the_form_takes_versions_and_known_use_cases_only() -> None:
    from nightledger.evaluation import form

    for name, value in (("prompt", "../v1"), ("against", "1"), ("use_case", "nobody"), ("labels", "x" * 301)):
        params = form()
        params[name].value = value
        with pytest.raises(ParamValidationError):
            params[name].resolve()


def test_the_task_leads_to_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    from nightledger.links import EvaluationsLink

    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/af")
    key: Any = SimpleNamespace(dag_id="evaluate", run_id="manual__a+b")
    address = EvaluationsLink().get_link(None, ti_key=key)  # type: ignore[arg-type]
    assert address == "https://airflow.example/af/nightledger/evaluations?of=manual__a%2Bb"
