"""What is gathered of the values of one column while they are read: numbers, texts, flags, times."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from include.models import Record
from include.quality.repeats import Numbering

if TYPE_CHECKING:
    import numpy as np

MOST_VALUES, MOST_DISTINCT, FEW_DISTINCT = 50, 200, 20
VALUE_CHARS = 80
RARE = 3
SAMPLE = 50_000
RARE_KINDS = 4096
SIZES = 2048
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
AGE_DAYS = (0, 1, 7, 30, 90, 365, 730, 1825)


class Gathering(Protocol):
    """What is known of one column so far."""

    def add(self, values: Any) -> int:
        """Values without nulls, of texts with them; how many of them were NaN."""
        ...

    def result(self, rows: int) -> Record:
        """What is known, of so many rows."""
        ...


class Sample:
    """Evenly spaced values of a stream: all of them up to SAMPLE, beyond that every second, fourth, eighth one."""

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []
        self._step, self._offset, self._size = 1, 0, 0

    def add(self, values: np.ndarray) -> None:
        """More values of the stream."""
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
        self._sample = Sample()
        self._n, self._mean, self._squares, self._infinite = 0, 0.0, 0.0, 0
        self._low, self._high = math.inf, -math.inf
        self._sizes = np.zeros(SIZES, dtype="int64")

    def add(self, values: Any) -> int:
        import numpy as np

        everything = floats(values)
        finite = everything[np.isfinite(everything)]
        nan = int(np.isnan(everything).sum()) if len(finite) < len(everything) else 0
        self._infinite += len(everything) - len(finite) - nan
        if len(finite):
            below = [np.count_nonzero(finite <= edge) for edge in self._edges]  # a third of what searchsorted takes
            self._counts += np.diff([0, *below, len(finite)])
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


class Texts:
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
        """Texts and nulls: a null ends the place of a value."""
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
        """`span`: numbers of a series; `values`, with `places` beside them, where they are few."""
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
        self._sample = Sample()
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
        younger = [np.count_nonzero(days <= age) for age in AGE_DAYS]
        self._counts = [
            was + int(new) for was, new in zip(self._counts, np.diff([0, *younger, len(days)]), strict=True)
        ]
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


def gathering(of: pa.Field, personal: bool, edges: Mapping[str, Sequence[float]], end: datetime) -> Gathering:
    """What to gather of a column of that type; `edges` are those of its histogram, `end` that of the interval."""
    if pa.types.is_string(of.type) or pa.types.is_large_string(of.type):
        return Texts(personal=personal)
    if personal:
        return _Nothing(personal=True)
    if is_number(of.type):
        return _Numbers(edges[of.name])
    if pa.types.is_boolean(of.type):
        return _Flags()
    if pa.types.is_timestamp(of.type) or pa.types.is_date(of.type):
        return _Times(end)
    return _Nothing(personal=False)


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of that type has numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def floats(values: Any) -> np.ndarray:
    """Numbers of any type as float64."""
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
