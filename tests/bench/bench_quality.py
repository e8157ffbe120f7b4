"""Thirteen checks on a dirty table of orders with every failing key: polars by hand, Great Expectations, and ours.

    make bench, or: PYTHONPATH=. python tests/bench/bench_quality.py [--rows N ...] [--repeat N]

Each measurement is a process of its own; of several the quickest counts. Seconds are from the Parquet file to the keys,
without imports; memory is the process's peak, with them. All sides must find the same keys. The exit code is 1 when a
bar is missed. About two minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SIDES = ("polars, by hand", "GX as documented", "GX positions", "nightledger")
OURS = "nightledger"
SIZES = (10_000, 100_000, 1_000_000)
COLUMNS = ("     rows", "            side", "seconds", "CPU s", "of polars", "peak MB", "import s", "failing keys")
MOST_SECONDS, MOST_MB = 3.0, 900.0
"""Bars for ours at a million rows."""


def main() -> int:
    """Run every side on every size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--repeat", type=int, default=2)
    given = parser.parse_args()
    missed: list[str] = []
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "|".join("-" * (len(name) + 2) for name in COLUMNS) + "|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for rows in given.rows:
            path = Path(folder) / f"{rows}.parquet"
            _process("write", path, rows)
            measured = {side: _quickest(side, path, rows, given.repeat) for side in SIDES}
            _print(rows, measured)
            missed += _missed(rows, measured)
    print("; ".join(missed) if missed else "all bars reached, and every side found the same keys")
    return 1 if missed else 0


def _process(side: str, path: Path, rows: int) -> Any:
    """One measurement; a compiled import is what an installation has."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.quality.sides", side, str(path), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**kept, "PYTHONPATH": str(ROOT)})
    if done.returncode:
        raise SystemExit(f"{side} on {rows:,} rows failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else None


def _quickest(side: str, path: Path, rows: int, repeat: int) -> Any:
    return min((_process(side, path, rows) for _ in range(repeat)), key=lambda one: one["seconds"])


def _print(rows: int, measured: dict[str, Any]) -> None:
    floor = measured[SIDES[0]]["seconds"]
    for side, one in measured.items():
        keys = sum(found[0] for found in one["found"].values() if len(found) == 2)
        seconds = f"{one['seconds']:.2f}", f"{one['cpu']:.2f}", f"{one['seconds'] / floor:.1f}"
        cells = (f"{rows:,}", side, *seconds, f"{one['peak']:.0f}", f"{one['import']:.1f}", f"{keys:,}")
        widths = map(len, COLUMNS)
        print(
            "| " + " | ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)) + " |", flush=True
        )


def _missed(rows: int, measured: dict[str, Any]) -> list[str]:
    ours, floor = measured[OURS], measured[SIDES[0]]
    missed = [f"{side} found other keys" for side, one in measured.items() if one["found"] != floor["found"]]
    if rows == 1_000_000:
        missed += [f"{ours['seconds']:.1f} s > {MOST_SECONDS:g} s"] if ours["seconds"] > MOST_SECONDS else []
        missed += [f"{ours['peak']:.0f} MB > {MOST_MB:g} MB"] if ours["peak"] > MOST_MB else []
    return missed


if __name__ == "__main__":
    sys.exit(main())
