"""Fourteen checks on a dirty table of orders: ours beside polars and DuckDB by hand, pandera, Great Expectations.

    make bench, or: PYTHONPATH=. python tests/bench/bench_quality.py [--rows N ...] [--repeat N]

Each measurement is a process of its own; of several the one with the least CPU counts. CPU seconds are from the Parquet
file to the key of every failing row, of all threads, without imports; memory is the process's peak, with them. One of
the rules is about the list of columns. The sides must find the same rows: a side that counts as many and names others
is told by a hash of the keys. The exit code is 1 when a bar is missed. About three minutes.
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
SIDES = ("polars, by hand", "DuckDB, by hand", "pandera", "GX as documented", "nightledger")
FLOOR, DOCUMENTED, OURS = "polars, by hand", "GX as documented", "nightledger"
SIZES = (10_000, 100_000, 1_000_000)
COLUMNS = (
    "     rows",
    "            side",
    "CPU s",
    "of polars",
    "seconds",
    "peak MB",
    "import s",
    "failing",
    "all named",
)
MOST_OF_POLARS, MOST_OF_GX, MOST_MB = 3.5, 0.25, 450.0
"""Bars for ours at a million rows: CPU as a multiple of the floor's and of the documented way's, and the peak."""


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
            measured = {side: _cheapest(side, path, rows, given.repeat) for side in SIDES}
            _print(rows, measured)
            missed += _missed(rows, measured)
    print("; ".join(missed) if missed else "all bars reached, and every side found the same rows")
    return 1 if missed else 0


def _process(side: str, path: Path, rows: int) -> Any:
    """One measurement; a compiled import is what an installation has."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.quality.sides", side, str(path), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**kept, "PYTHONPATH": str(ROOT)})
    if done.returncode:
        raise SystemExit(f"{side} on {rows:,} rows failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else None


def _cheapest(side: str, path: Path, rows: int, repeat: int) -> Any:
    return min((_process(side, path, rows) for _ in range(repeat)), key=lambda one: one["cpu"])


def _print(rows: int, measured: dict[str, Any]) -> None:
    floor = measured[FLOOR]
    for side, one in measured.items():
        failing = sum(found[0] for found in one["found"].values() if len(found) == 2)
        named = "yes" if one["found"] == floor["found"] else "no"
        spent = f"{one['cpu']:.2f}", f"{one['cpu'] / floor['cpu']:.1f}", f"{one['seconds']:.2f}"
        cells = (f"{rows:,}", side, *spent, f"{one['peak']:.0f}", f"{one['import']:.1f}", f"{failing:,}", named)
        widths = map(len, COLUMNS)
        print(
            "| " + " | ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)) + " |", flush=True
        )


def _missed(rows: int, measured: dict[str, Any]) -> list[str]:
    ours, floor, documented = measured[OURS], measured[FLOOR], measured[DOCUMENTED]
    missed = [
        f"{side} found other rows by {', '.join(others)}"
        for side, one in measured.items()
        if (others := [rule for rule, found in floor["found"].items() if one["found"][rule] != found])
    ]
    if rows == 1_000_000:
        for name, most, other in (("polars", MOST_OF_POLARS, floor), ("GX", MOST_OF_GX, documented)):
            share = ours["cpu"] / other["cpu"]
            missed += [f"{share:.2f} x the CPU of {name} > {most:g}"] if share > most else []
        missed += [f"{ours['peak']:.0f} MB > {MOST_MB:g} MB"] if ours["peak"] > MOST_MB else []
    return missed


if __name__ == "__main__":
    sys.exit(main())
