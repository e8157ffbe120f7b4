"""What was measured: a Markdown table that is printed line by line, the raw numbers, and the bars that were missed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COLUMNS = {
    "scenario": 14,
    "client": 11,
    "kept": 17,
    "seconds": 8,
    "possible": 8,
    "429": 5,
    "billed again": 12,
    "CPU s/1,000": 11,
    "ratio": 5,
    "calls/s": 7,
    "endpoint CPU": 12,
    "and": 0,
}


@dataclass
class Table:
    """One line per scenario and client; `raw` is everything that client and endpoint reported."""

    raw: dict[str, Any] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Print the head."""
        self._print(dict(zip(COLUMNS, COLUMNS, strict=True)))
        print("|" + "|".join("-" * (width + 2) for width in COLUMNS.values()) + "|", flush=True)

    def add(
        self,
        scenario: str,
        client: str,
        facts: dict[str, Any],
        *,
        best: float | None = None,
        ratio: float | None = None,
        note: str = "",
    ) -> None:
        """Print one line; `best` is the least possible seconds, `ratio` the CPU against the floor.

        Where a limit sets the time, CPU is left out: it would be that of waiting.
        """
        seen, answered = facts["endpoint"], facts["answered"]
        calls = seen["billed"]
        self.raw[f"{scenario}/{client}"] = {**facts, "best_seconds": best, "cpu_ratio": ratio, "note": note}
        cells = {
            "scenario": scenario,
            "client": client,
            "kept": f"{answered:,} of {facts['rows']:,}",
            "seconds": f"{facts['seconds']:.1f}",
            "possible": "" if best is None else f"{best:.1f}",
            "429": f"{seen['refused']}",
            "billed again": f"{seen['billed_again']}",
            "CPU s/1,000": "" if best else f"{per_thousand(facts['cpu_seconds'], answered):.2f}",
            "ratio": "" if ratio is None else f"{ratio:.1f}",
            "calls/s": f"{calls / facts['seconds']:.0f}",
            "endpoint CPU": f"{per_thousand(seen['cpu_seconds'], calls):.2f}",
            "and": note,
        }
        self._print(cells)

    def require(self, holds: bool, bar: str) -> None:
        """Remember a bar that ours missed."""
        if not holds:
            self.missed.append(bar)
            print(f"  MISSED {bar}", flush=True)

    def write(self, path: Path, about: dict[str, Any]) -> None:
        """Keep the raw numbers, with what they were measured on."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"about": about, "missed": self.missed, "measured": self.raw}, indent=1) + "\n")

    def _print(self, cells: dict[str, str]) -> None:
        print("| " + " | ".join(cells[name].ljust(width) for name, width in COLUMNS.items()) + " |", flush=True)


def per_thousand(amount: float, count: int) -> float:
    """An amount for 1,000 of what there are `count` of."""
    return amount / max(count, 1) * 1_000
