"""The scenarios. Time is judged against the least that the limits allow, CPU against the floor in the same run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.enrich.clients import body_of
from tests.bench.enrich.limits import best_seconds
from tests.bench.enrich.server import FAULTS
from tests.bench.enrich.stand import MOST_OUTPUT, OURS, PROMPTS, Facts, Stand
from tests.bench.enrich.table import Table, per_thousand

FLOOR = "aiohttp"
CLIENTS = (FLOOR, "sdk", "sdk-aiohttp", OURS)
MOST_MIB = 512
MOST_RATIO = 3.0
MOST_TWICE = 1.1
LEAST_USED = 0.95


@dataclass(frozen=True)
class Bench:
    """One run of the benchmark; the short form has fewer rows and higher limits, and the same bars."""

    stand: Stand
    table: Table
    clients: Sequence[str] = CLIENTS
    short: bool = False

    def size(self, full: int, short: int) -> int:
        """A number for this form of the benchmark."""
        return short if self.short else full

    def run(self, client: str, rows: Path, *flags: Any, concurrency: int = 64, **endpoint: Any) -> Facts:
        """Run one client to its end on an endpoint that begins anew; its counts and the endpoint's."""
        self.stand.configure(**endpoint)
        found = self.stand.finish(self.stand.start(client, rows, concurrency, *flags))
        return {**found, "endpoint": self.stand.stats()}

    def require_all_kept(self, scenario: str, facts: Facts) -> None:
        """Ours loses no row."""
        self.table.require(
            facts["answered"] == facts["rows"], f"{scenario}: {facts['answered']} of {facts['rows']} kept"
        )


def cpu(bench: Bench) -> None:
    """CPU of 1,000 calls without limits; the least of three rounds, since other work on the machine only adds."""
    found: dict[str, list[Facts]] = {client: [] for client in bench.clients}
    for turn in range(bench.size(3, 1)):
        rows = bench.stand.rows(f"cpu-{turn}", bench.size(5_000, 2_000))
        for client in bench.clients:
            ledger = bench.stand.ledger_cpu()
            facts = bench.run(client, rows, latency=0.04, jitter=0.02)
            found[client].append({**facts, "ledger_cpu_seconds": bench.stand.ledger_cpu() - ledger})
    least = {client: min(rounds, key=lambda facts: float(facts["cpu_seconds"])) for client, rounds in found.items()}
    for client, facts in least.items():
        ratio = facts["cpu_seconds"] / least[FLOOR]["cpu_seconds"] if FLOOR in least else None
        note = f"PostgreSQL {per_thousand(facts['ledger_cpu_seconds'], facts['rows']):.2f}" if client == OURS else ""
        bench.table.add("CPU", client, facts, ratio=ratio, note=note)
        if client == OURS:
            bench.require_all_kept("CPU", facts)
            bench.table.require(ratio is None or ratio <= MOST_RATIO, f"CPU: ratio {ratio} <= {MOST_RATIO}")


def limited(
    bench: Bench, scenario: str, rows: Path, best: float, slack: float, most_refused: int, *flags: Any, **endpoint: Any
) -> None:
    """Rows kept, seconds and 429s under a limit; ours may take `slack` seconds more than the best possible."""
    for client in [client for client in bench.clients if client != FLOOR]:
        facts = bench.run(client, rows, *flags, **endpoint)
        bench.table.add(scenario, client, facts, best=best)
    if OURS in bench.clients:
        seconds, refused = facts["seconds"], facts["endpoint"]["refused"]
        bench.require_all_kept(scenario, facts)
        bench.table.require(seconds <= best + slack, f"{scenario}: {seconds:.1f} s <= {best + slack:.1f} s")
        bench.table.require(refused <= most_refused, f"{scenario}: {refused} x 429 <= {most_refused}")


def request_limit(bench: Bench) -> None:
    """A bucket of requests: a minute's worth may leave at once, the rest as it refills."""
    count, rpm = bench.size(500, 660), bench.size(300, 600)
    rows = bench.stand.rows("requests", count)
    limited(bench, "request limit", rows, best_seconds(count, rpm), 1.0, 1, "--rpm", rpm, rpm=rpm)


def shared_key(bench: Bench) -> None:
    """Another tenant, whom nobody told us of, takes 80 of 300 requests a minute, and the bucket is nearly empty."""
    count, rpm, others, start = bench.size(200, 28), 300, 80, 0.02
    best = best_seconds(count, rpm, others=others, start=start)
    rows = bench.stand.rows("shared", count)
    limited(bench, "shared key", rows, best, 3.0, 10, "--rpm", rpm, rpm=rpm, others=others, start=start)


def token_limit(bench: Bench) -> None:
    """Rows of very uneven length, of which a minute's tokens take about half."""
    rows = bench.stand.rows("tokens", 300, lambda chance: chance.choice([400, 800, 2_000, 8_000, 16_000]))
    charges = sum(charge(line) for line in rows.read_text().splitlines())
    tpm = int(charges / (1 + bench.size(55, 6) / 60))
    limited(bench, "token limit", rows, best_seconds(charges, tpm), 5.0, 3, "--tpm", tpm, tpm=tpm)


