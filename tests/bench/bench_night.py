"""What a whole night costs, stage by stage: every stage a process of its own, the model never the bottleneck.

    PYTHONPATH=. python tests/bench/bench_night.py [LEADS ...]

CRM and file server are the sandbox, the model is the endpoint of the engine's benchmark, each in a process of its own
whose CPU counts for nobody; limits are lifted. Printed for each size: seconds, CPU seconds of the stage and of
PostgreSQL, peak memory; then what a row more costs, the ledger's bytes a row, and how fast `ledger verify` is.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import psycopg

from include.database import open_database
from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import serve
from include.demo.stack import postgres
from include.demo.stack.environment import ledger_connections, sandbox_connections
from include.ledger import schema
from include.settings import ROOT
from tests.bench.enrich import server as endpoint

SIZES = (2_000, 20_000)
MOST_A_DAY = 40_000
"""Leads that the sandbox makes for one day; a larger night reads several days at once."""
STAGES = ("extract", "check", "enrich", "gate", "write", "close")
END = datetime(2026, 11, 20, 2, tzinfo=UTC)
SECRETS = dict.fromkeys(postgres.ROLES, "bench")
_ROWS = "SELECT count(*) FROM nightledger.outcome"


@dataclass(frozen=True)
class Cost:
    """What a process took in wall seconds, CPU seconds and those of PostgreSQL; its peak in MiB, and what it said."""

    seconds: float
    cpu: float
    ledger_cpu: float = 0.0
    peak: float = 0.0
    said: str = field(default="", repr=False)


@dataclass(frozen=True)
class Night:
    """A finished night of so many rows."""

    rows: int
    stages: dict[str, Cost]
    verify: Cost
    ledger_bytes: int

    @property
    def verified(self) -> int:
        """Rows that were held against their digests, those of every table that a closed run seals among them."""
        found = re.search(r"([\d,]+) rows", self.verify.said)
        assert found is not None, self.verify.said
        return int(found[1].replace(",", ""))


def answer_lead(message: str, prompt: int, *, whole: bool) -> bytes:
    """A chat completion that fits the use case, by the hash of its message; so cheap that no ceiling ends the night."""
    score = int(message[:4], 16) % 101
    said = {
        "score": score,
        "tier": "hot" if score >= 70 else "warm" if score >= 40 else "cold",
        "summary": f"A lead seen as {message}, with a need that fits and a budget that nobody has confirmed yet.",
        "next_action": "call" if score >= 70 else "nurture",
        "confidence": 0.5 + int(message[4:6], 16) / 512,
        "reasons": ["The company is of the right size", "It has looked at the prices twice"],
    }
    message_said = {"role": "assistant", "content": json.dumps(said), "refusal": None}
    body = {
        "id": f"chatcmpl-{message}",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "sandbox-small",
        "choices": [{"index": 0, "message": message_said, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": prompt // 4, "completion_tokens": 9, "total_tokens": prompt // 4 + 9},
    }
    return json.dumps(body).encode()


def serve_model(port_file: Path) -> None:
    """The endpoint of the engine's benchmark, with answers of this use case."""
    endpoint.completion = answer_lead
    asyncio.run(endpoint.serve(port_file))


