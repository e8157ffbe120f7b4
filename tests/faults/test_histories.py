"""`make faults` plays 200 of all kinds; here are a few of each world."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from include.demo.stack import postgres
from include.settings import ROOT
from tests.faults.history import KINDS, Kind, play
from tests.faults.world import TEMPLATE, World, make_template, own_folder, wait_until


@pytest.fixture(scope="module", autouse=True)
def template() -> Iterator[None]:
    with own_folder("template") as folder:
        os.environ[TEMPLATE] = str(make_template(folder))
        yield
        del os.environ[TEMPLATE]


def test_a_history_in_which_nothing_took_effect_fails_and_leaves_nothing_running(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[World] = []
    monkeypatch.setitem(KINDS, "empty", Kind(seen.append, lambda here: None, ("kill in the air",)))
    with pytest.raises(AssertionError, match="kill in the air did not take effect"):
        play("empty", 1, tmp_path / "history.txt")
    (here,) = seen
    line = (tmp_path / "history.txt").read_text()
    assert "calls 0, retries 0, hedges 0, lost 0, repeated 0; nothing took effect  FAILED" in line
    assert (here.folder / "history.txt").read_text() == line
    assert not postgres.is_running(here.server.folder)
    shutil.rmtree(here.folder)


@pytest.fixture
def place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="nl-"))  # short, since the path of a socket is
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_interrupted_histories_end_what_they_started_and_tell_what_there_is(place: Path) -> None:
    keep, out = place / "history.txt", place / "out.txt"
    command = [sys.executable, "-W", "ignore", "-m", "tests.faults", "--histories", "2", "--at-a-time", "1"]
    with out.open("w") as file:
        given = {"stdout": file, "stderr": file, "env": {**os.environ, "TMPDIR": str(place)}}
        running = subprocess.Popen([*command, "--kind", "storm", "--keep", str(keep)], cwd=ROOT, **given)
        assert wait_until(lambda: bool(list(place.glob("*/*/worker-0.log"))), 120), out.read_text()
        running.send_signal(signal.SIGINT)
        assert running.wait(200) == 1
    assert "storm" in keep.read_text()
    assert "FAILED stopped" in out.read_text()
    assert "0 of 2 histories" in out.read_text()
    left = [
        one.info["cmdline"]
        for one in psutil.process_iter(["cmdline"])
        if str(place) in " ".join(one.info["cmdline"] or ())
    ]
    assert left == []


@pytest.mark.parametrize(("kind", "seed"), [("storm", 1), ("night storm", 1), ("writes", 1), ("erp writes", 2)])
def test_whatever_breaks_nothing_is_lost_or_paid_twice(kind: str, seed: int, tmp_path: Path) -> None:
    assert play(kind, seed).problem == ""
