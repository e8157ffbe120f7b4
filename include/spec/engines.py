"""Use cases whose rows are answered in the process, by an engine that `local.py` in their folder declares."""

from __future__ import annotations

import importlib
from typing import Any

from include.errors import ConfigurationError
from include.spec.names import FOLDER, folder_of, names, package_of
from include.systems.fitted.declared import Local
from include.systems.port import Engine


def local_names() -> list[str]:
    """Use cases that declare an engine, sorted."""
    inside = {path.parent.name for path in FOLDER.glob("*/local.py")}
    return sorted(inside | {name for name in names() if (folder_of(name) / "local.py").exists()})


def engine_of(use_case: str) -> Engine:
    """The engine that a use case declares; raises ConfigurationError listing those that declare one."""
    if not (folder_of(use_case) / "local.py").exists():
        known = ", ".join(local_names()) or "none"
        raise ConfigurationError(f"{use_case!r} declares no engine; those that do: {known}", about="use case")
    declared: Engine = importlib.import_module(f"{package_of(use_case)}.local").LOCAL
    return declared


def local_of(use_case: str) -> Local:
    """The fitted model that a use case declares; raises ConfigurationError if it declares none."""
    declared = engine_of(use_case)
    if not isinstance(declared, Local):
        raise ConfigurationError(
            f"{use_case!r} declares no fitted model, so there is nothing to train", about="use case"
        )
    return declared


def output_of(use_case: str) -> Any:
    """The class of what a use case must answer."""
    return importlib.import_module(f"{package_of(use_case)}.output").Output
