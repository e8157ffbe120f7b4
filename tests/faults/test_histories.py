"""`make faults` runs 200 of these; `make test` a few."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.faults.history import World, run, world
from tests.faults.invariants import check

WORKERS = 3
HISTORIES = int(os.environ.get("NIGHTLEDGER_HISTORIES", "3"))
FIRST = int(os.environ.get("NIGHTLEDGER_FIRST_HISTORY", "1"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + HISTORIES))
def test_whatever_breaks_nothing_is_lost_or_paid_twice(seed: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix=f"nightledger-history-{seed}-"))
    folder.chmod(0o755)  # the database server has its own account where tests run as root
    with world(seed, folder) as here:
        run(here, WORKERS)
        (folder / "history.txt").write_text(f"{here.kills} kills; {', '.join(here.done)}")
        check(here, WORKERS)
        again(here)  # what died while the model was broken is asked once more, and nothing else
        assert check(here, WORKERS)["dead_letter"] == 0
        calls = len(here.calls())
        again(here)
        assert len(here.calls()) == calls, "I8: a finished file was asked again"
    shutil.rmtree(folder)  # that of a history that failed stays


def again(here: World) -> None:
    for number in range(WORKERS):
        assert here.start(number).wait(timeout=100) in (0, 1)
