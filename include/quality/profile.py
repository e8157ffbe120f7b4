"""Each column of a night as it came in: counts, histogram, frequent values, times; read in one stream of chunks.

A personal column leaves counts and lengths, never a value. A number's histogram uses the edges of the nights before,
so that nights compare bin by bin.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from include.models import Manifest, Record
from include.quality.gathering import Gathering, Sample, Texts, floats, gathering, is_number
from include.quality.repeats import Repeats, WholeRows, hashes
from include.staging import read_chunks, read_schema

if TYPE_CHECKING:
    import numpy as np

CHUNK_ROWS = 65_536
BINS = 20
_UNREADABLE = (pa.ArrowException, ArithmeticError, ValueError)
IDENTITY = frozenset({"row_id", "row_key", "lineage"})


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One column of one night.

    `nulls` counts missing values and NaN. `profile["kind"]` is `number`, `category` (its values are counted), `text`
    (lengths only: personal, or more different values than 20 and a tenth of the rows), `time` or `other`.
    """

    name: str
    type: str
    rows: int
    nulls: int
    profile: Record

    @property
    def kind(self) -> str:
        """What the column was profiled as."""
        return str(self.profile.get("kind", "other"))

    @property
    def null_share(self) -> float:
        """Missing values as a share of the rows, 0 to 1."""
        return self.nulls / self.rows if self.rows else 0.0


@dataclass
class _Column:
    """One column while it is read."""

    name: str
    type: str
    gathering: Gathering
    rows: int = 0
    nulls: int = 0
    null_runs: int = 0
    unread: str = field(default="")
    repeats: Repeats = field(default_factory=Repeats)

    def add(self, array: Any, hashed: np.ndarray) -> None:
        self.rows += len(array)
        self.nulls += array.null_count
        if isinstance(self.gathering, Texts):
            self.repeats.add(hashed)
        if array.null_count:
            missing = array.is_null().to_numpy(zero_copy_only=False)
            self.null_runs += int(missing[0]) + int((missing[1:] & ~missing[:-1]).sum())
        if self.unread:
            return
        try:
            texts = isinstance(self.gathering, Texts)
            self.nulls += self.gathering.add(array if texts else array.drop_null())
        except _UNREADABLE as error:
            self.unread = f"{type(error).__name__}: the values cannot be read as {self.type}"

    def result(self) -> ColumnProfile:
        found = {"kind": "other", "unread": self.unread} if self.unread else self.gathering.result(self.rows)
        found |= {"per_value": self.repeats.per_value(), "null_runs": self.null_runs}
        return ColumnProfile(self.name, self.type, self.rows, self.nulls, found)


def profile(
    raw: Manifest, end: datetime, *, personal: Sequence[str] = (), edges: Mapping[str, Sequence[float]] | None = None
) -> dict[str, ColumnProfile]:
    """Profile every column of a staged dataset but its row identity, as `profile_night` does."""
    return profile_night(raw, end, personal=personal, edges=edges)[1]


def profile_night(
    raw: Manifest, end: datetime, *, personal: Sequence[str] = (), edges: Mapping[str, Sequence[float]] | None = None
) -> tuple[Record, dict[str, ColumnProfile]]:
    """What is known of whole rows, and of every column but the row identity; memory does not grow with the rows.

    Ages are counted back from `end`. `edges` are upper ends of histogram bins by column, those of earlier nights; a
    number without any gets edges at the quantiles of its own values, which takes a second pass over that column.
    """
    schema = read_schema(raw)
    names = [name for name in schema.names if name not in IDENTITY]
    numbers = [n for n in names if is_number(schema.field(n).type) and n not in personal]
    known = dict(edges or {})
    known |= _own_edges(raw, [name for name in numbers if not known.get(name)])
    columns = [
        _Column(name, str(schema.field(name).type), gathering(schema.field(name), name in personal, known, end))
        for name in names
    ]
    whole = WholeRows(names)
    if names:
        for batch in read_chunks(raw, rows=CHUNK_ROWS, columns=names):
            arrays = [batch.column(name) for name in names]
            hashed = [hashes(array) for array in arrays]
            whole.add(arrays, hashed)
            for column, array, one in zip(columns, arrays, hashed, strict=True):
                column.add(array, one)
    return whole.result(), {column.name: column.result() for column in columns}


def _own_edges(raw: Manifest, names: Sequence[str]) -> dict[str, list[float]]:
    """Edges at every 1/BINS of the values; a value that fills a bin or more gets a bin of its own."""
    import numpy as np

    if not names:
        return {}
    samples = {name: Sample() for name in names}
    for batch in read_chunks(raw, rows=CHUNK_ROWS, columns=list(names)):
        for name, sample in samples.items():
            with contextlib.suppress(*_UNREADABLE):  # the column itself says so when it is profiled
                values = floats(batch.column(name).drop_null())
                sample.add(values[np.isfinite(values)])
    found = {}
    for name, sample in samples.items():
        at = sample.quantiles([step / BINS for step in range(BINS + 1)])
        often = {value for value, following in itertools.pairwise(at) if value == following}
        below = {float(np.nextafter(value, -math.inf)) for value in often | set(at[:1])}
        found[name] = [value for value in sorted(set(at[1:]) | below) if math.isfinite(value)]
    return found
