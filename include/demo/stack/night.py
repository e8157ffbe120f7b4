"""Run one night on a stack that is up: trigger, follow, report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from include.demo.sandbox.config import SandboxConfig
from include.demo.sandbox.seed.prepare import nights, require_data
from include.demo.stack.environment import PREFIX, SANDBOX_CONNECTIONS, read_environment
from include.demo.stack.errors import StackError
from include.demo.stack.home import Home, open_home, write_private
from include.demo.stack.processes import Record
from include.demo.stack.stack import DAG, Say, Stack, sandbox_state
from include.intervals import read_night
from include.ledger import door
from include.ledger.record import finished_snapshot
from include.models import Interval, RunKey
from include.settings import ROOT
from include.stages import STEPS
from include.systems.connections import EnvironmentConnections

HELD_BACK = "held back: another night was asked for while the schedule is off"
SCHEDULER_SECONDS = 3.0
"""Longer than one round of the scheduler, which starts what is due."""
LOOK_SECONDS = 0.5


def choose_night(text: str, data: Path | None, now: datetime) -> Interval:
    """The night that a date names, checked before anything is started; of an empty text the last complete one.

    Raises ConfigurationError or StackError for a folder of data that cannot be loaded, and for a night that cannot be
    run or for which the sandbox has no data.
    """
    if data is not None:
        require_data(data)
    night, given = read_night(text, now), read_environment()
    if all(f"{PREFIX}{name}" in given for name in SANDBOX_CONNECTIONS):
        return night
    known = nights(SandboxConfig(sandbox_state(open_home(given), data), data=data))
    if night.start.date() not in known:
        about = f"the sandbox with the data of {data}" if data else "the sandbox"
        found = f"{known[0]} to {known[-1]}" if known[0] != known[-1] else f"{known[0]}"
        raise StackError(
            f"has the nights {found}, and not {night.start.date()}", about=about, action="Give one of these"
        )
    return night


def run_night(stack: Stack, night: Interval, say: Say, mode: str = "auto", dag: str = DAG) -> tuple[str, bool]:
    """Trigger a DAG for one night, follow it, and say what failed; the DAG run's id, and whether it succeeded.

    A caller that is interrupted leaves neither the DAG on nor the run behind.
    """
    start, end = night.start, night.end
    taken = {run["logical_date"] for run in stack.api.runs(dag)}
    logical, attempt = start, 1
    while logical.isoformat().replace("+00:00", "Z") in taken:
        logical, attempt = logical + timedelta(seconds=1), attempt + 1
    run_id = stack.api.trigger(dag, f"night__{start:%Y-%m-%d}__{attempt}", start, end, logical, {"mode": mode})
    say(f"{dag}, {run_id}: interval {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, mode {mode}")
    with _switched_on(stack, dag, run_id) as hold_back:
        state = _follow(stack, dag, run_id, say, hold_back)
    if state == "failed":
        _say_why(stack, dag, run_id, say)
    return run_id, state == "success"


def has_succeeded(stack: Stack, use_case: str, night: Interval) -> bool:
    """Whether a night of a use case has a run that succeeded, so that others can read its answers."""
    ledger = door.open_ledger(EnvironmentConnections(stack.environment))
    try:
        return finished_snapshot(ledger, use_case, night) is not None
    finally:
        ledger.dispose()


def _follow(stack: Stack, dag: str, run_id: str, say: Say, hold_back: Callable[[], None]) -> str:
    shown = ""
    while (state := stack.api.state(dag, run_id)) not in ("success", "failed"):
        hold_back()
        line = _progress(stack.api.tasks(dag, run_id))
        if line != shown:
            say(f"  {line}")
            shown = line
        time.sleep(1)
    return state


@contextmanager
def _switched_on(stack: Stack, dag: str, run_id: str) -> Iterator[Callable[[], None]]:
    """Have a DAG on for one run only, if it is off; what is to be put right is written down first.

    A DAG that is off runs nothing at all, and one that is switched on starts its newest scheduled night beside the one
    that was asked for. That night waits behind ours, and would start when ours ends: what is yielded ends it before, as
    often as it is called, since a scheduler with much to do makes that night late. It is forgotten once the DAG is off.
    """
    me = psutil.Process()
    note: dict[str, Any] = {"dag": dag, "run": run_id, "off": stack.api.is_paused(dag), "before": []}
    note |= {"pid": me.pid, "created": me.create_time()}
    if note["off"]:
        note["before"] = [run["dag_run_id"] for run in stack.api.runs(dag)]
    write_private(stack.home.night_file, json.dumps(note))
    try:
        if note["off"]:
            stack.api.pause(dag, False)
            time.sleep(SCHEDULER_SECONDS)
        hold_back = partial(_hold_back, stack, note)
        hold_back()
        yield hold_back
    finally:
        put_right(stack)


def followed(home: Home) -> str:
    """The DAG and run that another command of this clone follows now, or nothing."""
    note = json.loads(home.night_file.read_text(encoding="utf-8")) if home.night_file.exists() else None
    if note is None or note["pid"] == os.getpid():
        return ""
    follower = Record(DAG, note["pid"], note["created"], log="")
    return f"{note.get('dag', DAG)} {note['run']}" if follower.process() else ""


def put_right(stack: Stack) -> str:
    """Switch the DAG off again and end the run of a night that nobody follows any more; its DAG and run, or nothing.

    After `kill -9` the next command does this.
    """
    file = stack.home.night_file
    if not file.exists() or followed(stack.home):
        return ""
    note = json.loads(file.read_text(encoding="utf-8"))
    dag = note.get("dag", DAG)
    known = {run["dag_run_id"]: run["state"] for run in stack.api.runs(dag)}
    left = known.get(note["run"]) in ("queued", "running")
    if left:
        _end(stack, dag, note["run"])
    if note["off"]:
        _hold_back(stack, note)
        stack.api.pause(dag, True)
        for run in _uninvited(stack, note):
            stack.api.delete_run(dag, run["dag_run_id"])
    file.unlink()
    return f"{dag} {note['run']}" if left else ""


def _end(stack: Stack, dag: str, run_id: str) -> None:
    """End a run as failed, and see that it stays so.

    A scheduler that is just examining the run finds all of its tasks ended, and would call it a success.
    """
    until = time.monotonic() + SCHEDULER_SECONDS
    stack.api.fail_run(dag, run_id, "nobody follows it any more")
    while time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        if stack.api.state(dag, run_id) != "failed":
            stack.api.fail_run(dag, run_id, "nobody follows it any more")


def _hold_back(stack: Stack, note: Mapping[str, Any]) -> None:
    """End the schedule's runs that came since the DAG was switched on, before they start."""
    for run in _uninvited(stack, note) if note["off"] else ():
        if run["state"] == "queued":
            stack.api.fail_run(note.get("dag", DAG), run["dag_run_id"], HELD_BACK)


