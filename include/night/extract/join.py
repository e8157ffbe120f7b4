"""Put the columns of dropped files onto rows and transform them, one chunk at a time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.models import Record, RejectedRow
from include.run import Night
from include.spec.join import Join
from include.spec.transforms import Applied, Transform
from include.spec.use_case import UseCase
from include.staging import column_of, records_of
from include.systems.files.drop import FileDrop
from include.systems.files.formats.values import join_key
from include.systems.port import VERSION


class DropJoin:
    """A staged drop, read anew for the keys of each chunk so that memory does not grow with the file.

    `asked` counts rows that have a key to join on, `matched` those found in the file.
    """

    def __init__(self, drop: FileDrop, name: str, staged: Path | None) -> None:
        """`staged` is None where no file came: then every column of the drop is null."""
        self._drop, self._name = drop, name
        self.prefix = drop.prefix
        self._names = [drop.prefix + column.name for column in drop.columns]
        self._staged = staged
        self.asked = 0
        self.matched = 0

    def join(self, rows: Sequence[Record]) -> None:
        """Add the drop's columns to each row, and the file's line to its lineage where one matches."""
        keys = [join_key(row[self._drop.join_on]) for row in rows]
        found = self._find({key for key in keys if key is not None})
        for row, key in zip(rows, keys, strict=True):
            match = found.get(key) if key is not None else None
            row.update({name: match[name] if match else None for name in self._names})
            if match:
                row["lineage"][self._drop.system] = f"{self._name}:{match['line']}"
            self.asked += key is not None
            self.matched += match is not None

    def _find(self, keys: Iterable[str]) -> Mapping[str, Record]:
        wanted = list(keys)
        if self._staged is None or not wanted:
            return {}
        keys = column_of(wanted, pa.string())
        with pq.ParquetFile(self._staged) as file:
            chunks = [
                chunk.filter(pc.is_in(chunk["key"], value_set=keys)) for chunk in file.iter_batches(use_threads=False)
            ]
        return {row["key"]: row for chunk in chunks for row in records_of(chunk)}


def as_staged(rows: Iterable[Record], case: UseCase) -> Iterator[Record]:
    """The rows with their lineage as JSON; a version token is kept where a sink asks for it."""
    for row in rows:
        lineage = row["lineage"] if case.keeps_versions else {n: v for n, v in row["lineage"].items() if n != VERSION}
        yield {**row, "lineage": json.dumps(lineage, ensure_ascii=False)}


def open_all(night: Night) -> list[Transform]:
    """The use case's transforms, ready to be applied; those that read from systems are opened."""
    return [one.open(night) if isinstance(one, Join) else one for one in night.case.transforms]


def transform(rows: list[Record], transforms: Sequence[Transform], end: datetime) -> Applied:
    """The rows after every transform, in their declared order, so that one may use what another has made.

    Beside them what any of them set aside and counted.
    """
    rejected, counts = list[RejectedRow](), Counter[str]()
    for one in transforms:
        given, rows = rows, one.apply(rows, end)
        if isinstance(rows, Applied) and rows is not given:
            rejected += rows.rejected
            counts.update(rows.counts)
    return Applied(rows, rejected, counts)
