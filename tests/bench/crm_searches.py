"""Processes that search the CRM as fast as its limit allows, together through the ledger: what they reach of it.

`python -m tests.bench.crm_searches` is one of them: it reads what it needs as JSON from stdin.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import requests

from include.database import open_database
from include.demo.sandbox.config import Endpoints
from include.settings import ROOT
from include.systems.connections import HttpEndpoint
from include.systems.http import RestClient
from include.systems.limits.pace import Pace, limits_of
from include.systems.limits.shared import LedgerLevels
from include.systems.registry import read_systems

_BEGIN_SECONDS = 0.5
"""From when the last process was ready to everybody's first search."""
_WARM_SECONDS = 1.0
"""Not counted: in the first second the window is empty, so that five searches leave at once."""


@dataclass(frozen=True)
class Reached:
    """What the processes did together in `seconds`: searches sent, and over the whole time answers of 429, CPU seconds
    of the processes, and turns at the ledger."""

    seconds: float
    searches: int
    all_calls: int
    refused: int
    cpu: float
    turns: int


def measure(ledger_url: str, endpoints: Endpoints, processes: int, sessions: int, seconds: float) -> Reached:
    """Let so many processes, each with so many calls in the air, search for so long."""
    before, crm = _refused(endpoints), {"crm": endpoints.crm_url, "token": endpoints.crm_token}
    given = {"ledger": ledger_url, **crm, "sessions": sessions}
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.crm_searches"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    running = [subprocess.Popen(command, **pipes) for _ in range(processes)]
    _tell(running, given)
    for one in running:
        one.stdout.readline()  # it is ready
    begin = time.monotonic() + _BEGIN_SECONDS
    end = begin + _WARM_SECONDS + seconds
    _tell(running, {"begin": begin, "end": end})
    found = [json.loads(one.stdout.read()) for one in running]
    for one in running:
        one.wait()
    sent = [moment for one in found for moment in one["sent"]]
    return Reached(
        seconds,
        sum(begin + _WARM_SECONDS <= moment < end for moment in sent),
        len(sent),
        _refused(endpoints) - before,
        sum(one["cpu"] for one in found),
        sum(one["turns"] for one in found),
    )


def _tell(running: list[subprocess.Popen[str]], what: dict[str, Any]) -> None:
    for one in running:
        print(json.dumps(what), file=one.stdin, flush=True)


def _refused(endpoints: Endpoints) -> int:
    return int(requests.get(f"{endpoints.crm_url}/sandbox/crm/requests", timeout=5).json()["status"].get("429", 0))


class _Counting(LedgerLevels):
    """Levels that count turns."""

    turns = 0

    def open(self, groups: Any) -> Any:
        """As the ledger's."""
        self.turns += 1
        return super().open(groups)


def main() -> int:
    """Search until the end that was given; print when each search left."""
    given = json.loads(input())
    system = read_systems(ROOT / "include" / "systems.toml")["crm"]
    engine = open_database(given["ledger"])
    levels = _Counting(engine, "crm", limits_of(system))
    first, *more = (_endpoint(given) for _ in range(given["sessions"]))
    sent: list[float] = []
    pace = _Noting(system, levels, sent)
    client = RestClient(first, system, more=more, pace=pace)
    engine.connect().close()
    print("ready", flush=True)
    given |= json.loads(input())
    time.sleep(max(given["begin"] - time.monotonic(), 0.0))
    cpu = time.process_time()
    body = {"limit": 1, "properties": ["email"]}

    def search(_: int) -> None:
        while time.monotonic() < given["end"]:
            client.call("POST", "/crm/v3/objects/contacts/search", body, kind="search")

    with ThreadPoolExecutor(given["sessions"]) as pool:
        list(pool.map(search, range(given["sessions"])))
    print(json.dumps({"sent": sent, "cpu": time.process_time() - cpu, "turns": levels.turns}))
    engine.dispose()
    return 0


class _Noting(Pace):
    def __init__(self, system: Any, levels: Any, sent: list[float]) -> None:
        super().__init__(system, levels)
        self._noted = sent

    def take(self, kind: str = "") -> Any:
        leave = super().take(kind)
        self._noted.append(leave.sent)
        return leave


def _endpoint(given: dict[str, Any]) -> HttpEndpoint:
    session = requests.Session()
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {given['token']}"
    return HttpEndpoint(session, given["crm"])


if __name__ == "__main__":
    sys.exit(main())
