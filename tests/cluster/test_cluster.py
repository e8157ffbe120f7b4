"""A sharded night on two Celery workers that share nothing but what docs/cluster.md says; one is killed in the middle.

Redis, PostgreSQL, PgBouncer and Airflow are real, the object store is moto with IAM on. `make cluster` installs what is
missing. The ledger is behind PgBouncer in transaction mode, with a password that PostgreSQL itself does not take.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import requests
from psycopg.rows import dict_row

from include.demo.stack import postgres, processes
from include.demo.stack.api import AirflowApi
from include.demo.stack.home import Home, open_home, open_secrets
from include.demo.stack.night import run_night
from include.demo.stack.stack import Stack
from include.ledger.schema import SERVICE_ROLE
from include.settings import ROOT
from tests.core.object_store import ObjectStore, running_store
from tests.core.pooler import Login, pgbouncer

REDIS = shutil.which("redis-server")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1_800),
    pytest.mark.skipif(not REDIS, reason="redis-server is not installed (`make cluster` as root installs it)"),
    pytest.mark.skipif(
        not any(distributions(name="apache-airflow-providers-celery")),
        reason="the Celery provider is not installed (pip install -c constraints.txt -r requirements-celery.txt)",
    ),
]
DAG = "crm_lead_scoring"
SHARDS, CONCURRENCY, SLOTS = 4, 4, 2
LEDGER, OWNER = "AIRFLOW_CONN_NIGHTLEDGER_DB", "AIRFLOW_CONN_NIGHTLEDGER_DB_OWNER"
AIRFLOW = str(Path(sys.executable).with_name("airflow"))


@dataclass
class Worker:
    """A Celery worker with folders of its own, as if it were on another machine."""

    folder: Path
    process: subprocess.Popen[bytes]

    def family(self) -> list[psutil.Process]:
        """The worker and all it started, which run in sessions of their own."""
        try:
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def shards(self) -> set[str]:
        """The mapped tasks whose logs are here."""
        logs = (self.folder / "airflow" / "logs").rglob("task_id=enrich/map_index=*")
        return {path.name for path in logs if path.is_dir()}

    def kill(self) -> None:
        """All at once and without a word, as when the machine is gone."""
        family = self.family()
        for process in family:
            process.kill()
        psutil.wait_procs(family, 10)


@dataclass
class Cluster:
    """Everything that runs."""

    stack: Stack
    server: postgres.Server
    store: ObjectStore
    workers: list[Worker]
    endpoints: dict[str, Any]

    def query(self, statement: str) -> list[Any]:
        """Rows of the ledger, as superuser and past the pooler."""
        place = self.server.socket
        with psycopg.connect(dbname="nightledger", user="postgres", host=place, autocommit=True) as connection:
            return connection.execute(statement).fetchall()  # type: ignore[arg-type]

    def pooled(self) -> int:
        """Transactions in the ledger that went through PgBouncer, by its own count."""
        given = {**self.login(), "dbname": "pgbouncer", "autocommit": True, "row_factory": dict_row}
        with psycopg.connect(**given) as connection:
            found = connection.execute("SHOW STATS").fetchall()
        return sum(int(row["total_xact_count"]) for row in found if row["database"] == "nightledger")

    def login(self) -> dict[str, Any]:
        """What tasks connect to the ledger with."""
        known = json.loads(self.stack.environment[LEDGER])
        names = {"host": "host", "port": "port", "user": "login", "password": "password", "dbname": "schema"}
        return {name: known[key] for name, key in names.items()}

    def billed(self) -> list[Any]:
        """What the model endpoint itself counted."""
        base = self.endpoints["model_url"].removesuffix("/v1")
        return list(requests.get(f"{base}/sandbox/billed?detail=1", timeout=30).json()["requests"])


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [REDIS, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # type: ignore[arg-type]
    try:
        wait_until(lambda: connects(port), "redis")
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return False
    return True


def wait_until(happened: Callable[[], object], what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} s"
        time.sleep(0.2)


def copy_project(folder: Path, shard_rows: int) -> Path:
    """The code as every machine has it, with a use case that is split early."""
    code = folder / "code"
    for name in ("include", "plugins", "dags"):
        shutil.copytree(ROOT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    spec = code / "include" / "use_cases" / DAG / "spec.py"
    text = re.sub(
        r"(\n    name=\"crm_lead_scoring\",)", rf"\1\n    shard_rows={shard_rows},", spec.read_text(), count=1
    )
    assert f"shard_rows={shard_rows}" in text
    spec.write_text(text)
    return code


def behind_pooler(environment: Mapping[str, str], port: int, password: str) -> dict[str, str]:
    """The same without a way to the ledger but the pooler's."""
    ledger = {**json.loads(environment[LEDGER]), "host": "127.0.0.1", "port": port, "password": password}
    return {**{name: value for name, value in environment.items() if name != OWNER}, LEDGER: json.dumps(ledger)}


def celery(environment: Mapping[str, str], broker: str) -> dict[str, str]:
    """The settings that the scheduler and all workers share, as docs/cluster.md lists them."""
    return {
        **environment,
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CELERY__BROKER_URL": f"{broker}/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"{broker}/1",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    }


def start_worker(folder: Path, environment: Mapping[str, str], code: Path) -> Worker:
    for name in ("airflow", "nightledger", "tmp"):
        (folder / name).mkdir(parents=True)
    own = {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "NIGHTLEDGER_HOME": str(folder / "nightledger"),
        "TMPDIR": str(folder / "tmp"),
    }
    command = [AIRFLOW, "celery", "worker", "-c", str(SLOTS), "-H", f"{folder.name}@%h", "--skip-serve-logs"]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        command, env={**environment, **own}, cwd=code, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    return Worker(folder, process)


