"""What Airflow loads in every component, and what it then finds."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
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
        assert content.count("<script") == (2 if file.name == "base.html.j2" else 0), file.name
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


def test_a_moment_is_utc_in_words_and_for_the_browser_that_adds_a_zone() -> None:
    from nightledger.ui.rendering import moment

    berlin = datetime(2026, 11, 20, 3, 0, 59, tzinfo=timezone(timedelta(hours=1)))
    same = '<time datetime="2026-11-20T02:00Z">2026-11-20 02:00</time>'
    assert moment(berlin) == moment("2026-11-20T02:00:00Z") == moment(datetime(2026, 11, 20, 2, tzinfo=UTC)) == same
    assert moment(None) == "-"


def test_values_of_failing_rows_are_text_and_what_is_missing_is_said() -> None:
    from include.pages.failing import Failing, ShownRow
    from nightledger.ui.rendering import _environment

    hostile = "<script>alert(1)</script>"
    held = [{"country": hostile, "email": "token:0123456789ab"}, {"country": None, "email": " "}, {}]
    rows = [ShownRow(f"crm/contacts/{at}", None, at, one) for at, one in enumerate(held)]
    facts = ("country_known", "check", "warning", f"the country is known {hostile}", "keep", 3, 0)
    columns = {"columns": ["country", "email", "size"], "absent": frozenset({"size"}), "personal": frozenset({"email"})}
    found = Failing(*facts, rows, **columns, problem="Why not.")  # type: ignore[arg-type]
    around: Any = {"base": "", "style": "", "script": "", "viewer": SimpleNamespace(name="ann")}
    page = _environment().get_template("failing.html.j2").render(page=found, run_id="r", use_case="u", **around)
    cells = [re.sub("<.*?>", "", cell) for cell in re.findall(r'<td class="held".*?</td>', page)]
    assert cells == [
        *("&lt;script&gt;alert(1)&lt;/script&gt;", "token:0123456789ab", "no such column"),
        *("empty", "blank", "no such column"),
        *("not kept", "not kept", "no such column"),
    ]
    assert page.count("the country is known &lt;script&gt;") == 4
    assert "<script>alert" not in page
    assert "Why not." in page
    assert page.count('<span class="tag">personal</span>') == 1
