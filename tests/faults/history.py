"""One seeded history: what is played, what must have taken effect in it, and what it says about itself in a line.

What the nemesis does is drawn from the seed; when exactly it happens depends on the machine, as in life.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import drops, erp, files, nights
from tests.faults.invariants import check_files, check_night, check_orphans, count
from tests.faults.proposals_hold import check_proposals
from tests.faults.world import World, own_folder, world


@dataclass(frozen=True)
class Kind:
    """How a history goes on: `play` breaks things until all is calm and finished, `check` asserts what must hold.

    Each of `needs` must have taken effect, else the history has shown nothing and fails.
    """

    play: Callable[[World], None]
    check: Callable[[World], None]
    needs: tuple[str, ...]
    sandbox: Mapping[str, Any] = field(default_factory=dict)


_UNHURRIED = {"model_latency_ms": 700, "model_jitter_ms": 400}
_QUICK = {"model_latency_ms": 70, "model_jitter_ms": 30}
_NIGHT = {"model_latency_ms": 400, "model_jitter_ms": 200}
_ERP = {"model_latency_ms": 20, "model_jitter_ms": 10, "leads_per_day": 0, "erp_page_rows": 4}
_SLOW_ERP = {**_ERP, "erp_latency_ms": 250}
_ERP_WRITES = ("kill between send and confirm", "after", "cut", "somebody else", "changed after an unknown write")
KINDS = {
    "storm": Kind(files.storm, check_files, ("kill in the air",), _UNHURRIED),
    "orphans": Kind(files.storm, check_orphans, ("kill in the air",), _UNHURRIED),
    "night storm": Kind(nights.storm, check_night, ("kill in the air",), _NIGHT),
    "tails": Kind(files.tails, check_files, ("slow",), _QUICK),
    "writes": Kind(nights.writes, check_night, ("kill between send and confirm", "after"), _QUICK),
    "pauses": Kind(files.pauses, check_files, ("pause",), _UNHURRIED),
    "drops": Kind(nights.drops, check_night, ("connection refused", "connection cut", "the writer paused"), _QUICK),
    "lies": Kind(files.lies, check_files, ("lie",), _QUICK),
    "twice": Kind(nights.twice, check_night, ("two runs of a date",), _NIGHT),
    "disks": Kind(files.disks, check_files, ("disk full", "ledger disk full"), _UNHURRIED),
    "tampered": Kind(nights.tampered, check_night, ("answers changed",), _QUICK),
    "clocks": Kind(files.clocks, check_files, ("wrong clock",), _QUICK),
    "night clocks": Kind(nights.clocks, check_night, ("wrong clock",), _QUICK),
    "erp storm": Kind(erp.storm, check_proposals, ("kill in the air", "somebody else"), _SLOW_ERP),
    "erp writes": Kind(erp.writes, check_proposals, _ERP_WRITES, _ERP),
    "file storm": Kind(drops.storm, check_proposals, ("kill in extract",), _ERP),
}


@dataclass
class Told:
    """What happened in a history; `problem` says why it failed."""

    kind: str
    seed: int
    seconds: float = 0.0
    seen: str = ""
    effects: str = ""
    deeds: str = ""
    problem: str = ""

    def as_text(self) -> str:
        """In one line."""
        ended = f"FAILED {self.problem}" if self.problem else "passed"
        happened = "; ".join(filter(None, (self.seen, self.effects or "nothing took effect", self.deeds)))
        return f"{self.seed:>4} {self.kind:12} {self.seconds:5.1f} s  {happened}  {ended}"


def play(kind: str, seed: int, keep: Path | None = None) -> Told:
    """Play a history and return what happened; raises AssertionError if something does not hold.

    The folder of one that failed stays, with `history.txt`; the line is also appended to `keep`.
    """
    told, began = Told(kind, seed), time.monotonic()
    chosen = KINDS[kind]
    with own_folder(f"{seed}") as folder:
        try:
            with world(seed, folder, **chosen.sandbox) as here:
                try:
                    chosen.play(here)
                    chosen.check(here)
                    missing = [name for name in chosen.needs if not here.all_effects()[name]]
                    assert not missing, f"nothing was shown: {', '.join(missing)} did not take effect"
                finally:
                    _sum_up(told, here)
        except BaseException as error:
            told.problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''} [{folder}]"
            raise
        finally:
            told.seconds = time.monotonic() - began
            (folder / "history.txt").write_text(told.as_text() + "\n")
            if keep is not None:
                with keep.open("a") as file:
                    file.write(told.as_text() + "\n")
    return told


def _sum_up(told: Told, here: World) -> None:
    told.effects = ", ".join(f"{name} {number}" for name, number in sorted(here.all_effects().items()) if number)
    told.deeds = " ".join(name.replace(" ", "-") for name in here.deeds)
    try:
        told.seen = count(here).as_text()
    except Exception as error:  # the ledger may be what is broken; the history's own error says more
        told.seen = f"not counted ({type(error).__name__})"