def charge(line: str) -> int:
    """Tokens that the endpoint takes for a row."""
    return max(sum(len(part["content"]) for part in body_of(line, MOST_OUTPUT)["messages"]) // 4, MOST_OUTPUT)


def five_percent_faults(bench: Bench) -> None:
    """Every twentieth call fails, in five ways; who asks again may be billed again only where a fault forces it."""
    rows, shares = bench.stand.rows("faults", bench.size(1_000, 300)), dict.fromkeys(FAULTS, 0.05 / len(FAULTS))
    for client in [client for client in bench.clients if client != FLOOR]:
        facts = bench.run(client, rows, faults=shares, silence=float(bench.size(15, 5)), seed=7)
        seen = facts["endpoint"]
        bench.table.add("5 % faults", client, facts, note=f"{seen['lost']} answers lost, {seen['unforced']} unforced")
    if OURS in bench.clients:
        bench.require_all_kept("5 % faults", facts)
        bench.table.require(seen["unforced"] == 0, f"5 % faults: {seen['unforced']} bills that no fault forced")


def killed(bench: Bench) -> None:
    """`kill -9` in the middle on a machine with as much other work as cores, then again: only what was in the air is
    asked twice. The kill comes when so many answers were billed, wherever the wave of calls is then.
    """
    count, concurrency, stand = bench.size(2_000, 600), 64, bench.stand
    twice = unanswered = open_calls = 0
    found: list[Facts] = []
    for turn in range(bench.size(3, 1)):
        rows, open_before = stand.rows(f"killed-{turn}", count), stand.open_calls()
        stand.configure(latency=0.1, jitter=0.05)
        with busy():
            process = stand.start(OURS, rows, concurrency)
            while stand.stats()["billed"] < count // 2 + 17 * turn:
                if process.poll() is not None:
                    raise RuntimeError("ended before it could be killed")
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        process.communicate()
        open_calls, unanswered = open_calls + stand.open_calls() - open_before, unanswered + stand.stats()["abandoned"]
        found.append({**stand.finish(stand.start(OURS, rows, concurrency)), "endpoint": stand.stats()})
        twice += found[-1]["endpoint"]["billed_twice"]
        bench.require_all_kept("kill -9", found[-1])
    note = (
        f"{len(found)} kills, in flight then: {unanswered} by the endpoint, {open_calls} by the ledger; {twice} twice"
    )
    facts = {**found[-1], "unanswered": unanswered, "open_calls": open_calls, "twice": twice}
    bench.table.add("kill -9", OURS, facts, note=note)
    most = MOST_TWICE * unanswered
    bench.table.require(twice <= most, f"kill -9: {twice} billed twice <= {MOST_TWICE} x {unanswered} in flight")


@contextmanager
def busy() -> Iterator[None]:
    """As many processes as cores that do nothing but work."""
    work = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(work) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def together(bench: Bench) -> None:
    """Four processes of two use cases share a key of the registry through the ledger."""
    rpm, stand = bench.size(1_200, 2_400), bench.stand
    sources = [stand.rows(f"together-{number}", bench.size(450, 660)) for number in range(4)]
    stand.configure(rpm=rpm)
    running = [
        stand.start(OURS, rows, 32, "--system", "model", "--rpm", rpm, prompt=PROMPTS[number % 2])
        for number, rows in enumerate(sources)
    ]
    found, seen = [stand.finish(process) for process in running], stand.stats()
    facts: Facts = {name: sum(one[name] for one in found) for name in ("rows", "answered", "cpu_seconds")}
    used = seen["billed"] / (rpm + seen["seconds"] * rpm / 60)
    best, seconds = best_seconds(facts["rows"], rpm), max(one["seconds"] for one in found)
    facts |= {"seconds": seconds, "endpoint": seen, "processes": found, "used": used}
    bench.table.add("4 processes", OURS, facts, best=best, note=f"{used:.1%} of the limit used")
    bench.require_all_kept("4 processes", facts)
    bench.table.require(used >= LEAST_USED, f"4 processes: {used:.1%} used >= {LEAST_USED:.0%}")
    bench.table.require(seen["refused"] <= 1, f"4 processes: {seen['refused']} x 429 <= 1")


def volume(bench: Bench) -> None:
    """Many rows without limits, in flat memory."""
    rows, before = bench.stand.rows("volume", bench.size(100_000, 5_000)), bench.stand.audit_rows()
    facts = bench.run(OURS, rows, latency=0.02, jitter=0.01)
    audited = bench.stand.audit_rows() - before
    note = f"peak {facts['peak_mib']:.0f} MiB, {audited / facts['seconds']:.0f} audit rows/s"
    bench.table.add("volume", OURS, {**facts, "audit_rows": audited}, note=note)
    bench.require_all_kept("volume", facts)
    bench.table.require(facts["peak_mib"] <= MOST_MIB, f"volume: {facts['peak_mib']} MiB <= {MOST_MIB} MiB")


SCENARIOS: dict[str, Callable[[Bench], None]] = {
    "cpu": cpu,
    "requests": request_limit,
    "shared": shared_key,
    "tokens": token_limit,
    "faults": five_percent_faults,
    "killed": killed,
    "together": together,
    "volume": volume,
}
OURS_ALONE = ("killed", "together", "volume")
