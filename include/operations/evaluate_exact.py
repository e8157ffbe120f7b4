"""How an exact engine does on labelled rows: what it answers right, what wrong, and what it leaves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.errors import ConfigurationError
from include.models import Record
from include.systems.exact.declared import Exact


@dataclass(frozen=True, slots=True)
class Held:
    """Rows decided and right, decided and wrong, and left by why; `lines` are for a file: id, labels, decided by."""

    rows: int
    right: int
    wrong: Sequence[str]
    left: Mapping[str, int]
    lines: Sequence[Record]


def evaluate_exact(engine: Exact, folder: Path, output: Any, labels: Path, key: str | None = None) -> Held:
    """Hold the engine against JSON lines with `input` and `expected`; nothing is asked.

    A row is right when every expected field has the expected value; of a row that is left, nothing is expected. `key`
    is the field that names a line (default: `id`, else its number). Raises ConfigurationError if there is none.
    """
    examples = _read(labels)
    found = engine.open(folder, output).sort([one["input"] for one in examples])
    wrong, lines = list[str](), list[Record]()
    for number, example in enumerate(examples, 1):
        name, answer = str(example.get(key or "id", number)), found.decided.get(number - 1)
        if answer is None:
            lines.append({"id": name, "labels": None, "decided_by": "left"})
            continue
        said = {field: answer.get(field) for field in example["expected"] or answer}
        lines.append({"id": name, "labels": said, "confidence": answer.get("confidence"), "decided_by": "local"})
        if not example["expected"] or said != example["expected"]:
            wrong.append(name)
    left = {why: count for why, count in Counter(found.counts).items() if why != "decided" and count}
    return Held(len(examples), len(found.decided) - len(wrong), wrong, left, lines)


def _read(labels: Path) -> list[Record]:
    try:
        lines = labels.read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines if line.strip()]
        if found and all(one.keys() >= {"input", "expected"} for one in found):
            return found
    except (OSError, ValueError, AttributeError) as error:
        problem = f"cannot be read as JSON lines ({type(error).__name__})"
        raise ConfigurationError(problem, about=str(labels)) from error
    raise ConfigurationError("needs lines with `input` and `expected`", about=str(labels))
