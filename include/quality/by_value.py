"""Judge each different value once, where a verdict depends on nothing but the value.

The library is given a frame with one row for each different value, and one row without a value if there are such; what
it says of them holds for all rows. That frame is cut from the whole one, so that its columns keep their types. Columns
in which most values differ are judged as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from include.quality.gx import Evaluated, Prepared, judge_frame
from include.quality.patterns import OF_LIKE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Verdict = Literal["holds", "fails", "missing"]
OF_PRESENCE = frozenset({"ExpectColumnValuesToBeNull", "ExpectColumnValuesToNotBeNull"})
OF_SIZE = frozenset({"ExpectColumnValuesToBeBetween", "ExpectColumnValuesToBeInSet", "ExpectColumnValuesToNotBeInSet"})
OF_TEXT = frozenset(
    {
        *("ExpectColumnValueLengthsToBeBetween", "ExpectColumnValueLengthsToEqual"),
        *("ExpectColumnValuesToBeDateutilParseable", "ExpectColumnValuesToBeJsonParseable"),
        *("ExpectColumnValuesToMatchJsonSchema", "ExpectColumnValuesToMatchStrftimeFormat"),
        *("ExpectColumnValuesToMatchRegex", "ExpectColumnValuesToMatchRegexList"),
        *("ExpectColumnValuesToNotMatchRegex", "ExpectColumnValuesToNotMatchRegexList"),
        *OF_LIKE,
    }
)
SAMPLE = 4_096
"""Rows looked at before all are: where more than a quarter of them differ, little would be saved."""
KEPT = 4_096
"""Different values of a chunk up to which the verdicts on them are kept for the next."""


def judge_of(prepared: Prepared) -> Callable[[pd.DataFrame], Evaluated]:
    """What judges the chunks of one row-wise expectation: by value where it can be."""
    known = OF_PRESENCE | OF_SIZE | OF_TEXT
    given = prepared.configuration.kwargs
    if prepared.expectation.type not in known or given.get("row_condition") is not None:
        return partial(judge_frame, prepared)
    return ByValue(prepared).judge


@dataclass
class ByValue:
    """What one expectation says of values, chunk after chunk, by the type of the column that holds them."""

    prepared: Prepared
    _known: dict[str, dict[Any, Verdict]] = field(default_factory=dict, repr=False)

    def judge(self, frame: pd.DataFrame) -> Evaluated:
        """What `judge_frame` finds in a frame that holds the judged column."""
        column = frame[self.prepared.configuration.kwargs["column"]]
        different = _different(column, self.prepared.expectation.type)
        if different is None:
            return self._judge_present(column)
        said = self._known_of(different, column) or self._ask(different, column)
        return said if isinstance(said, Evaluated) else _of_all_rows(different.codes, said)

    def _judge_present(self, column: pd.Series[Any]) -> Evaluated:
        """Judge the rows that have a value: the library leaves out the others too, at several times the cost."""
        present = column.notna().to_numpy()
        if present.all() or not present.any():
            return judge_frame(self.prepared, column.to_frame())
        found = judge_frame(self.prepared, column[present].reset_index(drop=True).to_frame())
        if found.could_not_run or not found.about_rows:
            return found
        return replace(found.moved(present), missing=int((~present).sum()))

    def _known_of(self, different: _Different, column: pd.Series[Any]) -> list[Verdict] | None:
        known = self._known.get(str(column.dtype), {})
        if not different.values or not all(value in known for value in different.values):
            return None
        return [known[value] for value in different.values]

    def _ask(self, different: _Different, column: pd.Series[Any]) -> list[Verdict] | Evaluated:
        found = judge_frame(self.prepared, column.iloc[different.rows].reset_index(drop=True).to_frame())
        if found.could_not_run or not found.about_rows:
            return found
        said: list[Verdict] = ["holds"] * len(different.rows)
        for at in found.positions:
            said[at] = "fails"
        if found.missing:
            said[-1] = "missing"
        if different.values:
            self._known.setdefault(str(column.dtype), {}).update(zip(different.values, said, strict=True))
        return said


@dataclass(frozen=True, slots=True)
class _Different:
    """A column's different values: `codes` is the value of each row, -1 where there is none, `rows` a row of each.

    The last of `rows` is one without a value, if there is one. `values` are empty where they are too many to keep.
    """

    codes: np.ndarray
    rows: np.ndarray
    values: Sequence[Any]


def _different(column: pd.Series[Any], kind: str) -> _Different | None:
    """The column's different values; None where it is to be judged as it is."""
    import numpy as np
    import pandas as pd

    values: Any
    if kind in OF_PRESENCE:
        codes = -column.isna().to_numpy().astype(np.int64)
        values = np.array([True][: codes.max(initial=-1) + 1])
    elif not _comparable(column, kind) or column.iloc[:SAMPLE].nunique() > min(SAMPLE, len(column)) // 4:
        return None
    else:
        codes, values = pd.factorize(column)
    first = np.full(int(codes.max(initial=-1)) + 2, -1)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # the last place stands for rows without a value, whose code is -1
    kept = [*values.tolist(), *([None] if first[-1] >= 0 else [])] if len(values) <= KEPT else ()
    return _Different(codes, first[first >= 0], kept)


def _comparable(column: pd.Series[Any], kind: str) -> bool:
    """Whether equal values are the same to an expectation: 0.0 and -0.0 are not as text, 1 and True not as objects."""
    import pandas as pd

    if column.dtype == object:
        return bool(pd.api.types.infer_dtype(column, skipna=True) == "string")
    if column.dtype.kind == "f":
        return kind in OF_SIZE
    return isinstance(column.dtype, pd.StringDtype | pd.DatetimeTZDtype) or column.dtype.kind in "biuM"


def _of_all_rows(codes: np.ndarray, said: Sequence[Verdict]) -> Evaluated:
    """The verdict on each value, for all rows that have it."""
    import numpy as np

    failing = np.array([one == "fails" for one in said], bool)
    positions = np.flatnonzero(failing[codes])
    missing = int((codes == -1).sum()) if said[-1:] == ["missing"] else 0
    return Evaluated(not len(positions), positions.tolist(), missing=missing, about_rows=True)
