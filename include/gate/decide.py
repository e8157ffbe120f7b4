"""The rule of the gate, as a pure function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from include.models import Mode, Origin, Record
from include.use_case import UseCase


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to an answer, and by which rule (in words for the report)."""

    verdict: Literal["write", "review", "shadow", "reject"]
    rule: str


def decide(case: UseCase, mode: Mode, origin: Origin, output: Record) -> Verdict:
    """Judge one answer; it is held against the output model once more, right before anything could be done with it.

    Shadow records only; gated asks a person about every row; auto writes what the model is certain enough about.
    """
    model: Any = case.module("output").Output
    try:
        confidence = model.model_validate(output).model_dump().get("confidence")
    except ValidationError as error:
        fields = sorted({str(fault["loc"][0]) if fault["loc"] else "answer" for fault in error.errors()})
        return Verdict("reject", f"no longer fits the output model: {', '.join(fields)}")
    if mode is Mode.SHADOW:
        return Verdict("shadow", "mode shadow: recorded only")
    if origin is Origin.RULE:
        return Verdict("review", "answered by the fallback rule")
    if mode is Mode.GATED:
        return Verdict("review", "mode gated: a person decides")
    if confidence is None or confidence < case.confidence_threshold:
        return Verdict("review", f"confidence below {case.confidence_threshold:g}")
    return Verdict("write", f"mode auto: confidence at least {case.confidence_threshold:g}")
