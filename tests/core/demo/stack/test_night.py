"""One night is run, and no other."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from include.demo.stack import night
from include.demo.stack.environment import PREFIX, SANDBOX_CONNECTIONS
from include.demo.stack.home import Home
from include.demo.stack.night import choose_night, run_night
from include.demo.stack.stack import Stack
from include.errors import ConfigurationError, NightledgerError
from include.intervals import last_night, night_of
from include.models import Interval


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "start"),
    [
        ("2026-11-21T01:59", "2026-11-19T02:00"),
        ("2026-11-21T02:00", "2026-11-20T02:00"),
        ("2026-11-21T23:59", "2026-11-20T02:00"),
        ("2026-03-01T12:00", "2026-02-28T02:00"),
    ],
)
def test_the_default_is_the_last_night_that_is_complete(now: str, start: str) -> None:
    assert last_night(at(now)).start == at(start)


def test_a_date_names_the_night_that_starts_on_it() -> None:
    assert night_of(date(2026, 11, 15)) == Interval(at("2026-11-15T02:00"), at("2026-11-16T02:00"))


@dataclass
class Scheduler:
    """Airflow's rules that matter here: a DAG that is on starts its newest night unless a run has that logical date."""

    due: str = "2026-11-19T02:00:00Z"
    paused: bool = True
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    outcome: str = "success"

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        return [dict(run) for run in self.found.values()]

    def trigger(self, dag_id: str, run_id: str, start: datetime, end: datetime, logical: datetime, conf: Any) -> str:
        assert not any(run["logical_date"] == _zulu(logical) for run in self.found.values())
        self._add(run_id, "manual", _zulu(logical))
        return run_id

    def _add(self, run_id: str, kind: str, logical: str) -> None:
        run = {"dag_run_id": run_id, "run_type": kind, "state": "queued", "logical_date": logical}
        self.found[run_id] = run

    def is_paused(self, dag_id: str) -> bool:
        return self.paused

    def pause(self, dag_id: str, paused: bool) -> None:
        self.paused = paused
        if not paused and all(run["logical_date"] != self.due for run in self.found.values()):
            self._add("scheduled", "scheduled", self.due)

    def fail_run(self, dag_id: str, run_id: str, note: str) -> None:
        self.found[run_id] |= {"state": "failed", "note": note}

    def delete_run(self, dag_id: str, run_id: str) -> None:
        assert self.paused
        del self.found[run_id]

    def state(self, dag_id: str, run_id: str) -> str:
        assert not self.paused
        return self.outcome

    def trigger_by_schedule(self) -> None:
        self._add("scheduled", "scheduled", self.due)

    def tasks(self, dag_id: str, run_id: str) -> list[Mapping[str, Any]]:
        return [{"task_id": "check", "state": "failed"}, {"task_id": "extract", "state": "success"}]


