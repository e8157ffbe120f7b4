"""Bring the whole stack up, run a night on it, and take it down again."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import fasteners

from include.settings import ROOT
from include.stack import postgres, processes
from include.stack.api import AirflowApi
from include.stack.environment import (
    PREFIX,
    SANDBOX_CONNECTIONS,
    airflow_settings,
    children_environment,
    ledger_connections,
    read_environment,
    sandbox_connections,
)
from include.stack.errors import StackError
from include.stack.home import Home, free_port, open_home, open_secrets

DAG = "crm_lead_scoring"
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
START_SECONDS = 180.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Stack:
    """A running stack and how to reach it."""

    home: Home
    environment: Mapping[str, str]
    api: AirflowApi


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    lock = fasteners.InterProcessLock(home.folder / "stack.lock")
    if not lock.acquire(timeout=START_SECONDS):
        raise StackError("another command is changing the stack", system="stack", action="Wait for it to end")
    try:
        yield
    finally:
        lock.release()


def up(say: Say, data: Path | None = None) -> Stack:
    """Start what does not run yet and wait until the DAG can be triggered; safe to repeat."""
    given = read_environment()
    home = open_home(given)
    with _alone(home):
        secrets = open_secrets(home)
        server = postgres.start(home.postgres)
        postgres.prepare(server, secrets)
        port = _airflow_port(home, given)
        airflow = airflow_settings(home, server, secrets, port, int(given.get("NIGHTLEDGER_PARALLELISM", "4")))
        environment = children_environment(home, given, airflow, secrets)
        connections = ledger_connections(server, secrets)
        endpoints = _start_sandbox(home, environment, data)
        _upgrade(home, {**environment, **{k: v for k, v in connections.items() if k not in given}})
        connections |= sandbox_connections(endpoints()) if endpoints else {}
        environment |= {name: value for name, value in connections.items() if name not in given}
        api = AirflowApi(f"http://127.0.0.1:{port}", "admin", secrets["admin"])
        _start_airflow(home, environment, port)
        stack = Stack(home, environment, api)
        _wait_until_ready(stack, say)
        api.ensure_pool("model", 1, "One task at a time asks the model; the limiter counts within one process")
    return stack


def _airflow_port(home: Home, given: Mapping[str, str]) -> int:
    running = processes.find(home, "api-server")
    return running.port if running else free_port(int(given.get("NIGHTLEDGER_AIRFLOW_PORT") or 8080))


def _start_sandbox(
    home: Home, environment: Mapping[str, str], data: Path | None
) -> Callable[[], dict[str, Any]] | None:
    """Start the stand-ins unless the user brought every connection; returns how to wait for their endpoints."""
    if all(f"{PREFIX}{name}" in environment for name in SANDBOX_CONNECTIONS):
        return None
    name = "sandbox"
    if data is not None:
        name = f"sandbox-{hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:8]}"
    state = home.folder / name
    for other in processes.recorded(home):
        if other.startswith("sandbox") and other != name:
            processes.stop(home, [other, *COMPONENTS])  # Airflow's processes hold the other sandbox's connections
    if not processes.find(home, name):
        (state / "endpoints.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "include.sandbox", "--state", str(state)]
        command += ["--data", str(data.resolve())] if data else []
        processes.stop(home, COMPONENTS)  # they would hold the ports of the sandbox before
        processes.start(home, name, command, environment, cwd=ROOT)

    def wait() -> dict[str, Any]:
        file = state / "endpoints.json"
        _wait(file.exists, lambda: processes.find(home, name) is not None, name, home)
        endpoints: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return endpoints

    return wait


def _upgrade(home: Home, environment: Mapping[str, str]) -> None:
    """Both schemas, side by side; Airflow's own migration is skipped while its api-server runs."""
    commands = {"ledger-upgrade": [sys.executable, "-m", "include.cli", "ledger", "upgrade"]}
    if not processes.find(home, "api-server"):
        commands["airflow-migrate"] = [str(Path(sys.executable).with_name("airflow")), "db", "migrate"]
    running = {}
    for name, command in commands.items():
        log = (home.logs / f"{name}.log").open("wb")
        running[name] = subprocess.Popen(command, env=dict(environment), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    for name, process in running.items():
        if process.wait() != 0:
            raise StackError("failed", system=name, action=f"See {home.logs / name}.log")


def _start_airflow(home: Home, environment: Mapping[str, str], port: int) -> None:
    airflow = str(Path(sys.executable).with_name("airflow"))
    for name in COMPONENTS:
        if not processes.find(home, name):
            processes.start(home, name, [airflow, name], environment, port=port, cwd=ROOT)


def _wait_until_ready(stack: Stack, say: Say) -> None:
    home = stack.home

    def all_run() -> bool:
        return all(processes.find(home, name) for name in COMPONENTS)

    _wait(stack.api.is_healthy, all_run, "airflow", home)
    said: list[str] = []

    def listed() -> bool:
        for error in stack.api.import_errors():
            if error not in said:
                said.append(error)
                say(f"Airflow cannot import {error}")
        return stack.api.has_dag(DAG)

    _wait(listed, lambda: all_run() and not said, "dag-processor", home)


def _wait(ready: Callable[[], bool], alive: Callable[[], bool], name: str, home: Home) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if not alive() or time.monotonic() > deadline:
            problem = (
                "ended while starting" if time.monotonic() <= deadline else f"not ready after {START_SECONDS:.0f} s"
            )
            raise StackError(problem, system=name, action=f"See the logs in {home.logs}")
        time.sleep(0.5)


def last_interval(day: date | None, now: datetime | None = None) -> tuple[datetime, datetime]:
    """The nightly interval that starts on `day` at 02:00 UTC; by default the last one that is complete."""
    if day is None:
        now = now or datetime.now(UTC)
        end = now.replace(hour=2, minute=0, second=0, microsecond=0)
        end -= timedelta(days=1) if end > now else timedelta(0)
        return end - timedelta(days=1), end
    start = datetime(day.year, day.month, day.day, 2, tzinfo=UTC)
    return start, start + timedelta(days=1)


def run_night(stack: Stack, day: date | None, say: Say, mode: str = "auto") -> bool:
    """Trigger the DAG for one interval, follow it, and say what failed; True if the run succeeded."""
    start, end = last_interval(day)
    taken = {run["logical_date"] for run in stack.api.runs(DAG)}
    logical, attempt = start, 1
    while logical.isoformat().replace("+00:00", "Z") in taken:
        logical, attempt = logical + timedelta(seconds=1), attempt + 1
    run_id = stack.api.trigger(DAG, f"night__{start:%Y-%m-%d}__{attempt}", start, end, logical, {"mode": mode})
    stack.api.unpause(DAG)
    say(f"Night {run_id}: interval {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, mode {mode}")
    shown = ""
    while (state := stack.api.state(DAG, run_id)) not in ("success", "failed"):
        line = _progress(stack.api.tasks(DAG, run_id))
        if line != shown:
            say(f"  {line}")
            shown = line
        time.sleep(1)
    if state == "failed":
        _say_why(stack, run_id, say)
    return state == "success"


def _progress(tasks: list[Any]) -> str:
    order = ["extract", "check", "enrich", "gate", "write", "close"]
    states = {task["task_id"]: task["state"] or "waiting" for task in tasks}
    return "  ".join(f"{name}: {states.get(name, 'waiting')}" for name in order)


def _say_why(stack: Stack, run_id: str, say: Say) -> None:
    for task in stack.api.tasks(DAG, run_id):
        if task["state"] != "failed":
            continue
        folder = stack.home.airflow / "logs" / f"dag_id={DAG}" / f"run_id={run_id}" / f"task_id={task['task_id']}"
        logs = sorted(folder.rglob("*.log"))
        say(f"Task {task['task_id']} failed. Its log: {logs[-1] if logs else folder}")
        for line in (logs[-1].read_text(encoding="utf-8", errors="replace").splitlines() if logs else [])[-400:]:
            if '"level":"error"' in line.replace(" ", ""):
                say(f"  {_message(line)[:400]}")


def _message(line: str) -> str:
    try:
        record = json.loads(line)
    except ValueError:
        return line
    detail = record.get("error_detail") or [{}]
    return f"{record.get('event', '')} {detail[0].get('exc_value', '')}".strip()


def print_report(stack: Stack) -> int:
    """Print the morning report of the latest run; returns the command's exit code."""
    command = [sys.executable, "-W", "ignore", "-m", "include.cli", "report", DAG, "--latest"]
    return subprocess.run(command, env=dict(stack.environment), cwd=ROOT, check=False).returncode


def down() -> list[str]:
    """Stop what this clone started, and nothing else; returns the names of what was running."""
    home = open_home(read_environment())
    with _alone(home):
        stopped = processes.stop(home, processes.recorded(home))
        return stopped + (["postgres"] if postgres.stop(home.postgres) else [])


def status() -> list[tuple[str, str, str]]:
    """Name, state and log of every part."""
    home = open_home(read_environment())
    rows = [("postgres", "running" if postgres.is_running(home.postgres) else "stopped", str(home.postgres / "log"))]
    for name in processes.recorded(home):
        record = processes.find(home, name)
        state = f"running, pid {record.pid}" if record else "crashed; `make up` starts it again"
        rows.append((name, state, str(home.logs / f"{name}.log")))
    return rows
