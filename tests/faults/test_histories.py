"""`make faults` runs 200 of these; `make test` a few."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.history import World, run, world
from tests.faults.invariants import check

WORKERS = 3
HISTORIES = int(os.environ.get("NIGHTLEDGER_HISTORIES", "3"))
FIRST = int(os.environ.get("NIGHTLEDGER_FIRST_HISTORY", "1"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + HISTORIES))
def test_whatever_breaks_nothing_is_lost_or_paid_twice(seed: int, tmp_path: Path) -> None:
    tmp_path.parent.chmod(0o755)
    with world(seed, tmp_path) as here:
        run(here, WORKERS)
        (tmp_path / "history.txt").write_text(f"{here.kills} kills; {', '.join(here.done)}")
        check(here, WORKERS)
        again(here)  # what died while the model was broken is asked once more, and nothing else
        assert check(here, WORKERS)["dead_letter"] == 0
        calls = len(here.calls())
        again(here)
        assert len(here.calls()) == calls, "I8: a finished file was asked again"


def again(here: World) -> None:
    for number in range(WORKERS):
        assert here.start(number).wait(timeout=100) in (0, 1)
