"""The page of every use case is what its declarations say now, and leaves nothing open."""

from __future__ import annotations

import io
import re
from argparse import ArgumentParser
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from include.commands import manifest
from include.errors import ConfigurationError
from include.operations.manifest import page as pages
from include.operations.manifest.page import PAGES, difference, gaps, page, path_of
from include.operations.manifest.schedule import schedule_of
from include.settings import ROOT
from include.spec.alerting import Alerts
from include.spec.names import FOLDER
from include.spec.reviewing import Review
from include.spec.use_case import Failover, UseCase, load
from include.systems.registry import System, read_systems

OURS = sorted(path.parent.name for path in FOLDER.glob("*/spec.py"))


@pytest.fixture(scope="module")
def systems() -> dict[str, System]:
    return read_systems(ROOT / "include" / "systems.toml")


@pytest.fixture
def leads() -> UseCase:
    return load("crm_lead_scoring")


def command(*given: str) -> tuple[int, str]:
    parser, out = ArgumentParser(), io.StringIO()
    manifest.add(parser)
    chosen = parser.parse_args(given)
    return chosen.command(chosen, out), out.getvalue()


def test_there_are_use_cases() -> None:
    assert len(OURS) >= 6


@pytest.mark.parametrize("name", OURS)
class TestOurs:
    def test_its_page_is_current(self, name: str, systems: dict[str, System]) -> None:
        assert difference(name, page(load(name), systems)) == [], f"run `nightledger manifest {name}`"

    def test_nothing_is_left_open(self, name: str) -> None:
        assert gaps(load(name)) == []

    def test_its_risk_note_has_the_four_functions(self, name: str) -> None:
        note = (load(name).folder / "risk.md").read_text(encoding="utf-8")
        assert re.findall(r"^\*\*(\w+)\.\*\*", note, re.MULTILINE) == ["Govern", "Map", "Measure", "Manage"]
        assert 15 <= len(note.splitlines()) <= 25

    def test_the_index_links_its_page(self, name: str) -> None:
        index = (PAGES.parent / "README.md").read_text(encoding="utf-8")
        assert f"(manifests/{name}.md)" in index


def test_every_link_of_index_and_pages_leads_somewhere() -> None:
    found = [(path, link) for path in (PAGES.parent / "README.md", *PAGES.glob("*.md")) for link in links(path)]
    assert len(found) > 12
    assert [link for path, link in found if not (path.parent / link).exists()] == []


def links(path: Path) -> list[str]:
    return re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))


def test_no_page_is_left_of_a_use_case_that_is_gone() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == {*OURS}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"approver": "somebody-else"}, "| Approver | somebody-else |"),
        ({"never_alone": "it is money"}, "a person, always: it is money"),
        ({"confidence_threshold": 0.42}, "| A person decides below a confidence of | 0.42 |"),
        ({"review": Review(expires=None)}, "| What nobody decides | never |"),
        ({"review": Review(timedelta(days=3), "write")}, "after 3 days it is written as proposed"),
        ({"alerts": Alerts(error_rate=0.25)}, "| `error_rate` | 0.25 | 0.02 |"),
        ({"bar": 0.77}, "a prompt must answer at least 77% of them rightly"),
        ({"shard_rows": 1234}, "| Rows of a shard | 1,234 |"),
        ({"tokenise": ("job_title",)}, "| `job_title` | confidential | as tokens |"),
    ],
)
def test_a_declaration_is_on_the_page(
    leads: UseCase, systems: dict[str, System], change: dict[str, object], said: str
) -> None:
    assert said not in page(leads, systems)
    assert said in page(replace(leads, **change), systems)  # type: ignore[arg-type]


def test_the_registry_is_on_the_page(leads: UseCase, systems: dict[str, System]) -> None:
    changed = {**systems, "model": replace(systems["model"], retention="zero", scopes=("only.this",))}
    assert "| `personal` | zero |" in page(leads, changed)
    assert "| only.this |" in page(leads, changed)


def test_a_system_that_is_not_in_the_registry_is_named(leads: UseCase, systems: dict[str, System]) -> None:
    assert leads.model is not None
    elsewhere = replace(leads, model=replace(leads.model, failover=(Failover("spare", "other"),)))
    with pytest.raises(ConfigurationError, match="no system spare"):
        page(elsewhere, systems)


def test_what_is_open_is_named_and_stops_nothing(
    leads: UseCase, systems: dict[str, System], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "RISK", "no-such-note.md")
    blank = replace(leads, approver="TBD")
    assert gaps(blank) == ["approver", "no-such-note.md"]
    made = page(blank, systems)
    assert "Not written yet: `no-such-note.md`" in made
    assert "* `approver`" in made


def test_the_command_writes_checks_and_tells_what_differs(tmp_path: Path) -> None:
    there = ("crm_lead_scoring", "--to", str(tmp_path))
    code, said = command(*there, "--check")
    assert code == 1
    assert "+# Manifest: crm_lead_scoring" in said
    assert not list(tmp_path.iterdir()), "a check writes nothing"
    assert command(*there)[0] == 0
    assert command(*there, "--check") == (0, "")
    path = path_of("crm_lead_scoring", tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("5.00 USD", "6.00 USD"), encoding="utf-8")
    code, said = command(*there, "--check")
    assert code == 1
    assert "-| Cost ceiling of a run | 6.00 USD |" in said
    assert "+| Cost ceiling of a run | 5.00 USD |" in said


def test_the_schedule_is_that_of_the_dag_which_runs_the_use_case() -> None:
    assert schedule_of("erp_reorder") == ("erp_reorder.py", "[written_by(FORECAST)]")
    forecast = schedule_of("erp_demand_forecast")
    assert forecast is not None
    assert forecast[0] == "erp_demand_forecast.py"
    assert "0 2 * * *" in forecast[1]


def test_a_use_case_without_a_dag_has_no_schedule(tmp_path: Path) -> None:
    assert schedule_of("crm_lead_scoring", dags=tmp_path) is None
