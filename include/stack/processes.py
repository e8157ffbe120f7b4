"""Start, find and stop the stack's own processes, and never anybody else's."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from include.stack.errors import StackError
from include.stack.home import Home, write_private

GRACE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Record:
    """A process that was started: its number and its start time tell it from a later one with the same number."""

    name: str
    pid: int
    created: float
    log: str
    port: int = 0

    def process(self) -> psutil.Process | None:
        """The process, or None if it has ended."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.created) < 1.0
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def start(
    home: Home,
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    port: int = 0,
    cwd: Path | None = None,
) -> Record:
    """Start a process of its own session with a log of its own, and record it."""
    log = home.logs / f"{name}.log"
    with log.open("ab") as output:
        started = subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        created = psutil.Process(started.pid).create_time()
    except psutil.Error as error:
        raise StackError("ended at once", system=name, action=f"See {log}") from error
    record = Record(name, started.pid, created, str(log), port)
    write_private(home.records / f"{name}.json", json.dumps(asdict(record)))
    return record


def find(home: Home, name: str) -> Record | None:
    """The record of a process that still runs, or None."""
    path = home.records / f"{name}.json"
    if not path.exists():
        return None
    record = Record(**json.loads(path.read_text(encoding="utf-8")))
    return record if record.process() else None


def recorded(home: Home) -> list[str]:
    """Names of all processes that were started and not stopped, sorted."""
    return sorted(path.stem for path in home.records.glob("*.json"))


def stop(home: Home, names: Sequence[str]) -> list[str]:
    """Stop processes with all their children, together: politely, then not; returns the names that were running."""
    records = [record for name in names if (record := find(home, name))]
    family: list[psutil.Process] = []
    for record in records:
        process = record.process()
        if process:
            family += [process, *process.children(recursive=True)]
            process.terminate()
    _, alive = psutil.wait_procs(family, timeout=GRACE_SECONDS)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=5)
    for name in names:
        (home.records / f"{name}.json").unlink(missing_ok=True)
    return [record.name for record in records]
