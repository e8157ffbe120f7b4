"""What Airflow loads in every component, and what it then finds."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from fastapi import HTTPException

from include.settings import ROOT

LOAD = """
import sys
import airflow.plugins_manager, airflow.configuration
before = set(sys.modules)
import nightledger_plugin
print(*sorted(set(sys.modules) - before))
"""
UI = ROOT / "plugins" / "nightledger" / "ui"


def test_loading_the_plugin_loads_nothing_else() -> None:
    command = [sys.executable, "-W", "ignore", "-c", LOAD]
    paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=paths, cwd=ROOT)
    loaded = done.stdout.split()
    assert "nightledger_plugin" in loaded
    assert [name for name in loaded if not name.startswith("nightledger")] == []


def test_every_entry_in_airflow_leads_to_a_route() -> None:
    from nightledger.ui.app import create_app
    from nightledger_plugin import NightledgerPlugin

    views: list[Any] = NightledgerPlugin.external_views
    paths = {route.path for route in create_app().routes}  # type: ignore[attr-defined]
    assert len({view["url_route"] for view in views}) == len(views)
    assert {view["destination"] for view in views} == {"nav", "dag", "dag_run", "task_instance"}
    for view in views:
        path = view["href"].partition("/nightledger")[2].partition("?")[0]
        path = path.replace("{DAG_ID}", "{dag_id}").replace("{RUN_ID}", "{dag_run_id:path}")
        assert path in paths, view


def test_every_template_is_whole_and_holds_no_script_or_style_of_its_own() -> None:
    from nightledger.ui.rendering import _environment

    environment = _environment()
    found = sorted((UI / "templates").glob("*.j2"))
    assert len(found) >= 12
    for file in found:
        environment.get_template(file.name)
        content = file.read_text(encoding="utf-8")
        assert " style=" not in content, file.name
        assert " onclick" not in content, file.name
        assert "http://" not in content, file.name
        assert "https://" not in content, file.name
        assert content.count("<script") == (1 if file.name == "base.html.j2" else 0), file.name
        assert content.count("<form") == content.count('method="get"') + content.count('name="csrf_token"'), file.name


def test_a_rate_lets_through_so_many_and_then_as_time_goes_by() -> None:
    from nightledger.ui.rates import Rate

    now = 0.0
    rate = Rate(2, 60, lambda: now)
    rate.take("ann")
    now = 10.0
    rate.take("ann")
    rate.take("bob")
    with pytest.raises(HTTPException) as refused:
        rate.take("ann")
    assert refused.value.status_code == 429
    assert refused.value.headers == {"Retry-After": "50"}
    now = 60.5
    rate.take("ann")


def test_small_charts_leave_a_gap_where_nothing_is_known() -> None:
    from nightledger.ui.rendering import bar, counted, dollars, spark, whole_percent

    assert spark([0.0, None, 0.5, 1.0], width=30, height=12) == [[(0.0, 11.0)], [(20.0, 6.0), (30.0, 1.0)]]
    assert spark([]) == []
    assert bar({"quarantined": 1, "written": 3}).count("<rect") == 2
    assert 'width="75.00"' in bar({"quarantined": 1, "written": 3})
    assert bar({}).count("<rect") == 0
    assert counted({"written": 1500}) == "1,500 written"
    assert (dollars("0.0221"), dollars(None), dollars("NaN")) == ("$0.022", "-", "-")
    assert 'width="10.00"' in bar({"written": 24}, 240)
    assert [whole_percent(share) for share in (0.001, 0.62, 0.999, 1)] == ["1 %", "62 %", "99 %", "100 %"]
