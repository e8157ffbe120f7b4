"""Calls of Airflow's API that its database has ended are made again, where that may be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from include.demo.stack import api as module
from include.demo.stack.api import AirflowApi
from include.demo.stack.errors import StackError


@pytest.mark.parametrize(
    ("method", "answers", "calls"), [("PATCH", [500, 200], 2), ("GET", [500, 500, 500], 3), ("POST", [500, 200], 1)]
)
def test_a_call_that_the_database_has_ended_is_repeated_unless_it_could_be_done_twice(
    method: str, answers: list[int], calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow, made = AirflowApi("http://127.0.0.1:9", "admin", "secret"), list[int]()

    def request(*given: Any, **more: Any) -> Any:
        made.append(answers[len(made)])
        return SimpleNamespace(status_code=made[-1], content=b"{}", json=dict, text="Database error")

    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(airflow._session, "request", request)
    airflow._session.headers["Authorization"] = "Bearer x"
    if made_it := 200 in answers[:calls]:
        assert airflow.call(method, "/dags") == {}
    else:
        with pytest.raises(StackError, match="answered 500"):
            airflow.call(method, "/dags")
    assert (len(made), made_it) == (calls, 200 in made)
