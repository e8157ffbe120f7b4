"""Datasets between stages: Parquet written in a stream, read in chunks, described by a manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Any, Self, cast

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from include.errors import ContractBroken
from include.models import Kind, Manifest, Record
from include.private import open_file
from include.storage import reaching

ARROW: Mapping[Kind, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "datetime": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "boolean": pa.bool_(),
}
IDENTITY = ("row_id", "row_key", "lineage")
"""Columns of a staged dataset that are Nightledger's own."""
_PROVEN: dict[str, tuple[str, str]] = {}  # by place: state of the file when it was hashed, and its sha256


def _instant(value: datetime) -> str:
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()


_SPELT: dict[pa.DataType, tuple[type, Callable[[Any], str]]] = {
    pa.string(): (str, str),
    pa.bool_(): (bool, lambda value: "true" if value else "false"),
    pa.int64(): (int, repr),
    pa.float64(): (float, repr),
    pa.timestamp("us", "UTC"): (datetime, _instant),
    pa.date32(): (date, date.isoformat),
}
"""Types whose values Arrow reads back as they were from how they are spelt here."""


class _Digesting:
    """A file that hashes what is written through it."""

    def __init__(self, handle: Any) -> None:
        self._handle, self._sha, self.size, self.closed = handle, hashlib.sha256(), 0, False

    def write(self, data: Any) -> int:
        chunk = memoryview(data).tobytes()
        self._sha.update(chunk)
        self.size += len(chunk)
        self._handle.write(chunk)
        return len(chunk)

    def flush(self) -> None:
        self._handle.flush()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._handle.close()

    def hexdigest(self) -> str:
        return self._sha.hexdigest()

    def tell(self) -> int:
        return self.size

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


class StagedWriter:
    """Write rows or batches to one Parquet file; `manifest()` after the block describes what was written.

    A file without a manifest in the ledger does not exist for the rest of the pipeline, so a crash leaves nothing half.
    """

    def __init__(self, path: UPath, schema: pa.Schema, *, rows_per_group: int = 10_000, brief: bool = False) -> None:
        """Rows are gathered until `rows_per_group` are there, which is all this keeps in memory.

        A `brief` file does not outlive its process: it is written in less time, and takes more room.
        """
        self._path, self._schema, self._limit, self._brief = path, schema, rows_per_group, brief
        self._buffer: list[Record] = []
        self.rows = 0

    def __enter__(self) -> Self:
        self._file = _Digesting(open_file(self._path, "wb"))
        small = {"compression": "lz4", "use_dictionary": False} if self._brief else {"compression": "zstd"}
        self._writer = pq.ParquetWriter(cast("Any", self._file), self._schema, **small)
        return self

    def append(self, row: Record) -> None:
        """Add one row; a column that is absent is null."""
        self._buffer.append(row)
        if len(self._buffer) >= self._limit:
            self._flush()

    def extend(self, rows: Iterable[Record]) -> None:
        """Add rows one by one."""
        for row in rows:
            self.append(row)

    def write_table(self, table: pa.Table) -> None:
        """Add a table of the writer's schema as it is."""
        self._flush()
        self.rows += table.num_rows
        self._writer.write_table(table.cast(self._schema))

    def _flush(self) -> None:
        if self._buffer:
            self.rows += len(self._buffer)
            self._writer.write_table(table_of(self._buffer, self._schema))
            self._buffer = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush()
            self._writer.close()
        finally:
            self._file.close()

    def manifest(self, run_id: str, dataset: str, facts: Mapping[str, Any] | None = None) -> Manifest:
        """The dataset's description; call it after the block has ended."""
        columns = {name: str(self._schema.field(name).type) for name in self._schema.names}
        size, sha256 = self._file.size, self._file.hexdigest()
        return Manifest(run_id, dataset, str(self._path), self.rows, size, sha256, columns, dict(facts or {}))


