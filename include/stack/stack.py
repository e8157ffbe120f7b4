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
from pathlib import Path
from typing import Any

import fasteners

from include.private import open_file
from include.settings import ROOT
from include.stack import postgres, processes
from include.stack.api import AirflowApi
from include.stack.environment import (
    PREFIX,
    SANDBOX_CONNECTIONS,
    airflow_settings,
    children_environment,
    fingerprint,
    ledger_connections,
    read_environment,
    sandbox_connections,
)
from include.stack.errors import StackError
from include.stack.home import Home, close_home, free_port, open_home, open_secrets

DAG = "crm_lead_scoring"
COMPONENTS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
"""Without log servers: they would listen on all interfaces, and the logs are on this disk."""
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
        close_home(home)  # as root, the server's package opens all folders above its data
        suffix = _suffix(data)
        postgres.prepare(server, secrets, suffix)
        port = _airflow_port(home, given)
        parallelism, dags = int(given.get("NIGHTLEDGER_PARALLELISM", "4")), given.get("NIGHTLEDGER_DAGS", "")
        users = given.get("NIGHTLEDGER_USERS", "")
        airflow = airflow_settings(home, server, secrets, port, parallelism, dags, users)
        environment = children_environment(home, given, airflow, secrets)
        environment = _of_data_set(home, suffix) | environment
        connections = ledger_connections(server, secrets, suffix)
        endpoints = _start_sandbox(home, environment, data, suffix)
        _upgrade(home, {**environment, **{k: v for k, v in connections.items() if k not in given}})
        connections |= sandbox_connections(endpoints()) if endpoints else {}
        environment |= {name: value for name, value in connections.items() if name not in given}
        api = AirflowApi(f"http://127.0.0.1:{port}", "admin", secrets["admin"])
        _start_airflow(home, environment, port)
        stack = Stack(home, environment, api)
        _wait_until_ready(stack, say)
        api.ensure_pool("model", 8, "Tasks that ask the model at once; its limits are kept by the ledger")
    return stack


def ledger_alone() -> dict[str, str]:
    """Start the embedded server if it does not run, and nothing else; the variables that lead to its ledger."""
    home = open_home(read_environment())
    with _alone(home):
        secrets = open_secrets(home)
        server = postgres.start(home.postgres)
        close_home(home)  # as root, the server's package opens all folders above its data
        postgres.prepare(server, secrets)
    found = ledger_connections(server, secrets, "")
    return {**found, "NIGHTLEDGER_TOKEN_SECRET": secrets["token"]}


def _airflow_port(home: Home, given: Mapping[str, str]) -> int:
    running = processes.find(home, "api-server")
    return running.port if running else free_port(int(given.get("NIGHTLEDGER_AIRFLOW_PORT") or 8080))


def _suffix(data: Path | None) -> str:
    """Tells one data set's ledger, warehouse, staging and sandbox from another's; nothing for generated data."""
    return "" if data is None else f"_{hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:8]}"


def _of_data_set(home: Home, suffix: str) -> dict[str, str]:
    state = home.folder / f"sandbox{suffix}"
    return {
        "NIGHTLEDGER_STAGING": str(home.folder / f"staging{suffix}"),
        "NIGHTLEDGER_TRUTH": str(state / "truth.json"),
    }


def _start_sandbox(
    home: Home, environment: Mapping[str, str], data: Path | None, suffix: str
) -> Callable[[], dict[str, Any]] | None:
    """Start the stand-ins unless the user brought every connection; returns how to wait for their endpoints."""
    if all(f"{PREFIX}{name}" in environment for name in SANDBOX_CONNECTIONS):
        return None
    name = f"sandbox{suffix}"
    state = home.folder / name
    for other in processes.recorded(home):
        if other.startswith("sandbox") and other != name:
            processes.stop(home, [other, *COMPONENTS])  # Airflow's processes hold the other sandbox's connections
    if not processes.find(home, name):
        (state / "endpoints.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "include.sandbox", "--state", str(state)]
        command += ["--data", str(data.resolve())] if data else []
        processes.stop(home, list(COMPONENTS))  # they would hold the ports of the sandbox before
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
        with open_file(home.logs / f"{name}.log", "wb") as log:
            running[name] = subprocess.Popen(
                command, env=dict(environment), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, umask=0o077
            )
    for name, process in running.items():
        if process.wait() != 0:
            raise StackError("failed", system=name, action=f"See {home.logs / name}.log")


def _start_airflow(home: Home, environment: Mapping[str, str], port: int) -> None:
    airflow = str(Path(sys.executable).with_name("airflow"))
    given = fingerprint(environment)
    found = {name: processes.find(home, name) for name in COMPONENTS}
    stale = [name for name, record in found.items() if record is None or record.given != given]
    processes.stop(home, stale)  # with what a crashed one left behind
    for name in stale:
        command = [airflow, *COMPONENTS[name]]
        processes.start(home, name, command, environment, port=port, given=given, cwd=ROOT)


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
