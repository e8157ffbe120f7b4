"""Which rows a fitted model decides, and which are left to be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from include.errors import ConfigurationError
from include.models import Record
from include.plain import visible
from include.systems.fitted.answering import Answerer
from include.systems.fitted.declared import Local
from include.systems.fitted.model import Judged
from include.systems.port import Sorted

CONFIDENCE = "confidence"
"""The field of an answer, if it has it, that says how probable it is that the answer is right."""


class Cascade:
    """Sorts rows by who answers them."""

    def __init__(self, local: Local, answerer: Answerer, output: Any) -> None:
        """Raise ConfigurationError if the answer needs a field that the model neither fills nor copies."""
        self.name = answerer.name
        self._local, self._fitted, self._output = local, answerer.fitted, output
        given = {*local.fills, *local.copies, CONFIDENCE}
        needed = {name for name, one in output.model_fields.items() if one.is_required()}
        if missing := sorted(needed - given):
            raise ConfigurationError(
                f"cannot answer alone: nothing gives {', '.join(missing)}",
                about=local.model,
                action="Copy a column, or give the field a default",
            )
        self._longest = {name: _longest(output.model_fields[name]) for name in local.copies}

    def sort(self, rows: Sequence[Mapping[str, Any]]) -> Sorted:
        """Answer what the model is certain of; the others are left for doubt, as out of scope, or as unfit."""
        decided = dict[int, Record]()
        counts = {"decided": 0, "doubt": 0, "out_of_scope": 0, "unfit": 0}
        for at, (row, judged) in enumerate(zip(rows, self._fitted.judge(rows), strict=True)):
            ruling: str = self._fitted.rule(judged)
            answer = self._answer(row, judged) if ruling == "decided" else None
            if answer is not None:
                decided[at] = answer
            counts["unfit" if ruling == "decided" and answer is None else ruling] += 1
        return Sorted(decided, counts)

    def _answer(self, row: Mapping[str, Any], judged: Judged) -> Record | None:
        """The whole answer, or None if it would not be valid, e.g. because the column to copy is empty."""
        copied = {name: _cut(row.get(column), self._longest[name]) for name, column in self._local.copies.items()}
        answer: Record = {**judged.labels, **copied}
        if CONFIDENCE in self._output.model_fields:
            answer[CONFIDENCE] = round(judged.probability, 4)
        try:
            valid: Record = self._output.model_validate(answer).model_dump(mode="json")
        except ValidationError:
            return None
        return valid


def _cut(value: Any, most: int | None) -> str:
    return visible(str(value)).strip()[:most] if value is not None else ""


def _longest(declared: Any) -> int | None:
    lengths = [one.max_length for one in declared.metadata if hasattr(one, "max_length")]
    return min(lengths, default=None)
