"""Each column of a file as numbers for people: how full, how varied, where its values lie. One column at a time."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from upath import UPath

from include.models import Manifest
from include.quality.failing_values import Hidden
from include.quality.sql_rules import closed
from include.staging import opened

if TYPE_CHECKING:
    import duckdb

BINS = 20
MOST_FREQUENT = 5
QUARTILES = (0.25, 0.5, 0.75)
_MEMORY_MB = 128
"""What DuckDB may take; what does not fit goes to a temporary folder."""
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
    """The columns of a staged file in its order; memory does not grow with the rows.

    Of `personal` columns only rows and lengths are told. Frequent values are there where `shown` says how to show them.
    Raises ContractBroken when the dataset is gone or damaged.
    """
    import duckdb

    with opened(rows) as file, tempfile.TemporaryDirectory(prefix="nightledger-") as folder:
        schema = file.schema_arrow
        pa.default_memory_pool().release_unused()
        limits = {"memory_limit": f"{_MEMORY_MB}MB", "temp_directory": str(Path(folder) / "spill")}
        with duckdb.connect(config={**closed(), **limits}) as database:
            database.execute("SET TimeZone = 'UTC'")
            place, names = UPath(rows.uri).path, ", ".join(f"c{at}" for at in range(len(schema)))
            staged = f"read_parquet('{place.replace(chr(39), chr(39) * 2)}') AS staged({names})"
            for at, field in enumerate(schema):
                held = f"(SELECT c{at} AS v FROM {staged}) WHERE v IS NOT NULL"
                yield _Column(database, held, field.name, field.type).profile(
                    rows.rows, shown, personal=field.name in personal
                )


@dataclass(frozen=True, slots=True)
class _Column:
    """A column while it is asked about; `held` are its values as `v` after FROM, the missing ones left out."""

    database: duckdb.DuckDBPyConnection
    held: str
    name: str
    type: pa.DataType

    def profile(self, rows: int, shown: Hidden | None, *, personal: bool) -> FileColumn:
        counted = pa.types.is_integer(self.type) or pa.types.is_floating(self.type) or pa.types.is_decimal(self.type)
        timed = pa.types.is_timestamp(self.type) or pa.types.is_date(self.type)
        known, different = self._ask("count(*), count(DISTINCT v)")
        nan = self._ask("count(*) FILTER (isnan(v::DOUBLE))")[0] if counted else 0
        column = FileColumn(self.name, str(self.type), rows, rows - known + nan, different - bool(nan))
        if not personal and (counted or timed):
            return self._with_numbers(column, mean=counted)
        if pa.types.is_string(self.type) or pa.types.is_large_string(self.type):
            shortest, longest = self._ask("min(length(v)), max(length(v))")
            column = replace(column, shortest=shortest, longest=longest)
        return replace(column, frequent=self._frequent(shown)) if shown is not None else column

    def _ask(self, what: str) -> tuple[Any, ...]:
        return self.database.execute(f"SELECT {what} FROM {self.held}").fetchall()[0]

    def _frequent(self, shown: Hidden) -> tuple[tuple[str, int], ...]:
        """The most frequent of the values that are there more than once."""
        most = f"GROUP BY v HAVING count(*) > 1 ORDER BY 2 DESC, 1 LIMIT {MOST_FREQUENT}"
        found = self.database.execute(f"SELECT v::VARCHAR, count(*) FROM {self.held} {most}").fetchall()
        return tuple((shown.show(self.name, value), rows) for value, rows in found)

    def _with_numbers(self, column: FileColumn, *, mean: bool) -> FileColumn:
        """With ends, quartiles and bins of its finite values; times are seconds and dates days since 1970."""
        number = "v::DOUBLE" if mean else "epoch(v) / 86400" if pa.types.is_date(self.type) else "epoch(v)"
        finite = f"(SELECT {number} AS x FROM {self.held}) WHERE isfinite(x)"
        what = f"min(x), max(x), avg(x), quantile_disc(x, [{', '.join(map(str, QUARTILES))}])"
        low, high, average, quartiles = self.database.execute(f"SELECT {what} FROM {finite}").fetchall()[0]
        if low is None:
            return column
        return replace(
            column,
            least=_said(low, self.type),
            most=_said(high, self.type),
            mean=average if mean and math.isfinite(average) else None,
            quartiles=tuple(_said(one, self.type) for one in quartiles),
            bins=self._bins(finite, low, high, quartiles),
        )

    def _bins(self, finite: str, low: float, high: float, quartiles: list[float]) -> tuple[Bin, ...]:
        whole = pa.types.is_integer(self.type) or pa.types.is_date(self.type)
        edges = _edges(low, high, quartiles, whole)
        first, width, last = edges[0], edges[1] - edges[0], len(edges) - 2
        if not math.isfinite(edges[-1] - first):
            return ()
        within = f"least(floor((x - {first!r}) / {width!r}), {last})::BIGINT"
        at = f"CASE WHEN x < {first!r} THEN -1 WHEN x > {edges[-1]!r} THEN {last + 1} ELSE {within} END"
        counts = dict(self.database.execute(f"SELECT {at}, count(*) FROM {finite} GROUP BY 1").fetchall())
        said = [_said(edge, self.type) for edge in edges]
        single = len(edges) == 2 or (whole and width == 1)
        found = [
            Bin(start, start if single else end, counts.get(at, 0)) for at, (start, end) in enumerate(pairwise(said))
        ]
        before = [Bin(None, said[0], counts[-1])] if -1 in counts else []
        after = [Bin(said[-1], None, counts[last + 1])] if last + 1 in counts else []
        return (*before, *found, *after)


def _edges(low: float, high: float, quartiles: list[float], whole: bool) -> list[float]:
    """Ends of bins of one width, over what lies within reach of the quartiles; whole numbers where the values are."""
    reach = _REACH * (quartiles[2] - quartiles[0])
    if reach:
        low, high = max(low, quartiles[0] - reach), min(high, quartiles[2] + reach)
    if not math.isfinite(high - low):
        return [low, math.inf]
    if not whole:
        width = (high - low) / BINS
        if low + width == low:
            return [low, math.nextafter(high, math.inf)]
        return [low + at * width for at in range(BINS)] + [high]
    width, low = math.ceil((math.floor(high) - math.floor(low) + 1) / BINS), math.floor(low)
    return [float(low + at * width) for at in range((math.floor(high) - low) // width + 2)]


def _said(value: float, kind: pa.DataType) -> str:
    """A number with four digits that count, a time to the day or minute."""
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        seconds = float(value) * (86_400 if pa.types.is_date(kind) else 1)
        moment = datetime.fromtimestamp(min(max(seconds, _FIRST), _LAST), UTC)
        whole = pa.types.is_date(kind) or not (moment.hour or moment.minute)
        return moment.date().isoformat() if whole else moment.replace(tzinfo=None).isoformat(" ", "minutes")
    in_full = 10_000 <= abs(value) < 1e15 or (float(value).is_integer() and abs(value) < 1e15)
    return f"{value:,.0f}" if in_full else f"{value:,.4g}"
