"""Start, find and stop the stack's own processes, and never anybody else's."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from include.demo.stack.errors import StackError
from include.demo.stack.home import Home, write_private
from include.private import open_file

GRACE_SECONDS = 3.0
LOG_BYTES = 5_000_000


@dataclass(frozen=True, slots=True)
class Record:
    """A process that was started: its number and its start time tell it from a later one with the same number.

    `given` is the fingerprint of the environment it was started with.
    """

    name: str
    pid: int
    created: float
    log: str
    port: int = 0
    given: str = ""

    def process(self) -> psutil.Process | None:
        """The process, or None if it has ended."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.created) < 1.0
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    def family(self) -> list[psutil.Process]:
        """The process with all it started, or what a crash left behind of that: members of the session it led."""
        leader = self.process()
        if leader is None and psutil.pid_exists(self.pid) and not _is_zombie(self.pid):
            return []  # the number belongs to somebody else, and so would the session
        members = {found.pid: found for found in psutil.process_iter() if _session(found.pid) == self.pid}
        for process in [leader, *leader.children(recursive=True)] if leader else []:
            members[process.pid] = process
        return [found for found in members.values() if _began(found) >= self.created - 1.0]


def start(
    home: Home,
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    port: int = 0,
    given: str = "",
    cwd: Path | None = None,
) -> Record:
    """Start a process of its own session with a log of its own, and record it."""
    log = home.logs / f"{name}.log"
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with open_file(log, "ab") as output:
        started = subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o077,
        )
    try:
        created = psutil.Process(started.pid).create_time()
    except psutil.Error as error:
        raise StackError("ended at once", system=name, action=f"See {log}") from error
    record = Record(name, started.pid, created, str(log), port, given)
    write_private(home.records / f"{name}.json", json.dumps(asdict(record)))
    return record


def find(home: Home, name: str) -> Record | None:
    """The record of a process that still runs, or None."""
    record = _read(home, name)
    return record if record and record.process() else None


def recorded(home: Home) -> list[str]:
    """Names of all processes that were started and not stopped, sorted."""
    return sorted(path.stem for path in home.records.glob("*.json"))


def stop(home: Home, names: Sequence[str]) -> list[str]:
    """Stop processes with all their children, together: politely, then not; returns the names that were running."""
    records = [record for name in names if (record := _read(home, name))]
    families = {record.name: record.family() for record in records}
    for record in records:
        _signal([record.process()], kill=False)
    everyone = [process for family in families.values() for process in family]
    _signal(_wait(everyone, GRACE_SECONDS), kill=False)  # idle workers, which the scheduler waits for in vain
    _signal(_wait(everyone, GRACE_SECONDS), kill=True)
    _wait(everyone, 5.0)
    for name in names:
        (home.records / f"{name}.json").unlink(missing_ok=True)
    return [name for name, family in families.items() if family]


def _read(home: Home, name: str) -> Record | None:
    path = home.records / f"{name}.json"
    return Record(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _signal(processes: Sequence[psutil.Process | None], *, kill: bool) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process is not None:
                process.kill() if kill else process.terminate()


def _wait(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run after so long; one that only waits to be collected by its parent has ended."""
    deadline = time.monotonic() + seconds
    while alive := [found for found in processes if found.is_running() and not _is_zombie(found.pid)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return alive


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def _began(process: psutil.Process) -> float:
    try:
        return process.create_time()
    except psutil.Error:
        return 0.0


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True
