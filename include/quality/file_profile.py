"""Each column of a file as numbers for people: how full, how varied, where its values lie. One column at a time."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
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
    import numpy as np

    known = values.drop_null()
    if pa.types.is_nested(kind) or pa.types.is_dictionary(kind):
        known = pa.chunked_array([texts_of(known.combine_chunks())])
    counted = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    timed = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    numbers = _numbers(known, kind) if counted or timed else np.empty(0)
    nan = int(np.isnan(numbers).sum())
    column = FileColumn(name, str(kind), len(values), values.null_count + nan, _different(known, nan))
    if personal or not (counted or timed):
        shortest, longest = _lengths(known)
        frequent = _frequent(name, known, shown) if shown is not None else ()
        return replace(column, shortest=shortest, longest=longest, frequent=frequent)
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return column
    with np.errstate(over="ignore"):  # what a double cannot hold is left out
        mean, quartiles = float(finite.mean()), np.quantile(finite, QUARTILES, method="inverted_cdf")
        whole = pa.types.is_integer(kind) or pa.types.is_date(kind)
        edges = _edges(finite, quartiles, column.different, whole)
    return replace(
        column,
        least=_said(finite.min(), kind),
        most=_said(finite.max(), kind),
        mean=mean if counted and math.isfinite(mean) else None,
        quartiles=tuple(_said(one, kind) for one in quartiles),
        bins=_bins(finite, edges, kind) if np.isfinite(edges).all() else (),
    )


def _different(values: pa.ChunkedArray, nan: int) -> int:
    """Different values but NaN."""
    return int(pc.count_distinct(values).as_py()) - bool(nan) if len(values) else 0


def _lengths(values: pa.ChunkedArray) -> tuple[int | None, int | None]:
    if not len(values) or not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
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
    """The values as floats; times in seconds and dates in days since 1970."""
    if pa.types.is_date(kind):
        values = values.cast(pa.date32()).cast(pa.int32())
    elif pa.types.is_timestamp(kind):
        micros = values.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
        values = pc.divide(pc.cast(micros, pa.float64(), safe=False), 1e6)
    numbers: np.ndarray = pc.cast(values, pa.float64(), safe=False).to_numpy()
    return numbers


def _edges(numbers: np.ndarray, quartiles: np.ndarray, different: int, whole: bool) -> np.ndarray:
    """Ends of the bins: as wide as each other, over what lies within reach of the quartiles; whole where values are."""
    import numpy as np

    reach = float(_REACH * (quartiles[2] - quartiles[0]))
    low, high = float(numbers.min()), float(numbers.max())
    if reach:
        low, high = max(low, float(quartiles[0]) - reach), min(high, float(quartiles[2]) + reach)
    if different == 1 or low == high:
        return np.array([low, high])
    if not math.isfinite(high - low):
        return np.array([math.inf])
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
        return moment.date().isoformat() if whole else moment.replace(tzinfo=None).isoformat(" ", "minutes")
    in_full = 10_000 <= abs(value) < 1e15 or (float(value).is_integer() and abs(value) < 1e15)
    return f"{value:,.0f}" if in_full else f"{value:,.4g}"
