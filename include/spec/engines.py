"""Use cases whose rows are answered in the process, by a fitted model that `local.py` in their folder declares."""

from __future__ import annotations

import importlib
from typing import Any

from include.errors import ConfigurationError
from include.spec.names import FOLDER, folder_of, names, package_of
from include.systems.fitted.declared import Local


def local_names() -> list[str]:
    """Use cases that declare a fitted model, sorted."""
    inside = {path.parent.name for path in FOLDER.glob("*/local.py")}
    return sorted(inside | {name for name in names() if (folder_of(name) / "local.py").exists()})


def local_of(use_case: str) -> Local:
    """What a use case declares; raises ConfigurationError listing those that declare a fitted model."""
    if not (folder_of(use_case) / "local.py").exists():
        known = ", ".join(local_names()) or "none"
        raise ConfigurationError(f"{use_case!r} declares no fitted model; those that do: {known}", about="use case")
    declared: Local = importlib.import_module(f"{package_of(use_case)}.local").LOCAL
    return declared


def output_of(use_case: str) -> Any:
    """The class of what a use case must answer."""
    return importlib.import_module(f"{package_of(use_case)}.output").Output
