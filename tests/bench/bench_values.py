"""What it costs to read values as they are declared to be written, beside the same values written plainly.

    make bench, or: PYTHONPATH=. python tests/bench/bench_values.py [--rows N]

A file of one column is staged, each way three times in turns, and the quickest counts; ratios are of CPU seconds of the
process. The last line is six columns of fixed widths beside the same with commas. The exit code is 1 when a bar is
missed. About half a minute.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from upath import UPath

from include.systems.files.formats.dates import dates
from include.systems.files.formats.notation import amounts, percents
from include.systems.files.formats.reading import Reading
from include.systems.files.formats.stage import stage_file

MOST_TIMES = 4.0
"""Bar: CPU of the plain values."""
EURO = "{:,.2f} \u20ac".format
WAYS: dict[str, tuple[Callable[[Any], str], Callable[[Any], str], Any]] = {
    "1.234,56 \u20ac": (
        lambda n: EURO(n).translate(str.maketrans(",.", ".,")),
        "{:.2f}".format,
        amounts(",", thousands=".", currency="\u20ac"),
    ),
    "(1,234.56)": ("({:,.2f})".format, "{:.2f}".format, amounts(thousands=",")),
    "12,5 %": (lambda n: f"{n % 100:.1f} %".replace(".", ","), "{:.2f}".format, percents(",")),
    "12/31/2024": (lambda n: _day(n, "%m/%d/%Y"), lambda n: _day(n, "%Y-%m-%d"), dates("%m/%d/%Y")),
    "31.12.2024 23:59:59": (
        lambda n: _day(n, "%d.%m.%Y %H:%M:%S"),
        lambda n: _day(n, "%Y-%m-%d %H:%M:%S"),
        dates("%d.%m.%Y %H:%M:%S"),
    ),
}
WIDTHS = (9, 6, 10, 8, 10, 8)


def _day(number: float, form: str) -> str:
    return time.strftime(form, time.gmtime(int(number * 100)))


def cost(path: Path, reading: Reading) -> float:
    """CPU seconds of staging a file; every value of it can be read."""
    with tempfile.TemporaryDirectory() as folder:
        before = time.process_time()
        found = stage_file(path, UPath(folder), reading=reading, tell=lambda *what: sys.exit(str(what)))
        spent = time.process_time() - before
    if found.types["x"] == "text":
        sys.exit(f"{path.name} was read as text")
    return spent


def beside(pairs: list[tuple[Path, Reading]]) -> list[float]:
    """The quickest of three turns for each."""
    turns = [[cost(path, reading) for path, reading in pairs] for _ in range(3)]
    return [min(times) for times in zip(*turns, strict=True)]


def main() -> int:
    """Print the table; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows, draw, missed = parser.parse_args().rows, random.Random(1), list[str]()
    print("| values | CPU s | of plain ones |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        written, plain = Path(folder) / "written.csv", Path(folder) / "plain.csv"
        numbers = [draw.randrange(100, 10**9) / 100 for _ in range(rows)]
        for name, (write, base, notation) in WAYS.items():
            for path, how in ((written, write), (plain, base)):
                path.write_text("x;y\n" + "".join(f"{how(number)};\n" for number in numbers), encoding="utf-8")
            sides = [(written, Reading(delimiter=";", kinds={"x": notation})), (plain, Reading(delimiter=";"))]
            missed += told(name, beside(sides))
        table = [[f"{at:09}", "C17", "M\u00fcller", f"{at}.5", _day(at, "%Y-%m-%d"), "open"] for at in range(rows // 4)]
        heads = ["id", "who", "name", "x", "day", "state"]
        lines = ("".join(f"{cell:{width}}" for cell, width in zip(row, WIDTHS, strict=True)) for row in [heads, *table])
        written.write_text("\n".join(lines), encoding="utf-8")
        plain.write_text("\n".join(map(",".join, [heads, *table])), encoding="utf-8")
        missed += told("fixed widths", beside([(written, Reading(widths=WIDTHS)), (plain, Reading())]))
    print("; ".join(missed) or "all bars reached")
    return 1 if missed else 0


def told(name: str, found: list[float]) -> list[str]:
    """Print a line; returns what missed its bar."""
    ratio = found[0] / found[1]
    print(f"| {name} | {found[0]:.2f} | {ratio:.1f} |", flush=True)
    return [f"{name} takes {ratio:.1f} x the CPU of plain values"] if ratio > MOST_TIMES else []


if __name__ == "__main__":
    sys.exit(main())
