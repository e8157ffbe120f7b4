"""Each column of a night as it came in: counts, histogram, frequent values, times; read in one stream of chunks.

A personal column leaves counts and lengths, never a value. A number's histogram uses the edges of the nights before,
so that nights compare bin by bin.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from include.models import Manifest, Record
from include.quality.repeats import Numbering, Repeats, WholeRows, hashes
from include.staging import read_chunks, read_schema

if TYPE_CHECKING:
    import numpy as np

CHUNK_ROWS = 65_536
BINS = 20
MOST_VALUES, MOST_DISTINCT, FEW_DISTINCT = 50, 200, 20
VALUE_CHARS = 80
RARE = 3
SAMPLE = 50_000
RARE_KINDS = 4096
SIZES = 2048
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
AGE_DAYS = (0, 1, 7, 30, 90, 365, 730, 1825)
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


class _Gathering(Protocol):
    """What is known of one column so far; `add` takes values without nulls (texts: with) and says how many were NaN."""

    def add(self, values: Any) -> int: ...

    def result(self, rows: int) -> Record: ...


class _Sample:
    """Evenly spaced values of a stream: all of them up to SAMPLE, beyond that every second, fourth, eighth one."""

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []
        self._step, self._offset, self._size = 1, 0, 0

    def add(self, values: np.ndarray) -> None:
        taken = values[self._offset :: self._step]
        self._offset = (self._offset - len(values)) % self._step
        self._kept.append(taken)
        self._size += len(taken)
        while self._size > 2 * SAMPLE:
            self._thin()

    def _thin(self) -> None:
        import numpy as np

        whole = np.concatenate(self._kept)
        self._kept, self._size = [whole[::2]], (len(whole) + 1) // 2
        self._offset += self._step if len(whole) % 2 else 0
        self._step *= 2

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Quantiles of the values, none of an empty stream; each is a value that occurred."""
        import numpy as np

        if not self._size:
            return []
        found: list[float] = np.quantile(np.concatenate(self._kept), shares, method="inverted_cdf").tolist()
        return found


class _Numbers:
    """Counts per bin and per size (power of two, whatever the sign), moments, quantiles; NaN is missing."""

    def __init__(self, edges: Sequence[float]) -> None:
        import numpy as np

        self._edges = np.asarray(edges, dtype="float64")
        self._counts = np.zeros(len(edges) + 1, dtype="int64")
        self._sample = _Sample()
        self._n, self._mean, self._squares, self._infinite = 0, 0.0, 0.0, 0
        self._low, self._high = math.inf, -math.inf
        self._sizes = np.zeros(SIZES, dtype="int64")

    def add(self, values: Any) -> int:
        import numpy as np

        everything = _floats(values)
        finite = everything[np.isfinite(everything)]
        nan = int(np.isnan(everything).sum()) if len(finite) < len(everything) else 0
        self._infinite += len(everything) - len(finite) - nan
        if len(finite):
            at = np.searchsorted(self._edges, finite, side="left")
            self._counts += np.bincount(at, minlength=len(self._counts))
            self._sizes += np.bincount((finite.view("int64") >> 52) & (SIZES - 1), minlength=SIZES)
            self._sample.add(finite)
            self._moments(finite)
        return nan

    def _moments(self, values: np.ndarray) -> None:
        """Merge mean and squared deviations of a chunk (Chan, Golub and LeVeque 1979)."""
        import numpy as np

        with np.errstate(over="ignore", invalid="ignore"):  # what float64 cannot hold is left out of the result
            n, mean = len(values), float(values.mean())
            away, total = mean - self._mean, self._n + n
            self._squares += float(((values - mean) ** 2).sum()) + away * away * self._n * n / total
            self._mean += away * n / total
        self._n = total
        self._low, self._high = min(self._low, float(values.min())), max(self._high, float(values.max()))

    def result(self, rows: int) -> Record:
        found: Record = {"kind": "number", "infinite": self._infinite}
        found |= {"edges": self._edges.tolist(), "counts": self._counts.tolist()}
        if self._n:
            spread = math.sqrt(self._squares / self._n) if math.isfinite(self._squares) else None
            found |= {"min": self._low, "max": self._high, "mean": _finite(self._mean), "std": spread}
            found["quantiles"] = self._sample.quantiles(QUANTILES)
            found["sizes"] = [[at, int(self._sizes[at])] for at in self._sizes.nonzero()[0].tolist()]
        return found