def table_of(rows: Sequence[Record], schema: pa.Schema) -> pa.Table:
    """Rows as a table; a column that is absent is null. Raises what Arrow raises for a value of another type.

    `pa.array` imports pandas for any list of Python values, which takes longer than all rows of a small night: values
    go in as texts, and Arrow reads them.
    """
    columns = [column_of([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def column_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Python values as a column of one type; see `table_of`."""
    of, spell = _SPELT.get(kind, (None, repr))
    if of is None or not all(value is None or type(value) is of for value in values):
        return pa.array(values, kind)
    builder = pa.lib.StringBuilder()
    builder.append_values([value if value is None else spell(value) for value in values])
    return builder.finish().cast(kind)


def records_of(batch: pa.RecordBatch) -> list[Record]:
    """A batch as Python values; Arrow itself imports pandas for times with a zone, which is UTC in all our files."""
    zoned = [field.name for field in batch.schema if pa.types.is_timestamp(field.type) and field.type.tz == "UTC"]
    if not zoned:
        return cast("list[Record]", batch.to_pylist())
    kinds = {name: pa.timestamp(batch.schema.field(name).type.unit) for name in zoned}
    rows = batch.cast(
        pa.schema([(field.name, kinds.get(field.name, field.type)) for field in batch.schema])
    ).to_pylist()
    for row in rows:
        for name in zoned:
            if row[name] is not None:
                row[name] = row[name].replace(tzinfo=UTC)
    return cast("list[Record]", rows)


def read_schema(manifest: Manifest) -> pa.Schema:
    """The columns and types of a staged dataset; raises ContractBroken if the file is gone or damaged."""
    with opened(manifest) as file:
        return file.schema_arrow


@contextmanager
def opened(manifest: Manifest) -> Iterator[pq.ParquetFile]:
    """The staged file, proven to be the one that the manifest describes before anything of it is read.

    Raises ContractBroken if it is gone, damaged, or was changed since it was written, also while it is being read, and
    as `reaching` for an object store.
    """
    path = UPath(manifest.uri)
    try:
        with reaching(path, "read"):
            with path.open("rb") as handle:
                state = _prove(manifest, handle)
                yield pq.ParquetFile(handle)
            now = _state(manifest)
        if now != state:
            raise _broken(manifest, "the staged file was changed while it was read")
    except FileNotFoundError as error:
        raise _broken(manifest, "the staged file is gone") from error
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the storage failed, not the file
        raise _broken(manifest, "the staged file is damaged") from error


def _prove(manifest: Manifest, handle: Any) -> str:
    """Hash the whole file once per process and state of the file, also where only a part of it is read."""
    state = _state(manifest)
    if _PROVEN.get(manifest.uri) == (state, manifest.sha256):
        return state
    found = hashlib.file_digest(handle, "sha256").hexdigest()
    handle.seek(0)
    if found != manifest.sha256:
        raise _broken(manifest, "the staged file was changed or damaged: its sha256 differs")
    _PROVEN[manifest.uri] = (state, found)
    return state


def _state(manifest: Manifest) -> str:
    """Changes whenever the file does: a hash of size, times, inode or ETag, whatever its storage tells of a file."""
    path = UPath(manifest.uri)
    return str(path.fs.ukey(path.path))


def _broken(manifest: Manifest, problem: str) -> ContractBroken:
    action = "Clear the run from the extract task on, with re_extract for rows of a finished run"
    return ContractBroken(problem, system="staging", about=manifest.dataset, action=action)


def part_of(manifest: Manifest) -> tuple[int, int]:
    """The first row and the number of rows that a manifest stands for: all of the file, unless it is a shard's."""
    return int(manifest.facts.get("first", 0)), int(manifest.facts.get("count", manifest.rows))


def read_chunks(
    manifest: Manifest, *, rows: int = 10_000, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Record batches of at most `rows` rows; raises ContractBroken if the file is gone or is not the one described."""
    first, count = part_of(manifest)
    with opened(manifest) as file:
        if file.metadata.num_rows != manifest.rows:
            raise _broken(manifest, f"holds {file.metadata.num_rows} rows, its manifest says {manifest.rows}")
        groups, before = _row_groups(file, first, count)
        at = before
        for batch in file.iter_batches(rows, groups, columns=list(columns) if columns is not None else None):
            start, end = max(first - at, 0), min(first + count - at, batch.num_rows)
            at += batch.num_rows
            if end > start:
                yield batch.slice(start, end - start)


def _row_groups(file: pq.ParquetFile, first: int, count: int) -> tuple[list[int], int]:
    """The row groups that hold a range of rows, and how many rows lie before them."""
    groups, at, before = list[int](), 0, 0
    for group in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if at + rows <= first:
            before = at + rows
        elif at < first + count:
            groups.append(group)
        at += rows
    return groups, before


def read_rows(manifest: Manifest, *, rows: int = 10_000, columns: Sequence[str] | None = None) -> Iterator[Record]:
    """The dataset's rows as dictionaries, at most one chunk in memory."""
    for batch in read_chunks(manifest, rows=rows, columns=columns):
        yield from records_of(batch)