def stack_up(folder: Path, code: Path, store: ObjectStore) -> tuple[Home, dict[str, str], AirflowApi]:
    """The embedded stack with its scheduler stopped, and the environment that the scheduler had."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "NIGHTLEDGER", "AWS"))}
    environment = {
        **kept,
        **store.environment,
        "PYTHONPATH": str(code),
        "NIGHTLEDGER_HOME": str(folder / "home"),
        "NIGHTLEDGER_STAGING": store.staging,
        "NIGHTLEDGER_AIRFLOW_PORT": "18590",
        "NIGHTLEDGER_CONCURRENCY": str(CONCURRENCY),
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    command = [sys.executable, "-W", "ignore", "-m", "include.demo.stack", "up"]
    for _ in range(4):  # a busy machine may need longer than one start waits
        up = subprocess.run(command, env=environment, cwd=code, capture_output=True, text=True, check=False)
        if up.returncode == 0:
            break
    assert up.returncode == 0, up.stdout + up.stderr
    home = open_home(environment)
    scheduler, api_server = processes.find(home, "scheduler"), processes.find(home, "api-server")
    assert scheduler is not None
    assert api_server is not None
    process = scheduler.process()
    assert process is not None
    found = process.environ()
    processes.stop(home, ["scheduler"])
    return home, found, AirflowApi(f"http://127.0.0.1:{api_server.port}", "admin", open_secrets(home)["admin"])


def stack_down(folder: Path, code: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "include.demo.stack", "down"]
    environment = json.loads((folder / "environment.json").read_text())
    subprocess.run(command, env=environment, cwd=code, check=False, capture_output=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="nightledger-cluster-"))
    folder.chmod(0o755)  # the database server has its own account where tests run as root
    with ExitStack() as ends:
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        store = ends.enter_context(running_store("GetObject", "PutObject", "ListBucket"))
        broker = ends.enter_context(redis(folder))
        code = copy_project(folder, shard_rows=40)
        ends.callback(stack_down, folder, code)
        home, found, api = stack_up(folder, code, store)
        server = postgres.Server(home.postgres, json.loads(found[LEDGER])["host"])
        login = Login(SERVICE_ROLE, "known to the pooler alone", open_secrets(home)[SERVICE_ROLE])
        port = ends.enter_context(pgbouncer(server, "transaction", login))
        environment = celery(behind_pooler(found, port, login.asked), broker)
        log = ends.enter_context((folder / "scheduler.log").open("wb"))
        command = [AIRFLOW, "scheduler", "--skip-serve-logs"]
        scheduler = subprocess.Popen(command, env=environment, cwd=code, stdout=log, stderr=subprocess.STDOUT)
        ends.callback(Worker(folder, scheduler).kill)
        workers = [start_worker(folder / f"machine{number}", environment, code) for number in (1, 2)]
        for worker in workers:
            ends.callback(worker.kill)
            wait_until(lambda w=worker: b" ready." in (w.folder / "log").read_bytes(), f"{worker.folder.name}")
        endpoints = json.loads((home.folder / "sandbox" / "endpoints.json").read_text())
        yield Cluster(Stack(home, environment, api), server, store, workers, endpoints)


def answers_of(cluster: Cluster) -> int:
    return int(cluster.query("SELECT count(*) FROM nightledger.inference_result")[0][0])


def test_a_night_ends_right_although_a_machine_is_gone(cluster: Cluster) -> None:
    first, second = cluster.workers
    with ThreadPoolExecutor(1) as pool:
        said: list[str] = []
        night = pool.submit(run_night, cluster.stack, None, said.append, "auto")
        wait_until(lambda: first.shards() and answers_of(cluster) > 10, "enrich on the first machine", 900)
        first.kill()
        at_kill = answers_of(cluster)
        assert night.result(1_200), said
    ((run_id, status),) = cluster.query("SELECT run_id, status FROM nightledger.run")
    ((facts,),) = cluster.query("SELECT facts FROM nightledger.manifest WHERE dataset = 'raw'")
    ended = dict(
        cluster.query(f"SELECT outcome, count(*) FROM nightledger.outcome WHERE run_id = '{run_id}' GROUP BY 1")
    )
    assert (status, sum(ended.values())) == ("succeeded", facts["input_rows"]), ended
    assert ended["written"] > 0
    staged = cluster.query("SELECT dataset, uri FROM nightledger.manifest ORDER BY 1")
    shards = [name for name, _ in staged if re.fullmatch(r"enriched-\d+", name)]
    assert len(shards) >= SHARDS
    assert all(uri.startswith(cluster.store.staging) for _, uri in staged)
    assert cluster.store.denied == []
    assert first.shards(), "the machine that was killed had worked"
    assert second.shards()
    assert not [path for worker in cluster.workers for path in (worker.folder / "nightledger").rglob("*.parquet")]
    calls, answered = len(cluster.billed()), answers_of(cluster)
    assert 0 <= calls - answered <= SLOTS * CONCURRENCY, (calls, answered, at_kill)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(**{**cluster.login(), "host": cluster.server.socket, "port": None})
    transactions = cluster.pooled()
    assert transactions > answered, "the night's transactions went through the pooler"
    command = [sys.executable, "-m", "include.cli", "ledger", "verify"]
    verified = subprocess.run(
        command, env=dict(cluster.stack.environment), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert verified.returncode == 0, verified.stdout
    print(f"{facts['input_rows']} rows, {len(shards)} shards, {calls} calls, {answered} answers, {at_kill} at the kill")
    print(f"{transactions} transactions through PgBouncer")
