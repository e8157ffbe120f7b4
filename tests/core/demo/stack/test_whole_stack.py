"""The whole embedded stack on this machine: up, a night, a crash, down."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from include.demo.stack import processes
from include.demo.stack.api import AirflowApi
from include.demo.stack.home import open_home, open_secrets
from include.demo.stack.stack import DAG
from include.settings import ROOT
from tests.last_night import last_interval

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
COMPONENTS = {"api-server", "scheduler", "dag-processor", "triggerer"}


class Clone:
    """A state folder of its own, used through the command line as a person would."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.first_run = ""
        self.ours = {"NIGHTLEDGER_HOME": str(home), "NIGHTLEDGER_PARALLELISM": "2", "NIGHTLEDGER_GIT_SHA": "test"}

    def __call__(self, *arguments: str, expect: int = 0) -> str:
        command = [sys.executable, "-W", "ignore", "-m", "include.demo.stack", *arguments]
        environment = {**os.environ, **self.ours}
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=400)
        assert done.returncode == expect, done.stdout + done.stderr + self.logs()
        return done.stdout

    def api(self) -> AirflowApi:
        """Airflow as it is now, which costs less to ask than by a command of its own."""
        home = open_home(self.ours)
        server = processes.find(home, "api-server")
        assert server is not None
        return AirflowApi(f"http://127.0.0.1:{server.port}", "admin", open_secrets(home)["admin"])

    def pids(self) -> dict[str, int]:
        return {path.stem: json.loads(path.read_text())["pid"] for path in (self.home / "run").glob("*.json")}

    def logs(self) -> str:
        return "".join(f"\n== {path.name}\n{path.read_text()[-1500:]}" for path in (self.home / "logs").glob("*.log"))

    def processes(self) -> list[psutil.Process]:
        """Everything alive that was started for this folder, by what it was told in its command or environment."""
        return [found for found in psutil.process_iter() if self._mine(found)]

    def _mine(self, process: psutil.Process) -> bool:
        try:
            told = " ".join(process.cmdline()) + " ".join(process.environ().values())
        except psutil.Error:
            return False
        return str(self.home) in told


@pytest.fixture(scope="module")
def clone() -> Iterator[Clone]:
    with tempfile.TemporaryDirectory(prefix="nl-stack-") as folder:
        Path(folder).chmod(0o711)
        clone = Clone(Path(folder))
        try:
            clone("up")
            yield clone
        finally:
            clone("down")


def test_up_again_changes_nothing(clone: Clone) -> None:
    before = clone.pids()
    assert before.keys() >= COMPONENTS
    clone("up")
    assert clone.pids() == before


def test_airflow_listens_on_loopback_only(clone: Clone) -> None:
    listening = []
    for pid in clone.pids().values():
        leader, *others = _family(pid)
        listening += _listens(leader)
        for other in others:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # a task has ended, or is sealed off by Airflow
                listening += _listens(other)
    assert set(listening) == {"127.0.0.1"}


def test_any_airflow_command_runs_in_the_environment_of_the_stack(clone: Clone) -> None:
    assert DAG in clone("run", "airflow", "dags", "list", "-o", "plain")


def test_a_shell_with_another_setting_ends_no_task_of_the_stack_by_a_command(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = clone.pids()
    monkeypatch.setenv("AIRFLOW_CONN_ALERT_SLACK", '{"host": "http://127.0.0.1:9"}')
    assert (
        clone("run", sys.executable, "-c", "import os; print('AIRFLOW_CONN_ALERT_SLACK' in os.environ)").strip()
        == "True"
    )
    assert clone.pids() == before


def test_a_night_of_another_date_runs_alone_and_leaves_the_schedule_off(clone: Clone) -> None:
    day = f"{last_interval()[0] - timedelta(days=2):%Y-%m-%d}"
    said = clone("night", "--date", day, "--mode", "shadow")
    assert f"runs/night__{day}__1" in said.splitlines()[-1]
    (clone.first_run,) = re.findall(r"run +(\S+), code", said)
    assert f"{day:.4}{day[5:7]}{day[8:]}T0200" in clone.first_run
    runs = clone.api().runs(DAG)
    assert [(run["dag_run_id"], run["state"]) for run in runs] == [(f"night__{day}__1", "success")]
    assert clone.api().is_paused(DAG)


def test_a_night_that_is_ended_midway_leaves_no_run_and_the_schedule_off(clone: Clone) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "include.demo.stack", "night", "--mode", "shadow"]
    with subprocess.Popen(
        command, env={**os.environ, **clone.ours}, cwd=ROOT, text=True, stdout=subprocess.PIPE
    ) as night:
        assert night.stdout is not None
        while "extract" not in (line := night.stdout.readline()):
            assert line, clone.logs()
        night.terminate()
        night.communicate(timeout=60)
    assert night.returncode == 130
    newest = clone.api().runs(DAG)[0]
    assert newest["dag_run_id"].startswith("night__")
    assert newest["state"] == "failed"
    assert clone.api().is_paused(DAG)
    assert not (clone.home / "night.json").exists()


def test_a_command_finds_the_ledger_without_being_told(clone: Clone) -> None:
    assert "ALL RIGHT" in clone("report", "crm_lead_scoring", "--run", clone.first_run)


def test_a_killed_part_is_reported_and_started_again(clone: Clone) -> None:
    before = clone.pids()
    os.kill(before["scheduler"], signal.SIGKILL)
    time.sleep(0.5)
    assert "scheduler       crashed" in clone("status")
    clone("up")
    after = clone.pids()
    assert {name for name in after if after[name] != before[name]} == {"scheduler"}
    assert "crashed" not in clone("status")


def test_down_leaves_nothing_behind(clone: Clone) -> None:
    began = time.monotonic()
    clone("down")
    assert time.monotonic() - began < 25
    assert clone.processes() == []
    assert clone("down").strip() == "Nothing was running."


def _family(pid: int) -> list[psutil.Process]:
    leader = psutil.Process(pid)
    return [leader, *leader.children(recursive=True)]


def _listens(process: psutil.Process) -> list[str]:
    return [place.laddr.ip for place in process.net_connections() if place.status == "LISTEN"]