class _Texts:
    """Lengths in characters; counts of values as long as there are few different ones and they are not personal.

    Beside the rows of a value it counts the places of the file where rows of it begin.
    """

    def __init__(self, *, personal: bool) -> None:
        self._counts: Counter[str] | None = None if personal else Counter()
        self._places: Counter[str] = Counter()
        self._numbering = None if personal else Numbering()
        self._personal = personal
        self._n, self._characters, self._shortest, self._longest = 0, 0, math.inf, 0

    def add(self, values: Any) -> int:
        if len(values) == values.null_count:
            return 0
        lengths = pc.utf8_length(values)
        ends = pc.min_max(lengths).as_py()
        self._n += len(values) - values.null_count
        self._characters += pc.sum(lengths).as_py()
        self._shortest, self._longest = min(self._shortest, ends["min"]), max(self._longest, ends["max"])
        if self._counts is not None:
            self._count(values)
        if self._numbering is not None:
            self._numbering.add(values, ends["min"], ends["max"])
        return 0

    def _count(self, values: Any) -> None:
        import numpy as np

        found = pc.dictionary_encode(values)
        if len(found.dictionary) > MOST_DISTINCT or self._counts is None:
            self._counts = None
            return
        at, names = found.indices.fill_null(-1).to_numpy(zero_copy_only=False), found.dictionary.to_pylist()
        begins = at[np.flatnonzero(np.diff(at, prepend=-1))]
        for counts, of in ((self._counts, at), (self._places, begins)):
            counts.update(dict(zip(names, np.bincount(of[of >= 0], minlength=len(names)).tolist(), strict=True)))
        self._counts = self._counts if len(self._counts) <= MOST_DISTINCT else None

    def result(self, rows: int) -> Record:
        found: Record = {"kind": "text", "personal": self._personal}
        if self._n:
            found |= {"shortest": self._shortest, "longest": self._longest, "mean_length": self._characters / self._n}
        if self._numbering is not None and (span := self._numbering.span()):
            found["span"] = span
        if self._counts is None:
            return found
        if len(self._counts) > max(FEW_DISTINCT, self._n // 10):
            return found | {"distinct": len(self._counts)}
        return found | {"kind": "category"} | _frequent(self._counts, self._places)


class _Flags:
    """Counts of true and false, and of the places where they begin."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._places: Counter[str] = Counter()

    def add(self, values: Any) -> int:
        import numpy as np

        flags = values.to_numpy(zero_copy_only=False)
        begins = flags[np.flatnonzero(np.diff(flags.astype("int8"), prepend=-1))]
        for counts, of in ((self._counts, flags), (self._places, begins)):
            true = int(of.sum())
            counts.update({"true": true, "false": len(of) - true})
        return 0

    def result(self, rows: int) -> Record:
        return {"kind": "category"} | _frequent(+self._counts, self._places)


class _Times:
    """Newest, oldest, and how many values are of which age at the end of the interval."""

    def __init__(self, end: datetime) -> None:
        self._end = end
        self._counts = [0] * (len(AGE_DAYS) + 1)
        self._sample = _Sample()
        self._newest: int | None = None
        self._oldest: int | None = None

    def add(self, values: Any) -> int:
        import numpy as np

        if not len(values):
            return 0
        micros = pc.cast(_utc(values), pa.int64()).to_numpy(zero_copy_only=False)
        low, high = int(micros.min()), int(micros.max())
        self._oldest = low if self._oldest is None else min(low, self._oldest)
        self._newest = high if self._newest is None else max(high, self._newest)
        days = (self._end.timestamp() * 1e6 - micros) / 86_400e6
        counts = np.bincount(np.searchsorted(np.asarray(AGE_DAYS, "float64"), days), minlength=len(self._counts))
        self._counts = [was + int(new) for was, new in zip(self._counts, counts, strict=True)]
        self._sample.add(days)
        return 0

    def result(self, rows: int) -> Record:
        found: Record = {"kind": "time", "edges": list(AGE_DAYS), "counts": self._counts}
        if self._newest is not None and self._oldest is not None:
            found |= {"newest": _iso(self._newest), "oldest": _iso(self._oldest)}
            found["quantiles"] = self._sample.quantiles(QUANTILES)
            found["newest_age_hours"] = (self._end.timestamp() - self._newest / 1e6) / 3600
        return found


class _Nothing:
    """A column of which only missing values are counted."""

    def __init__(self, *, personal: bool) -> None:
        self._personal = personal

    def add(self, values: Any) -> int:
        return 0

    def result(self, rows: int) -> Record:
        return {"kind": "other", "personal": self._personal}


@dataclass
class _Column:
    """One column while it is read."""

    name: str
    type: str
    gathering: _Gathering
    rows: int = 0
    nulls: int = 0
    null_runs: int = 0
    unread: str = field(default="")
    repeats: Repeats = field(default_factory=Repeats)

    def add(self, array: Any, hashed: np.ndarray) -> None:
        self.rows += len(array)
        self.nulls += array.null_count
        if isinstance(self.gathering, _Texts):
            self.repeats.add(hashed)
        if array.null_count:
            missing = array.is_null().to_numpy(zero_copy_only=False)
            self.null_runs += int(missing[0]) + int((missing[1:] & ~missing[:-1]).sum())
        if self.unread:
            return
        try:
            texts = isinstance(self.gathering, _Texts)
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
    numbers = [n for n in names if _is_number(schema.field(n).type) and n not in personal]
    known = dict(edges or {})
    known |= _own_edges(raw, [name for name in numbers if not known.get(name)])
    columns = [
        _Column(name, str(schema.field(name).type), _gathering(schema.field(name), name in personal, known, end))
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


def _gathering(of: pa.Field, personal: bool, edges: Mapping[str, Sequence[float]], end: datetime) -> _Gathering:
    if pa.types.is_string(of.type) or pa.types.is_large_string(of.type):
        return _Texts(personal=personal)
    if personal:
        return _Nothing(personal=True)
    if _is_number(of.type):
        return _Numbers(edges[of.name])
    if pa.types.is_boolean(of.type):
        return _Flags()
    if pa.types.is_timestamp(of.type) or pa.types.is_date(of.type):
        return _Times(end)
    return _Nothing(personal=False)


def _own_edges(raw: Manifest, names: Sequence[str]) -> dict[str, list[float]]:
    """Edges at every 1/BINS of the values; a value that fills a bin or more gets a bin of its own."""
    import numpy as np

    if not names:
        return {}
    samples = {name: _Sample() for name in names}
    for batch in read_chunks(raw, rows=CHUNK_ROWS, columns=list(names)):
        for name, sample in samples.items():
            with contextlib.suppress(*_UNREADABLE):  # the column itself says so when it is profiled
                values = _floats(batch.column(name).drop_null())
                sample.add(values[np.isfinite(values)])
    found = {}
    for name, sample in samples.items():
        at = sample.quantiles([step / BINS for step in range(BINS + 1)])
        often = {value for value, following in itertools.pairwise(at) if value == following}
        below = {float(np.nextafter(value, -math.inf)) for value in often | set(at[:1])}
        found[name] = [value for value in sorted(set(at[1:]) | below) if math.isfinite(value)]
    return found


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _floats(values: Any) -> np.ndarray:
    found: np.ndarray = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found


def _utc(values: Any) -> Any:
    """Times in microseconds; a time without a zone is taken as UTC, a date as its first moment."""
    zone = getattr(values.type, "tz", None)
    return pc.cast(values, pa.timestamp("us", tz=zone), safe=False)


def _iso(micros: int) -> str:
    """ISO 8601 in UTC; a time that Python's calendar cannot hold becomes its nearest end."""
    first, last = -62_135_596_800, 253_402_300_799
    return datetime.fromtimestamp(min(max(micros // 1_000_000, first), last), UTC).isoformat()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def rare_kind(value: str) -> int:
    """12 bits of a value's checksum, 0 to RARE_KINDS - 1."""
    return zlib.crc32(value.encode()) % RARE_KINDS


def _frequent(counts: Counter[str], places: Counter[str]) -> Record:
    """The most frequent values, cut to VALUE_CHARS characters, with their places, and how often all others occurred.

    A value of fewer than RARE rows counts among the others: what is rare may tell whose row it is. Of those only 12
    bits of a checksum are kept, which one in RARE_KINDS of all values has: enough to say that a value was never there.
    """
    shown, begun = _cut(counts), _cut(places)
    kept = {value: count for value, count in shown.most_common(MOST_VALUES) if count >= RARE}
    rare = {rare_kind(value) for value in shown if value not in kept}
    return {
        "values": [[value, count] for value, count in kept.items()],
        "places": [begun[value] for value in kept],
        "rare": sorted(rare),
        "others": counts.total() - sum(kept.values()),
        "distinct": len(counts),
    }


def _cut(counts: Counter[str]) -> Counter[str]:
    shown: Counter[str] = Counter()
    for value, count in counts.items():
        shown[value if len(value) <= VALUE_CHARS else value[: VALUE_CHARS - 1] + "…"] += count
    return shown
