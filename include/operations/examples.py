"""Labelled rows as pairs of what is shown and what is expected, whoever answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from include.errors import ConfigurationError
from include.models import Record


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled example: what the model sees, and the fields of the answer that are known to be right."""

    given: Record
    expected: Record


def read_examples(file: Path) -> list[Example]:
    """The labelled examples of a file; raises ConfigurationError where there are none, or a line is none."""
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        found = [Example(line["input"], line["expected"]) for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"every line needs `input` and `expected` ({type(error).__name__})"
        raise ConfigurationError(problem, about=str(file)) from error
    if not found:
        raise ConfigurationError("holds no example", about=str(file))
    return found
