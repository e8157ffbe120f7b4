"""Bring the whole stack up, run a night on it, and take it down again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fasteners

from include.demo.stack import postgres, processes
from include.demo.stack.api import AirflowApi
from include.demo.stack.environment import (
    PREFIX,
    SANDBOX_CONNECTIONS,
    airflow_settings,
    children_environment,
    fingerprint,
    ledger_connections,
    read_environment,
    sandbox_connections,
)
from include.demo.stack.errors import StackError
from include.demo.stack.home import Home, close_home, free_port, open_home, open_secrets, require_room, write_private
from include.private import open_file
from include.settings import ROOT

DAG = "crm_lead_scoring"
"""The use case whose night is run unless another is named."""
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


def up(say: Say, data: Path | None = None, wanted: Sequence[str] = (DAG,), *, renew: bool = True) -> Stack:
    """Start what does not run yet and wait until the wanted DAGs can be triggered; safe to repeat.

    With `renew`, parts of Airflow that run with other settings are started again with those of now, which ends tasks.
    What a call started that does not come to its end is stopped again.
    """
    given = read_environment()
    home = open_home(given)
    require_room(home)
    with _alone(home), _all_or_nothing(home):
        secrets = open_secrets(home)
        if not postgres.is_running(home.postgres):
            say(f"  PostgreSQL, usually {3 if home.postgres.exists() else 8} s")
        server = postgres.start(home.postgres)
        close_home(home)  # as root, the server's package opens all folders above its data
        suffix = _suffix(data)
        postgres.prepare(server, secrets, suffix)
        write_private(home.folder / "data.json", json.dumps(str(data.resolve()) if data else None))
        port = _airflow_port(home, given, say)
        parallelism, dags = int(given.get("NIGHTLEDGER_PARALLELISM", "4")), given.get("NIGHTLEDGER_DAGS", "")
        users = given.get("NIGHTLEDGER_USERS", "")
        airflow = airflow_settings(home, server, secrets, port, parallelism, dags, users)
        environment = children_environment(home, given, airflow, secrets)
        environment = _of_data_set(home, suffix) | environment
        connections = ledger_connections(server, secrets, suffix)
        endpoints = _start_sandbox(home, environment, data, suffix, say)
        _upgrade(home, {**environment, **{k: v for k, v in connections.items() if k not in given}}, say)
        connections |= sandbox_connections(endpoints()) if endpoints else {}
        environment |= {name: value for name, value in connections.items() if name not in given}
        api = AirflowApi(f"http://127.0.0.1:{port}", "admin", secrets["admin"])
        _start_airflow(home, environment, port, say, renew)
        stack = Stack(home, environment, api)
        _wait_until_ready(stack, wanted, say)
        api.ensure_pool("model", 8, "Tasks that ask the model at once; its limits are kept by the ledger")
    return stack


@contextmanager
def _all_or_nothing(home: Home) -> Iterator[None]:
    """Stop what the block started if it does not come to its end."""
    before = {name for name in processes.recorded(home) if processes.find(home, name)}
    had_server = postgres.is_running(home.postgres)
    try:
        yield
    except BaseException:
        processes.stop(home, [name for name in processes.recorded(home) if name not in before])
        if not had_server:
            postgres.stop(home.postgres)
        raise


def current_data(home: Home) -> Path | None:
    """The folder of the data set that was used last; None for generated data."""
    file = home.folder / "data.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    return Path(found) if found else None


def reach(data: Path | None) -> dict[str, str]:
    """The variables that lead a command to one data set's ledger, warehouse and stand-ins.

    Only PostgreSQL is started if it does not run. Variables that are set already are left out. Raises StackError if
    nothing was ever started here.
    """
    given = read_environment()
    home = open_home(given)
    if not home.postgres.exists():
        raise StackError(
            "nothing has run here yet", about=str(home.folder), action="`nightledger night` runs a first night"
        )
    secrets, suffix = open_secrets(home), _suffix(data)
    if data is not None and not sandbox_state(home, data).exists():
        raise StackError("no night has run on it", about=f"data set {data}", action="Name the folder that one ran on")
    if postgres.is_running(home.postgres):
        server = postgres.start(home.postgres)
    else:
        with _alone(home):
            server = postgres.start(home.postgres)
            close_home(home)
    found = ledger_connections(server, secrets, suffix) | _of_data_set(home, suffix)
    file = home.folder / f"sandbox{suffix}" / "endpoints.json"
    if processes.find(home, f"sandbox{suffix}") and file.exists():
        endpoints = json.loads(file.read_text(encoding="utf-8"))
        found |= sandbox_connections(endpoints)
        if "OPENAI_API_KEY" not in given and f"{PREFIX}OPENAI_DEFAULT" not in given:
            model = json.loads(found[f"{PREFIX}OPENAI_DEFAULT"])
            found |= {"OPENAI_API_KEY": model["password"], "OPENAI_BASE_URL": model["host"]}
    ours = {"NIGHTLEDGER_HOME": str(home.folder), "NIGHTLEDGER_TOKEN_SECRET": secrets["token"]}
    return {name: value for name, value in ({**found, **ours} | given).items() if name not in os.environ}


def ledger_alone() -> dict[str, str]:
    """Start the embedded server if it does not run, and nothing else; the variables that lead to its ledger."""
    home = open_home(read_environment())
    require_room(home)
    with _alone(home):
        secrets = open_secrets(home)
        server = postgres.start(home.postgres)
        close_home(home)  # as root, the server's package opens all folders above its data
        postgres.prepare(server, secrets)
    found = ledger_connections(server, secrets, "")
    return {**found, "NIGHTLEDGER_TOKEN_SECRET": secrets["token"]}


def _airflow_port(home: Home, given: Mapping[str, str], say: Say) -> int:
    """The port that Airflow has, had last, or is to have; another one, said and kept, if that is taken."""
    running = processes.find(home, "api-server")
    if running:
        return running.port
    kept = home.folder / "airflow-port"
    wanted = given.get("NIGHTLEDGER_AIRFLOW_PORT") or (kept.read_text(encoding="utf-8") if kept.exists() else "8080")
    if not wanted.strip().isdigit() or not 0 <= int(wanted) < 65536:
        raise StackError(f"{wanted.strip()!r} is no port", about="NIGHTLEDGER_AIRFLOW_PORT", action="Give 1 to 65535")
    port = free_port(int(wanted))
    while not postgres.reserve_port(port):
        port = free_port(0)
    if port != int(wanted) != 0:
        say(f"  Port {int(wanted)} is in use by another program or clone; Airflow takes {port} and keeps it")
    write_private(kept, f"{port}\n")
    return port


def _suffix(data: Path | None) -> str:
    """Tells one data set's ledger, warehouse, staging and sandbox from another's; nothing for generated data."""
    return "" if data is None else f"_{hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:8]}"


def sandbox_state(home: Home, data: Path | None) -> Path:
    """The sandbox's folder for one data set."""
    return home.folder / f"sandbox{_suffix(data)}"