def serve_systems(state: Path, leads: int) -> None:
    """CRM and file server, without latency and limits."""
    days = -(-leads // MOST_A_DAY)
    free = {"crm_requests_per_10s": 10**6, "crm_requests_per_day": 10**9, "crm_latency_ms": 0.0, "crm_jitter_ms": 0.0}
    config = SandboxConfig(state=state, anchor=END, days=days, leads_per_day=-(-leads // days), **free)

    async def forever() -> None:
        async with serve(config):
            await asyncio.Event().wait()

    asyncio.run(forever())


@contextmanager
def process(*arguments: object) -> Iterator[None]:
    """This file in a process of its own while the block runs."""
    with subprocess.Popen([sys.executable, "-W", "ignore", __file__, *map(str, arguments)], cwd=ROOT) as running:
        try:
            yield
        finally:
            running.kill()


def await_file(path: Path) -> str:
    """What is in a file as soon as there is something."""
    for _ in range(60_000):
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.02)
    raise RuntimeError(f"{path.name} did not come")


def measure(leads: int, folder: Path) -> Night:
    """One night of so many leads, in a ledger of its own."""
    with ExitStack() as stack:
        stack.enter_context(process("systems", folder / "sandbox", leads))
        stack.enter_context(process("model", folder / "port"))
        server = stack.enter_context(postgres.embedded_postgres(folder / "postgres"))
        postgres.prepare(server, SECRETS)
        owner = open_database(server.url("nightledger", "nightledger_owner", SECRETS["nightledger_owner"]))
        schema.upgrade(owner)
        owner.dispose()
        endpoints = json.loads(await_file(folder / "sandbox" / "endpoints.json"))
        endpoints["model_url"] = f"http://127.0.0.1:{await_file(folder / 'port')}"
        environment = _environment(folder, server, endpoints)
        days = -(-leads // MOST_A_DAY)
        when = ["--from", (END - timedelta(days=days)).isoformat(), "--to", END.isoformat(), "--mode", "auto"]
        before = _size(server)
        stages = {one: _run(server, environment, "run", one, "crm_lead_scoring", *when) for one in STAGES}
        left = _count(server, f"{_ROWS} WHERE outcome = 'deferred'")
        if left:
            raise RuntimeError(f"{left} rows were left for another night, so this one shows too little")
        verified = _run(server, environment, "ledger", "verify")
        return Night(_count(server, _ROWS), stages, verified, _size(server) - before)


def _environment(folder: Path, server: postgres.Server, endpoints: dict[str, Any]) -> dict[str, str]:
    registry = (ROOT / "include" / "systems.toml").read_text()
    (folder / "systems.toml").write_text(_without_limits(registry))
    foreign = ("AIRFLOW", "NIGHTLEDGER", "OPENAI", "PYTHONDONTWRITEBYTECODE")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
        **ledger_connections(server, SECRETS, ""),
        **sandbox_connections(endpoints),
        "NIGHTLEDGER_HOME": str(folder),
        "NIGHTLEDGER_SYSTEMS": str(folder / "systems.toml"),
        "NIGHTLEDGER_TOKEN_SECRET": "bench",
        "PYTHONPATH": str(ROOT),
    }


def _without_limits(registry: str) -> str:
    """The registry with limits and ceilings that no night of the benchmark reaches."""
    lines = []
    for line in registry.splitlines():
        if line.startswith("limits = [{"):
            line = "limits = [{ requests = 1000000, tokens = 2000000000, per_seconds = 10 }]"
        elif line.startswith("budget_usd"):
            line = f"{line.partition('=')[0]}= 100000"
        lines.append(line)
    return "\n".join(lines) + "\n"


def _run(server: postgres.Server, environment: dict[str, str], *arguments: str) -> Cost:
    """Run a command; raises RuntimeError with what it said if it fails."""
    command = [sys.executable, "-W", "ignore", "-m", "include.cli", *arguments]
    began, before = time.monotonic(), _server_cpu(server)
    with tempfile.TemporaryFile("w+") as log:
        running = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        said = log.read()
        if running.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {said[-2_000:]}")
    seconds, cpu = time.monotonic() - began, used.ru_utime + used.ru_stime
    return Cost(seconds, cpu, _server_cpu(server) - before, used.ru_maxrss / 1024, said)


def _server_cpu(server: postgres.Server) -> float:
    """CPU seconds of PostgreSQL since it started, sessions that ended included."""
    main = psutil.Process(int((server.folder / "postmaster.pid").read_text().split()[0]))
    ended, total = main.cpu_times(), 0.0
    for one in (main, *main.children()):
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile
            times = one.cpu_times()
            total += times.user + times.system
    return total + ended.children_user + ended.children_system


def _size(server: postgres.Server) -> int:
    return _count(server, "SELECT pg_database_size('nightledger')")


def _count(server: postgres.Server, query: str) -> int:
    with psycopg.connect(server.url("nightledger", driver="postgresql")) as connection:
        found = connection.execute(query).fetchone()
    return int(found[0]) if found else 0


def show(night: Night) -> None:
    """Print a night's table."""
    print(f"\n{night.rows:,} leads")
    print(f"  {'stage':8} {'seconds':>8} {'CPU s':>7} {'PostgreSQL':>11} {'peak MiB':>9}")
    stages = night.stages.values()
    total = Cost(*(sum(getattr(one, name) for one in stages) for name in ("seconds", "cpu", "ledger_cpu")))
    for name, one in {**night.stages, "all": total, "verify": night.verify}.items():
        print(f"  {name:8} {one.seconds:8.1f} {one.cpu:7.1f} {one.ledger_cpu:11.1f} {one.peak or 0:9.0f}")
    each = night.ledger_bytes / max(night.rows, 1)
    print(f"  ledger {night.ledger_bytes / 1e6:,.0f} MB, {each:,.0f} bytes a row")
    speed = night.verified / max(night.verify.cpu + night.verify.ledger_cpu, 0.01)
    print(f"  {night.verified:,} rows of the ledger verified at {speed:,.0f} a CPU second")


def show_marginal(small: Night, large: Night) -> None:
    """Print what a row more costs, in milliseconds of CPU."""
    more = large.rows - small.rows
    print(f"\nA row more, from {small.rows:,} to {large.rows:,}: milliseconds of CPU, the stage's and PostgreSQL's")
    for name in STAGES:
        one, other = small.stages[name], large.stages[name]
        ours, theirs = (1_000 * (getattr(other, field) - getattr(one, field)) / more for field in ("cpu", "ledger_cpu"))
        print(f"  {name:8} {ours:6.2f} {theirs:6.2f}   peak {other.peak - one.peak:+.0f} MiB")


def main(sizes: Sequence[int]) -> None:
    """Run every size and print the tables."""
    nights = []
    for leads in sizes:
        with tempfile.TemporaryDirectory(prefix="nightledger-bench-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            folder.chmod(0o755)  # as root, PostgreSQL has its own account
            nights.append(measure(leads, folder))
        show(nights[-1])
    for small, large in pairwise(nights):
        show_marginal(small, large)


if __name__ == "__main__":
    if sys.argv[1:2] == ["model"]:
        serve_model(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["systems"]:
        serve_systems(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main([int(size) for size in sys.argv[1:]] or SIZES)
