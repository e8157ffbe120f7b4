"""A hash per row, equal where values are equal: who shares none with another row can be no duplicate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from include.quality.expectation import DERIVED
from include.quality.gx import Prepared, derived, to_frame
from include.quality.usual import History

if TYPE_CHECKING:
    import numpy as np

_ODD = 0x9E3779B97F4A7C15
_NONE = 0x5851F42D4C957F2D
"""The hash of no value, where other columns of the row have one; texts start from it, too."""


def hashes(prepared: Prepared, table: pa.Table, history: History) -> np.ndarray:
    """Of what a uniqueness expectation is about, the hashes of the rows that have a value, and those of rows without 0.

    Raises TypeError for values that have none, such as lists, and whatever `derive` raises.
    """
    import numpy as np

    given = prepared.configuration.kwargs
    names = given["column_list"] if "column_list" in given else [given["column"]]
    total = np.zeros(table.num_rows, np.uint64)
    with np.errstate(over="ignore"):
        for name in names:
            made = _of_derived(prepared, table, history) if name == DERIVED else _of_column(table[name])
            if len(names) == 1:
                return made
            total = _mixed(total ^ np.where(made == 0, np.uint64(_NONE), made))
    return total


def repeated(hashed: Sequence[np.ndarray]) -> np.ndarray:
    """A flag per row, over all chunks: whether another row has the same hash; 0 is no hash."""
    import numpy as np

    if not hashed:
        return np.zeros(0, bool)
    ordered = np.concatenate(hashed)
    ordered.sort()
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    known = pa.array(again[again != 0])
    found = [pc.is_in(pa.array(part), value_set=known).to_numpy(zero_copy_only=False) for part in hashed]
    return np.concatenate(found)


def _of_column(column: pa.ChunkedArray) -> np.ndarray:
    import numpy as np

    parts = [_of_array(part) for part in column.chunks]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def _of_array(values: pa.Array) -> np.ndarray:
    import numpy as np

    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        made = _of_texts(values)
    elif pa.types.is_floating(kind):
        numbers = values.cast(pa.float64())
        values = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
        made = (values.fill_null(0).to_numpy() + 0.0).view(np.uint64)  # -0.0 becomes 0.0
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_temporal(kind):
        made = _numbers(values).view(np.uint64)
    else:
        return _of_objects(values.to_pylist())
    return np.where(values.is_null().to_numpy(zero_copy_only=False), np.uint64(0), _never_0(_mixed(made)))


def _numbers(values: pa.Array) -> np.ndarray:
    """Whole numbers, flags and times as 64 bits."""
    import numpy as np

    if pa.types.is_boolean(values.type):
        return np.asarray(values.cast(pa.int8()).fill_null(0).to_numpy().astype(np.int64))
    narrow = values.type.bit_width == 32
    plain = values.cast(pa.int32() if narrow else pa.int64()) if pa.types.is_temporal(values.type) else values
    return np.ascontiguousarray(plain.fill_null(0).to_numpy()).astype(np.int64, copy=False)


def _of_texts(values: pa.Array) -> np.ndarray:
    """Of each text its bytes, eight at a time; a text that has ended takes no part in later rounds."""
    import numpy as np

    plain = values.cast(pa.large_string()).fill_null("")
    offsets = np.frombuffer(plain.buffers()[1], np.int64)[plain.offset : plain.offset + len(plain) + 1]
    data = plain.buffers()[2]
    starts, lengths = offsets[:-1] - offsets[0], np.diff(offsets)
    size = int(offsets[-1] - offsets[0])
    padded = np.zeros(size + 8, np.uint8)
    if size:
        padded[:size] = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    words = np.ndarray(size + 1, "<u8", padded.data, strides=(1,))
    made, active = lengths.astype(np.uint64) ^ np.uint64(_NONE), np.arange(len(plain))  # 0 would stay 0 in `_mixed`
    for at in range(0, int(lengths.max(initial=0)), 8):
        active = active[lengths[active] > at]
        left = np.minimum(lengths[active] - at, 8).astype(np.uint64)
        word = words[starts[active] + at] & (np.uint64(2**64 - 1) >> (np.uint64(64) - left * np.uint64(8)))
        made[active] = _mixed(made[active] ^ word)
    return made


def _of_derived(prepared: Prepared, table: pa.Table, history: History) -> np.ndarray:
    frame = to_frame(table)
    made = derived(prepared.expectation, frame, history)
    return _of_objects(made.astype(object).where(made.notna(), None).tolist())


def _of_objects(values: Sequence[Any]) -> np.ndarray:
    import numpy as np

    absent = np.array([value is None for value in values], bool)
    made = np.array([0 if value is None else hash(value) for value in values], np.int64).view(np.uint64)
    return np.where(absent, np.uint64(0), _never_0(_mixed(made)))


def _mixed(made: np.ndarray) -> np.ndarray:
    """Every bit spread over all, one to one."""
    import numpy as np

    with np.errstate(over="ignore"):
        made = (made ^ (made >> np.uint64(32))) * np.uint64(_ODD)
        made = (made ^ (made >> np.uint64(29))) * np.uint64(_ODD)
    return made


def _never_0(made: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.asarray(np.maximum(made, np.uint64(1)))
