"""A fitted model of a use case, opened, under the name that it has on record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.systems.fitted.declared import Local
from include.systems.fitted.kept import load
from include.systems.fitted.model import Fitted


@dataclass(frozen=True, slots=True)
class Answerer:
    """`name` is the model on record: its version and the first twelve digits of its sha256."""

    fitted: Fitted
    name: str


def open_local(folder: Path, local: Local, output: Any) -> Answerer:
    """The kept model of a use case; raises ConfigurationError as `load` does."""
    kept = load(folder, local, output)
    return Answerer(kept.fitted, f"{local.model}@{kept.sha256[:12]}")
