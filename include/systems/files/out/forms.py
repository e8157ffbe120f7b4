"""Rows by their ids as a file, and back: CSV, JSON Lines and Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from include.errors import ContractBroken
from include.models import Kind, Record
from include.plain import defused
from include.staging import ARROW, column_of, records_of
from include.systems.values import plain

Rows = dict[str, Record]


class Form(NamedTuple):
    """How a value, a file of rows, and its reading back look like; columns begin with that of the id."""

    value: Callable[[Any], Any]
    write: Callable[[Path, Sequence[str], Rows, Mapping[str, Kind]], None]
    read: Callable[[Path, Sequence[str]], Rows]


def _csv_value(value: Any) -> str:
    found = plain(value)
    if found is None:
        return ""
    return str(defused(found)) if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _write_csv(path: Path, columns: Sequence[str], rows: Rows, _: Mapping[str, Kind]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\r\n")  # RFC 4180
        writer.writerow(columns)
        for number, row in rows.items():
            writer.writerow([defused(number), *(row.get(name, "") for name in columns[1:])])


def _read_csv(path: Path, columns: Sequence[str]) -> Rows:
    csv.field_size_limit(1 << 30)
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.reader(handle, strict=True)
        _hold(next(reader, []), columns)
        return {row[0]: dict(zip(columns[1:], row[1:], strict=True)) for row in reader}


def _write_jsonl(path: Path, columns: Sequence[str], rows: Rows, _: Mapping[str, Kind]) -> None:
    with path.open("w", encoding="utf-8") as handle:
        for number, row in rows.items():
            record = {columns[0]: number, **{name: row.get(name) for name in columns[1:]}}
            handle.write(json.dumps(record, ensure_ascii=False) + "\n")


def _read_jsonl(path: Path, columns: Sequence[str]) -> Rows:
    rows = Rows()
    with path.open(encoding="utf-8") as handle:
        for line in handle:
            record = json.loads(line)
            _hold(list(record), columns)
            rows[record.pop(columns[0])] = record
    return rows


def _write_parquet(path: Path, columns: Sequence[str], rows: Rows, kinds: Mapping[str, Kind]) -> None:
    types = [pa.string(), *(ARROW[kinds[name]] for name in columns[1:])]
    values = [list(rows), *([typed(row.get(name), kinds[name]) for row in rows.values()] for name in columns[1:])]
    arrays = [column_of(one, kind) for one, kind in zip(values, types, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, names=list(columns)), path, compression="zstd")


def _read_parquet(path: Path, columns: Sequence[str]) -> Rows:
    rows = Rows()
    with pq.ParquetFile(path) as file:
        _hold(file.schema_arrow.names, columns)
        for batch in file.iter_batches():
            for record in records_of(batch):
                number = record.pop(columns[0])
                rows[number] = {name: plain(value) for name, value in record.items()}
    return rows


def typed(value: Any, kind: Kind) -> Any:
    """A plain value as one of its kind; raises ValueError for one that is none."""
    if value is None:
        return None
    fits: Mapping[Kind, Callable[[Any], Any]] = {
        "text": lambda one: one if isinstance(one, str) else json.dumps(one, ensure_ascii=False),
        "integer": _whole,
        "number": _number,
        "boolean": lambda one: one if isinstance(one, bool) else _refuse(),
        "datetime": lambda one: datetime.fromisoformat(one) if isinstance(one, str) else _refuse(),
        "date": lambda one: date.fromisoformat(one) if isinstance(one, str) else _refuse(),
    }
    return fits[kind](value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value) or abs(value) >= 2**63:
        raise ValueError("no whole number of 64 bits")
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("no number")
    return float(value)


def _refuse() -> Any:
    raise ValueError("of another kind")


def _hold(found: Sequence[str], columns: Sequence[str]) -> None:
    if list(found) != list(columns):
        action = "Move the file away, or correct the sink in the spec"
        raise ContractBroken("the run's file has other columns than the sink", action=action)


FORMS: Mapping[str, Form] = {
    "csv": Form(_csv_value, _write_csv, _read_csv),
    "jsonl": Form(plain, _write_jsonl, _read_jsonl),
    "parquet": Form(plain, _write_parquet, _read_parquet),
}
