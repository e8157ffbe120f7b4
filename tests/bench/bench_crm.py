"""Reading and writing the CRM with several calls in the air, against one call at a time: wall time and CPU a row.

    PYTHONPATH=. python tests/bench/bench_crm.py [--rows 20000] [--latency-ms 50] [--search 20000 60000 100000]
        [--processes 1 4] [--seconds 20]

Baseline: `one at a time`, the same stages with one session and one batch of the API per group, on the same sandbox in
the same run. The vendor's limits are lifted, so that what is measured is not the waiting for leave; `within limits`
adds the time that 100 calls in 10 s and 5 searches a second allow at best. Then what processes that share the key reach
of 5 searches a second, of a sandbox that enforces them; the exit code is 1 if it refused one. Then the CPU of the
sandbox's own search.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include.database import open_database
from include.demo.sandbox.config import Endpoints
from include.demo.sandbox.crm.search import search
from include.demo.sandbox.crm.store import Store, seed_entry
from include.demo.stack import postgres
from include.ledger import schema
from include.ledger.record import open_run
from include.models import Interval, Manifest, Mode, RunKey, RunOptions
from include.night.extract.extract import read_sources
from include.night.gate.gate import gate
from include.night.write import write as write_module
from include.run import Night
from include.settings import ROOT, Settings
from include.spec.use_case import load
from include.staging import read_rows
from include.systems.connections import EnvironmentConnections
from tests.bench import crm_searches
from tests.core.night.gate.answers import answer, stage_enriched

ANCHOR = datetime(2026, 11, 20, 2, tzinfo=UTC)
WAYS = {"one at a time": (1, 1), "four in the air": (4, 4)}
"""Sessions, and batches of the API in one group of writes."""


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--latency-ms", type=int, default=50)
    parser.add_argument("--search", type=int, nargs="*", default=[20_000, 60_000, 100_000])
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--seconds", type=float, default=20.0, help="for each number of processes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nightledger-bench-") as folder:
        measure_stages(Path(folder), given.rows, given.latency_ms)
    with tempfile.TemporaryDirectory(prefix="nightledger-bench-") as folder:
        refused = measure_search_limit(Path(folder), given.latency_ms, given.processes, given.seconds)
    measure_search(given.search)
    return 1 if refused else 0


def measure_search_limit(folder: Path, latency_ms: int, processes: list[int], seconds: float) -> int:
    """Let processes search together as fast as they may; how often they were refused."""
    refused = 0
    with (
        _sandbox(folder, 12, latency_ms, searches=5) as read,
        postgres.embedded_postgres(folder / "postgres") as server,
    ):
        url, endpoints = _prepare(server), read()
        for count in processes:
            found = crm_searches.measure(url, endpoints, count, 1, seconds)
            rate, refused = found.searches / found.seconds, refused + found.refused
            print(
                f"{count} processes on one key: {rate:.2f} searches/s, {rate / 5:.0%} of 5; {found.refused} x 429, "
                f"{found.turns / found.all_calls:.1f} turns and {1000 * found.cpu / found.all_calls:.1f} ms CPU each",
                flush=True,
            )
    return refused


def measure_stages(folder: Path, rows: int, latency_ms: int) -> None:
    """Extract and write `rows` leads each way."""
    print(f"{rows:,} leads, {latency_ms} ms a call{'s':>14}{'CPU ms/row':>12}{'calls':>7}{'calls/s':>9}")
    seconds: dict[tuple[str, str], float] = {}
    with _sandbox(folder, rows, latency_ms) as read, postgres.embedded_postgres(folder / "postgres") as server:
        url, endpoints = _prepare(server), read()
        nights = {name: _night(url, folder, endpoints, sessions, name) for name, (sessions, _) in WAYS.items()}
        for name, night in nights.items():  # all before the first write, which moves leads out of the interval
            began = time.perf_counter()
            raw: Manifest = _timed(name, "extract", lambda it=night: read_sources(it))
            seconds["extract", name] = time.perf_counter() - began
        ids = [row["row_key"] for row in read_rows(raw, columns=["row_key"])]
        for at, (name, night) in enumerate(nights.items()):
            write_module.BATCHES = WAYS[name][1]
            approved = gate(night, stage_enriched(night, {one: answer(score=40 + at) for one in ids}))
            began = time.perf_counter()
            _timed(name, "write", lambda it=night, rows=approved: write_module.write(it, rows))
            seconds["write", name] = time.perf_counter() - began
    for stage in ("extract", "write"):
        baseline, ours = (seconds[stage, name] for name in WAYS)
        print(f"{stage}: {baseline / ours:.1f} times as fast as one at a time")
    print(f"within the vendor's limits, at best: extract {_at_best(rows, 2):.0f} s, write {_at_best(rows, 0):.0f} s")


@contextmanager
def _sandbox(folder: Path, rows: int, latency_ms: int, searches: int = 0) -> Iterator[Callable[[], Endpoints]]:
    """A sandbox process; calling what it gives waits until it serves."""
    state = folder / "sandbox"
    command = [sys.executable, "-W", "ignore", "-c", _SANDBOX, *map(str, (state, rows, latency_ms, searches))]
    sandbox = subprocess.Popen(command)

    def read() -> Endpoints:
        while not (state / "endpoints.json").exists():
            if sandbox.poll() is not None:
                raise RuntimeError("the sandbox did not start")
            time.sleep(0.2)
        return Endpoints.read(state)

    try:
        yield read
    finally:
        sandbox.terminate()
        sandbox.wait()


def _prepare(server: Any) -> str:
    postgres.prepare(server, dict.fromkeys(postgres.ROLES, "bench"))
    owner = open_database(server.url("nightledger", "nightledger_owner", "bench"))
    schema.upgrade(owner)
    owner.dispose()
    return str(server.url("nightledger", "nightledger_service", "bench"))


_SANDBOX = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.process import serve

async def run():
    config = SandboxConfig(Path(sys.argv[1]), anchor=datetime(2026, 11, 20, 2, tzinfo=UTC), days=1,
        leads_per_day=int(sys.argv[2]), crm_latency_ms=float(sys.argv[3]), crm_jitter_ms=0, crm_requests_per_10s=10**9,
        crm_search_per_second=int(sys.argv[4]))
    async with serve(config):
        await asyncio.Event().wait()

asyncio.run(run())
"""


