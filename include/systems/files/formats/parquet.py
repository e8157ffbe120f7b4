"""Parquet files as they are staged: with their own columns and types, what is nested as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upath import UPath

from include.errors import ConfigurationError, ContractBroken
from include.models import Kind
from include.staging import ARROW, StagedWriter
from include.systems.files.formats.kinds import convert, mark_absent, spellings
from include.systems.files.formats.layout import rename
from include.systems.files.formats.likely import Waiting
from include.systems.files.formats.notation import Notation
from include.systems.files.formats.reading import Reading, Tell
from include.systems.files.formats.staged import PLACES, FileRows, join_keys
from include.systems.files.formats.values import explain_missing

_CHUNK = 65_536
_WHOLE = 18  # digits that every 64-bit integer can have
_LARGEST = 2**63 - 1


def stage_parquet(path: Path, name: str, folder: UPath, key: Sequence[str], reading: Reading, tell: Tell) -> FileRows:
    """A Parquet file as a staged dataset; rows are counted from 1.

    Whole decimals and unsigned numbers become integers, or text where 64 bits do not hold them; other decimals become
    floats, bytes become texts. Texts of columns that `reading` declares are read as declared; `tell` hears of those
    that cannot be.
    """
    try:
        return _Parquet(pq.ParquetFile(path), name, reading, tell).stage(folder, key)
    except pa.ArrowInvalid as error:
        raise ContractBroken("is no Parquet file, or is damaged", about=name) from error


class _Parquet:
    """One file on its way."""

    def __init__(self, file: pq.ParquetFile, name: str, reading: Reading, tell: Tell) -> None:
        self._file, self._name, self._reading, self._tell = file, name, reading, tell
        self._names, notes = rename(file.schema_arrow.names)
        self._notes, self._wrong = list(notes), 0
        self._words = spellings(tuple(sorted({"", *(word.strip() for word in reading.absent)})))
        types = (_plain(one.type, self._largest(at)) for at, one in enumerate(file.schema_arrow))
        self._types = dict(zip(self._names, types, strict=True))
        self._declared = dict(self._readable())
        self._waiting = Waiting(reading)

    def stage(self, folder: UPath, key: Sequence[str]) -> FileRows:
        """Read and write, a batch at a time."""
        for column in key:
            if column not in self._types:
                raise ConfigurationError(explain_missing(column, self._types), about=f"key of {self._name}")
        wanted = {**self._types, **{one: ARROW[_kind(said)] for one, said in self._declared.items()}}
        schema, at = pa.schema(list(wanted.items())), 1
        with (
            StagedWriter(folder / "raw.parquet", schema, brief=True) as rows,
            StagedWriter(folder / "places.parquet", PLACES, brief=True) as places,
        ):
            for batch in self._file.iter_batches(_CHUNK):
                plain = [self._flat(one, name, at) for name, one in zip(self._names, batch.columns, strict=True)]
                columns = [self._read(one, name, at) for name, one in zip(self._names, plain, strict=True)]
                rows.write_table(pa.Table.from_arrays(columns, schema=schema))
                lines = pa.array(range(at, at + batch.num_rows), pa.int64())
                keys = join_keys([plain[self._names.index(one)] for one in key], batch.num_rows)
                places.write_table(pa.Table.from_arrays([lines, keys], schema=PLACES))
                at += batch.num_rows
        found = {column: str(self._types[column]) for column in self._names}
        found |= {column: str(_kind(said)) for column, said in self._declared.items()}
        return FileRows(
            rows.manifest("file", "raw"),
            places.manifest("file", "places"),
            found,
            wrong=self._wrong,
            mixed=self._waiting.why(),
            notes=(*self._notes, *self._waiting.notes()),
            form="Parquet",
        )

    def _readable(self) -> list[tuple[str, Kind | Notation]]:
        """Declared columns that are texts in the file; of the others it is said that theirs is the type."""
        declared = list[tuple[str, Kind | Notation]]()
        for name, said in self._reading.kinds.items():
            if name not in self._types:
                self._notes.append(f"a declared column is not in the file: {explain_missing(name, self._types)}")
            elif pa.types.is_string(self._types[name]):
                declared += [(name, said)] if said != "text" else []
            elif self._types[name] != ARROW[_kind(said)]:
                self._notes.append(f"{name!r} is {self._types[name]} in the file, and stays so whatever is declared")
        return declared

    def _largest(self, column: int) -> int | None:
        """The largest value of a column by the file's own statistics, if all parts have them."""
        if not pa.types.is_uint64(self._file.schema_arrow.field(column).type):
            return None
        path, largest = self._file.schema_arrow.names[column], list[int]()
        for group in range(self._file.metadata.num_row_groups):
            parts = self._file.metadata.row_group(group)
            found = [parts.column(at) for at in range(parts.num_columns) if parts.column(at).path_in_schema == path]
            if not found or found[0].statistics is None or not found[0].statistics.has_min_max:
                return None
            largest.append(found[0].statistics.max)
        return max(largest, default=0)

    def _flat(self, column: pa.Array, name: str, first: int) -> pa.Array:
        """Values as their column is staged; bytes that are no UTF-8 are told."""
        wanted = self._types[name]
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_nested(column.type):
            values = column.to_pylist()
            said = [None if v is None else json.dumps(v, default=str, ensure_ascii=False) for v in values]
            return pa.array(said, wanted)
        if not _is_bytes(column.type):
            return column.cast(wanted)
        try:
            return column.cast(wanted)
        except pa.ArrowInvalid:
            texts = [None if value is None else value.decode("utf-8", "replace") for value in column.to_pylist()]
            for at, text in enumerate(texts):
                if text and "\ufffd" in text:
                    self._say(first + at, name, "has bytes that are no UTF-8, read as U+FFFD")
            return pa.array(texts, wanted)

    def _read(self, texts: pa.Array, name: str, first: int) -> pa.Array:
        """Texts of a declared column as its values; those that cannot be read are told."""
        said = self._declared.get(name)
        if said is None:
            if pa.types.is_string(texts.type):
                self._waiting.add(name, texts)
            return texts
        trimmed, absent = mark_absent(texts, self._words)
        trimmed = trimmed if absent is None else pc.if_else(absent, pa.scalar(None, pa.string()), trimmed)
        if isinstance(said, str):
            values, bad = convert(trimmed, said, fits=True, declared=True)
            problem = f"is no {said}"
        else:
            values, problem = said.read(trimmed), f"is not written as declared: {said.code}"
            bad = pc.indices_nonzero(pc.and_(values.is_null(), trimmed.is_valid())).to_pylist()
        for at in bad:
            self._say(first + at, name, problem)
        return values

    def _say(self, line: int, column: str, problem: str) -> None:
        self._wrong += 1
        self._tell(f"{self._name}:{line}", column, problem)


def _kind(said: Kind | Notation) -> Kind:
    return said if isinstance(said, str) else said.kind


def _is_bytes(given: pa.DataType) -> bool:
    kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(one(given) for one in kinds)


def _plain(given: pa.DataType, largest: int | None) -> pa.DataType:
    if pa.types.is_dictionary(given):
        return _plain(given.value_type, largest)
    if pa.types.is_decimal(given):
        if given.scale > 0:
            return pa.float64()
        return pa.int64() if given.precision <= _WHOLE else pa.string()
    if pa.types.is_uint64(given):
        return pa.int64() if largest is not None and largest <= _LARGEST else pa.string()
    if pa.types.is_float16(given):
        return pa.float64()
    texts = pa.types.is_large_string(given) or pa.types.is_string_view(given) or _is_bytes(given)
    return pa.string() if texts or pa.types.is_nested(given) or pa.types.is_null(given) else given
