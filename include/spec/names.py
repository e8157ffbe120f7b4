"""Which use cases there are: folders of this project, and packages that name themselves by an entry point."""

from __future__ import annotations

import importlib.util
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from include.errors import ConfigurationError

FOLDER = Path(__file__).parent.parent / "use_cases"
GROUP = "nightledger.use_cases"
"""Entry points of this group name a use case and the package of its files: `triage = "acme_nights.triage"`."""


def package_of(name: str) -> str:
    """The package of a use case; raises ConfigurationError listing those that exist."""
    if (FOLDER / name / "__init__.py").exists():
        return f"include.use_cases.{name}"
    found = _packages()
    if name not in found:
        raise ConfigurationError(f"no use case {name!r}; known: {', '.join(names())}", about="use case")
    return found[name]


def folder_of(name: str) -> Path:
    """The folder of a use case's files; raises ConfigurationError where its package cannot be found."""
    package = package_of(name)
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError(f"package {package!r} cannot be found", about=name, action="Install it")
    return Path(next(iter(found.submodule_search_locations)))


def names() -> list[str]:
    """Names of all use cases, sorted; one of this project goes before a package's of the same name."""
    return sorted({*(path.parent.name for path in FOLDER.glob("*/spec.py")), *_packages()})


@cache
def _packages() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=GROUP)}