def _of_data_set(home: Home, suffix: str) -> dict[str, str]:
    state = home.folder / f"sandbox{suffix}"
    return {
        "NIGHTLEDGER_STAGING": str(home.folder / f"staging{suffix}"),
        "NIGHTLEDGER_TRUTH": str(state / "truth.json"),
    }


def _start_sandbox(
    home: Home, environment: Mapping[str, str], data: Path | None, suffix: str, say: Say
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
        say(f"  sandbox: CRM, SFTP server and model, with {f'the data of {data}' if data else 'generated data'}, 3 s")
        (state / "endpoints.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "include.demo.sandbox", "--state", str(state)]
        command += ["--data", str(data.resolve())] if data else []
        processes.stop(home, list(COMPONENTS))  # they would hold the ports of the sandbox before
        processes.start(home, name, command, environment, cwd=ROOT)

    def wait() -> dict[str, Any]:
        file = state / "endpoints.json"
        _wait(file.exists, lambda: processes.find(home, name) is not None, name, home)
        endpoints: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return endpoints

    return wait


def _upgrade(home: Home, environment: Mapping[str, str], say: Say) -> None:
    """Both schemas, side by side; Airflow's own migration is skipped while its api-server runs."""
    commands = {"ledger-upgrade": [sys.executable, "-m", "include.cli", "ledger", "upgrade"]}
    if not processes.find(home, "api-server"):
        say("  tables of the ledger and of Airflow, 10 s; 30 s the first time")
        commands["airflow-migrate"] = [str(Path(sys.executable).with_name("airflow")), "db", "migrate"]
    running = {}
    for name, command in commands.items():
        with open_file(home.logs / f"{name}.log", "wb") as log:
            running[name] = subprocess.Popen(
                command, env=dict(environment), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, umask=0o077
            )
    try:
        failed = [name for name, process in running.items() if process.wait() != 0]
    finally:
        for process in running.values():
            process.kill()
    if failed:
        raise StackError(_why(home, failed[0]) or "failed", system=failed[0], action=f"See {home.logs / failed[0]}.log")


def _why(home: Home, name: str) -> str:
    """The last line of a log that names an error of ours, without its name."""
    lines = (home.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line.partition(": ")[2] for line in lines if re.match(r"[A-Z][A-Za-z]+: ", line)]
    return said[-1] if said else ""


def _start_airflow(home: Home, environment: Mapping[str, str], port: int, say: Say, renew: bool) -> None:
    airflow = str(Path(sys.executable).with_name("airflow"))
    loaded = [sys.executable, "-m", "include.demo.stack.airflow_loaded"]
    given = fingerprint(environment)
    found = {name: processes.find(home, name) for name in COMPONENTS}
    stale = [name for name, record in found.items() if record is None or (renew and record.given != given)]
    if stale:
        say(f"  Airflow: {', '.join(stale)}, 20 s")
    processes.stop(home, stale)  # with what a crashed one left behind
    for name in stale:
        program = loaded if name == "scheduler" else [airflow]
        command = [*program, *COMPONENTS[name]]
        processes.start(home, name, command, environment, port=port, given=given, cwd=ROOT)


def _wait_until_ready(stack: Stack, dags: Sequence[str], say: Say) -> None:
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
        return all(map(stack.api.has_dag, dags))

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
