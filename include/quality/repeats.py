"""How often values and whole rows of a stream repeat, what series they number, and which columns miss values together.

Memory does not grow with the rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from include.models import Record

if TYPE_CHECKING:
    import numpy as np

KEPT = 4096
MOST_PATTERNS = 50
LONGEST_NUMBER = 40
_MIX = 0x9E3779B97F4A7C15
_NULL = 0x5851F42D4C957F2D


class Repeats:
    """Rows per different value of a stream of hashes: exact up to KEPT different ones, beyond that within 2 % or so.

    The smallest hashes are a fair sample of the different values, with all their rows (P. Gibbons, Distinct Sampling,
    VLDB 2001).
    """

    def __init__(self) -> None:
        self._hashes: np.ndarray | None = None
        self._counts: np.ndarray | None = None
        self._below: Any = None

    def add(self, hashes: np.ndarray) -> None:
        """One more chunk of hashes (uint64)."""
        import numpy as np

        new, counts = np.unique(hashes if self._below is None else hashes[hashes < self._below], return_counts=True)
        if self._hashes is not None and self._counts is not None:
            both = np.concatenate([self._hashes, new])
            new, at = np.unique(both, return_inverse=True)
            counts = np.bincount(at, np.concatenate([self._counts, counts])).astype("int64")
        if len(new) > KEPT:
            self._below = new[KEPT]
            new, counts = new[:KEPT], counts[:KEPT]
        self._hashes, self._counts = new, counts

    def per_value(self) -> float | None:
        """Rows per different value; None of an empty stream."""
        if self._counts is None or not len(self._counts):
            return None
        return float(self._counts.sum() / len(self._counts))


class Numbering:
    """The lowest and highest of texts that are all as long: their order is that of the numbers they end with."""

    def __init__(self) -> None:
        self._low: str | None = None
        self._high = ""
        self._given_up = False

    def add(self, values: Any, shortest: int, longest: int) -> None:
        """One more chunk of texts of these lengths in characters, one of them at least."""
        before = len(self._high) if self._low is not None else shortest
        if self._given_up or not before == shortest == longest <= LONGEST_NUMBER:
            self._given_up = True
            return
        if not self._high and not _ends_with_digit(values):
            self._given_up = True
            return
        ends = pc.min_max(values).as_py()
        self._low = ends["min"] if self._low is None else min(self._low, ends["min"])
        self._high = max(self._high, ends["max"])

    def span(self) -> int | None:
        """How many numbers there are from the lowest to the highest, both among them; None of other texts."""
        if self._given_up or self._low is None:
            return None
        alike = next(
            (at for at, (a, b) in enumerate(zip(self._low, self._high, strict=True)) if a != b), len(self._low)
        )
        tails = self._low[alike:], self._high[alike:]
        if not all(tail.isascii() and tail.isdecimal() for tail in tails if tail):
            return None
        return int(tails[1] or 0) - int(tails[0] or 0) + 1


class WholeRows:
    """Repeated rows, and which columns have no value in the same row, over the chunks of a night."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._repeats = Repeats()
        self._missing: Counter[int] = Counter()
        self._rows = 0

    def add(self, columns: Sequence[pa.Array], hashes: Sequence[np.ndarray]) -> None:
        """One chunk: its columns, and a hash of every value of each."""
        import numpy as np

        rows = len(columns[0])
        self._rows += rows
        mixed, missing = np.zeros(rows, dtype="uint64"), np.zeros(rows, dtype="int64")
        for at, (column, one) in enumerate(zip(columns, hashes, strict=True)):
            mixed = (mixed ^ one) * np.uint64(_MIX)
            mixed ^= mixed >> np.uint64(32)
            if column.null_count and at < 63:
                missing |= column.is_null().to_numpy(zero_copy_only=False).astype("int64") << at
        self._repeats.add(mixed)
        if missing.any():
            counted = pc.value_counts(pa.array(missing))
            pairs = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
            self._missing.update(dict(pairs))
            self._missing = Counter(dict(self._missing.most_common(4 * MOST_PATTERNS)))
        else:
            self._missing[0] += rows

    def result(self) -> Record:
        """`per_row`: rows per different row. `missing`: columns without a value in the same row, and their rows."""
        often = [(pattern, rows) for pattern, rows in self._missing.most_common(MOST_PATTERNS) if rows >= 3]
        missing = [[[name for at, name in enumerate(self._names) if pattern >> at & 1], n] for pattern, n in often]
        return {"kind": "rows", "per_row": self._repeats.per_value(), "missing": missing}


def hashes(array: pa.Array) -> np.ndarray:
    """A hash of every value (uint64): whole numbers and times as they are, of a text its length and its last 8 bytes.

    Equal values have equal hashes; texts that end alike and are as long have too, and values of other types have none
    of their own.
    """
    import numpy as np

    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        found = _of_texts(array)
    elif pa.types.is_timestamp(kind) or pa.types.is_integer(kind):
        found = pc.cast(array.fill_null(0), pa.int64(), safe=False).to_numpy(zero_copy_only=False).view("uint64")
    elif pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        floats = pc.cast(array, pa.float64(), safe=False).fill_null(0.0).to_numpy(zero_copy_only=False)
        found = floats.view("uint64")
    elif pa.types.is_date(kind):
        found = pc.cast(pc.cast(array, pa.date32()), pa.int32()).fill_null(0).to_numpy(zero_copy_only=False)
        found = found.astype("uint64")
    elif pa.types.is_boolean(kind):
        found = array.fill_null(False).to_numpy(zero_copy_only=False).astype("uint64")
    else:
        found = np.zeros(len(array), dtype="uint64")
    if array.null_count:
        found = np.where(array.is_null().to_numpy(zero_copy_only=False), np.uint64(_NULL), found)
    mixed: np.ndarray = (found ^ (found >> np.uint64(32))) * np.uint64(_MIX)
    return mixed


def _of_texts(array: pa.Array) -> np.ndarray:
    """Length and last eight bytes of every text, read straight from Arrow's buffers."""
    import numpy as np

    _, at, data = array.buffers()
    width = "int64" if pa.types.is_large_string(array.type) else "int32"
    ends = np.frombuffer(at, dtype=width)[array.offset : array.offset + len(array) + 1].astype("int64")
    first, last = int(ends[0]), int(ends[-1])
    text = np.zeros(last - first + 8, dtype="uint8")
    if last > first:
        text[8:] = np.frombuffer(data, dtype="uint8")[first:last]
    windows = np.ndarray(len(text) - 7, dtype="<u8", buffer=text, strides=(1,))
    lengths = np.diff(ends)
    short = np.clip(8 - lengths, 0, 8).astype("uint64") * np.uint64(8)
    tails = np.where(lengths > 0, windows[ends[1:] - first] >> np.minimum(short, np.uint64(56)), np.uint64(0))
    found: np.ndarray = tails ^ (lengths.astype("uint64") * np.uint64(0x94D049BB133111EB))
    return found


def _ends_with_digit(values: Any) -> bool:
    first = values[pc.index(values.is_valid(), True).as_py()].as_py()
    return bool(first[-1:].isascii() and first[-1:].isdecimal())
