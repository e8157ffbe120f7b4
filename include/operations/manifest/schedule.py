"""When a use case runs, read from the text of its DAG file: the core imports no Airflow."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TypeGuard

from include.settings import ROOT
from include.spec.names import package_of

DAGS = ROOT / "dags"
NIGHTLY = ROOT / "plugins" / "nightledger" / "nightly.py"


def schedule_of(name: str, dags: Path = DAGS, nightly: Path = NIGHTLY) -> tuple[str, str] | None:
    """The DAG file's name and its schedule as written there, by the use case's name; None where no DAG runs it."""
    for path in sorted(dags.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        ours = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == f"{package_of(name)}.spec"
            for alias in node.names
        }
        for node in ast.walk(tree):
            if _starts(node, ours):
                given = [one.value for one in node.keywords if one.arg == "schedule"]
                return path.name, ast.unparse(given[0]) if given else _usual(nightly)
    return None


def _starts(node: ast.AST, specs: set[str]) -> TypeGuard[ast.Call]:
    """Whether it is the call that makes a DAG of one of these specs."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "nightly_dag"):
        return False
    return bool(node.args) and isinstance(node.args[0], ast.Name) and node.args[0].id in specs


def _usual(path: Path) -> str:
    """The schedule of a DAG that gives none."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "NIGHTLY" for t in node.targets):
            return ast.unparse(node.value)
    return "the package's nightly schedule"
