"""A model fitted to labelled rows, as a use case declares it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from include.errors import ConfigurationError

if TYPE_CHECKING:
    from include.systems.port import Decider


@dataclass(frozen=True, slots=True)
class Local:
    """A model fitted on labelled rows; it decides alone what it is certain of and sends on the rest.

    `model` names its kept files, `<model>.skops` and `<model>.json`. `reads` are the columns whose texts it reads, in
    this order; `fills` are the fields of the answer that it gives, the first of them the one that says what a row is
    about; `copies` maps further fields to the column whose text they repeat.

    `certain` is the precision, 0 to 1, wanted of the answers that it decides alone: of all fields together. `strange`
    is the share of rows in scope that may be sent on because they are like nothing it has learnt. `out_of_scope` is the
    label of rows that are about nothing else: it is neither learnt nor ever decided, and such rows audit the rule.
    `most_terms` bounds the terms that are learnt, words and pieces of words each; from `texts.WIDE_FROM` on pairs of
    words stand further apart.
    """

    model: str
    certain: float
    reads: tuple[str, ...]
    fills: tuple[str, ...]
    copies: Mapping[str, str] = field(default_factory=dict)
    strange: float = 0.05
    out_of_scope: str | None = None
    most_terms: int = 60_000

    def __post_init__(self) -> None:
        """Refuse shares outside their range, and a model that would read or fill nothing."""
        if not 0.5 <= self.certain < 1:
            raise ConfigurationError("`certain` must be at least 0.5 and less than 1", about=self.model)
        if not 0 <= self.strange < 1:
            raise ConfigurationError("`strange` must be at least 0 and less than 1", about=self.model)
        if not self.reads or not self.fills:
            raise ConfigurationError("needs columns to read and fields to fill", about=self.model)
        if both := sorted(set(self.fills) & set(self.copies)):
            raise ConfigurationError(f"both fills and copies {', '.join(both)}", about=self.model)

    def open(self, folder: Path, output: Any) -> Decider:
        """The kept model in the use case's folder; raises ConfigurationError where it does not fit what is declared."""
        from include.systems.fitted.answering import open_local
        from include.systems.fitted.cascade import Cascade

        return Cascade(self, open_local(folder, self, output), output)


def labels_of(output: Any, name: str) -> tuple[str, ...] | None:
    """The labels that a field of the answer may have, or None if it takes any text.

    Raises ConfigurationError if there is no such field, or it takes neither texts nor a closed set of them.
    """
    if name not in output.model_fields:
        raise ConfigurationError("is no field of the answer", about=name)
    kind = output.model_fields[name].annotation
    if kind is str:
        return None
    labels = get_args(kind)
    if not labels or not all(isinstance(one, str) for one in labels):
        raise ConfigurationError("holds neither a text nor one of a closed set of texts", about=name)
    return labels
