"""Every DAG file parses cheaply and keeps the house's policy."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.intervals import FIRST_NIGHT
from include.spec.chains import reads_from
from include.spec.use_case import load

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "dags").glob("*.py"))
HEAVY = ("pandas", "numpy", "great_expectations", "openai", "pyarrow")


@pytest.fixture(scope="module")
def bag() -> Any:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(ROOT / "dags"))


def test_every_file_gives_the_dag_of_its_name(bag: Any) -> None:
    assert bag.import_errors == {}
    assert FILES
    assert set(bag.dags) == {file.stem for file in FILES}


def test_every_dag_has_owner_tags_doc_retries_and_one_run_at_a_time(bag: Any) -> None:
    for dag in bag.dags.values():
        assert dag.tags
        assert dag.doc_md
        assert "Safe to re-run" in dag.doc_md
        assert "Owner" in dag.doc_md
        assert dag.max_active_runs == 1
        assert not dag.catchup
        for task in dag.tasks:
            assert task.owner != "airflow"
            assert task.retries >= 1


def nightly(bag: Any) -> list[Any]:
    found = [dag for dag in bag.dags.values() if "operations" not in dag.tags]
    assert found
    return found


def test_operations_run_only_when_asked(bag: Any) -> None:
    found = [dag for dag in bag.dags.values() if "operations" in dag.tags]
    assert {dag.dag_id for dag in found} == {
        *("dead_letters", "quarantine", "backfill_plan", "data_quality_assessment", "ledger_verification", "review"),
        *("watch", "evaluate"),
    }
    asked = [dag for dag in found if dag.dag_id not in ("review", "watch")]
    assert all(type(dag.timetable).__name__ == "NullTimetable" for dag in asked)


def test_decisions_are_applied_every_hour_at_least(bag: Any) -> None:
    timetable = bag.dags["review"].timetable
    assert timetable.expression == "0 * * * *"
    assert timetable.run_immediately == timedelta(0), "else a new DAG runs at once in an hour's first minutes"


def test_the_watch_looks_every_five_minutes_and_one_look_never_waits_for_the_next(bag: Any) -> None:
    dag = bag.dags["watch"]
    assert dag.timetable.expression == "*/5 * * * *"
    assert [task.task_id for task in dag.tasks] == ["look"]
    assert dag.get_task("look").execution_timeout < timedelta(minutes=5)
    assert dag.is_paused_upon_creation is None, "it is off at first, as nights are: somebody has to store channels"


def test_every_night_has_a_real_data_interval_or_that_of_the_night_before_it(bag: Any) -> None:
    """A run that an asset starts has no interval of its own: it takes that of the night whose answers it reads."""
    for dag in nightly(bag):
        before = reads_from(load(dag.dag_id))
        assert type(dag.timetable).__name__ == ("AssetTriggeredTimetable" if before else "CronDataIntervalTimetable")
        for name in before:
            assets = {asset.uri for asset in dag.timetable.asset_condition.objects}
            assert assets == {asset.uri for asset in bag.dags[name].get_task("write").outlets}
        assert dag.start_date.date() == FIRST_NIGHT  # what `make night` checks a date against


def test_the_last_task_runs_whatever_happened_and_decides_the_colour(bag: Any) -> None:
    for dag in nightly(bag):
        (last,) = [task for task in dag.tasks if not task.downstream_task_ids]
        assert last.task_id == "close"
        assert last.trigger_rule == "all_done"


def test_a_dag_file_is_short() -> None:
    for file in FILES:
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 80


def test_parsing_loads_nothing_heavy(tmp_path: Path) -> None:
    """One file after the other, in one process: the first that loads something is named."""
    code = f"""
import runpy, sys
for file in {[str(file) for file in FILES]!r}:
    runpy.run_path(file)
    print(file, [m for m in {HEAVY!r} if m in sys.modules])"""
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "AIRFLOW_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=env, capture_output=True, text=True, check=True
    )
    said = [line for line in done.stdout.splitlines() if line.startswith(tuple(map(str, FILES)))]
    assert len(said) == len(FILES)
    assert [line for line in said if not line.endswith(" []")] == []


def imports(path: Path) -> set[str]:
    """Names of all modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def within(names: set[str], *packages: str) -> set[str]:
    return {name for name in names if any(name == p or name.startswith(f"{p}.") for p in packages)}


def test_the_core_knows_neither_airflow_nor_the_adapters() -> None:
    files = list((ROOT / "include").rglob("*.py"))
    assert len(files) > 20
    for file in files:
        assert not within(imports(file), "airflow", "nightledger", "dags"), file


