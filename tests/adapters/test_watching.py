"""The task of DAG `watch`: one look with Airflow's connections and address."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from include.database import transaction
from include.errors import SystemUnavailable
from tests.adapters.ui_stand import connection_of
from tests.core.conftest import Ledger, MakeNight
from tests.core.operations.alerts.finding import day, ended
from tests.core.systems.alerting.receivers import endpoint


def look() -> dict[str, Any]:
    from nightledger.watching import look

    found: dict[str, Any] = look.function(dag_run=SimpleNamespace(run_id="scheduled__x"))
    return found


@pytest.fixture(autouse=True)
def connected(ledger: Ledger, make_night: MakeNight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTLEDGER_DB", connection_of(ledger.urls.service))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/af")
    ended(make_night(interval=day(-1)), "failed")


def test_a_look_tells_once_and_returns_counts(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint() as chat:
        slack = {"conn_type": "http", "host": chat.server.url, "password": "T0/B0/x"}
        monkeypatch.setenv("AIRFLOW_CONN_ALERT_SLACK", json.dumps(slack))
        assert look() == {"standing": 1, "severe": 1, "silenced": 0, "due": 1, "told": 1}
        assert look() == {"standing": 1, "severe": 1, "silenced": 0, "due": 0, "told": 0}
        (said,) = chat.said
        assert "<https://airflow.example/af/nightledger/runs/crm_lead_scoring-" in said["text"]
    with transaction(ledger.service) as connection:
        assert connection.scalar(text("SELECT by FROM alert_look")) == "airflow/scheduled__x"


def test_a_task_that_reached_nobody_fails_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(404) as chat:
        monkeypatch.setenv("AIRFLOW_CONN_ALERT_SLACK", json.dumps({"conn_type": "http", "host": chat.server.url}))
        with pytest.raises(SystemUnavailable, match="no channel took an alert: slack answered 404"):
            look()


def test_without_channels_a_look_is_still_one() -> None:
    assert look() == {"standing": 1, "severe": 1, "silenced": 0, "due": 0, "told": 0}
