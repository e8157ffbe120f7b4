"""What the failing rows of an expectation hold: their values, counted, those that are personal as tokens."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from include.models import Manifest
from include.personal import is_token, token_of, tokenise
from include.plain import visible
from include.quality.forms import form_of
from include.staging import read_chunks

MOST_COUNTED = 100_000
"""Different values that are counted at once; of more, those seen least are forgotten."""
NOTHING = "(no value)"
_CHARACTERS, _FORM = 80, 30
_COUNT = "rows"


@dataclass(frozen=True, slots=True)
class Hidden:
    """How values are shown: those of `declared` columns, and whatever has the form of a personal value, as tokens.

    Beside a token stands how the value is written: `A` and `a` for letters, `9` for a digit.
    """

    declared: frozenset[str]
    secret: str

    def show(self, name: str, value: str | None) -> str:
        """A value of a column for people: cut, and with nothing in it that is not seen."""
        if value is None:
            return NOTHING
        shown = token_of(value, self.secret) if name in self.declared else visible(tokenise(value, self.secret, name))
        if is_token(shown):
            return f"{shown} like {_cut(visible(form_of(value)), _FORM)}"
        return _cut(shown, _CHARACTERS)

    def show_all(self, names: Sequence[str], values: Sequence[str | None]) -> str:
        """The values of a row: of one column as it is, of several with their names."""
        shown = [self.show(name, value) for name, value in zip(names, values, strict=True)]
        if len(names) == 1:
            return shown[0]
        return ", ".join(f"{name}={value}" for name, value in zip(names, shown, strict=True))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


class Counted:
    """Counts the different values, or combinations of values, of the rows that are added."""

    def __init__(self) -> None:
        self._found: pa.Table | None = None
        self.at_least = False

    def add(self, columns: Sequence[pa.Array]) -> None:
        """Add rows as texts; counts become lower bounds where there are more different ones than can be kept."""
        names = [str(at) for at in range(len(columns))]
        part = pa.Table.from_arrays(list(columns), names).group_by(names).aggregate([([], "count_all")])
        part = part.rename_columns([*names, _COUNT])
        if self._found is not None:
            both = pa.concat_tables([self._found, part]).group_by(names).aggregate([(_COUNT, "sum")])
            part = both.rename_columns([*names, _COUNT])
        if part.num_rows > MOST_COUNTED:
            self.at_least = True
            part = part.take(pc.select_k_unstable(part, MOST_COUNTED // 2, [(_COUNT, "descending")]))
        self._found = part

    @property
    def different(self) -> int:
        """How many different ones were counted."""
        return 0 if self._found is None else self._found.num_rows

    def most(self, count: int) -> list[tuple[list[str | None], int]]:
        """The most frequent ones with their rows; of equally frequent ones the first by value."""
        if self._found is None:
            return []
        order = [(_COUNT, "descending"), *((name, "ascending") for name in self._found.column_names[:-1])]
        first = self._found.take(pc.sort_indices(self._found, order)[:count])
        *values, rows = (column.to_pylist() for column in first.columns)
        return [([one[at] for one in values], found) for at, found in enumerate(rows)]


def texts_of(values: pa.Array) -> pa.StringArray:
    """Values as a person writes them; what is nested as JSON."""
    kind = values.type
    if pa.types.is_timestamp(kind):
        return pc.replace_substring_regex(values.cast(pa.string()), r"\.0+(\D|$)", r"\1")
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        found = values.to_pylist()
        return pa.array([None if one is None else json.dumps(one, default=str) for one in found], pa.string())
    return values.cast(pa.string())


def side_by_side(
    left: Manifest, right: Manifest, *, rows: int, columns: Collection[str]
) -> Iterator[tuple[int, pa.RecordBatch, pa.RecordBatch]]:
    """Two datasets of as many rows in batches of the same rows, each with its first row; `columns` of the right one."""
    start, held = 0, pa.RecordBatch.from_arrays([], [])
    others = read_chunks(right, rows=rows, columns=list(columns)) if columns else iter(())
    for batch in read_chunks(left, rows=rows):
        while batch.num_rows:
            if columns and not held.num_rows:
                held = next(others)
            count = min(batch.num_rows, held.num_rows) if columns else batch.num_rows
            yield start, batch.slice(0, count), held.slice(0, count)
            batch, held, start = batch.slice(count), held.slice(count), start + count
