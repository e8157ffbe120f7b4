"""One night on a real scheduler in many ways: killed, cleared, by batch, two at once, replayed, without an interval.

One stack for the module, beside the one of `test_week`. The tests follow each other.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psutil
import pytest
import requests

from include.settings import ROOT
from tests.core.test_personal_values_planted import body_of, planted, written_forms
from tests.e2e.stack import CONCURRENCY, DAG, ENDED, Stack, running_stack, state_folder
from tests.last_night import last_interval

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
SECOND = "lead_scoring_again"


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
def stack() -> Iterator[Stack]:
    folder = state_folder("ways")
    ours = {"NIGHTLEDGER_SYSTEMS": str(impatient_registry(folder)), "NIGHTLEDGER_DAGS": str(two_dags(folder))}
    ours["NIGHTLEDGER_LEASE_SECONDS"] = "15"  # what the attempt after a kill waits for
    with running_stack(folder, ours) as stack:
        yield stack


def enrich_process(stack: Stack, run_id: str) -> psutil.Process:
    """The process that runs the enrich task now, named by Airflow after the task instance."""
    (instance,) = [task["id"] for task in stack.api.tasks(DAG, run_id) if task["task_id"] == "enrich"]
    title = f"airflow worker -- {instance}"
    (found,) = [
        process for process in psutil.process_iter(["cmdline"]) if title in " ".join(process.info["cmdline"] or [])
    ]
    return found


def trigger_by_hand(stack: Stack, run_id: str, conf: dict[str, str]) -> str:
    """Trigger the DAG as a person does, who names no interval but may fill in the form."""
    form = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
    return str(stack.api.call("POST", f"/dags/{DAG}/dagRuns", form)["dag_run_id"])


def test_a_killed_enrich_task_is_retried_and_pays_at_most_what_was_in_flight_twice(stack: Stack) -> None:
    start, end = last_interval()
    run_id = stack.api.trigger(DAG, "killed", start, end, start, {"mode": "auto"})  # at the tick of the scheduled run
    stack.api.pause(DAG, False)
    answered = "SELECT count(*) FROM nightledger.inference_result"
    while stack.query(answered)[0][0] < 40:
        assert stack.state(run_id) not in ENDED
        time.sleep(0.05)
    enrich_process(stack, run_id).kill()
    assert stack.wait(run_id) == "success"
    tries = {task["task_id"]: task["try_number"] for task in stack.api.tasks(DAG, run_id)}
    assert tries["enrich"] == 2
    lost = "SELECT count(*) FROM nightledger.inference i LEFT JOIN nightledger.inference_result r USING (inference_id) "
    without_result = stack.query(lost + "WHERE r.inference_id IS NULL")[0][0]
    assert without_result <= CONCURRENCY
    asked = Counter(call["message"] for call in stack.billed())
    assert sum(count - 1 for count in asked.values()) <= without_result
    (counts,) = stack.query("SELECT counts FROM nightledger.run WHERE status = 'succeeded'")[0]
    assert sum(counts.values()) == 240
    assert stack.cli("ledger", "verify").returncode == 0


def test_a_cleared_run_pays_and_writes_nothing(stack: Stack) -> None:
    billed, written = len(stack.billed()), stack.records_written()
    stack.api.call("POST", f"/dags/{DAG}/dagRuns/killed/clear", {"dry_run": False})
    assert stack.wait("killed") == "success"
    assert (len(stack.billed()), stack.records_written()) == (billed, written)


def test_a_night_through_the_batch_api_waits_without_a_worker_and_pays_half(stack: Stack) -> None:
    billed = len(stack.billed())
    day = f"{last_interval()[0] - timedelta(days=1):%Y-%m-%d}"
    run_id = trigger_by_hand(stack, "batch", {"re_infer": "all", "asking": "batch", "night": day})
    states = set()
    while stack.state(run_id) not in ENDED:
        states.add(stack.task_state(run_id, "enrich"))
        time.sleep(0.1)
    assert stack.state(run_id) == "success"
    assert "deferred" in states
    calls = stack.billed()[billed:]
    assert {call["key"] for call in calls} == {"batch"}
    jobs = stack.query("SELECT status, sum(requests) FROM nightledger.batch_job GROUP BY 1")
    assert jobs == [("landed", len(calls))]
    audited = "nightledger.inference_result r JOIN nightledger.inference i USING (inference_id)"
    half = f"SELECT bool_and(price_dated LIKE '%batch') FROM {audited} WHERE i.batch_job_id IS NOT NULL"
    assert stack.query(half) == [(True,)]


def test_two_dags_share_a_key_without_overrunning_it_and_pay_each_answer_once(stack: Stack) -> None:
    start, end = last_interval()
    days = [(start - timedelta(days=2 + n), end - timedelta(days=2 + n)) for n in range(2)]
    ticks = {DAG: days[0][0], SECOND: start}  # the last tick of the second: no scheduled run beside it
    billed = len(stack.billed())
    runs = []
    for (dag, tick), day in zip(ticks.items(), days, strict=True):
        runs.append((dag, stack.api.trigger(dag, f"shared-{dag}", *day, tick, {"re_infer": "all"})))
    stack.api.pause(SECOND, False)
    for dag, run_id in runs:
        assert stack.wait(run_id, dag) == "success"
    calls = stack.billed()[billed:]
    assert [call for call in calls if call["status"] == 429] == []
    asked = stack.query(
        "SELECT count(*), count(DISTINCT inference_key), count(DISTINCT run_id) FROM nightledger.inference "
        "WHERE run_id IN (SELECT run_id FROM nightledger.run WHERE external_ref LIKE '%shared-%')"
    )[0]
    assert asked[2] == 2
    assert len(calls) == asked[0]
    (held,) = stack.query("SELECT count(*) FROM nightledger.claim")[0]
    assert held == 0


def test_dead_letters_are_sent_again_from_their_dag_and_only_they_are_paid(stack: Stack) -> None:
    refusals = {"seed": 3, "rates": {"refusal": 0.2}}
    requests.post(f"{stack.model}/sandbox/faults", json=refusals, timeout=30).raise_for_status()
    chosen = {"mode": "auto", "model": "sandbox-large"}  # which has no answers yet
    died = trigger_by_hand(stack, "refused", chosen)
    assert stack.wait(died) == "success"
    open_letters = (
        "SELECT count(DISTINCT row_id), count(DISTINCT inference_key) FROM nightledger.dead_letter "
        f"WHERE status = 'open' AND use_case = '{DAG}'"
    )
    letters, questions = stack.query(open_letters)[0]
    assert letters > 10
    requests.post(f"{stack.model}/sandbox/faults", json={"seed": 3, "rates": {}}, timeout=30).raise_for_status()
    billed = len(stack.billed())
    stack.api.pause("dead_letters", False)
    for again in range(2):  # the second finds nothing to do
        form = {"dag_run_id": f"replay-{again}", "logical_date": None, "conf": {"cause": "refused"}}
        stack.api.call("POST", "/dags/dead_letters/dagRuns", form)
        assert stack.wait(f"replay-{again}", "dead_letters") == "success"
        assert len(stack.billed()) - billed == questions
    assert stack.query(open_letters) == [(0, 0)]
    said = "/dags/dead_letters/dagRuns/replay-0/taskInstances/replay/xcomEntries/return_value"
    (night,) = stack.api.call("GET", said)["value"]
    assert (night["rows"], night["died_again"], night["status"]) == (letters, 0, "succeeded")


def test_data_quality_is_assessed_by_itself_and_leaves_only_its_report(stack: Stack) -> None:
    start, end = last_interval()
    before = stack.query("SELECT count(*) FROM nightledger.run"), len(stack.billed()), stack.records_written()
    stack.api.pause("data_quality_assessment", False)
    conf = {"use_case": DAG, "start": start.isoformat(), "end": end.isoformat(), "limit": 100}
    form = {"dag_run_id": "assessed", "logical_date": None, "conf": conf}
    stack.api.call("POST", "/dags/data_quality_assessment/dagRuns", form)
    assert stack.wait("assessed", "data_quality_assessment") == "success"
    said = "/dags/data_quality_assessment/dagRuns/assessed/taskInstances/assess/xcomEntries/return_value"
    found = stack.api.call("GET", said)["value"]
    assert 0 < found["rows"] <= 100  # what was written has moved on to another interval
    assert "Data quality" in Path(found["report"]).read_text(encoding="utf-8")
    assert (stack.query("SELECT count(*) FROM nightledger.run"), len(stack.billed()), stack.records_written()) == before


def test_a_trigger_that_names_no_interval_means_the_last_night_or_the_one_of_the_form(stack: Stack) -> None:
    """`batch` and `refused` above were triggered so."""
    last = last_interval()[0]
    trigger_by_hand(stack, "future", {"night": f"{date.today() + timedelta(days=3)}"})
    assert stack.wait("future") == "failed"
    stack.airflow_command("dags", "trigger", DAG, "--run-id", "typed")
    while (state := stack.task_state("typed", "extract")) not in (*ENDED, "upstream_failed"):
        time.sleep(0.2)
    assert state == "success"  # its night is open; the rest of it is that of `refused`
    stack.api.fail_run(DAG, "typed", "known by now")
    nights = dict(stack.query("SELECT split_part(external_ref, '/', 2), interval_start FROM nightledger.run"))
    assert {name: nights.get(name) for name in ("batch", "refused", "typed", "future")} == {
        "batch": last - timedelta(days=1),
        "refused": last,
        "typed": last,
        "future": None,
    }
    log = stack.logs() / f"dag_id={DAG}" / "run_id=future" / "task_id=extract"
    assert "is not over yet" in "".join(file.read_text(encoding="utf-8") for file in log.rglob("*.log"))


def test_what_customers_write_stays_out_of_airflow(stack: Stack) -> None:
    """Its own database (XComs, rendered fields, task state, ...) and the logs of tasks, after a night of tickets."""
    tickets = stack.crm("GET", "tickets?limit=20")["results"]
    for number, ticket in enumerate(tickets):
        said = {
            "subject": f"Charged twice, says Mrs {planted(number)['My name is {} and']}",
            "content": body_of(number),
        }
        stack.crm("PATCH", f"tickets/{ticket['id']}", {"properties": said})
    start, now = last_interval()[0], datetime.now(UTC)  # the file of that night, and the tickets as they are now
    stack.api.trigger("support_triage", "planted", start, now, now, {"mode": "shadow"})
    stack.api.pause("support_triage", False)
    assert stack.wait("planted", "support_triage") == "success"
    seen = (
        "SELECT count(*) FROM nightledger.inference WHERE use_case = 'support_triage' AND messages::text LIKE '%zxq%'"
    )
    assert stack.query(seen)[0][0] >= 15, "the planted tickets were not asked about"
    logs = [file.read_text(encoding="utf-8", errors="replace") for file in stack.logs().rglob("*.log")]
    kept = stack.kept_by_airflow() + "".join(logs)
    assert "planted" in kept
    values = {value for number in range(len(tickets)) for value in planted(number).values()}
    assert [value for value in sorted(values) for form in written_forms(value) if form in kept] == []
    assert "frobnicate" not in kept


def test_no_personal_value_reached_the_logs_xcom_or_reports(stack: Stack) -> None:
    assert stack.personal_values_told() == []
