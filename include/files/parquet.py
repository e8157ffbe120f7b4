"""Parquet files as they are staged: with their own columns and types, what is nested as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from include.errors import ConfigurationError, ContractBroken
from include.files.layout import rename
from include.files.staged import PLACES, FileRows, join_keys
from include.sources.values import explain_missing
from include.staging import StagedWriter

_CHUNK = 65_536
_WHOLE = 18  # digits that every 64-bit integer can have


def stage_parquet(path: Path, name: str, folder: UPath, key: Sequence[str]) -> FileRows:
    """A Parquet file as a staged dataset; rows are counted from 1.

    Whole decimals become integers, or text where 64 bits do not hold them; other decimals become floats.
    """
    try:
        file, at = pq.ParquetFile(path), 1
        names, notes = rename(file.schema_arrow.names)
        types = {new: _plain(one.type) for new, one in zip(names, file.schema_arrow, strict=True)}
        for column in key:
            if column not in types:
                raise ConfigurationError(explain_missing(column, types), about=f"key of {name}")
        schema = pa.schema(list(types.items()))
        with (
            StagedWriter(folder / "raw.parquet", schema, brief=True) as rows,
            StagedWriter(folder / "places.parquet", PLACES, brief=True) as places,
        ):
            for batch in file.iter_batches(_CHUNK):
                columns = [_flat(one, wanted) for one, wanted in zip(batch.columns, types.values(), strict=True)]
                rows.write_table(pa.Table.from_arrays(columns, schema=schema))
                lines = pa.array(range(at, at + batch.num_rows), pa.int64())
                keys = join_keys([columns[names.index(one)] for one in key], batch.num_rows)
                places.write_table(pa.Table.from_arrays([lines, keys], schema=PLACES))
                at += batch.num_rows
    except pa.ArrowInvalid as error:
        raise ContractBroken("is no Parquet file, or is damaged", about=name) from error
    found = {column: str(one) for column, one in types.items()}
    return FileRows(rows.manifest("file", "raw"), places.manifest("file", "places"), found, notes=tuple(notes))


def _plain(given: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(given):
        return _plain(given.value_type)
    if pa.types.is_decimal(given):
        if given.scale > 0:
            return pa.float64()
        return pa.int64() if given.precision <= _WHOLE else pa.string()
    return pa.string() if pa.types.is_nested(given) or pa.types.is_null(given) else given


def _flat(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_nested(column.type):
        values = column.to_pylist()
        return pa.array([None if v is None else json.dumps(v, default=str, ensure_ascii=False) for v in values], wanted)
    return column.cast(wanted)
