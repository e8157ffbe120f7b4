"""The values of another file's columns, for rules that say where a value must exist."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from include.errors import ConfigurationError, ContractBroken
from include.staging import read_chunks, read_schema
from include.systems.files.formats.values import explain_missing

if TYPE_CHECKING:
    import pandas as pd

    from include.systems.files.formats.staged import FileRows

log = logging.getLogger(__name__)
_BETWEEN = "\x1f"


@dataclass
class Reference:
    """Columns of a file; what they hold is kept until the file changes."""

    place: Path
    columns: tuple[str, ...]
    _seen: tuple[int, int] | None = field(default=None, init=False, repr=False)
    _known: list[pa.Array] = field(default_factory=list, init=False, repr=False)

    def holds(self, given: Sequence[pd.Series[Any]]) -> pd.Series[Any]:
        """Per row whether its values stand together in one row of the file; true where one of them is missing.

        A hash join in Arrow. Raises ConfigurationError for a file that cannot be read or lacks a column, ContractBroken
        for one that is not what its name says.
        """
        import pandas as pd

        theirs = self._read()
        pairs = [_alike(pa.array(one, from_pandas=True), two) for one, two in zip(given, theirs, strict=True)]
        if len(pairs) == 1:
            asked, known = pairs[0]
        else:
            asked, known = (_joined([pair[side] for pair in pairs]) for side in (0, 1))
        found = pc.or_(pc.is_in(asked, value_set=known), pc.is_null(asked))
        return pd.Series(found.to_numpy(zero_copy_only=False), index=given[0].index)

    def _read(self) -> list[pa.Array]:
        try:
            state = self.place.stat()
        except OSError as error:
            raise ConfigurationError(f"cannot be read ({error.strerror})", about=str(self.place)) from error
        if self._seen != (state.st_mtime_ns, state.st_size):
            self._known = _load(self.place, self.columns)
            self._seen = (state.st_mtime_ns, state.st_size)
        return self._known


def stage_reference(place: Path, folder: Path, columns: Sequence[str] = ()) -> FileRows:
    """Stage a file as `check` reads it; what cannot be read of it is told in the log and counts as absent.

    Raises ConfigurationError for a file that cannot be read, ContractBroken for one that is not what its name says.
    """
    from include.systems.files.formats.reading import Reading
    from include.systems.files.formats.stage import stage_file

    unread = list[str]()
    try:
        place.stat()
    except OSError as error:
        raise ConfigurationError(f"cannot be read ({error.strerror})", about=str(place)) from error
    reading = Reading(expected=columns)
    staged = stage_file(place, UPath(folder), reading=reading, tell=lambda where, *_: unread.append(where))
    if unread:
        log.warning(
            "%s: %d records or values cannot be read and count as absent, first %s", place, len(unread), unread[0]
        )
    return staged


def _load(place: Path, columns: Sequence[str]) -> list[pa.Array]:
    with tempfile.TemporaryDirectory(prefix="nightledger-") as folder:
        staged = stage_reference(place, Path(folder), columns)
        names = list(columns)
        for name in names:
            if name not in staged.rows.columns:
                raise ContractBroken(explain_missing(name, staged.types), about=f"{place.name}:{name}")
        schema = pa.schema([read_schema(staged.rows).field(name) for name in names])
        table = pa.Table.from_batches(list(read_chunks(staged.rows, columns=names)), schema)
    if len(names) == 1:
        return [pc.unique(table[names[0]].combine_chunks()).drop_null()]
    table = table.group_by(names, use_threads=False).aggregate([])
    return [table[name].combine_chunks() for name in names]


def _alike(ours: pa.Array, theirs: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Both columns in a type in which equal values are equal: as numbers, as times, else as text."""
    if ours.type == theirs.type:
        return ours, theirs
    kinds = (ours.type, theirs.type)
    if all(map(pa.types.is_temporal, kinds)):
        return tuple(_plain_times(one) for one in (ours, theirs))
    if all(pa.types.is_integer(one) or pa.types.is_floating(one) for one in kinds):
        whole = [_whole(one) for one in (ours, theirs)]
        wanted = pa.int64() if all(one is not None for one in whole) else pa.float64()
        return tuple(
            (a if a is not None and wanted == pa.int64() else pc.cast(b, wanted, safe=False))
            for a, b in zip(whole, (ours, theirs), strict=True)
        )
    return _texts(ours), _texts(theirs)


def _whole(values: pa.Array) -> pa.Array | None:
    """The numbers as whole ones, None where one is not."""
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid:
        return None


def _plain_times(values: pa.Array) -> pa.Array:
    zone = getattr(values.type, "tz", None)
    return pc.cast(pc.cast(values, pa.timestamp("us", tz=zone), safe=False), pa.int64())


def _texts(values: pa.Array) -> pa.Array:
    whole = _whole(values) if pa.types.is_floating(values.type) else None
    return (values if whole is None else whole).cast(pa.string())


def _joined(columns: Sequence[pa.Array]) -> pa.Array:
    """Several columns as one text; lengths first, so that no two rows run together into the same."""
    parts = [part for column in map(_texts, columns) for part in (pc.utf8_length(column).cast(pa.string()), column)]
    return pc.binary_join_element_wise(*parts, _BETWEEN)
