"""`nightledger check` on a CSV of orders, from file to failing rows, and our reading alone, beside who only reads it.

    make bench, or: PYTHONPATH=. python tests/bench/bench_files.py [--rows N ...] [--repeat N]

Each measurement is a process of its own, with its imports; of several the one with the least CPU counts. The file has
13 columns and seven rules are held against it. Ratios are of CPU seconds of all threads, to polars and to Arrow; about
2.5 of ours are the import of Great Expectations. `reading` is what `check` does before it judges: types, lines, the
staged file. `--rows 5000000` holds memory at five million rows. The exit code is 1 when a bar is missed. About three
minutes.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_TIMES, MOST_MB = 5.0, {1_000_000: 500.0, 5_000_000: 700.0}
"""Bars at these numbers of rows: CPU of `check` in that of polars reading the file, and its peak in megabytes."""
READERS = {
    "pyarrow": "import sys, pyarrow.csv; print(pyarrow.csv.read_csv(sys.argv[1]).num_rows)",
    "polars": "import sys, polars; print(polars.read_csv(sys.argv[1], try_parse_dates=True).height)",
    "DuckDB": "import sys, duckdb; print(len(duckdb.connect().read_csv(sys.argv[1]).to_arrow_table()))",
    "pandas": "import sys, pandas; print(len(pandas.read_csv(sys.argv[1])))",
    "reading": (
        "import sys, tempfile; from pathlib import Path; from upath import UPath; "
        "from include.systems.files.formats.reading import Reading; "
        "from include.systems.files.formats.stage import stage_file; "
        "folder = tempfile.TemporaryDirectory(); "
        "print(stage_file(Path(sys.argv[1]), UPath(folder.name), reading=Reading(), tell=print).rows.rows)"
    ),
}
CHECK = (
    "import sys; from include.cli import main; main(['check', '--input', sys.argv[1], '--expectations', sys.argv[2]])"
)
RULES = """
from include.quality.expectation import Expectation

def rule(kind, column, **more):
    name, more["column"] = f"{column}_{kind}", column
    return Expectation(name, f"ExpectColumnValues{kind}", (column,), "warning", kind, more)

EXPECTATIONS = (
    Expectation("rows", "ExpectTableRowCountToBeBetween", (), "critical", "There are rows", {"min_value": 1}),
    rule("ToNotBeNull", "order_id"),
    rule("ToBeUnique", "order_id"),
    rule("ToMatchRegex", "email", regex=r"^[^@\\s]+@[^@\\s.]+(?:\\.[^@\\s.]+)+$"),
    rule("ToBeInSet", "country", value_set=["DE", "FR", "IT", "ES", "NL"]),
    rule("ToBeBetween", "quantity", min_value=1, max_value=1000),
    rule("ToBeBetween", "amount", min_value=0),
)
"""
HEADER = "order_id,customer_id,email,country,status,quantity,amount,ordered_at,shipped_at,day,paid,note,rate\n"
DAY = datetime(2026, 11, 20, tzinfo=UTC)


def write_orders(path: Path, rows: int) -> None:
    """Orders in 13 columns, seeded, one in a hundred of them bad, one in seven with a quoted note."""
    draw = random.Random(rows)
    with path.open("w", encoding="utf-8") as file:
        file.write(HEADER)
        for number in range(rows):
            at = DAY - timedelta(seconds=draw.randrange(86_400))
            bad, note = draw.random() < 0.01, '"a, quoted note"' if number % 7 == 0 else "some words here"
            country, quantity = ("XX", -1) if bad else (draw.choice(["DE", "FR", "IT"]), draw.randrange(1, 100))
            shipped = (at + timedelta(hours=draw.randrange(1, 72))).isoformat() if number % 5 else ""
            who = f"O{number:09d},C{draw.randrange(100_000):06d},customer{number}@example.com"
            what = f"{country},new,{quantity},{draw.random() * 1e4:.2f},{at.isoformat()},{shipped},{at.date()}"
            file.write(f"{who},{what},{'true' if number % 3 else 'false'},{note},{draw.random():.6f}\n")


def measure(code: str, *arguments: str) -> tuple[float, float]:
    """CPU seconds and peak megabytes of a process that runs `code`."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = "import atexit, resource, sys; atexit.register(lambda: sys.stderr.write("
    told += "'\\nPEAK %d' % resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)); "
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", told + code, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**kept, "PYTHONPATH": str(ROOT)},
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2_000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, int(done.stderr.rpartition("PEAK ")[2]) / 1024


def main() -> int:
    """Print the table; 1 when a bar is missed at a million rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 1_000_000])
    parser.add_argument("--repeat", type=int, default=2)
    given = parser.parse_args()
    missed = []
    print("| rows | side | CPU s | of polars | of pyarrow | peak MB |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.py"
        rules.write_text(RULES, encoding="utf-8")
        for rows in given.rows:
            path = Path(folder) / f"{rows}.csv"
            write_orders(path, rows)
            sides = {name: [measure(code, str(path)) for _ in range(given.repeat)] for name, code in READERS.items()}
            sides["check"] = [measure(CHECK, str(path), str(rules)) for _ in range(given.repeat)]
            quickest = {name: min(found) for name, found in sides.items()}
            reading, arrow = quickest["polars"][0], quickest["pyarrow"][0]
            for name, (cpu, peak) in quickest.items():
                ratios = f"{cpu / reading:.1f} | {cpu / arrow:.1f}"
                print(f"| {rows:,} | {name} | {cpu:.2f} | {ratios} | {peak:.0f} |", flush=True)
            cpu, peak = quickest["check"]
            if rows in MOST_MB and (cpu > MOST_TIMES * reading or peak > MOST_MB[rows]):
                missed.append(f"check of {rows:,} rows takes {cpu / reading:.1f} x the CPU of polars and {peak:.0f} MB")
    print("; ".join(missed) or "all bars reached")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
