"""The stand: an endpoint and a ledger of its own for one run of the benchmark, and the clients set upon them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil
from sqlalchemy import Engine, text

from include.database import transaction
from include.demo.stack import postgres
from include.demo.stack.stack import ledger_alone
from include.ledger import door
from include.systems.connections import EnvironmentConnections
from tests.bench.enrich.clients import CLIENTS, SYSTEM

ROOT = Path(__file__).resolve().parents[3]
OURS = "nightledger"
MOST_OUTPUT = 100
LONGEST_SECONDS = 1_200.0
PROMPTS = ("scoring", "renewal")
"""Names of prompt files, and by them of use cases: two of them on one key are what two DAGs are."""
_AUDIT_ROWS = " + ".join(
    f"(SELECT count(*) FROM nightledger.{name})" for name in ("inference", "inference_result", "event")
)
_OPEN_CALLS = (
    "SELECT count(*) FROM nightledger.inference "
    "WHERE inference_id NOT IN (SELECT inference_id FROM nightledger.inference_result)"
)

Facts = dict[str, Any]


@dataclass
class Stand:
    """A running endpoint and ledger. Every client is a process that prints its counts as JSON in its last line."""

    folder: Path
    environment: dict[str, str]
    ledger: Engine
    log: IO[str]
    url: str = ""
    keys: int = 0
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def configure(self, **values: Any) -> None:
        """Let the endpoint begin anew with these limits, latency and faults; see `server.Endpoint`.

        Ours gets another key with it, since the ledger remembers what is left of a key's limits.
        """
        self._call("/configure", values)
        self.keys += 1
        self.environment["OPENAI_API_KEY"] = f"bench-{self.keys}"

    def stats(self) -> Facts:
        """What the endpoint saw since it was configured."""
        return self._call("/stats")

    def rows(self, name: str, count: int, size: Callable[[random.Random], int] = lambda chance: 40) -> Path:
        """A file of rows with notes of `size` characters; a name gives the same rows in every run of the benchmark."""
        path, chance = self.folder / f"{name}.jsonl", random.Random(name)
        with path.open("w") as file:
            for number in range(count):
                row = {"id": f"{name}-{number}", "company": f"Works {number}", "note": "x" * size(chance)}
                file.write(json.dumps(row) + "\n")
        return path

    def start(self, client: str, rows: Path, concurrency: int, *flags: Any, prompt: str = PROMPTS[0]) -> Any:
        """Start a client; `flags` go to ours alone, since no other keeps limits."""
        common = ["--input", rows, "--base-url", f"{self.url}/v1", "--concurrency", concurrency]
        common += ["--max-output-tokens", MOST_OUTPUT]
        if client in CLIENTS:
            return self._run("tests.bench.enrich.clients", client, *common)
        named = ["--prompt", self.folder / f"{prompt}.txt", "--output-model", "tests.bench.enrich.lead:Lead"]
        named += ["--output", rows.with_suffix(".out"), "--model", "bench-model", "--budget", 1_000]
        return self._run("include.cli", "enrich", *common, *named, *flags)

    def finish(self, process: subprocess.Popen[str]) -> Facts:
        """Wait for a client; raises RuntimeError with the end of its log if it gave no counts."""
        lines = process.communicate(timeout=LONGEST_SECONDS)[0].strip().splitlines()
        if not lines:
            self.log.flush()
            raise RuntimeError(Path(self.log.name).read_text()[-2_000:])
        return dict(json.loads(lines[-1]))

    def audit_rows(self) -> int:
        """Rows that the ledger's audit holds."""
        return self._count(f"SELECT {_AUDIT_ROWS}")

    def open_calls(self) -> int:
        """Calls that left, as far as the ledger knows, and have no result on record."""
        return self._count(_OPEN_CALLS)

    def ledger_cpu(self) -> float:
        """CPU seconds of PostgreSQL since it started, processes that ended included."""
        pid = int((self.folder / "home" / "postgres" / "postmaster.pid").read_text().split()[0])
        main = psutil.Process(pid)
        ended = main.cpu_times()
        living = [process.cpu_times() for process in (main, *main.children())]
        return ended.children_user + ended.children_system + sum(times.user + times.system for times in living)

    def _count(self, statement: str) -> int:
        with transaction(self.ledger) as connection:
            return int(connection.execute(text(statement)).scalar_one())

    def _call(self, path: str, values: Facts | None = None) -> Facts:
        data = None if values is None else json.dumps(values).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data), timeout=30) as answer:
            return dict(json.load(answer))

    def _run(self, module: str, *arguments: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "ignore", "-m", module, *map(str, arguments)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": self.log, "text": True}
        process = subprocess.Popen(command, env=self.environment, cwd=ROOT, **pipes)
        self.started.append(process)
        return process


@contextmanager
def open_stand() -> Iterator[Stand]:
    """A stand in a folder that is gone afterwards, like everything that was started on it."""
    with tempfile.TemporaryDirectory(prefix="nightledger-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, PostgreSQL has its own account
        for prompt in PROMPTS:
            (folder / f"{prompt}.txt").write_text(SYSTEM)
        os.environ["NIGHTLEDGER_HOME"] = str(folder / "home")
        try:
            with (folder / "log.txt").open("a") as log:
                yield from _serving(folder, log)
        finally:
            postgres.stop(folder / "home" / "postgres")


def _serving(folder: Path, log: IO[str]) -> Iterator[Stand]:
    connections = ledger_alone()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "NIGHTLEDGER", "OPENAI"))}
    ours = {"PYTHONPATH": str(ROOT), "NIGHTLEDGER_HOME": str(folder / "home")}
    ledger = door.open_ledger(EnvironmentConnections(connections))
    stand = Stand(folder, {**kept, **connections, **ours}, ledger, log)
    try:
        port_file = folder / "port"
        stand._run("tests.bench.enrich.server", port_file)
        stand.url = f"http://127.0.0.1:{_read_port(port_file)}"
        yield stand
    finally:
        ledger.dispose()
        _stop(stand.started)


def _read_port(port_file: Path) -> str:
    for _ in range(1_000):
        if port_file.exists() and (port := port_file.read_text()):
            return port
        time.sleep(0.02)
    raise RuntimeError("the endpoint did not start")


def _stop(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()
