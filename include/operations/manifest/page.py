"""The whole page of a use case, written to its file or held against it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from include.operations.manifest import answering, data, holding
from include.operations.manifest.layout import section, table
from include.operations.manifest.schedule import schedule_of
from include.settings import ROOT
from include.spec.use_case import UseCase, blanks
from include.systems.registry import System

PAGES = ROOT / "docs" / "use_cases" / "manifests"
RUNBOOKS = ROOT / "docs" / "runbooks"
RISK = "risk.md"


def path_of(name: str, folder: Path = PAGES) -> Path:
    """Where a use case's page is."""
    return folder / f"{name}.md"


def page(case: UseCase, systems: Mapping[str, System]) -> str:
    """The page as Markdown; raises ConfigurationError where the spec names what is not there."""
    lines = [
        f"# Manifest: {case.name}",
        "",
        f"{case.sentence}.",
        "",
        f"Made from the declarations by `nightledger manifest {case.name}`; change those, not this page.",
        *_people(case),
        *data.data_in(case, systems),
        *data.data_out(case),
        *answering.answering(case),
        *answering.prompt(case),
        *answering.evaluation(case),
        *holding.gates(case),
        *holding.limits(case, systems),
        *holding.expectations(case),
        *holding.failure(case),
        *holding.alerts(case),
        *_running(case),
        *section("Risk", [_risk(case)]),
        *_open(case),
    ]
    return "\n".join(lines) + "\n"


def gaps(case: UseCase) -> list[str]:
    """What is not declared: paths of blank declarations, and `risk.md` where it is missing or empty."""
    path = case.folder / RISK
    written = path.exists() and path.read_text(encoding="utf-8").strip()
    return [*blanks(case), *([] if written else [RISK])]


def difference(name: str, made: str, folder: Path = PAGES) -> list[str]:
    """Lines of a unified difference between the page there is (none: an empty one) and the one made now."""
    path = path_of(name, folder)
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    return list(difflib.unified_diff(kept.splitlines(), made.splitlines(), path.name, "declared now", lineterm=""))


def _people(case: UseCase) -> list[str]:
    baseline = case.baseline
    rows = (
        ("Owner", case.owner),
        ("Approver", case.approver),
        ("Owner of the credentials", case.credential_owner),
        ("Baseline", f"{baseline.value:g} {baseline.unit}: {baseline.metric}"),
        ("How it was measured", baseline.measured),
    )
    actual = f"What came of it: `nightledger report {case.name} --return`, counted from the ledger."
    return section("Who and why", table(("", ""), rows), [actual])


def _running(case: UseCase) -> list[str]:
    found = schedule_of(case.name)
    when = f"`dags/{found[0]}`: `{found[1]}`" if found else "no DAG in this project runs it"
    runbook = RUNBOOKS / f"{case.name}.md"
    said = f"[{case.name}](../../runbooks/{case.name}.md)" if runbook.exists() else "[night](../../runbooks/night.md)"
    return section("Running", table(("", ""), (("Schedule", when), ("Runbook", said))))


def _risk(case: UseCase) -> str:
    path = case.folder / RISK
    note = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    return note or f"Not written yet: `{RISK}` in the use case's folder."


def _open(case: UseCase) -> list[str]:
    found = gaps(case)
    return section("Not declared yet", [f"* `{one}`" for one in found]) if found else []
