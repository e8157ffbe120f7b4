"""Run one night on a stack that is up: trigger, follow, report."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from include.settings import ROOT
from include.stack.stack import DAG, Say, Stack

SCHEDULER_SECONDS = 3.0
"""Longer than one round of the scheduler, which starts what is due."""


def last_interval(day: date | None, now: datetime | None = None) -> tuple[datetime, datetime]:
    """The nightly interval that starts on `day` at 02:00 UTC; by default the last one that is complete."""
    if day is None:
        now = now or datetime.now(UTC)
        end = now.replace(hour=2, minute=0, second=0, microsecond=0)
        end -= timedelta(days=1) if end > now else timedelta(0)
        return end - timedelta(days=1), end
    start = datetime(day.year, day.month, day.day, 2, tzinfo=UTC)
    return start, start + timedelta(days=1)


def run_night(stack: Stack, day: date | None, say: Say, mode: str = "auto") -> bool:
    """Trigger the DAG for one interval, follow it, and say what failed; True if the run succeeded."""
    start, end = last_interval(day)
    taken = {run["logical_date"] for run in stack.api.runs(DAG)}
    logical, attempt = start, 1
    while logical.isoformat().replace("+00:00", "Z") in taken:
        logical, attempt = logical + timedelta(seconds=1), attempt + 1
    run_id = stack.api.trigger(DAG, f"night__{start:%Y-%m-%d}__{attempt}", start, end, logical, {"mode": mode})
    say(f"Night {run_id}: interval {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC, mode {mode}")
    with _switched_on(stack):
        state = _follow(stack, run_id, say)
    if state == "failed":
        _say_why(stack, run_id, say)
    return state == "success"


def _follow(stack: Stack, run_id: str, say: Say) -> str:
    shown = ""
    while (state := stack.api.state(DAG, run_id)) not in ("success", "failed"):
        line = _progress(stack.api.tasks(DAG, run_id))
        if line != shown:
            say(f"  {line}")
            shown = line
        time.sleep(1)
    return state


@contextmanager
def _switched_on(stack: Stack) -> Iterator[None]:
    """Have the DAG on for one run only, if it is off.

    A DAG that is off runs nothing at all, and one that is switched on starts its newest scheduled night beside the one
    that was asked for. That night waits behind ours, ended before it starts, and is forgotten once the DAG is off.
    """
    if not stack.api.is_paused(DAG):
        yield
        return
    before = {run["dag_run_id"] for run in stack.api.runs(DAG)}
    stack.api.pause(DAG, False)
    time.sleep(SCHEDULER_SECONDS)
    uninvited = [run["dag_run_id"] for run in _scheduled(stack) if run["dag_run_id"] not in before]
    for run_id in uninvited:
        stack.api.fail_run(DAG, run_id, "held back: another night was asked for while the schedule is off")
    yield
    stack.api.pause(DAG, True)
    for run_id in uninvited:
        stack.api.delete_run(DAG, run_id)


def _scheduled(stack: Stack) -> list[Any]:
    return [run for run in stack.api.runs(DAG) if run["run_type"] == "scheduled" and run["state"] == "queued"]


def _progress(tasks: list[Any]) -> str:
    order = ["extract", "check", "plan", "enrich", "gate", "write", "close"]
    states = {task["task_id"]: task["state"] or "waiting" for task in tasks}
    return "  ".join(f"{name}: {states.get(name, 'waiting')}" for name in order)


def _say_why(stack: Stack, run_id: str, say: Say) -> None:
    for task in stack.api.tasks(DAG, run_id):
        if task["state"] != "failed":
            continue
        folder = stack.home.airflow / "logs" / f"dag_id={DAG}" / f"run_id={run_id}" / f"task_id={task['task_id']}"
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


def print_report(stack: Stack) -> int:
    """Print the morning report of the latest run; returns the command's exit code."""
    command = [sys.executable, "-W", "ignore", "-m", "include.cli", "report", DAG, "--latest"]
    return subprocess.run(command, env=dict(stack.environment), cwd=ROOT, check=False).returncode
