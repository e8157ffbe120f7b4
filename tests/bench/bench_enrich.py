"""Enrichment against the floor and against what most people write, on one endpoint, in one run.

`make bench`, or: python tests/bench/bench_enrich.py [--only NAME ...] [--short]
Times are set by the limits of the endpoint and judged against the best possible; CPU is judged as a ratio to a bare
aiohttp client that keeps no record. Exit code 1 when ours misses a bar.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OURS = "nightledger"
PEERS = ("aiohttp", "sdk", "sdk-aiohttp")
MOST = 100  # tokens of an answer

Row = dict[str, Any]


@dataclass
class Bench:
    """A running endpoint and an embedded ledger; `missed` are the bars that ours did not reach."""

    folder: Path
    url: str
    environment: dict[str, str]
    short: bool
    lines: list[tuple[str, ...]] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def configure(self, **values: Any) -> None:
        """Set the endpoint's limits anew and forget what it saw."""
        call(f"{self.url}/configure", values)

    def stats(self) -> dict[str, Any]:
        """What the endpoint saw."""
        return call(f"{self.url}/stats")

    def rows(self, count: int, sizes: Callable[[random.Random], int] = lambda r: 40) -> Path:
        """A file of rows, unlike any before, so that nothing is reused."""
        source, chance = self.folder / f"rows-{time.monotonic_ns()}.jsonl", random.Random(5)
        with source.open("w") as file:
            for number in range(count):
                note = "x" * sizes(chance)
                file.write(
                    json.dumps({"id": f"{source.stem}-{number}", "company": f"Works {number}", "note": note}) + "\n"
                )
        return source

    def peer(self, name: str, source: Path, concurrency: int) -> Row:
        """Run a peer to its end."""
        command = [sys.executable, "-W", "ignore", "-m", "tests.bench.enrich.clients", name]
        flags = ["--input", source, "--base-url", f"{self.url}/v1", "--concurrency", concurrency]
        return self.finish([*command, *flags, "--max-output-tokens", MOST])

    def ours(self, source: Path, concurrency: int, *flags: Any, wait: bool = True) -> Any:
        """Run ours to its end, or only start it."""
        command = [sys.executable, "-W", "ignore", "-m", "include.cli", "enrich", "--input", source]
        named = [
            "--output",
            source.with_suffix(".out"),
            "--prompt",
            self.folder / "prompt.txt",
            "--model",
            "bench-model",
        ]
        form = ["--output-model", "tests.bench.enrich.lead:Lead", "--base-url", f"{self.url}/v1"]
        sized = ["--concurrency", concurrency, "--max-output-tokens", MOST, "--budget", 1000, *flags]
        whole = [*command, *named, *form, *sized]
        return self.finish(whole) if wait else self.start(whole)

    def start(self, command: list[Any]) -> subprocess.Popen[str]:
        """Start a client."""
        return subprocess.Popen(
            [str(part) for part in command],
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "log.txt").open("a"),
            text=True,
        )

    def finish(self, command: list[Any]) -> Row:
        """Run a client and read the JSON in its last line."""
        out = self.start(command).communicate(timeout=900)[0].strip().splitlines()
        if not out:
            raise RuntimeError((self.folder / "log.txt").read_text()[-2_000:])
        return dict(json.loads(out[-1]))

    def say(self, scenario: str, who: str, *columns: str) -> None:
        """One line of the table, at once."""
        self.lines.append((scenario, who, *columns))
        print(f"{scenario:16} {who:12} " + "  ".join(f"{column:>14}" for column in columns), flush=True)

    def require(self, holds: bool, bar: str) -> None:
        """Remember a bar that was missed."""
        if not holds:
            self.missed.append(bar)
            print(f"{'':16} MISSED: {bar}", flush=True)