def test_adapters_do_not_reach_into_dags() -> None:
    files = list((ROOT / "plugins").rglob("*.py"))
    assert files
    for file in files:
        assert not within(imports(file), "dags"), file


@pytest.mark.parametrize(
    ("package", "home"),
    [
        ("openai", ("include/systems/model/transport.py", "include/systems/model/batch_client.py")),
        ("great_expectations", ("include/quality",)),
    ],
)
def test_each_heavy_library_has_one_home(package: str, home: tuple[str, ...]) -> None:
    users = [str(f.relative_to(ROOT)) for f in (ROOT / "include").rglob("*.py") if within(imports(f), package)]
    assert users
    assert all(user.startswith(home) for user in users)


def test_airflow_scans_only_the_registration_file(tmp_path: Path) -> None:
    code = (
        "from airflow.plugins_manager import _get_plugins; p, e = _get_plugins()[:2]; "
        "import sys; print(sorted(x.name for x in p if x.name == 'nightledger'), e, 'connections' in sys.modules)"
    )
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip().splitlines()[-1:] == ["['nightledger'] {} False"], done.stderr[-2000:]


def test_every_task_of_a_night_leads_to_the_pages_about_its_run(bag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow.example/af/")
    run = SimpleNamespace(dag_id="crm_lead_scoring", run_id="manual__2026-11-20T02:00:00+00:00")
    for dag in nightly(bag):
        buttons = {task.task_id: {link.name: link for link in task.operator_extra_links} for task in dag.tasks}
        assert all("Run" in names for names in buttons.values())
        assert {"Morning report", "Data quality", "Quarantine"} <= buttons["close"].keys()
        link = buttons["close"]["Morning report"].get_link(None, ti_key=run)
        place = "http://airflow.example/af/nightledger/of/crm_lead_scoring/manual__2026-11-20T02%3A00%3A00%2B00%3A00"
        assert link == f"{place}?show=report"
        assert buttons["check"]["Run"].get_link(None, ti_key=run) == place
        keys = [link.xcom_key for names in buttons.values() for link in names.values()]
        assert len(set(keys)) == 4, "each has a place of its own"


def test_what_a_night_writes_is_an_asset_for_other_dags(bag: Any) -> None:
    outlets = {asset.uri for dag in nightly(bag) for asset in dag.get_task("write").outlets}
    sinks = {(dag.dag_id, sink.system, sink.object) for dag in nightly(bag) for sink in load(dag.dag_id).sinks[:1]}
    assert outlets == {f"nightledger://{case}/{system}/{kind}" for case, system, kind in sinks}
    assert "nightledger://crm_lead_scoring/crm/contacts" in outlets


def test_a_shard_is_named_by_its_rows() -> None:
    from nightledger.operators.enrich import EnrichOperator

    def named(**facts: int) -> str:
        return EnrichOperator(task_id="enrich", use_case="x", rows={"facts": facts}).shard

    assert named(shard=1, of=3, first=5_000, count=5_000) == "rows 5,001 to 10,000"
    assert named() == "all rows"


def test_every_task_says_what_it_does_and_leads_to_its_runbook(bag: Any) -> None:
    from include.links import anchor

    nights = {dag.dag_id: "a night" for dag in nightly(bag)}
    tasks = [(nights.get(dag.dag_id, dag.dag_id), task) for dag in bag.dags.values() for task in dag.tasks]
    said = {(name, task.task_id): str(task.doc_md or "") for name, task in tasks}
    assert len(said) >= 11
    assert len({(dag_id, doc) for (dag_id, _), doc in said.items()}) == len(said)
    for name, doc in said.items():
        assert all(f"**{part}:**" in doc for part in ("Reads", "Leaves behind", "If it fails", "What to do")), name
        (page, _, section), *more = [target.partition("#") for target in re.findall(r"\]\((.+?)\)", doc)]
        assert not more, name
        content = (ROOT / "docs" / f"{page.removeprefix('nightledger/')}.md").read_text(encoding="utf-8")
        assert not section or section in [anchor(line) for line in re.findall(r"^#+ (.+)$", content, re.M)], name


def test_no_choice_of_a_trigger_form_reads_null(bag: Any) -> None:
    open_choices = [
        (dag.dag_id, name, param.schema.get("values_display", {}))
        for dag in bag.dags.values()
        for name, param in ((name, dag.params.get_param(name)) for name in dag.params)
        if None in (param.schema.get("enum") or ())
    ]
    assert len(open_choices) >= 5
    assert [(dag, name) for dag, name, shown in open_choices if shown.get("null", "null") == "null"] == []
