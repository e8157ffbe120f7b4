"""A whole stack in a state folder of its own, started as a user would start it and seen from outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import psycopg
import requests

from include.demo.stack import processes
from include.demo.stack.api import AirflowApi
from include.demo.stack.home import Home, open_home, open_secrets
from include.settings import ROOT

DAG = "crm_lead_scoring"
CONCURRENCY = 4
ENDED = ("success", "failed")


class Stack:
    """The running stack, seen from outside."""

    def __init__(self, folder: Path, environment: Mapping[str, str], root: Path = ROOT) -> None:
        self.root = root
        self.home: Home = open_home({"NIGHTLEDGER_HOME": str(folder)})
        scheduler = processes.find(self.home, "scheduler")
        assert scheduler is not None
        process = scheduler.process()
        assert process is not None
        self.environment = {**environment, **process.environ()}
        api_server = processes.find(self.home, "api-server")
        assert api_server is not None
        self.api = AirflowApi(f"http://127.0.0.1:{api_server.port}", "admin", open_secrets(self.home)["admin"])
        self.endpoints: dict[str, Any] = json.loads((folder / "sandbox" / "endpoints.json").read_text(encoding="utf-8"))

    @property
    def model(self) -> str:
        """The model endpoint's URL, for what the sandbox itself is told and asked."""
        return str(self.endpoints["model_url"]).removesuffix("/v1")

    def billed(self) -> list[Any]:
        """What the model endpoint itself has counted, call by call."""
        return list(requests.get(f"{self.model}/sandbox/billed?detail=1", timeout=30).json()["requests"])

    def records_written(self) -> int:
        """What the CRM itself has counted."""
        url = f"{self.endpoints['crm_url']}/sandbox/crm/requests"
        return int(requests.get(url, timeout=30).json()["records_written"])

    @cached_property
    def _ledger(self) -> psycopg.Connection[Any]:
        return self.superuser()

    @cached_property
    def airflow(self) -> psycopg.Connection[Any]:
        """Airflow's own database, as superuser; read from often, where its API would cost more than what it tells."""
        return self.superuser("airflow")

    def query(self, statement: str) -> list[Any]:
        """Rows from the ledger, as superuser."""
        return self._ledger.execute(statement).fetchall()  # type: ignore[arg-type]

    def superuser(self, database: str = "nightledger") -> psycopg.Connection[Any]:
        """A new connection that may do anything."""
        socket = json.loads(self.environment["AIRFLOW_CONN_NIGHTLEDGER_DB"])["host"]
        return psycopg.connect(dbname=database, user="postgres", host=socket, autocommit=True)

    def close(self) -> None:
        """Leave the databases."""
        self._ledger.close()
        self.airflow.close()

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The package's own command line."""
        command = [sys.executable, "-W", "ignore", "-m", "include.cli", *arguments]
        return subprocess.run(command, env=self.environment, cwd=self.root, capture_output=True, text=True, check=False)

    def airflow_command(self, *arguments: str) -> None:
        """`airflow ...`, as a user types it."""
        command = [str(Path(sys.executable).with_name("airflow")), *arguments]
        done = subprocess.run(command, env=self.environment, cwd=self.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]

    def state(self, run_id: str, dag: str = DAG) -> str:
        """The state of a DAG run, as Airflow's API tells it too."""
        found = "SELECT state FROM dag_run WHERE dag_id = %s AND run_id = %s"
        (state,) = self.airflow.execute(found, [dag, run_id]).fetchone() or (None,)
        assert state is not None, f"{dag} has no run {run_id}"
        return str(state)

    def task_state(self, run_id: str, task: str) -> str | None:
        """The state of a task, None before it is scheduled; of a mapped one, that of its first instance."""
        found = "SELECT state FROM task_instance WHERE dag_id = %s AND run_id = %s AND task_id = %s ORDER BY map_index"
        return next((state for (state,) in self.airflow.execute(found, [DAG, run_id, task])), None)

    def wait(self, run_id: str, dag: str = DAG) -> str:
        """The state in which a run ends."""
        while (state := self.state(run_id, dag)) not in ENDED:
            time.sleep(0.5)
        return state

    def personal_values_told(self) -> list[str]:
        """E-mail addresses, phone numbers and secrets that stand in logs, reports, XComs or rendered fields."""
        crm, token = self.endpoints["crm_url"], self.endpoints["crm_token"]
        url = f"{crm}/crm/v3/objects/contacts?limit=100&properties=email,lastname,phone"
        found = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=30).json()["results"]
        known = {v for row in found for k, v in row["properties"].items() if k in ("email", "phone") and v}
        values = {value for value in known if len(value) > 6}
        assert len(values) > 100
        secrets = {token, self.endpoints["model_key"], *open_secrets(self.home).values()}
        files = [*self.logs().rglob("*.log"), *(self.home.folder / "staging").rglob("report.*")]
        assert len(files) > 50
        text = "".join(file.read_text(encoding="utf-8", errors="replace") for file in files)
        text += self.kept_by_airflow()
        return [value for value in values | secrets if value in text]

    def kept_by_airflow(self) -> str:
        """Every row of Airflow's own database as text, but for the source of DAGs, to which no task adds."""
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        tables = [str(name) for (name,) in self.airflow.execute(query)]
        text = ""
        for table in tables:
            if table not in ("dag_code", "serialized_dag"):
                rows = self.airflow.execute(f"SELECT t::text FROM {table} t").fetchall()  # type: ignore[arg-type]
                assert rows or table not in ("xcom", "rendered_task_instance_fields", "task_instance", "log")
                text += "".join(row for (row,) in rows)
        return text

    def crm(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the CRM's API for objects."""
        head = {"Authorization": f"Bearer {self.endpoints['crm_token']}"}
        url = f"{self.endpoints['crm_url']}/crm/v3/objects/{path}"
        answer = requests.request(method, url, headers=head, json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def logs(self) -> Path:
        """The folder of Airflow's task logs."""
        return self.home.airflow / "logs"


@contextmanager
def running_stack(folder: Path, extra: Mapping[str, str], root: Path = ROOT) -> Iterator[Stack]:
    """A stack on any free port for the block, after which nothing of it runs and its folder is gone.

    `root` is the project that runs, where it is not this one.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "NIGHTLEDGER"))}
    environment = {
        **kept,
        "NIGHTLEDGER_HOME": str(folder),
        "NIGHTLEDGER_AIRFLOW_PORT": "0",
        "NIGHTLEDGER_CONCURRENCY": str(CONCURRENCY),
        **extra,
    }
    command = [sys.executable, "-W", "ignore", "-m", "include.demo.stack"]
    up = subprocess.run([*command, "up"], env=environment, cwd=root, capture_output=True, text=True, check=False)
    assert up.returncode == 0, up.stdout + up.stderr
    stack = Stack(folder, environment, root)
    pids = [record.pid for name in processes.recorded(stack.home) if (record := processes.find(stack.home, name))]
    try:
        yield stack
    finally:
        stack.close()
        down = subprocess.run([*command, "down"], env=environment, cwd=root, capture_output=True, text=True)
    assert down.returncode == 0, down.stdout + down.stderr
    assert [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"] == []
    owned = [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]
    assert owned == []
    shutil.rmtree(folder)


def state_folder(name: str) -> Path:
    """A new folder, which the database server's own account can pass through where tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix=f"nightledger-{name}-"))
    folder.chmod(0o755)
    return folder
