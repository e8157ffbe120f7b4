"""What a production image installs is what the code of production imports; the sandbox's own comes on top."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWN = {"include", "nightledger", "tests"}
NOT_IMPORTED = {
    "apache_airflow_providers_http": "the connection type of APIs",
    "apache_airflow_providers_openai": "the connection type of models",
    "apache_airflow_providers_standard": "what @task is",
    "vl_convert_python": "altair draws with it",
    "scipy": "some of its modules come as extension modules",
}


def named(file: str) -> dict[str, str]:
    """What a file itself asks for: distribution by its normal name, and what is said of its version."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    found = (re.match(r"([\w.-]+)(?:\[\w+\])?\s*([<>=][^#;]*)", line) for line in lines)
    return {re.sub(r"[-_.]+", "_", one[1]).lower(): one[2].strip() for one in found if one}


def imported(*folders: str, but: tuple[str, ...] = ()) -> set[str]:
    """Distributions whose modules the code below some folders names."""
    owners = packages_distributions()
    return {
        re.sub(r"[-_.]+", "_", owners[module][0]).lower()
        for folder in folders
        for file in (ROOT / folder).rglob("*.py")
        if not any(file.is_relative_to(ROOT / other) for other in but)
        for module in _modules(file)
        if module not in sys.stdlib_module_names and module not in OWN
    }


def _modules(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def beside(names: set[str]) -> set[str]:
    """What these distributions themselves ask for, so that its modules may be imported beside theirs."""
    lines = [line for name in names for line in requires(name.replace("_", "-")) or [] if "extra ==" not in line]
    return {re.split(r"[^\w.-]", line)[0].replace("-", "_").replace(".", "_").lower() for line in lines}


def airflow_counts_as_one(names: set[str]) -> set[str]:
    return {"apache_airflow" if name.startswith("apache_airflow") else name for name in names}


def test_production_installs_what_its_code_imports_and_nothing_else() -> None:
    code = airflow_counts_as_one(
        imported("include", "plugins", "dags", but=("include/demo/sandbox", "include/demo/stack"))
    )
    said = airflow_counts_as_one(set(named("requirements.txt")))
    assert code - said - beside({*said, "apache_airflow_core"}) == set()
    assert said - code - set(NOT_IMPORTED) == set()


def test_the_sandbox_brings_the_rest() -> None:
    code = airflow_counts_as_one(imported("include/demo/sandbox", "include/demo/stack"))
    both = airflow_counts_as_one({*named("requirements.txt"), *named("requirements-sandbox.txt")})
    assert code - both == set()
    assert set(named("requirements-sandbox.txt")) - code == set()


def test_what_airflow_brings_is_not_pinned_against_it_and_all_else_is() -> None:
    brought, ours = (ROOT / "requirements.txt").read_text(encoding="utf-8").split("# The package brings these")
    assert "==" not in brought
    assert all("==" in line for line in ours.splitlines()[1:] if line)
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "constraints.txt" not in image, "the image pins what it brings itself"


@pytest.mark.parametrize("file", sorted(path.name for path in ROOT.glob("requirements*.txt")))
def test_every_dependency_is_pinned_in_the_constraints(file: str) -> None:
    constraints = named("constraints.txt")
    asked = named(file)
    assert asked.keys() <= constraints.keys()
    for name, version in asked.items():
        if version.startswith("=="):
            text = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower()
            assert re.search(rf"(?m)^{name.replace('_', '[-_.]')}{re.escape(version)}\b", text), name