def _zulu(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    monkeypatch.setattr(night, "SCHEDULER_SECONDS", 0)
    return Scheduler()


@pytest.fixture
def stack(scheduler: Scheduler, tmp_path: Path) -> Stack:
    return Stack(Home(tmp_path), {}, scheduler)  # type: ignore[arg-type]


NIGHT = night_of(date(2026, 11, 10))


def silent(line: str) -> None:
    pass


def test_the_schedule_does_not_run_beside_the_night_that_was_asked_for(scheduler: Scheduler, stack: Stack) -> None:
    assert run_night(stack, NIGHT, silent) == ("night__2026-11-10__1", True)
    assert list(scheduler.found) == ["night__2026-11-10__1"]
    assert scheduler.paused
    assert not stack.home.night_file.exists()


def test_a_night_that_the_schedule_makes_late_does_not_start_when_ours_ends(
    scheduler: Scheduler, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = iter(["running", "running", "running", "success"])
    monkeypatch.setattr(scheduler, "pause", lambda _, paused: setattr(scheduler, "paused", paused))
    monkeypatch.setattr(night.time, "sleep", lambda _: None)

    def state(dag_id: str, run_id: str) -> str:
        found = next(asked)
        if found == "running" and "scheduled" not in scheduler.found:
            scheduler.trigger_by_schedule()
        elif found == "success" and scheduler.found["scheduled"]["state"] == "queued":
            scheduler.found["scheduled"]["state"] = "running"  # what waits behind a run starts as it ends
        return found

    monkeypatch.setattr(scheduler, "state", state)
    assert run_night(stack, NIGHT, silent) == ("night__2026-11-10__1", True)
    assert list(scheduler.found) == ["night__2026-11-10__1"]


def test_a_schedule_that_is_on_stays_on(scheduler: Scheduler, stack: Stack) -> None:
    scheduler.pause("", False)
    run_night(stack, NIGHT, silent)
    assert not scheduler.paused
    assert scheduler.found["scheduled"]["state"] == "queued"


def test_the_same_night_again_is_a_run_of_its_own(scheduler: Scheduler, stack: Stack) -> None:
    for _ in range(2):
        run_night(stack, NIGHT, silent)
    dates = [run["logical_date"] for run in scheduler.found.values()]
    assert dates == ["2026-11-10T02:00:00Z", "2026-11-10T02:00:01Z"]


@pytest.mark.parametrize("was_off", [True, False])
def test_an_interrupted_night_is_ended_and_the_schedule_is_as_before(
    scheduler: Scheduler, stack: Stack, monkeypatch: pytest.MonkeyPatch, was_off: bool
) -> None:
    def interrupted(dag_id: str, run_id: str) -> str:
        raise KeyboardInterrupt

    scheduler.paused = was_off
    monkeypatch.setattr(scheduler, "state", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_night(stack, NIGHT, silent)
    assert {run_id: run["state"] for run_id, run in scheduler.found.items()} == {"night__2026-11-10__1": "failed"}
    assert scheduler.paused == was_off


def test_an_ended_night_that_the_scheduler_calls_a_success_is_ended_again(
    scheduler: Scheduler, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was examining the run when that was ended, and found no task left to do."""
    killed_night(stack, scheduler, os.getppid(), created=1.0)
    seen = []

    def state(dag_id: str, run_id: str) -> str:
        seen.append(run_id)
        if len(seen) == 2:
            scheduler.found[run_id]["state"] = "success"
        return str(scheduler.found[run_id]["state"])

    monkeypatch.setattr(night, "SCHEDULER_SECONDS", 0.2)
    monkeypatch.setattr(night, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(scheduler, "state", state)
    night.put_right(stack)
    assert len(seen) > 2
    assert scheduler.found["night__2026-11-10__1"]["state"] == "failed"


def killed_night(stack: Stack, scheduler: Scheduler, pid: int, created: float) -> None:
    """What `kill -9` of a command that followed a night leaves behind."""
    run_id = scheduler.trigger("", "night__2026-11-10__1", NIGHT.start, NIGHT.end, NIGHT.start, {})
    note = {"run": run_id, "off": True, "before": [run_id], "pid": pid, "created": created}
    stack.home.night_file.write_text(json.dumps(note))
    scheduler.paused = False
    scheduler.trigger_by_schedule()


def test_what_a_killed_command_left_is_put_right_by_the_next(scheduler: Scheduler, stack: Stack) -> None:
    killed_night(stack, scheduler, os.getppid(), created=1.0)  # the number belongs to another process now
    assert night.put_right(stack) == "crm_lead_scoring night__2026-11-10__1"
    assert {run_id: run["state"] for run_id, run in scheduler.found.items()} == {"night__2026-11-10__1": "failed"}
    assert scheduler.paused
    assert night.put_right(stack) == ""


def test_a_killed_command_that_nobody_has_waited_for_follows_no_night(scheduler: Scheduler, stack: Stack) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as command:
        created = psutil.Process(command.pid).create_time()
        killed_night(stack, scheduler, command.pid, created)
        assert night.followed(stack.home) == "crm_lead_scoring night__2026-11-10__1"
        os.kill(command.pid, signal.SIGKILL)
        os.waitid(os.P_PID, command.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and its number is not free yet
        assert psutil.Process(command.pid).create_time() == created
        assert night.followed(stack.home) == ""
        assert night.put_right(stack) == "crm_lead_scoring night__2026-11-10__1"
    assert scheduler.paused


def test_a_night_that_another_command_follows_is_left_alone(scheduler: Scheduler, stack: Stack) -> None:
    parent = psutil.Process(os.getppid())
    killed_night(stack, scheduler, parent.pid, parent.create_time())
    assert night.followed(stack.home) == "crm_lead_scoring night__2026-11-10__1"
    assert night.put_right(stack) == ""
    assert not scheduler.paused
    assert len(scheduler.found) == 2


@pytest.fixture
def no_systems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = {"NIGHTLEDGER_HOME": str(tmp_path)}
    monkeypatch.setattr(night, "read_environment", lambda: kept)


NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2020-01-01", "lies before the first night"),
        ("2026-11-21", "is not over yet"),
        ("soon", "neither a date"),
        ("2026-03-01", "has the nights .* and not 2026-03-01"),
    ],
)
@pytest.mark.usefixtures("no_systems")
def test_a_night_that_cannot_be_run_is_refused(text: str, words: str) -> None:
    with pytest.raises(NightledgerError, match=words):
        choose_night(text, None, NOW)


@pytest.mark.usefixtures("no_systems")
def test_a_folder_that_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"lacks data: accounts\.csv"):
        choose_night("", tmp_path / "nowhere", NOW)


def test_any_night_may_be_run_on_systems_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {f"{PREFIX}{name}": "{}" for name in SANDBOX_CONNECTIONS}
    monkeypatch.setattr(night, "read_environment", lambda: own)
    assert choose_night("2026-03-01", None, NOW) == night_of(date(2026, 3, 1))
    assert choose_night("yesterday", None, NOW) == choose_night("", None, NOW) == night_of(date(2026, 11, 20))


def test_a_failure_names_the_task_its_log_and_the_error(scheduler: Scheduler, stack: Stack, tmp_path: Path) -> None:
    scheduler.outcome = "failed"
    folder = tmp_path / "airflow/logs/dag_id=crm_lead_scoring/run_id=night__2026-11-10__1/task_id=check"
    folder.mkdir(parents=True)
    log = folder / "attempt=1.log"
    log.write_text(
        '{"level": "info", "event": "began"}\n'
        '{"level": "error", "event": "Task failed", "error_detail": [{"exc_value": "no e-mail column"}]}\n'
    )
    said: list[str] = []
    assert run_night(stack, NIGHT, said.append) == ("night__2026-11-10__1", False)
    assert any("check" in line and str(log) in line for line in said)
    assert any("no e-mail column" in line for line in said)
    assert not any("began" in line for line in said)
