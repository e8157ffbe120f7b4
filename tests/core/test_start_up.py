"""What a process loads: commands and stages bring only what they work with.

Each library here costs 0.15 to 3 CPU seconds to import; a night starts seven processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from include.commands import COMMANDS
from include.demo.sandbox.config import Endpoints, SandboxConfig
from include.demo.sandbox.process import running_sandbox
from include.demo.stack.environment import sandbox_connections
from include.settings import ROOT
from tests.core.conftest import Ledger

END = datetime(2026, 11, 20, 2, tzinfo=UTC)
HEAVY = {
    *("openai", "aiohttp", "pandas", "numpy", "pyarrow", "great_expectations", "scipy.stats", "altair"),
    *("paramiko", "requests", "sqlalchemy", "alembic", "psycopg", "pydantic"),
}
LEDGER = {"sqlalchemy", "psycopg"}
STAGED = {*LEDGER, "pyarrow", "numpy"}
WITH_PANDAS = {*STAGED, "pandas", "pydantic"}
NEEDS = {
    "extract": {*STAGED, "pydantic", "paramiko", "requests"},
    "check": {*WITH_PANDAS, "great_expectations", "requests"},
    "enrich": {*STAGED, "pydantic", "openai", "aiohttp"},
    "gate": {*WITH_PANDAS, "great_expectations", "requests"},
    "write": {*STAGED, "requests", "pydantic"},
    "close": {*STAGED, "pydantic"},  # the closed lists of the output model, for the drift of answers
}
"""Stage -> what it works with."""
_RUN = """
import json, sys
from include.cli import main
code = main(sys.argv[2:])
open(sys.argv[1], "w").write(json.dumps([code, sorted(sys.modules)]))
"""


def loaded(place: Path, environment: dict[str, str], *arguments: str) -> set[str]:
    """The heavy libraries that a process has loaded when its command is done."""
    command = [sys.executable, "-W", "ignore", "-c", _RUN, str(place), *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, cwd=ROOT, capture_output=True, text=True)
    assert place.exists(), done.stderr[-2_000:]
    code, modules = json.loads(place.read_text())
    place.unlink()
    assert code == 0, done.stderr[-2_000:]
    return HEAVY & set(modules)


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    ask = """
import contextlib, io, sys, include.cli
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    include.cli.main(["--help"])
print(*sys.modules)"""
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())
    assert "include.cli" in done.stdout.split()


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_what_it_takes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from include.cli import main

    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"nightledger {name}" in capsys.readouterr().out


@pytest.fixture
def environment(tmp_path: Path, ledger: Ledger, warehouse_url: str) -> Iterator[dict[str, str]]:
    config = SandboxConfig(state=tmp_path / "sandbox", anchor=END, days=1, leads_per_day=20, model_latency_ms=1)
    with running_sandbox(config) as endpoints:
        yield {
            **systems(endpoints),
            **{
                f"AIRFLOW_CONN_{name}": json.dumps(
                    {"host": url.query["host"], "schema": url.database, "login": url.username}
                )
                for name, url in (
                    ("NIGHTLEDGER_DB", make_url(ledger.urls.service)),
                    ("WAREHOUSE_DEFAULT", make_url(warehouse_url)),
                )
            },
            "NIGHTLEDGER_HOME": str(tmp_path),
            "NIGHTLEDGER_TOKEN_SECRET": "secret",
        }


def systems(endpoints: Endpoints) -> dict[str, str]:
    return sandbox_connections(endpoints.to_json())


def test_a_stage_loads_only_what_it_works_with(environment: dict[str, str], tmp_path: Path) -> None:
    night = ["crm_lead_scoring", "--from", "2026-11-19T02:00", "--to", "2026-11-20T02:00", "--mode", "auto"]
    for stage, needs in NEEDS.items():
        found = loaded(tmp_path / "modules.json", environment, "run", stage, *night)
        assert found <= needs, f"{stage} also loads {sorted(found - needs)}"
