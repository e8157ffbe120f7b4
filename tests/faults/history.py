"""One seeded history: several workers on one key and one ledger, and a nemesis that breaks what it can.

What the nemesis does is drawn from the seed; when exactly it happens depends on the machine, as in life.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

from include.sandbox.config import Endpoints, SandboxConfig
from include.sandbox.process import running_sandbox
from include.settings import ROOT
from include.stack import postgres
from include.stack.environment import ledger_connections

ROWS, OVERLAP = 60, 20
SECONDS = 8.0
CONCURRENCY = 8
MODEL_FAULTS = {
    "storm of 429": {"rate_limited": 0.6},
    "5xx": {"http_500": 0.3, "http_503": 0.3},
    "resets": {"reset": 0.4},
    "silence": {"timeout": 0.2},
    "malformed": {"prose": 0.2, "truncated": 0.2, "wrong_enum": 0.1, "fenced": 0.1},
    "calm": {},
}
SKEW = """
import os, time
_shift, _real = float(os.environ.get("NEMESIS_CLOCK", "0")), time.time
time.time = lambda: _real() + _shift
"""


@dataclass
class World:
    """What a history runs on, and what happened in it."""

    folder: Path
    endpoints: Endpoints
    environment: Mapping[str, str]
    chance: random.Random
    server: postgres.Server
    done: list[str] = field(default_factory=list)
    kills: int = 0

    def start(self, number: int, *, clock: float = 0.0, disk: int | None = None) -> subprocess.Popen[str]:
        """Start worker `number` on its file; its clock may be off by seconds, its disk full after so many bytes."""
        command = [sys.executable, "-W", "ignore", "-m", "include.cli", "enrich", "--system", "model"]
        files = ["--input", self.source(number), "--output", self.result(number), "--prompt", self.folder / "prompt.md"]
        what = ["--output-model", "tests.faults.lead:Lead", "--model", "sandbox-small", "--rpm", "6000"]
        limits = ["--concurrency", str(CONCURRENCY), "--budget", "1", "--max-output-tokens", "100"]

        def fill_disk() -> None:
            if disk is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (disk, disk))
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        return subprocess.Popen(
            [str(part) for part in (*command, *files, *what, *limits)],
            env={**self.environment, "NEMESIS_CLOCK": str(clock)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=(self.folder / f"worker-{number}.log").open("a"),
            text=True,
            preexec_fn=fill_disk,
        )

    def source(self, number: int) -> Path:
        """The rows of a worker; neighbours share some."""
        return self.folder / f"rows-{number}.jsonl"

    def result(self, number: int) -> Path:
        """What a worker writes."""
        return self.folder / f"result-{number}.jsonl"

    def fail(self, rates: Mapping[str, float]) -> None:
        """Change what the model endpoint does wrong."""
        plan = {"seed": self.chance.randint(1, 10**6), "rates": rates, "hold_seconds": 3.0}
        requests.post(f"{self.endpoints.model_root}/sandbox/faults", json=plan, timeout=10).raise_for_status()

    def calls(self) -> list[dict[str, Any]]:
        """What the endpoint itself has counted."""
        found = requests.get(f"{self.endpoints.model_root}/sandbox/billed?detail=1", timeout=10).json()
        return list(found["requests"])

    def _kill_server(self) -> None:
        first = int((self.server.folder / "postmaster.pid").read_text().splitlines()[0])
        server = psutil.Process(first)
        sessions = server.children(recursive=True)
        server.kill()
        psutil.wait_procs([server, *sessions], timeout=30)  # sessions end by themselves when they notice

    def restart_ledger(self) -> None:
        """Stop the database server, in order or with kill -9 as an accident does, and start it again."""
        if self.chance.random() < 0.5:
            postgres.stop(self.server.folder)
        else:
            self._kill_server()
        time.sleep(self.chance.uniform(0.0, 1.0))
        postgres.start(self.server.folder)


@contextmanager
def world(seed: int, folder: Path) -> Iterator[World]:
    """A database server, a model endpoint and files of rows for one history."""
    chance = random.Random(seed)
    config = SandboxConfig(state=folder / "sandbox", days=1, leads_per_day=1, model_latency_ms=20, rpm=6_000, seed=seed)
    (folder / "skew").mkdir()
    (folder / "skew" / "sitecustomize.py").write_text(SKEW)
    (folder / "prompt.md").write_text("You score leads.")
    server = postgres.start(folder / "postgres")
    secrets = dict.fromkeys(postgres.ROLES, "secret")
    postgres.prepare(server, secrets)
    with running_sandbox(config) as endpoints:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "NIGHTLEDGER", "OPENAI"))}
        environment = {
            **kept,
            **ledger_connections(server, secrets, ""),
            "AIRFLOW_CONN_OPENAI_DEFAULT": json.dumps({"host": endpoints.model_url, "password": endpoints.model_key}),
            "NIGHTLEDGER_HOME": str(folder),
            "NIGHTLEDGER_TOKEN_SECRET": "secret",
            "NIGHTLEDGER_OUTAGE_SECONDS": "20",
            "NIGHTLEDGER_LEASE_SECONDS": "3",
            "PYTHONPATH": os.pathsep.join([str(folder / "skew"), str(ROOT)]),
        }
        yield World(folder, endpoints, environment, chance, server)
    postgres.stop(server.folder)


def run(here: World, workers: int) -> None:
    """Let workers work while the nemesis acts, then let them finish in peace."""
    for number in range(workers):
        with here.source(number).open("w") as file:
            for row in range(number * (ROWS - OVERLAP), number * (ROWS - OVERLAP) + ROWS):
                file.write(json.dumps({"company": f"Works {row}", "employees": row, "job_title": "Buyer"}) + "\n")
            file.write("this is no JSON\n")
    running = {number: here.start(number, clock=here.chance.choice([0, -900, 900])) for number in range(workers)}
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        time.sleep(here.chance.uniform(0.2, 1.0))
        act(here, running)
    here.fail({})
    for number, process in running.items():
        finish(here, number, process)


def act(here: World, running: dict[int, subprocess.Popen[str]]) -> None:
    """One thing that goes wrong."""
    deed = here.chance.choice([*MODEL_FAULTS, "kill", "kill", "kill", "ledger", "disk"])
    here.done.append(deed)
    if deed in MODEL_FAULTS:
        here.fail(MODEL_FAULTS[deed])
    elif deed == "ledger":
        here.restart_ledger()
    else:
        number = here.chance.choice(sorted(running))
        running[number].kill()
        here.kills += 1
        running[number].communicate()
        clock = here.chance.choice([0.0, -86_400.0, 3_600.0])
        running[number] = here.start(number, clock=clock, disk=4_096 if deed == "disk" else None)


def finish(here: World, number: int, process: subprocess.Popen[str]) -> None:
    """Wait for a worker; one that gave up (ledger gone, disk full) is started again, as Airflow would."""
    for _ in range(5):
        if process.communicate(timeout=120) and process.returncode in (0, 1):
            return
        process = here.start(number)
    raise AssertionError((here.folder / f"worker-{number}.log").read_text()[-3_000:])
