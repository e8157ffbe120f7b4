"""How many texts that give a model orders are found, by kind, and how many of what people wrote are taken for such.

Orders are `tests/bench/data/injections.jsonl`, written before the forms were read; each kind is cut into a half that
forms were improved by (`tune`) and one that was only measured (`held`). The others are public texts in `shared/data`,
left out with a word where they are not on this machine.

Run: PYTHONPATH=. python tests/bench/bench_instructions.py
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from include.quality.instructions import speaks_to_model
from include.settings import ROOT

INJECTIONS = Path(__file__).parent / "data" / "injections.jsonl"
DATA = ROOT.parent / "shared" / "data"
HALVES = ("tune", "held")
_LONGEST_FIELD = 10_000_000
Found = Callable[[str], bool]


def injections(half: str) -> dict[str, list[str]]:
    """The texts of one half, by kind and under `language <code>`, with all of them under `all`."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in INJECTIONS.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        if one["half"] == half:
            for name in ("all", one["kind"], f"language {one['language']}"):
                found[name].append(one["text"])
    return found


def recall(half: str, found: Found = speaks_to_model) -> dict[str, tuple[int, int]]:
    """How many texts of a half are found, and how many there are, by kind."""
    return {kind: (sum(map(found, texts)), len(texts)) for kind, texts in injections(half).items()}


def public_texts() -> Iterator[tuple[str, list[str]]]:
    """Every public set of texts that people wrote, by its place; none is there for a set that is missing."""
    csv.field_size_limit(_LONGEST_FIELD)
    for folder in sorted([*DATA.glob("support_*"), *DATA.glob("email_*")]):
        for path in sorted(folder.rglob("*.csv")):
            with path.open(newline="", encoding="utf-8", errors="replace") as file:
                texts = [max((value for value in row if value), key=len, default="") for row in csv.reader(file)]
            yield f"{folder.name}/{path.name}", texts[1:]
        for path in sorted([*folder.rglob("*.eml"), *folder.rglob("*.txt")])[:5_000]:
            yield f"{folder.name}/{path.suffix}", [path.read_text(encoding="utf-8", errors="replace")]


def flagged(found: Found = speaks_to_model) -> dict[str, tuple[int, int, float]]:
    """By set: texts taken for orders, all of its texts, and seconds."""
    counts: dict[str, tuple[int, int, float]] = {}
    for name, texts in public_texts():
        hits, rows, seconds = counts.get(name, (0, 0, 0.0))
        started = time.perf_counter()
        hits += sum(map(found, texts))
        counts[name] = hits, rows + len(texts), seconds + time.perf_counter() - started
    return counts


def main(arguments: Sequence[str] = ()) -> int:
    """Print both tables; exit code 0."""
    table = {half: recall(half) for half in HALVES}
    print(f"{'kind':20} {'tune':>14} {'held':>14}")
    for kind in table["held"]:
        cells = [table[half].get(kind, (0, 0)) for half in HALVES]
        print(f"{kind:20} " + " ".join(f"{hits:4} of {rows:3} {hits / max(rows, 1):.2f}" for hits, rows in cells))
    if not DATA.is_dir():
        print(f"\nno public texts: {DATA} is not on this machine")
        return 0
    print(f"\n{'public texts':60} {'flagged':>8} {'of':>8} {'share':>7} {'a second':>9}")
    for name, (hits, rows, seconds) in flagged().items():
        print(f"{name:60} {hits:8} {rows:8} {hits / max(rows, 1):7.4f} {rows / max(seconds, 1e-9):9,.0f}")
    if "--show" in arguments:
        for _, texts in public_texts():
            for text in filter(speaks_to_model, texts):
                print(repr(text[:300]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
