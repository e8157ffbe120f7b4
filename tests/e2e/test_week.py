"""A week on a real scheduler: kill, retry, clear, backfill twice, tamper, and take everything down.

One stack for the module, started as a user would start it, in a state folder of its own. The tests follow each other.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import requests

from include.demo.stack import processes
from include.demo.stack.api import AirflowApi
from include.demo.stack.home import Home, open_home, open_secrets
from include.demo.stack.night import last_interval
from include.settings import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
DAG = "crm_lead_scoring"
SECOND = "lead_scoring_again"
CONCURRENCY = 4


class Week:
    """The running stack, seen from outside."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
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

    def billed(self) -> list[Any]:
        """What the model endpoint itself has counted, call by call."""
        base = self.endpoints["model_url"].removesuffix("/v1")
        return list(requests.get(f"{base}/sandbox/billed?detail=1", timeout=30).json()["requests"])

    def records_written(self) -> int:
        """What the CRM itself has counted."""
        url = f"{self.endpoints['crm_url']}/sandbox/crm/requests"
        return int(requests.get(url, timeout=30).json()["records_written"])

    def query(self, statement: str) -> list[Any]:
        """Rows from the ledger, as superuser."""
        with self.superuser() as connection:
            return connection.execute(statement).fetchall()  # type: ignore[arg-type]

    def superuser(self) -> psycopg.Connection[Any]:
        socket = json.loads(self.environment["AIRFLOW_CONN_NIGHTLEDGER_DB"])["host"]
        return psycopg.connect(dbname="nightledger", user="postgres", host=socket, autocommit=True)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The package's own command line."""
        command = [sys.executable, "-W", "ignore", "-m", "include.cli", *arguments]
        return subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False)

    def backfill(self, first: date, last: date, behavior: str) -> None:
        """`airflow backfill create`, as a user types it."""
        command = [str(Path(sys.executable).with_name("airflow")), "backfill", "create", "--dag-id", DAG]
        command += ["--from-date", f"{first}", "--to-date", f"{last}T23:59:59", "--max-active-runs", "1"]
        command += ["--reprocess-behavior", behavior, "--dag-run-conf", '{"mode": "auto"}']
        done = subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]

    def wait(self, run_id: str, dag: str = DAG) -> str:
        """The state in which a run ends."""
        while (state := self.api.state(dag, run_id)) not in ("success", "failed"):
            time.sleep(0.5)
        return state

    def wait_for_backfills(self) -> None:
        """Until Airflow has marked every backfill as done, which it does a while after the last run's end."""
        while any(b["completed_at"] is None for b in self.api.call("GET", f"/backfills?dag_id={DAG}")["backfills"]):
            time.sleep(1)


def impatient_registry(folder: Path) -> Path:
    """The registry, with batches that are asked for every second and a key that two DAGs have to share."""
    registry = (ROOT / "include" / "systems.toml").read_text(encoding="utf-8")
    file = folder / "systems.toml"
    file.write_text(registry.replace("batch_poll_seconds = 60", "batch_poll_seconds = 1"), encoding="utf-8")
    return file