def call(url: str, body: Any = None) -> dict[str, Any]:
    """Ask the endpoint's control routes."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as answer:
        return dict(json.load(answer))


def cpu(bench: Bench) -> None:
    """CPU of the client per 1,000 calls without limits, as a ratio to the floor."""
    count, per_thousand = (2_000 if bench.short else 5_000), dict[str, float]()
    for who in (*PEERS, OURS):
        bench.configure(latency=0.03)
        source, served = bench.rows(count), bench.stats()["cpu_seconds"]
        found = bench.peer(who, source, 64) if who in PEERS else bench.ours(source, 64)
        per_thousand[who] = found["cpu_seconds"] / count * 1000
        ratio, rate = per_thousand[who] / per_thousand["aiohttp"], count / found["seconds"]
        endpoint = (bench.stats()["cpu_seconds"] - served) / count * 1000
        columns = (f"{per_thousand[who]:.2f} s/1000", f"ratio {ratio:.1f}", f"{rate:.0f}/s", f"endpoint {endpoint:.2f}")
        bench.say("cpu", who, *columns)
        bench.raw[f"cpu/{who}"] = {**found, "ratio": ratio, "endpoint_cpu": endpoint}
        bench.require(found["answered"] == count, f"cpu: {who} kept every row")
    ratio = per_thousand[OURS] / per_thousand["aiohttp"]
    bench.require(ratio <= 5.0, f"CPU ratio {ratio:.1f} <= 5")


def limited(
    bench: Bench,
    name: str,
    source: Path,
    rows: int,
    best: float,
    slack: float,
    most_429: int,
    flags: list[Any],
    **server: Any,
) -> None:
    """Rows kept, seconds and 429s under a limit, for ours and for what most people write."""
    for who in ("sdk", OURS):
        bench.configure(**server)
        found = bench.peer(who, source, 64) if who in PEERS else bench.ours(source, 64, *flags)
        seen = bench.stats()
        refused = seen["counts"].get("429", 0)
        columns = (
            f"{found['answered']} of {rows}",
            f"{found['seconds']:.1f} s",
            f"best {best:.0f} s",
            f"{refused} x 429",
        )
        bench.say(name, who, *columns)
        bench.raw[f"{name}/{who}"] = {**found, "endpoint": seen, "best": best}
    bench.require(found["answered"] == rows, f"{name}: every row kept")
    bench.require(found["seconds"] <= best * slack, f"{name}: {found['seconds']:.1f} s <= {best * slack:.1f} s")
    bench.require(refused <= most_429, f"{name}: {refused} x 429 <= {most_429}")


def requests(bench: Bench) -> None:
    """500 rows at 300 requests a minute: 300 at once, the rest as the bucket refills."""
    limited(bench, "request limit", bench.rows(500), 500, 40.0, 41 / 40, 1, ["--rpm", 300], rpm=300)


def shared(bench: Bench) -> None:
    """200 rows on a key of 300 a minute of which another tenant takes 72, with an empty bucket at first."""
    best = 200 / ((300 - 72) / 60)
    server = {"rpm": 300, "others": 72, "start": 0.0}
    limited(bench, "shared key", bench.rows(200), 200, best, 56 / 53, 10, ["--rpm", 300], **server)


def tokens(bench: Bench) -> None:
    """300 rows of uneven length whose tokens are 1.9 times the limit of a minute."""
    source = bench.rows(300, lambda chance: chance.choice([400, 800, 2_000, 8_000, 16_000]))
    charges = [max((len(line) + 58) // 4, MOST) for line in source.read_text().splitlines()]
    tpm = int(sum(charges) / (1 + 55 / 60))
    limited(bench, "token limit", source, 300, 55.0, 60 / 55, 3, ["--tpm", tpm], tpm=tpm)


def faults(bench: Bench) -> None:
    """5 % of 1,000 requests fail: 500, 503, reset, half an answer, 15 s of silence."""
    for who in ("sdk", OURS):
        bench.configure(faults=0.05)
        source = bench.rows(1_000)
        found = bench.peer(who, source, 64) if who in PEERS else bench.ours(source, 64)
        seen = bench.stats()
        forced = sum(seen["counts"].get(kind, 0) for kind in ("reset", "malformed", "silence"))
        columns = (
            f"{found['answered']} of 1000",
            f"{found['seconds']:.1f} s",
            f"{seen['billed_extra']} repeats",
            f"{forced} forced",
        )
        bench.say("5 % faults", who, *columns)
        bench.raw[f"faults/{who}"] = {**found, "endpoint": seen, "forced": forced}
    bench.require(found["answered"] == 1_000, "5 % faults: every row kept")
    bench.require(seen["billed_extra"] <= forced, f"5 % faults: {seen['billed_extra']} repeats <= {forced} forced")


def killed(bench: Bench) -> None:
    """kill -9 halfway through 2,000 rows, then the same command again."""
    bench.configure(latency=0.1)
    source = bench.rows(2_000)
    process = bench.ours(source, 32, wait=False)
    while bench.stats()["billed"] < 1_000:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    in_flight = bench.stats()["in_flight"]
    process.wait()
    found = bench.ours(source, 32)
    seen = bench.stats()
    twice = seen["billed_more_than_once"]
    bench.say("kill -9", OURS, f"{found['answered']} of 2000", f"{twice} twice", f"{in_flight} in flight")
    bench.raw["killed"] = {**found, "endpoint": seen, "in_flight": in_flight}
    bench.require(found["answered"] == 2_000, "kill -9: every row kept")
    bench.require(twice <= max(in_flight, 32), f"kill -9: {twice} billed twice <= in flight")


def together(bench: Bench) -> None:
    """Four processes of two systems' names, one key: 1,200 requests a minute shared through the ledger."""
    rpm, rows = 1_200, 1_800
    bench.configure(rpm=rpm)
    sources = [bench.rows(rows // 4) for _ in range(4)]
    started = time.monotonic()
    running = [bench.ours(source, 32, "--rpm", rpm, wait=False) for source in sources]
    found = [json.loads(process.communicate(timeout=600)[0].strip().splitlines()[-1]) for process in running]
    seen, best = bench.stats(), (rows - rpm) * 60 / rpm
    answered, refused = sum(one["answered"] for one in found), seen["counts"].get("429", 0)
    used = (rows - 1) / (rpm + seen["seconds"] * rpm / 60)
    columns = (
        f"{answered} of {rows}",
        f"{seen['seconds']:.1f} s",
        f"best {best:.0f} s",
        f"{refused} x 429",
        f"{used:.0%} used",
    )
    bench.say("4 processes", OURS, *columns)
    bench.raw["together"] = {"found": found, "endpoint": seen, "used": used, "wall": time.monotonic() - started}
    bench.require(answered == rows, "4 processes: every row kept")
    bench.require(used >= 0.95, f"4 processes: {used:.0%} of the limit used >= 95 %")
    bench.require(refused <= 4, f"4 processes: {refused} x 429 <= 4")


def volume(bench: Bench) -> None:
    """Many rows in flat memory."""
    count = 10_000 if bench.short else 100_000
    bench.configure(latency=0.02)
    found = bench.ours(bench.rows(count), 64)
    rows = found["ledger_rows"] / found["seconds"]
    columns = (f"{found['answered']} of {count}", f"{count / found['seconds']:.0f} rows/s", f"{rows:.0f} audit rows/s")
    bench.say("volume", OURS, *columns, f"peak {found['peak_mib']:.0f} MiB")
    bench.raw["volume"] = found
    bench.require(found["answered"] == count, "volume: every row kept")
    bench.require(found["peak_mib"] <= 512, f"volume: {found['peak_mib']:.0f} MiB <= 512 MiB")


SCENARIOS: dict[str, Callable[[Bench], None]] = {
    "cpu": cpu,
    "requests": requests,
    "shared": shared,
    "tokens": tokens,
    "faults": faults,
    "killed": killed,
    "together": together,
    "volume": volume,
}


@contextmanager
def running(short: bool) -> Iterator[Bench]:
    """An endpoint in a process of its own and an embedded ledger in a throw-away folder."""
    with tempfile.TemporaryDirectory(prefix="nightledger-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        paths = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "NIGHTLEDGER", "OPENAI"))
        }
        environment = {**kept, "PYTHONPATH": paths, "NIGHTLEDGER_HOME": str(folder / "home"), "OPENAI_API_KEY": "bench"}
        (folder / "prompt.txt").write_text("You score leads from 0 to 100. Answer with one JSON object.")
        command = [sys.executable, "-m", "tests.bench.enrich.server", str(folder / "port")]
        endpoint = subprocess.Popen(command, env=environment, cwd=ROOT)
        try:
            while not (folder / "port").exists() or not (folder / "port").read_text():
                time.sleep(0.02)
            yield Bench(folder, f"http://127.0.0.1:{(folder / 'port').read_text()}", environment, short)
        finally:
            endpoint.kill()
            stop = "from pathlib import Path; from include.stack import postgres; postgres.stop(Path(%r))"
            subprocess.run([sys.executable, "-c", stop % str(folder / "home" / "postgres")], env=environment, cwd=ROOT)


def main() -> int:
    """Run the scenarios asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--short", action="store_true", help="fewer rows where the limit does not set the time")
    given = parser.parse_args()
    with running(given.short) as bench:
        bench.ours(bench.rows(5), 2)  # starts the ledger
        for name in given.only:
            SCENARIOS[name](bench)
        place = ROOT / ".nightledger" / "bench"
        place.mkdir(parents=True, exist_ok=True)
        (place / "enrich.json").write_text(json.dumps(bench.raw, indent=1))
    print("all bars reached" if not bench.missed else f"{len(bench.missed)} bars missed: " + "; ".join(bench.missed))
    return 1 if bench.missed else 0


if __name__ == "__main__":
    sys.exit(main())
