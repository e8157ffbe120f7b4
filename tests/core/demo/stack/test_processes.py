"""Stop what was started with all it left behind, and never anybody else's process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from include.demo.stack import processes
from include.demo.stack.home import Home, open_home, write_private

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
PARENT = [sys.executable, "-c", f"import subprocess, time; subprocess.Popen({SLEEPER!r}); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)",
]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = open_home({"NIGHTLEDGER_HOME": str(tmp_path)})
    yield home
    processes.stop(home, processes.recorded(home))


def start(home: Home, command: list[str], name: str = "part") -> processes.Record:
    return processes.start(home, name, command, os.environ)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_started_process_is_found_again_from_its_record(home: Home) -> None:
    record = start(home, SLEEPER)
    assert processes.find(home, "part") == record
    assert processes.recorded(home) == ["part"]


def test_the_children_are_stopped_too(home: Home) -> None:
    record = start(home, PARENT)
    wait_for(lambda: len(record.family()) == 2)
    family = [process.pid for process in record.family()]
    assert processes.stop(home, ["part"]) == ["part"]
    assert [pid for pid in family if runs(pid)] == []
    assert processes.recorded(home) == []


def test_what_a_killed_process_left_behind_is_stopped(home: Home) -> None:
    record = start(home, PARENT)
    wait_for(lambda: len(record.family()) == 2)
    os.kill(record.pid, signal.SIGKILL)
    wait_for(lambda: not runs(record.pid))
    orphans = [process.pid for process in record.family() if process.pid != record.pid]
    assert orphans
    processes.stop(home, ["part"])
    assert [pid for pid in orphans if runs(pid)] == []


def test_one_that_ignores_the_polite_signal_is_killed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.2)
    record = start(home, STUBBORN)
    wait_for(lambda: Path(record.log).read_text())
    processes.stop(home, ["part"])
    assert not runs(record.pid)


def test_a_process_that_got_the_number_of_ours_is_left_alone(home: Home) -> None:
    stranger = subprocess.Popen(SLEEPER, start_new_session=True)
    try:
        ours = replace(start(home, SLEEPER, "other"), name="part", pid=stranger.pid, created=1.0)
        write_private(home.records / "part.json", json.dumps(asdict(ours)))
        assert processes.find(home, "part") is None
        assert ours.family() == []
        assert processes.stop(home, ["part"]) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_process_that_ended_is_not_found(home: Home) -> None:
    record = start(home, SLEEPER)
    os.kill(record.pid, signal.SIGKILL)
    wait_for(lambda: processes.find(home, "part") is None)


def test_a_long_log_is_begun_anew(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LOG_BYTES", 3)
    (home.logs / "part.log").write_text("long")
    start(home, SLEEPER)
    assert (home.logs / "part.log.1").read_text() == "long"
