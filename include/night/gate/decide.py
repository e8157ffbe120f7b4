"""The rule of the gate, as a pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from include.models import Mode, Origin, Record
from include.spec.use_case import UseCase

FAULTY = "no longer fits the output model"
"""How the rule begins by which an answer is rejected."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to an answer, and by which rule.

    `rule` is the same text for all rows it holds for, so that the report can count it; `numbers` are the row's own.
    `doubted` says that more than a low confidence speaks against the answer.
    """

    verdict: Literal["write", "review", "shadow", "reject"]
    rule: str
    numbers: str = ""
    doubted: bool = False

    @property
    def reason(self) -> str:
        """The rule and this row's numbers in one line."""
        return f"{self.rule} ({self.numbers})" if self.numbers else self.rule


def decide(
    case: UseCase, mode: Mode, origin: Origin, confidence: float | None, output: Record, failing: Sequence[str] = ()
) -> Verdict:
    """Judge one answer; it is held against the output model once more, right before anything could be done with it.

    `failing` are the expectations on answers that set it aside. Shadow records only; gated asks a person about every
    row; auto writes what the model is certain enough about, and has a person confirm every answer of the fallback rule,
    every one that is set aside, and every answer of a use case that may never go out alone.
    """
    if faulty := _faulty_fields(case, output):
        return Verdict("reject", f"{FAULTY}: {', '.join(faulty)}")
    if mode is Mode.SHADOW:
        return Verdict("shadow", "mode shadow: recorded only")
    if failing:
        return Verdict("review", f"does not meet {', '.join(failing)}", doubted=True)
    if origin is Origin.RULE:
        return Verdict("review", "answered by the fallback rule", doubted=True)
    if case.never_alone:
        return Verdict("review", f"never alone: {case.never_alone}")
    if mode is Mode.GATED:
        return Verdict("review", "mode gated: a person decides")
    threshold = case.confidence_threshold
    if confidence is None or not 0 <= confidence <= 1:
        return Verdict("review", "no confidence between 0 and 1")
    if confidence < threshold:
        return Verdict("review", f"confidence below {threshold:g}", f"{confidence:g} < {threshold:g}")
    return Verdict("write", f"mode auto: confidence at least {threshold:g}", f"{confidence:g} >= {threshold:g}")


def _faulty_fields(case: UseCase, output: Record) -> list[str]:
    """Names of the declared fields that an output gets wrong; what the model made up is not repeated."""
    model: Any = case.module("output").Output
    try:
        model.model_validate(output)
    except ValidationError as error:
        named = {str(fault["loc"][0]) if fault["loc"] else "" for fault in error.errors()}
        known = sorted(named & set(model.model_fields))
        return known + (["something undeclared"] if named - set(known) else [])
    return []
