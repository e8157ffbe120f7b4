"""Texts of a file on disk, until the kinds of its columns are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa


class Spool:
    """Batches of texts; one file for each set of columns that came."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._files = list[Path]()
        self._writer: pa.RecordBatchStreamWriter | None = None
        self._schema: pa.Schema | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        """Add a batch whose first column is the line."""
        if self._writer is None or batch.schema != self._schema:
            self.close()
            self._files.append(self._place.with_name(f"{self._place.name}{len(self._files)}"))
            self._schema = batch.schema
            self._writer = pa.ipc.new_stream(str(self._files[-1]), batch.schema)
        self._writer.write_batch(batch)

    def close(self) -> None:
        """End what was written, so that it can be read."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def read(self, names: Sequence[str]) -> Iterator[tuple[pa.Int64Array, list[pa.StringArray]]]:
        """The batches as they came, null in columns that a batch lacks."""
        for file in self._files:
            with pa.OSFile(str(file)) as handle, pa.ipc.open_stream(handle) as stream:
                at = {name: place for place, name in enumerate(stream.schema.names)}
                for batch in stream:
                    yield (
                        batch.column(0),
                        [
                            batch.column(at[name]) if name in at else pa.nulls(batch.num_rows, pa.string())
                            for name in names
                        ],
                    )
            file.unlink()
