"""A backfill says what it creates, and what it leaves out."""

from datetime import UTC, datetime
from typing import Any

import pytest

from include.demo.stack import backfill
from include.demo.stack.errors import StackError
from include.errors import ConfigurationError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WEEK = backfill.read_range("2026-11-13", "2026-11-19", NOW)


class Airflow:
    """Airflow's backfills: nights that have a run are left out, and one at a time."""

    def __init__(self, due: int, paused: bool = False, busy: bool = False) -> None:
        self.due, self.paused, self.busy = due, paused, busy
        self.asked: list[tuple[str, Any]] = []

    def call(self, method: str, path: str, body: Any = None, accept: tuple[int, ...] = ()) -> Any:
        self.asked.append((path, body))
        if path.endswith("dry_run"):
            return {"backfills": [{}] * self.due}
        return {"detail": "already running"} if self.busy else {"id": 4}

    def is_paused(self, dag_id: str) -> bool:
        return self.paused


def create(airflow: Airflow, again: bool = False) -> str:
    return backfill.create(airflow, "crm", *WEEK, {"mode": "auto"}, again=again)  # type: ignore[arg-type]


def test_all_nights_of_the_range_are_asked_for_one_at_a_time() -> None:
    airflow = Airflow(due=7)
    said = create(airflow)
    assert said.startswith("Backfill 4 of crm: 7 of 7 nights, 2026-11-13 to 2026-11-19, one at a time. ")
    assert "night 2026-11-13 is backfill__2026-11-14T02:00:00+00:00" in said
    assert [path for path, _ in airflow.asked] == ["/backfills/dry_run", "/backfills"]
    body = airflow.asked[1][1]
    assert (body["from_date"], body["to_date"]) == ("2026-11-13T02:00:00+00:00", "2026-11-19T02:00:00+00:00")
    assert (body["max_active_runs"], body["reprocess_behavior"]) == (1, "none")
    assert body["dag_run_conf"] == {"mode": "auto"}


def test_nights_that_are_left_out_are_counted_and_a_dag_that_is_off_is_told() -> None:
    said = create(Airflow(due=5, paused=True))
    assert "5 of 7 nights" in said
    assert "2 with a run already left out" in said
    assert said.endswith("crm is off: nothing runs before it is switched on.")


def test_finished_nights_are_run_again_when_that_is_said() -> None:
    airflow = Airflow(due=7)
    create(airflow, again=True)
    assert airflow.asked[1][1]["reprocess_behavior"] == "completed"


def test_nothing_to_run_creates_nothing() -> None:
    airflow = Airflow(due=0)
    with pytest.raises(StackError, match=r"all 7 nights have a run already\. Add --again"):
        create(airflow)
    assert [path for path, _ in airflow.asked] == ["/backfills/dry_run"]


def test_two_at_once_are_refused() -> None:
    with pytest.raises(StackError, match=r"a backfill of it goes on\. Wait"):
        create(Airflow(due=7, busy=True))


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2026-11-19", "2026-11-13", "is after 2026-11-13"),
        ("", "2026-11-13", "need the first and the last night"),
        ("2026-11-13", "2026-11-21", "is not over yet"),
        ("2020-01-01", "2026-11-13", "lies before the first night"),
    ],
)
def test_a_range_that_is_none_is_refused(first: str, last: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        backfill.read_range(first, last, NOW)
