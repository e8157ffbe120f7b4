"""Enrichment against a bare client and against what most people write: one endpoint, one machine, one run.

    make bench, or: PYTHONPATH=. python tests/bench/bench_enrich.py [--short] [--only NAME ...] [--clients NAME ...]

About ten minutes, with `--short` about one. Prints a table and keeps the raw numbers in `.nightledger/bench`. The exit
code is 1 when ours misses a bar. `killed`, `together` and `volume` run ours alone: no other client keeps a record.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from importlib.metadata import version
from typing import Any

import psutil

from tests.bench.enrich.scenarios import CLIENTS, OURS_ALONE, SCENARIOS, Bench
from tests.bench.enrich.stand import OURS, ROOT, open_stand
from tests.bench.enrich.table import Table


def main() -> int:
    """Run the scenarios asked for, in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--short", action="store_true", help="fewer rows and higher limits")
    given = parser.parse_args()
    table, began = Table(), time.monotonic()
    with open_stand() as stand:
        clients = [client for client in CLIENTS if client in given.clients]
        bench = Bench(stand, table, clients, given.short)
        stand.configure()
        stand.finish(stand.start(OURS, stand.rows("warm", 5), 2))  # so that no scenario pays for first imports
        table.begin()
        for name in [name for name in given.only if OURS in clients or name not in OURS_ALONE]:
            SCENARIOS[name](bench)
            table.write(ROOT / ".nightledger" / "bench" / "enrich.json", about(given))
    verdict = f"{len(table.missed)} bars missed" if table.missed else "all bars reached"
    print(f"{time.monotonic() - began:.0f} s; {verdict}")
    return 1 if table.missed else 0


def about(given: argparse.Namespace) -> dict[str, Any]:
    """The machine and the versions, without its name."""
    packages = {name: version(name) for name in ("openai", "aiohttp", "pydantic", "SQLAlchemy")}
    machine = {"cores": psutil.cpu_count(), "load": psutil.getloadavg(), "python": platform.python_version()}
    return {**vars(given), **machine, **packages}


if __name__ == "__main__":
    sys.exit(main())
