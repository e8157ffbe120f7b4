"""One night is run, and no other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from include.stack import night
from include.stack.home import Home
from include.stack.night import last_interval, run_night
from include.stack.stack import Stack


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
    assert last_interval(None, at(now))[0] == at(start)


def test_a_date_names_the_night_that_starts_on_it() -> None:
    assert last_interval(date(2026, 11, 15)) == (at("2026-11-15T02:00"), at("2026-11-16T02:00"))


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
        self.found[run_id]["state"] = "failed"

    def delete_run(self, dag_id: str, run_id: str) -> None:
        assert self.paused
        del self.found[run_id]

    def state(self, dag_id: str, run_id: str) -> str:
        assert not self.paused
        return self.outcome

    def tasks(self, dag_id: str, run_id: str) -> list[Mapping[str, Any]]:
        return [{"task_id": "check", "state": "failed"}, {"task_id": "extract", "state": "success"}]


def _zulu(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    monkeypatch.setattr(night, "SCHEDULER_SECONDS", 0)
    return Scheduler()


def stack_with(scheduler: Scheduler, folder: Path = Path("/nowhere")) -> Stack:
    return Stack(Home(folder), {}, scheduler)  # type: ignore[arg-type]


def test_the_schedule_does_not_run_beside_the_night_that_was_asked_for(scheduler: Scheduler) -> None:
    assert run_night(stack_with(scheduler), date(2026, 11, 10), lambda line: None)
    assert list(scheduler.found) == ["night__2026-11-10__1"]
    assert scheduler.paused


def test_a_schedule_that_is_on_stays_on(scheduler: Scheduler) -> None:
    scheduler.pause("", False)
    run_night(stack_with(scheduler), date(2026, 11, 10), lambda line: None)
    assert not scheduler.paused
    assert scheduler.found["scheduled"]["state"] == "queued"


def test_the_same_night_again_is_a_run_of_its_own(scheduler: Scheduler) -> None:
    for _ in range(2):
        run_night(stack_with(scheduler), date(2026, 11, 10), lambda line: None)
    dates = [run["logical_date"] for run in scheduler.found.values()]
    assert dates == ["2026-11-10T02:00:00Z", "2026-11-10T02:00:01Z"]


def test_a_failure_names_the_task_its_log_and_the_error(scheduler: Scheduler, tmp_path: Path) -> None:
    scheduler.outcome = "failed"
    folder = tmp_path / "airflow/logs/dag_id=crm_lead_scoring/run_id=night__2026-11-10__1/task_id=check"
    folder.mkdir(parents=True)
    log = folder / "attempt=1.log"
    log.write_text(
        '{"level": "info", "event": "began"}\n'
        '{"level": "error", "event": "Task failed", "error_detail": [{"exc_value": "no e-mail column"}]}\n'
    )
    said: list[str] = []
    assert not run_night(stack_with(scheduler, tmp_path), date(2026, 11, 10), said.append)
    assert any("check" in line and str(log) in line for line in said)
    assert any("no e-mail column" in line for line in said)
    assert not any("began" in line for line in said)