def two_dags(folder: Path) -> Path:
    """The project's DAGs, and one more that scores leads with the same key."""
    dags = folder / "dags"
    shutil.copytree(ROOT / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    text = (dags / "crm_lead_scoring.py").read_text(encoding="utf-8")
    second = text.replace("SPEC, __doc__,", f"SPEC, __doc__, dag_id={SECOND!r},")
    (dags / f"{SECOND}.py").write_text(second, encoding="utf-8")
    return dags


@pytest.fixture(scope="module")
def week() -> Iterator[Week]:
    folder = Path(tempfile.mkdtemp(prefix="nightledger-week-"))
    folder.chmod(0o755)  # the database server has its own account where tests run as root
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "NIGHTLEDGER"))}
    environment = {
        **kept,
        "NIGHTLEDGER_HOME": str(folder),
        "NIGHTLEDGER_AIRFLOW_PORT": "18480",
        "NIGHTLEDGER_CONCURRENCY": str(CONCURRENCY),
        "NIGHTLEDGER_SYSTEMS": str(impatient_registry(folder)),
        "NIGHTLEDGER_DAGS": str(two_dags(folder)),
    }
    stack = [sys.executable, "-W", "ignore", "-m", "include.demo.stack"]
    up = subprocess.run([*stack, "up"], env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert up.returncode == 0, up.stdout + up.stderr
    started = Week(folder, environment)
    pids = [record.pid for name in processes.recorded(started.home) if (record := processes.find(started.home, name))]
    yield started
    down = subprocess.run([*stack, "down"], env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert down.returncode == 0, down.stdout + down.stderr
    assert [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"] == []
    owned = [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])]
    assert owned == []
    shutil.rmtree(folder)


def enrich_process(week: Week, run_id: str) -> psutil.Process:
    """The process that runs the enrich task now, named by Airflow after the task instance."""
    (instance,) = [task["id"] for task in week.api.tasks(DAG, run_id) if task["task_id"] == "enrich"]
    title = f"airflow worker -- {instance}"
    (found,) = [
        process for process in psutil.process_iter(["cmdline"]) if title in " ".join(process.info["cmdline"] or [])
    ]
    return found


def test_a_killed_enrich_task_is_retried_and_pays_at_most_what_was_in_flight_twice(week: Week) -> None:
    start, end = last_interval(None)
    run_id = week.api.trigger(DAG, "killed", start, end, start, {"mode": "auto"})
    week.api.pause(DAG, False)
    answered = "SELECT count(*) FROM nightledger.inference_result"
    while week.query(answered)[0][0] < 40:
        assert week.api.state(DAG, run_id) not in ("success", "failed")
        time.sleep(0.05)
    enrich_process(week, run_id).kill()
    assert week.wait(run_id) == "success"
    tries = {task["task_id"]: task["try_number"] for task in week.api.tasks(DAG, run_id)}
    assert tries["enrich"] == 2
    lost = "SELECT count(*) FROM nightledger.inference i LEFT JOIN nightledger.inference_result r USING (inference_id) "
    without_result = week.query(lost + "WHERE r.inference_id IS NULL")[0][0]
    assert without_result <= CONCURRENCY
    asked = Counter(call["message"] for call in week.billed())
    assert sum(count - 1 for count in asked.values()) <= without_result
    (counts,) = week.query("SELECT counts FROM nightledger.run WHERE status = 'succeeded'")[0]
    assert sum(counts.values()) == 240
    assert week.cli("ledger", "verify").returncode == 0


def test_a_cleared_run_pays_and_writes_nothing(week: Week) -> None:
    billed, written = len(week.billed()), week.records_written()
    week.api.call("POST", f"/dags/{DAG}/dagRuns/killed/clear", {"dry_run": False})
    assert week.wait("killed") == "success"
    assert (len(week.billed()), week.records_written()) == (billed, written)


def test_seven_days_are_backfilled_on_the_scheduler(week: Week) -> None:
    last = last_interval(None)[0].date() - timedelta(days=1)
    week.backfill(last - timedelta(days=6), last, "none")
    week.wait_for_backfills()
    intervals = week.query(
        "SELECT interval_start, counts FROM nightledger.run WHERE external_ref LIKE '%backfill%' "
        "ORDER BY interval_start"
    )
    first = datetime(last.year, last.month, last.day, 2, tzinfo=UTC) - timedelta(days=6)
    assert [row[0] for row in intervals] == [first + timedelta(days=n) for n in range(7)]
    for _, counts in intervals:
        assert sum(counts.values()) == 240
        assert counts["written"] > 100


def test_the_same_week_again_makes_no_paid_call_and_no_write(week: Week) -> None:
    billed, written = len(week.billed()), week.records_written()
    last = last_interval(None)[0].date() - timedelta(days=1)
    week.backfill(last - timedelta(days=6), last, "completed")
    week.wait_for_backfills()
    assert (len(week.billed()), week.records_written()) == (billed, written)
    again = week.query("SELECT counts FROM nightledger.run WHERE attempt = 2 AND external_ref LIKE '%backfill%'")
    assert len(again) == 7
    for (counts,) in again:
        assert sum(counts.values()) == 240
        assert counts.get("written", 0) == 0
        assert counts["unchanged"] > 100


def test_two_dags_share_a_key_without_overrunning_it_and_pay_each_answer_once(week: Week) -> None:
    start, end = last_interval(None)
    days = [(start - timedelta(days=2 + n), end - timedelta(days=2 + n)) for n in range(2)]
    billed = len(week.billed())
    week.api.pause(SECOND, False)
    runs = []
    for dag, day in zip((DAG, SECOND), days, strict=True):
        when = day[0] + timedelta(minutes=1)  # the tick itself belongs to the backfill
        runs.append((dag, week.api.trigger(dag, f"shared-{dag}", *day, when, {"re_infer": "all"})))
    for dag, run_id in runs:
        assert week.wait(run_id, dag) == "success"
    calls = week.billed()[billed:]
    assert [call for call in calls if call["status"] == 429] == []
    asked = week.query(
        "SELECT count(*), count(DISTINCT inference_key), count(DISTINCT run_id) FROM nightledger.inference "
        "WHERE run_id IN (SELECT run_id FROM nightledger.run WHERE external_ref LIKE '%shared-%')"
    )[0]
    assert asked[2] == 2
    assert len(calls) == asked[0]
    (held,) = week.query("SELECT count(*) FROM nightledger.claim")[0]
    assert held == 0


def test_a_night_through_the_batch_api_waits_without_a_worker_and_pays_half(week: Week) -> None:
    start, end = last_interval(None)
    billed = len(week.billed())
    by_batch = {"re_infer": "all", "asking": "batch"}
    run_id = week.api.trigger(DAG, "batch", start, end, start + timedelta(minutes=2), by_batch)
    states = set()
    while week.api.state(DAG, run_id) not in ("success", "failed"):
        states |= {task["state"] for task in week.api.tasks(DAG, run_id) if task["task_id"] == "enrich"}
        time.sleep(0.1)
    assert week.api.state(DAG, run_id) == "success"
    assert "deferred" in states
    calls = week.billed()[billed:]
    assert {call["key"] for call in calls} == {"batch"}
    jobs = week.query("SELECT status, sum(requests) FROM nightledger.batch_job GROUP BY 1")
    assert jobs == [("landed", len(calls))]
    audited = "nightledger.inference_result r JOIN nightledger.inference i USING (inference_id)"
    half = f"SELECT bool_and(price_dated LIKE '%batch') FROM {audited} WHERE i.batch_job_id IS NOT NULL"
    assert week.query(half) == [(True,)]


def test_dead_letters_are_sent_again_from_their_dag_and_only_they_are_paid(week: Week) -> None:
    start, end = (moment - timedelta(days=1) for moment in last_interval(None))
    model = week.endpoints["model_url"].removesuffix("/v1")
    refusals = {"seed": 3, "rates": {"refusal": 0.2}}
    requests.post(f"{model}/sandbox/faults", json=refusals, timeout=30).raise_for_status()
    chosen = {"mode": "auto", "model": "sandbox-large"}  # which has no answers yet
    died = week.api.trigger(DAG, "refused", start, end, start + timedelta(minutes=3), chosen)
    assert week.wait(died) == "success"
    open_letters = (
        "SELECT count(DISTINCT row_id), count(DISTINCT inference_key) FROM nightledger.dead_letter "
        f"WHERE status = 'open' AND use_case = '{DAG}'"
    )
    letters, questions = week.query(open_letters)[0]
    assert letters > 10
    requests.post(f"{model}/sandbox/faults", json={"seed": 3, "rates": {}}, timeout=30).raise_for_status()
    billed = len(week.billed())
    week.api.pause("dead_letters", False)
    for again in range(2):  # the second finds nothing to do
        form = {"dag_run_id": f"replay-{again}", "logical_date": None, "conf": {"cause": "refused"}}
        week.api.call("POST", "/dags/dead_letters/dagRuns", form)
        assert week.wait(f"replay-{again}", "dead_letters") == "success"
        assert len(week.billed()) - billed == questions
    assert week.query(open_letters) == [(0, 0)]
    said = "/dags/dead_letters/dagRuns/replay-0/taskInstances/replay/xcomEntries/return_value"
    (night,) = week.api.call("GET", said)["value"]
    assert (night["rows"], night["died_again"], night["status"]) == (letters, 0, "succeeded")


def test_data_quality_is_assessed_by_itself_and_leaves_only_its_report(week: Week) -> None:
    start, end = last_interval(None)
    before = week.query("SELECT count(*) FROM nightledger.run"), len(week.billed()), week.records_written()
    week.api.pause("data_quality_assessment", False)
    conf = {"use_case": DAG, "start": start.isoformat(), "end": end.isoformat(), "limit": 100}
    form = {"dag_run_id": "assessed", "logical_date": None, "conf": conf}
    week.api.call("POST", "/dags/data_quality_assessment/dagRuns", form)
    assert week.wait("assessed", "data_quality_assessment") == "success"
    said = "/dags/data_quality_assessment/dagRuns/assessed/taskInstances/assess/xcomEntries/return_value"
    found = week.api.call("GET", said)["value"]
    assert 0 < found["rows"] <= 100  # what was written has moved on to another interval
    assert "Data quality" in Path(found["report"]).read_text(encoding="utf-8")
    assert (week.query("SELECT count(*) FROM nightledger.run"), len(week.billed()), week.records_written()) == before


def test_a_trigger_that_names_no_interval_means_the_last_night_or_the_one_of_the_form(week: Week) -> None:
    start = last_interval(None)[0]
    chosen = start - timedelta(days=1)
    future = f"{date.today() + timedelta(days=3)}"
    by_api = {"last": {}, "chosen": {"night": f"{chosen:%Y-%m-%d}"}, "future": {"night": future}}
    for run_id, night in by_api.items():
        conf = {"mode": "shadow", "limit": 5, **night}
        week.api.call("POST", f"/dags/{DAG}/dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": conf})
    assert [week.wait(run_id) for run_id in by_api] == ["success", "success", "failed"]
    typed = [str(Path(sys.executable).with_name("airflow")), "dags", "trigger", DAG, "--run-id", "typed"]
    done = subprocess.run(typed, env=week.environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert week.wait("typed") == "success"
    nights = dict(week.query("SELECT split_part(external_ref, '/', 2), interval_start FROM nightledger.run"))
    assert {name: nights.get(name) for name in (*by_api, "typed")} == {
        "last": start,
        "chosen": chosen,
        "future": None,
        "typed": start,
    }
    log = week.home.airflow / "logs" / f"dag_id={DAG}" / "run_id=future" / "task_id=extract"
    assert "is not over yet" in "".join(file.read_text(encoding="utf-8") for file in log.rglob("*.log"))


def test_a_written_value_is_explained_back_to_its_source(week: Week) -> None:
    (lead,) = week.query("SELECT external_id FROM nightledger.outbox WHERE status = 'written' LIMIT 1")[0]
    text = week.cli("explain", DAG, lead).stdout
    for part in ("nl_lead_score", "decision", "prompt", "v1", "contacts page", "firmographics_"):
        assert part in text


def test_a_flipped_byte_is_named(week: Week) -> None:
    assert week.cli("ledger", "verify").returncode == 0
    with week.superuser() as connection:
        connection.execute("SET session_replication_role = replica")
        (changed,) = connection.execute(
            "UPDATE nightledger.inference_result SET raw_text = overlay(raw_text placing 'X' from 12 for 1) WHERE "
            "inference_id = (SELECT inference_id FROM nightledger.inference_result LIMIT 1) RETURNING inference_id"
        ).fetchone() or (None,)
    found = week.cli("ledger", "verify")
    assert found.returncode == 1
    assert str(changed) in found.stdout


def test_no_personal_value_reached_the_logs_xcom_or_reports(week: Week) -> None:
    crm, token = week.endpoints["crm_url"], week.endpoints["crm_token"]
    found = requests.get(
        f"{crm}/crm/v3/objects/contacts?limit=100&properties=email,lastname,phone",
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    ).json()["results"]
    values = {v for row in found for k, v in row["properties"].items() if k in ("email", "phone") and v and len(v) > 6}
    assert len(values) > 100
    secrets = {token, week.endpoints["model_key"], *open_secrets(week.home).values()}
    logs, reports = week.home.airflow / "logs", week.home.folder / "staging"
    files = [*logs.rglob("*.log"), *reports.rglob("report.*")]
    assert len(files) > 50
    text = "".join(file.read_text(encoding="utf-8", errors="replace") for file in files)
    socket = json.loads(week.environment["AIRFLOW_CONN_NIGHTLEDGER_DB"])["host"]
    with psycopg.connect(dbname="airflow", user="postgres", host=socket) as connection:
        for table in ("xcom", "rendered_task_instance_fields"):
            text += "".join(str(row) for row in connection.execute(f"SELECT * FROM {table}"))
    assert [value for value in values | secrets if value in text] == []
