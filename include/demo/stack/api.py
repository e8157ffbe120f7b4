"""The few calls of Airflow's REST API that the stack makes."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any
from urllib.parse import quote

import requests

from include.demo.stack.errors import StackError

AGAIN_SECONDS = 1.0


class AirflowApi:
    """A logged-in client of one api-server."""

    def __init__(self, base_url: str, user: str, password: str) -> None:
        """Nothing is sent before the first call."""
        self.base_url, self._user, self._password = base_url, user, password
        self._session = requests.Session()
        self._session.trust_env = False

    def is_healthy(self) -> bool:
        """Whether api-server, metadata database, scheduler and dag-processor all answer."""
        try:
            found = self._session.get(f"{self.base_url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        parts = ("metadatabase", "scheduler", "dag_processor")
        return all((found.get(part) or {}).get("status") == "healthy" for part in parts)

    def call(self, method: str, path: str, body: Any = None, accept: tuple[int, ...] = (200, 201)) -> Any:
        """The JSON of one call under /api/v2; raises StackError with Airflow's own words otherwise.

        Airflow answers 500 where its database has ended one of two transactions that waited for each other: a call that
        may be repeated is.
        """
        if "Authorization" not in self._session.headers:
            self._log_in()
        url = f"{self.base_url}/api/v2{path}"
        for last in (method == "POST", method == "POST", True):
            answer = self._session.request(method, url, json=body, timeout=30, allow_redirects=False)
            if answer.status_code < 500 or last:
                break
            time.sleep(AGAIN_SECONDS)
        if answer.status_code not in accept:
            raise StackError(f"{method} {path} answered {answer.status_code}: {answer.text[:300]}", system="airflow")
        return answer.json() if answer.content else None

    def _log_in(self) -> None:
        login = {"username": self._user, "password": self._password}
        # Never followed: the next host would get the password.
        answer = self._session.post(f"{self.base_url}/auth/token", json=login, timeout=30, allow_redirects=False)
        if answer.status_code not in (200, 201):
            raise StackError(f"login answered {answer.status_code}", system="airflow")
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """Create a pool unless it exists."""
        body = {"name": name, "slots": slots, "description": description}
        self.call("POST", "/pools", body, accept=(200, 201, 409))

    def has_dag(self, dag_id: str) -> bool:
        """Whether the dag-processor has listed the DAG."""
        found = self.call("GET", f"/dags/{dag_id}", accept=(200, 404))
        return "dag_id" in found

    def import_errors(self) -> list[str]:
        """What Airflow could not import, file and reason."""
        found = self.call("GET", "/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in found]

    def trigger(self, dag_id: str, run_id: str, start: datetime, end: datetime, logical: datetime, conf: Any) -> str:
        """Start a run for a given data interval; returns the run's id."""
        body = {
            "dag_run_id": run_id,
            "logical_date": logical.isoformat(),
            "data_interval_start": start.isoformat(),
            "data_interval_end": end.isoformat(),
            "run_after": end.isoformat(),
            "conf": conf,
        }
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def runs(self, dag_id: str) -> list[Any]:
        """All runs of a DAG, newest first."""
        found = self.call("GET", f"/dags/{dag_id}/dagRuns?limit=100&order_by=-run_after")["dag_runs"]
        return list(found)

    def state(self, dag_id: str, run_id: str) -> str:
        """The state of a run."""
        return str(self.call("GET", f"/dags/{dag_id}/dagRuns/{quote(run_id)}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[Any]:
        """The task instances of a run."""
        found = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return list(found)

    def is_paused(self, dag_id: str) -> bool:
        """Whether the scheduler leaves the DAG alone; it then starts no run of it, not even a manual one."""
        return bool(self.call("GET", f"/dags/{dag_id}")["is_paused"])

    def pause(self, dag_id: str, paused: bool) -> None:
        """Switch the DAG off, or on."""
        self.call("PATCH", f"/dags/{dag_id}", {"is_paused": paused})

    def switched(self) -> dict[str, bool]:
        """Every DAG by name, and whether it is on."""
        found = self.call("GET", "/dags?limit=100")["dags"]
        return {dag["dag_id"]: not dag["is_paused"] for dag in found}

    def fail_run(self, dag_id: str, run_id: str, note: str) -> None:
        """End a run, saying why."""
        self.call("PATCH", f"/dags/{dag_id}/dagRuns/{quote(run_id)}", {"state": "failed", "note": note})

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """Forget a run that has ended."""
        self.call("DELETE", f"/dags/{dag_id}/dagRuns/{quote(run_id)}", accept=(204, 404))
