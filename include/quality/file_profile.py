"""Each column of a file as numbers for people: how full, how varied, where its values lie. One column at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from include.models import Manifest
from include.quality.failing_values import Hidden, texts_of
from include.staging import opened

if TYPE_CHECKING:
    import numpy as np

BINS = 20
MOST_FREQUENT = 5
QUARTILES = (0.25, 0.5, 0.75)
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0
"""Seconds since 1970 between which Python's calendar lies."""
_REACH = 3
"""Distances between the quartiles; what lies further out shares an open bin, so that no single value sets the scale."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows with a value from `low` up to but without `high`, the last one with it; None is an open end.

    Where both are the same it is the only value.
    """

    low: str | None
    high: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class FileColumn:
    """A column of a file. `different` counts its different values, without the missing.

    `least`, `most`, `quartiles` and `bins` are there for numbers and times, `mean` for numbers; `shortest` and
    `longest`, in characters, for texts. `frequent` are values and their rows, of columns without bins, if they may be
    shown.
    """

    name: str
    type: str
    rows: int
    nulls: int
    different: int
    least: str | None = None
    most: str | None = None
    mean: float | None = None
    quartiles: tuple[str, ...] = ()
    bins: tuple[Bin, ...] = ()
    shortest: int | None = None
    longest: int | None = None
    frequent: tuple[tuple[str, int], ...] = ()

    @property
    def null_share(self) -> float:
        """Rows without a value, 0 to 1."""
        return self.nulls / self.rows if self.rows else 0.0


def profile_file(
    rows: Manifest, *, personal: Collection[str] = (), shown: Hidden | None = None
) -> Iterator[FileColumn]:
    """The columns of a staged file in its order; memory is that of the largest column.

    Of `personal` columns only rows and lengths are told. Frequent values are there where `shown` says how to show them.
    Raises ContractBroken when the dataset is gone or damaged.
    """
    with opened(rows) as file:
        names, kinds = file.schema_arrow.names, file.schema_arrow.types
    for name, kind in zip(names, kinds, strict=True):
        with opened(rows) as file:
            values = file.read(columns=[name]).column(0)
        yield _profile(name, kind, values, name in personal, shown)


def _profile(name: str, kind: pa.DataType, values: pa.ChunkedArray, personal: bool, shown: Hidden | None) -> FileColumn:
    nulls = values.null_count
    known = values.drop_null()
    counted = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    timed = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    if pa.types.is_nested(kind):
        return FileColumn(name, str(kind), len(values), nulls, len(pc.unique(texts_of(known.combine_chunks()))))
    different = pc.count_distinct(known).as_py() if len(known) else 0
    if personal or not (counted or timed):
        frequent = _frequent(name, known, shown) if shown is not None else ()
        shortest, longest = _lengths(known, kind)
        return FileColumn(
            name, str(kind), len(values), nulls, different, shortest=shortest, longest=longest, frequent=frequent
        )
    numbers = _numbers(known, kind)
    if not len(numbers):
        return FileColumn(name, str(kind), len(values), nulls + len(known), different)
    import numpy as np

    quartiles = np.quantile(numbers, QUARTILES, method="inverted_cdf")
    whole = pa.types.is_integer(kind) or pa.types.is_date(kind)
    edges = _edges(numbers, quartiles, different, whole)
    low, high = numbers.min(), numbers.max()
    return FileColumn(
        name,
        str(kind),
        len(values),
        nulls + len(known) - len(numbers),
        different,
        _said(low, kind),
        _said(high, kind),
        None if timed else float(numbers.mean()),
        tuple(_said(one, kind) for one in quartiles),
        _bins(numbers, edges, kind),
    )


def _lengths(values: pa.ChunkedArray, kind: pa.DataType) -> tuple[int | None, int | None]:
    if not len(values) or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return None, None
    ends = pc.min_max(pc.utf8_length(values)).as_py()
    return ends["min"], ends["max"]


def _frequent(name: str, values: pa.ChunkedArray, shown: Hidden) -> tuple[tuple[str, int], ...]:
    """The most frequent values, unless next to all are different."""
    counts = pc.value_counts(values)
    first = pc.select_k_unstable(counts.field("counts"), min(MOST_FREQUENT, len(counts)), [("", "descending")])
    most = counts.take(first)
    found = zip(texts_of(most.field("values")).to_pylist(), most.field("counts").to_pylist(), strict=True)
    return tuple((shown.show(name, value), rows) for value, rows in found if rows > 1)


def _numbers(values: pa.ChunkedArray, kind: pa.DataType) -> np.ndarray:
    """Finite values as floats; times in seconds and dates in days since 1970."""
    import numpy as np

    if pa.types.is_date(kind):
        values = values.cast(pa.date32()).cast(pa.int32())
    elif pa.types.is_timestamp(kind):
        values = pc.divide(
            values.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64()).cast(pa.float64()), 1e6
        )
    numbers: np.ndarray = pc.cast(values, pa.float64(), safe=False).to_numpy()
    numbers = numbers[np.isfinite(numbers)]
    return numbers


def _edges(numbers: np.ndarray, quartiles: np.ndarray, different: int, whole: bool) -> np.ndarray:
    """Ends of the bins: as wide as each other, over what lies within reach of the quartiles; whole where values are."""
    import numpy as np

    reach = _REACH * float(quartiles[2] - quartiles[0])
    low, high = float(numbers.min()), float(numbers.max())
    if reach:
        low, high = max(low, float(quartiles[0]) - reach), min(high, float(quartiles[2]) + reach)
    if different == 1 or low == high:
        return np.array([low, high])
    if whole and high - low < BINS:
        return np.arange(np.floor(low), np.floor(high) + 2)
    if not whole:
        return np.linspace(low, high, BINS + 1)
    width = np.ceil((high - low) / BINS)
    edges: np.ndarray = np.floor(low) + width * np.arange(np.ceil((high - np.floor(low)) / width) + 1)
    return edges


def _bins(numbers: np.ndarray, edges: np.ndarray, kind: pa.DataType) -> tuple[Bin, ...]:
    import numpy as np

    counts = np.histogram(numbers, edges)[0] if edges[0] < edges[-1] else np.array([(numbers == edges[0]).sum()])
    said = [_said(edge, kind) for edge in edges]
    single = (pa.types.is_integer(kind) or pa.types.is_date(kind)) and edges[-1] - edges[0] == len(counts)
    found = [Bin(said[at], said[at if single else at + 1], int(rows)) for at, rows in enumerate(counts)]
    below, above = int((numbers < edges[0]).sum()), int((numbers > edges[-1]).sum())
    first = [Bin(None, said[0], below)] if below else []
    return (*first, *found, *([Bin(said[-1], None, above)] if above else []))


def _said(value: float, kind: pa.DataType) -> str:
    """A number with four digits that count, a time to the day or minute."""
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        seconds = float(value) * (86_400 if pa.types.is_date(kind) else 1)
        moment = datetime.fromtimestamp(min(max(seconds, _FIRST), _LAST), UTC)
        whole = pa.types.is_date(kind) or not (moment.hour or moment.minute)
        return f"{moment:%Y-%m-%d}" if whole else f"{moment:%Y-%m-%d %H:%M}"
    in_full = 10_000 <= abs(value) < 1e15 or (float(value).is_integer() and abs(value) < 1e15)
    return f"{value:,.0f}" if in_full else f"{value:,.4g}"