def _uninvited(stack: Stack, note: Mapping[str, Any]) -> list[Any]:
    """Runs of the schedule that came since the DAG was switched on and have done nothing."""
    return [
        run
        for run in stack.api.runs(note.get("dag", DAG))
        if run["run_type"] == "scheduled"
        and run["dag_run_id"] not in note["before"]
        and (run["state"] == "queued" or run.get("note") == HELD_BACK)
    ]


def _progress(tasks: list[Any]) -> str:
    states = {task["task_id"]: task["state"] or "waiting" for task in tasks}
    return "  ".join(f"{name}: {states.get(name, 'waiting')}" for name in STEPS)


def _say_why(stack: Stack, dag: str, run_id: str, say: Say) -> None:
    for task in stack.api.tasks(dag, run_id):
        if task["state"] != "failed":
            continue
        folder = stack.home.airflow / "logs" / f"dag_id={dag}" / f"run_id={run_id}" / f"task_id={task['task_id']}"
        logs = sorted(folder.rglob("*.log"))
        say(f"Task {task['task_id']} failed. Its log: {logs[-1] if logs else folder}")
        for line in (logs[-1].read_text(encoding="utf-8", errors="replace").splitlines() if logs else [])[-400:]:
            if '"level":"error"' in line.replace(" ", ""):
                say(f"  {_message(line)[:400]}")


def _message(line: str) -> str:
    try:
        record = json.loads(line)
    except ValueError:
        return line
    detail = record.get("error_detail") or [{}]
    return f"{record.get('event', '')} {detail[0].get('exc_value', '')}".strip()


def print_report(stack: Stack, run_id: str, night: Interval, dag: str = DAG) -> int:
    """Print the morning report of a DAG run; returns the command's exit code, or 1 if no run was opened for it."""
    ledger = door.open_ledger(EnvironmentConnections(stack.environment))
    found = door.find_run(ledger, RunKey(dag, night, f"{dag}/{run_id}"))
    ledger.dispose()
    if found is None:
        return 1
    command = [sys.executable, "-W", "ignore", "-m", "include.cli", "report", dag, "--run", found]
    return subprocess.run(command, env=dict(stack.environment), cwd=ROOT, check=False).returncode
