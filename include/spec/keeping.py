"""Rows that nobody needs to ask about: left out before anything is checked or paid, and counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from include.errors import ConfigurationError
from include.models import Kind, Record
from include.spec.reshape import Underivable, find_function, require, set_aside
from include.spec.transforms import Applied
from include.systems.kinds import OtherKind, of_kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """The rows for which a pure function of the columns `of` is true; those for which it is false are left out.

    A row that is left out is complete as it is: it is no input of the night, is not quarantined, and nothing is written
    for it. The manifest counts such rows as `counts_as`, beside all that were read. `where` is a function or its name
    as `module:function`. A row for which it raises, or gives anything but a boolean, is set aside with the reason, as
    `Derive` does it.
    """

    whole: ClassVar[bool] = False
    made_of: ClassVar[Mapping[str, Sequence[str]]] = {}

    where: Callable[..., bool] | str
    of: tuple[str, ...]
    counts_as: str

    def columns(self, given: Mapping[str, Kind]) -> Mapping[str, Kind]:
        """The same; raises ConfigurationError where a column or the function is not there."""
        if not self.of or not self.counts_as:
            problem = "needs the columns `of` that it looks at, and a word in `counts_as`"
            raise ConfigurationError(problem, about="transform Keep", action="Correct the use case's spec")
        find_function(self.where, self.counts_as)
        for name in self.of:
            require(given, name, of=self.counts_as)
        return given

    def apply(self, rows: list[Record], end: datetime) -> Applied:
        """The rows that go on, and the number of the others."""
        function, applied, left_out = find_function(self.where, self.counts_as), Applied(), 0
        for row in rows:
            try:
                keep = self._is_kept(function, row)
            except Exception as error:  # whatever a use case's function raises concerns its row alone
                said = str(error) if isinstance(error, (Underivable, OtherKind)) else type(error).__name__
                applied.rejected.append(set_aside(row, f"{self.counts_as}: cannot be decided ({said})"))
                continue
            if keep:
                applied.append(row)
            else:
                left_out += 1
        applied.counts = {self.counts_as: left_out}
        return applied

    def _is_kept(self, function: Callable[..., Any], row: Record) -> bool:
        decided = function(*(row[name] for name in self.of))
        if decided is None:
            raise OtherKind("expected boolean, got nothing")
        kept: bool = of_kind(decided, "boolean")
        return kept