def _night(url: str, folder: Path, endpoints: Endpoints, sessions: int, name: str) -> Night:
    registry = (ROOT / "include" / "systems.toml").read_text()
    registry = registry.replace("page_rows = 100", f"page_rows = 100\ncalls_at_once = {sessions}", 1)
    registry = registry.replace("requests = 100, per", "requests = 100000, per")
    systems = folder / f"systems-{sessions}.toml"
    systems.write_text(registry.replace("search = [{ requests = 5, per", "search = [{ requests = 100000, per"))
    crm = {"host": endpoints.crm_url, "password": endpoints.crm_token}
    extra = {"host_key": endpoints.sftp_host_key, "key_file": endpoints.sftp_key_file}
    sftp = {"host": endpoints.sftp_host, "port": endpoints.sftp_port, "login": endpoints.sftp_login, "extra": extra}
    connections = EnvironmentConnections(
        {"AIRFLOW_CONN_CRM_DEFAULT": json.dumps(crm), "AIRFLOW_CONN_SFTP_DEFAULT": json.dumps(sftp)}
    )
    case = replace(load("crm_lead_scoring"), warehouse=None, confidence_threshold=0.5)
    key = RunKey(case.name, Interval(ANCHOR - timedelta(days=1), ANCHOR), name)
    engine, options = open_database(url), RunOptions(mode=Mode.AUTO)
    prompt = {"name": "n", "version": "v", "hash": "h", "system": "s", "user": "u"}
    run_id = open_run(engine, key, case, options, prompt=prompt, git_sha="")
    settings = Settings.read({"NIGHTLEDGER_HOME": str(folder / "home"), "NIGHTLEDGER_TOKEN_SECRET": "bench"})
    return Night(case, key.interval, run_id, options, engine, connections, replace(settings, systems_file=systems))


def _timed(name: str, stage: str, run: Callable[[], Any]) -> Any:
    began, cpu = time.perf_counter(), time.process_time()
    done = run()
    seconds, spent = time.perf_counter() - began, time.process_time() - cpu
    rows, calls = (done.rows, done.facts["calls"]) if isinstance(done, Manifest) else (done["written"], done["calls"])
    print(f"{stage:8} {name:20}{seconds:12.1f}{spent * 1000 / rows:12.3f}{calls:7}{calls / seconds:9.1f}", flush=True)
    return done


def _at_best(rows: int, extra: int) -> float:
    """Seconds that the vendor's limits ask for at least: two calls a hundred rows, one of them a search in extract."""
    calls = 2 * math.ceil(rows / 100) + extra
    return max((calls - 100) / 10, rows / 100 / 5 if extra else 0.0, 0.0)


def measure_search(sizes: list[int]) -> None:
    """CPU of the sandbox's search for all pages of a night, and the exponent between the sizes."""
    before: tuple[int, float] | None = None
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            seconds = _search_all(Path(folder), size)
        exponent = f", exponent {math.log(seconds / before[1]) / math.log(size / before[0]):.2f}" if before else ""
        print(f"sandbox search, {size:,} records in pages of 100: {seconds:.2f} s CPU{exponent}", flush=True)
        before = size, seconds


def _search_all(folder: Path, size: int) -> float:
    moment = (ANCHOR - timedelta(hours=5)).isoformat()
    lines = (json.dumps(seed_entry("contacts", at, moment, moment, {"jobtitle": "x"})) for at in range(1, size + 1))
    (folder / "seed-1.jsonl").write_text("\n".join(lines) + "\n")
    store, last, got = Store(folder), 0, 0
    bounds = (("GTE", ANCHOR - timedelta(days=1)), ("LT", ANCHOR))
    within = [{"propertyName": "lastmodifieddate", "operator": name, "value": at.isoformat()} for name, at in bounds]
    sorts, began = [{"propertyName": "hs_object_id", "direction": "ASCENDING"}], time.process_time()
    while got < size:
        after = {"propertyName": "hs_object_id", "operator": "GT", "value": str(last)}
        body = {"filterGroups": [{"filters": [*within, after]}], "sorts": sorts, "limit": 100}
        found = search(store, "contacts", body)["results"]
        got, last = got + len(found), int(found[-1]["id"])
    seconds = time.process_time() - began
    store.close()
    return seconds


if __name__ == "__main__":
    sys.exit(main())
