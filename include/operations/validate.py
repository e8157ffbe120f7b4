"""Ask a use case's labelled examples under the conditions that the pipeline makes: missing, cut and drifted values."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.errors import ConfigurationError
from include.ledger import door
from include.models import Mode, Record, ReInfer, RunOptions
from include.operations.enrich_file import FileCase, enrich_file, open_file_run
from include.settings import Settings
from include.spec.agent import refuse_agent
from include.spec.names import folder_of
from include.spec.prompt import load_prompt
from include.spec.use_case import UseCase, load
from include.systems.connections import Connections
from include.systems.registry import read_systems

AS_IT_IS = "as it is"
CUT_CHARS = 12
GROWTH = 10
"""A drifted number is so many times as large."""

Change = Callable[[Record], Record]


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled example: what the model sees, and the fields of the answer that are known to be right."""

    given: Record
    expected: Record


@dataclass(frozen=True, slots=True)
class Judged:
    """The examples under one condition: how many were asked, answered, right, and answered otherwise than usual."""

    condition: str
    asked: int
    answered: int
    right: int
    changed: int

    @property
    def accuracy(self) -> float:
        """Right answers as a share of those asked, 0 to 1."""
        return self.right / self.asked if self.asked else 0.0


def validate(
    connections: Connections, settings: Settings, use_case: str, model: str | None = None
) -> tuple[list[Judged], Record]:
    """Ask all examples of `evals.jsonl` under every condition; returns the verdicts and the counts of the run.

    The first verdict is that of the examples as they are. What was answered before is not asked again. Every call is on
    record under `evals_<use case>`, within the use case's ceiling for a run. Raises ConfigurationError for examples
    that cannot be read.
    """
    case = load(use_case)
    refuse_agent(case.agent, case.name, "reads what is there now: labelled rows have nothing to be read")
    system = read_systems(settings.systems_file)[case.asked.system]
    examples = read_examples(folder_of(use_case) / "evals.jsonl")
    asked = [
        (name, at, change(one.given)) for name, change in conditions(case, examples) for at, one in enumerate(examples)
    ]
    prompt = load_prompt(case)
    options = RunOptions(mode=Mode.SHADOW, re_infer=ReInfer.FAILED, model=model or case.asked.name)
    with tempfile.TemporaryDirectory(prefix="nightledger-") as folder:
        source, result = Path(folder) / "asked.jsonl", Path(folder) / "answered.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for _, _, row in asked), encoding="utf-8")
        run = open_file_run(_as_file(case), prompt, source, door.open_ledger(connections), settings, options)
        counts = enrich_file(run, prompt, system, connections.open("model", system.connection), source, result)
        answers = [json.loads(line).get("output") for line in result.read_text(encoding="utf-8").splitlines()]
    return list(_judge(examples, [(name, at) for name, at, _ in asked], answers)), counts


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


def conditions(case: UseCase, examples: Sequence[Example]) -> Iterator[tuple[str, Change]]:
    """Names of conditions with what each does to an example; columns that no example fills make none."""
    yield AS_IT_IS, dict
    for name in case.model_sees:
        if any(one.given.get(name) is not None for one in examples):
            yield f"without {name}", lambda row, name=name: {**row, name: None}  # type: ignore[misc]
    yield f"text cut to {CUT_CHARS} characters", lambda row: {k: _cut(v) for k, v in row.items()}
    yield f"numbers {GROWTH} times as large", lambda row: {k: _grown(v) for k, v in row.items()}


def _cut(value: Any) -> Any:
    return value[:CUT_CHARS] if isinstance(value, str) else value


def _grown(value: Any) -> Any:
    return value * GROWTH if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _as_file(case: UseCase) -> FileCase:
    return FileCase(
        name=f"evals_{case.name}",
        model=case.asked,
        model_sees=(),
        personal=(),
        failure_plan=case.failure_plan,
        cost_ceiling_usd=case.cost_ceiling_usd,
        output=case.module("output").Output,
    )


def _judge(
    examples: Sequence[Example], asked: Sequence[tuple[str, int]], answers: Sequence[Mapping[str, Any] | None]
) -> Iterator[Judged]:
    """Verdicts by condition; `asked` and `answers` are in the same order."""
    by_condition: dict[str, dict[int, Mapping[str, Any] | None]] = {}
    for (name, at), answer in zip(asked, answers, strict=True):
        by_condition.setdefault(name, {})[at] = answer
    usual = by_condition[AS_IT_IS]
    for name, found in by_condition.items():
        said = {at: answer for at, answer in found.items() if answer is not None}
        right = sum(_fits(examples[at].expected, answer) for at, answer in said.items())
        same = sum(
            (before := usual[at]) is not None and _fits({k: answer.get(k) for k in examples[at].expected}, before)
            for at, answer in said.items()
        )
        yield Judged(name, len(found), len(said), right, len(said) - same)


def _fits(expected: Mapping[str, Any], answer: Mapping[str, Any]) -> bool:
    return all(answer.get(name) == value for name, value in expected.items())
