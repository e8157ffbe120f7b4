"""Enrich in four processes against one, on the same rows, endpoint and ledger: calls a second and CPU of a call.

    PYTHONPATH=. python tests/cluster/bench_shards.py [--rows 4000] [--rounds 2]

The endpoint answers in 40 to 60 ms and has no limits, so that processes are compared and not waiting.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.bench.enrich.stand import OURS, Stand, open_stand

WAYS = ((1, 64), (1, 16), (4, 16), (4, 64))
"""Processes, and calls in the air of each."""


def main() -> int:
    """Print a line for each way and round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    with open_stand() as stand:
        stand.configure()
        stand.finish(stand.start(OURS, stand.rows("warm", 5), 2))
        print(f"{'processes':>9}{'in air':>8}{'calls/s':>9}{'CPU ms/call':>13}{'PostgreSQL':>12}{'whole s':>9}")
        for turn in range(given.rounds):
            for processes, in_air in WAYS:
                measure(stand, f"{turn}-{processes}-{in_air}", given.rows, processes, in_air)
    return 0


def measure(stand: Stand, name: str, rows: int, processes: int, in_air: int) -> None:
    """One way, on its own copy of the rows; calls a second are the endpoint's, from the first call to the last."""
    whole = stand.rows(name, rows).read_text().splitlines(keepends=True)
    stand.configure(latency=0.04, jitter=0.02)
    ledger, began = stand.ledger_cpu(), time.monotonic()
    running = [
        stand.start(OURS, part(stand.folder / f"{name}-{at}.jsonl", whole[at::processes]), in_air)
        for at in range(processes)
    ]
    found = [stand.finish(one) for one in running]
    seconds, seen, ledger = time.monotonic() - began, stand.stats(), stand.ledger_cpu() - ledger
    answered, cpu = sum(one["answered"] for one in found), sum(one["cpu_seconds"] for one in found)
    assert answered == rows, f"{answered} of {rows} answered"
    per_call = (1_000 * spent / rows for spent in (cpu, ledger))
    line = "{:>9}{:>8}{:>9.0f}{:>13.2f}{:>12.2f}{:>9.1f}"
    print(line.format(processes, in_air, rows / seen["seconds"], *per_call, seconds), flush=True)


def part(path: Path, lines: list[str]) -> Path:
    """A file of these lines."""
    path.write_text("".join(lines))
    return path


if __name__ == "__main__":
    sys.exit(main())
