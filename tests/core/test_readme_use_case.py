"""The README's "Add a use case", built word for word in a copy of the project, and run."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.demo.sandbox.config import SandboxConfig, last_night
from include.demo.sandbox.process import running_sandbox
from include.settings import ROOT
from tests.core.commands.test_cli import connection
from tests.core.conftest import Ledger
from tests.readme import NIGHT, shown_commands, shown_use_case

NAME = "ticket_mood"
FILES = ("__init__.py", "spec.py", "output.py", "expectations.py", "fallback.py", "prompt.v1.md")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with the files of the README, and nothing else."""
    place = tmp_path / "project"
    place.mkdir()
    for name in ("include", "plugins", "dags"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "include" / "use_cases" / NAME).mkdir()
    for name, text in shown_use_case().items():
        (place / name).write_text(text, encoding="utf-8")
    return place


def test_the_readme_holds_every_file_that_is_needed() -> None:
    assert set(shown_use_case()) == {*(f"include/use_cases/{NAME}/{name}" for name in FILES), f"dags/{NAME}.py"}
    assert ["make", "night", f"USE_CASE={NAME}"] in shown_commands(NIGHT)


def test_the_use_case_of_the_readme_runs_as_it_stands_there(ledger: Ledger, project: Path, tmp_path: Path) -> None:
    end = last_night()
    config = SandboxConfig(state=tmp_path / "sandbox", days=1, leads_per_day=1, anchor=end, model_latency_ms=0)
    with running_sandbox(config) as sandbox:
        port = {"host": "127.0.0.1", "port": sandbox.crm_port, "password": sandbox.crm_token, "schema": "http"}
        shop = {"host": sandbox.shop_database, "extra": {"sqlalchemy_scheme": "sqlite"}}
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "NIGHTLEDGER"))},
            "PYTHONPATH": f"{project}{os.pathsep}{project / 'plugins'}",
            "NIGHTLEDGER_HOME": str(tmp_path / "home"),
            "NIGHTLEDGER_TOKEN_SECRET": "test secret",
            "AIRFLOW_CONN_NIGHTLEDGER_DB": connection(ledger.urls.service),
            "AIRFLOW_CONN_CRM_DEFAULT": json.dumps(port),
            "AIRFLOW_CONN_OPENAI_DEFAULT": json.dumps({"host": sandbox.model_url, "password": sandbox.model_key}),
            "AIRFLOW_CONN_SHOP_DEFAULT": json.dumps(shop),
        }
        interval = ["--from", f"{end - timedelta(days=1):%FT%T}", "--to", f"{end:%FT%T}", "--mode", "auto"]
        command = [sys.executable, "-W", "ignore", "-m", "include.cli", "run", "all", NAME, *interval]
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        steps = {name: said for line in done.stdout.splitlines() for name, said in json.loads(line).items()}
        with sqlite3.connect(sandbox.shop_database) as base:
            moods = [mood for (mood,) in base.execute("SELECT mood FROM ticket_mood")]
    assert end <= datetime.now(UTC)
    assert len(moods) == steps["close"]["counts"]["written"] > 20
    assert set(moods) <= {"calm", "annoyed", "angry"}


def test_the_dag_of_the_readme_is_a_night_like_any_other(project: Path, tmp_path: Path) -> None:
    script = (
        "from airflow.dag_processing.dagbag import DagBag;"
        f"bag = DagBag(dag_folder={str(project / 'dags' / f'{NAME}.py')!r});"
        f"assert not bag.import_errors, bag.import_errors; print(sorted(bag.dags['{NAME}'].task_ids))"
    )
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    environment["PYTHONPATH"] = f"{project}{os.pathsep}{project / 'plugins'}"
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("['check', 'close', 'enrich', 'extract', 'gate', 'plan', 'write']")
