"""A file of rows, staged so that it can be checked: each column gets the narrowest type that all its values share."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upath import UPath

from include.errors import ConfigurationError, ContractBroken
from include.models import Manifest, Record
from include.sources.delimited import find_layout, open_text, read_records
from include.sources.encoding import find_encoding
from include.sources.values import ABSENT, ABSENT_TEXT, clean_text, explain_missing, read_value
from include.staging import ARROW, StagedWriter
from include.use_case import Kind

IDENTITY = ("row_id", "row_key", "lineage")
DELIMITED, LINES, PARQUET = {".csv", ".tsv", ".txt", ".psv"}, {".jsonl", ".ndjson"}, {".parquet", ".pq"}
_LONGEST = 1_000_000  # characters of one record; more is a quote that was never closed
_CHUNK = 10_000
_PATTERNS: Mapping[Kind, str] = {
    "boolean": r"^(?i:true|false)$",
    "integer": r"^-?(0|[1-9][0-9]{0,17})$",
    "number": r"^-?((0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?|(?i:inf|infinity))$",
    "date": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "datetime": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?([+-][0-9:]{2,5}|Z)?)?$",
}
"""What values of a type look like, narrowest first; `007` is an identifier and stays text."""
_ABSENT_TEXT, _ABSENT = (pa.array(sorted(words)) for words in (ABSENT_TEXT, ABSENT))
_UNQUOTED: frozenset[Kind] = frozenset({"boolean", "integer", "number"})

Tell = Callable[[str, str, str], None]
"""Told of what could not be read: its place in the file, the column (empty for a whole record), and what is wrong."""


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a file; `place` is its line, counted from 1, `problem` says why it is no row."""

    place: int
    row: Record
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class FileRows:
    """A file's rows as a staged dataset, the type of each column, and how many records could not be read.

    `renamed` are columns of the file that are staged under another name, since Nightledger has one of the same. `mixed`
    are columns that are text because of a few values, with the first such place.
    """

    rows: Manifest
    types: Mapping[str, str]
    unreadable: int
    renamed: Mapping[str, str]
    mixed: Mapping[str, str] = field(default_factory=dict)


def stage_file(
    source: Path,
    into: UPath,
    *,
    key: Sequence[str] = (),
    declared: Mapping[str, Kind] | None = None,
    expected: Collection[str] = (),
    tell: Tell,
) -> FileRows:
    """Read a CSV (or other delimited), JSON Lines or Parquet file into Parquet at `into`, with row id and row key.

    The row id is the file's name and the line, the row key the values of the columns `key`, else the row id.
    `declared` columns are read as the type that is given, the others as the narrowest that fits all of their values.
    `expected` columns help to find the delimiter. `tell` hears of records and values that cannot be read: such a record
    is left out, such a value null. Text is read twice, a chunk in memory at a time.

    Raises ConfigurationError for a file that cannot be read or lacks a key column, ContractBroken for one that is not
    what its name says.
    """
    try:
        if source.suffix.lower() in PARQUET:
            return _stage_parquet(source, into, key)
        return _stage_text(source, into, key, declared or {}, expected, tell)
    except OSError as error:
        raise ConfigurationError(f"cannot be read ({error.strerror or error})", about=str(source)) from error


def _stage_text(
    source: Path, into: UPath, key: Sequence[str], declared: Mapping[str, Kind], expected: Collection[str], tell: Tell
) -> FileRows:
    quoted = source.suffix.lower() in LINES
    if not quoted and source.suffix.lower() not in DELIMITED:
        known = ", ".join(sorted(DELIMITED | LINES | PARQUET))
        raise ConfigurationError(f"is of no kind that can be read; known: {known}", about=source.name)
    read = partial(_read_json, source) if quoted else partial(_read_delimited, source, expected)
    narrowed, mixed = _find_kinds(source, read(), quoted)
    kinds = {name: declared.get(name, kind) for name, kind in narrowed.items()}
    _require_key(source, key, kinds)
    names = _staged_names(kinds)
    schema = _schema(names, {name: ARROW[kind] for name, kind in kinds.items()})
    unreadable = 0
    with StagedWriter(into, schema) as writer:
        for chunk in _chunks(read()):
            lines = [line for line in chunk if line.problem is None]
            for line in (line for line in chunk if line.problem is not None):
                unreadable += 1
                tell(f"{source.name}:{line.place}", "", str(line.problem))
            places = [f"{source.name}:{line.place}" for line in lines]
            keys = [_join(key, line.row, place) for line, place in zip(lines, places, strict=True)]
            columns = [
                _convert([line.row.get(name) for line in lines], places, name, kind, name in declared, tell)
                for name, kind in kinds.items()
            ]
            writer.write_table(pa.Table.from_arrays([*_identity(places, keys), *columns], schema=schema))
    types = {name: str(kind) for name, kind in kinds.items()}
    return FileRows(writer.manifest("file", "raw"), types, unreadable, _changed(names), mixed)


def _read_delimited(source: Path, expected: Collection[str]) -> Iterator[Line]:
    encoding = find_encoding(source)
    layout = find_layout(source, encoding, expected, _LONGEST)
    if layout is None:
        return
    twice = sorted({name for name in layout.header if layout.header.count(name) > 1})
    if twice:
        raise ContractBroken(f"columns are there twice: {', '.join(twice)}", about=source.name)
    with open_text(source, encoding) as handle:
        for found in read_records(handle, layout.delimiter, _LONGEST, len(layout.header)):
            if found.line > layout.line and not found.blank:
                row = {} if found.problem else dict(zip(layout.header, found.fields, strict=True))
                yield Line(found.line, row, found.problem)


def _read_json(source: Path) -> Iterator[Line]:
    with source.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            try:
                row = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
            except (ValueError, RecursionError):
                yield Line(number, {}, "is no JSON in UTF-8")
                continue
            yield Line(number, row) if isinstance(row, dict) else Line(number, {}, "is no JSON object")


def _chunks(lines: Iterator[Line]) -> Iterator[list[Line]]:
    while chunk := list(islice(lines, _CHUNK)):
        yield chunk


def _find_kinds(source: Path, lines: Iterator[Line], quoted: bool) -> tuple[dict[str, Kind], dict[str, str]]:
    """The narrowest type of each column, in the order in which the columns come, and what made columns text.

    A column without values is text.
    """
    possible: dict[str, list[Kind]] = {}
    filled, mixed = set[str](), dict[str, str]()
    for chunk in _chunks(lines):
        rows = [line.row for line in chunk]
        for row in rows:
            if not row.keys() <= possible.keys():
                possible.update({name: list(_PATTERNS) for name in row if name not in possible})
        for name, kinds in possible.items():
            values = [row.get(name) for row in rows]
            texts = _without_absent(_as_texts(values))
            if not kinds or texts.null_count == len(texts):
                continue
            filled.add(name)
            text = quoted and any(isinstance(value, str) for value in values)  # in JSON, "7" is no number
            allowed = [kind for kind in kinds if not (text and kind in _UNQUOTED)]
            matches = {kind: pc.match_substring_regex(texts, _PATTERNS[kind]) for kind in allowed}
            kinds[:] = [kind for kind, match in matches.items() if pc.all(match).as_py()]
            if not kinds and (most := _most(matches)):
                place = chunk[pc.index(matches[most], False).as_py()].place
                mixed[name] = f"{source.name}:{place} is no {most}"
    return {name: kinds[0] if kinds and name in filled else "text" for name, kinds in possible.items()}, mixed


def _most(matches: Mapping[Kind, pa.Array]) -> Kind | None:
    """The narrowest type that most values have."""
    return next((kind for kind, match in matches.items() if pc.mean(match).as_py() > 0.5), None)


def _as_texts(values: Sequence[Any]) -> pa.Array:
    """Values as a CSV would have them, trimmed, null where there is none."""
    try:
        texts = pa.array(values, pa.string())
    except (pa.ArrowException, UnicodeEncodeError, TypeError):
        texts = pa.array([None if value is None else clean_text(_flat(value)) for value in values], pa.string())
    return pc.utf8_trim_whitespace(pc.replace_substring(texts, "\x00", "\ufffd"))


def _without_absent(texts: pa.Array) -> pa.Array:
    """Texts without those that stand for no value where the others are numbers or times."""
    absent = pc.or_(pc.is_in(texts, _ABSENT_TEXT), pc.is_in(pc.utf8_lower(texts), _ABSENT))
    return pc.if_else(absent, pa.scalar(None, pa.string()), texts)


def _flat(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (bool, dict, list)) else str(value)


def _convert(
    values: Sequence[Any], places: Sequence[str], name: str, kind: Kind, is_declared: bool, tell: Tell
) -> pa.Array:
    """Values as a column; those of a narrowed type are known to fit, but for days that no calendar has."""
    if not is_declared and (fast := _cast(_as_texts(values), kind)) is not None:
        return fast
    column = list[Any]()
    for value, place in zip(values, places, strict=True):
        try:
            column.append(read_value(_flat(value) if isinstance(value, (dict, list)) else value, kind))
        except ValueError:
            tell(place, name, f"is no {kind}")
            column.append(None)
    return pa.array(column, ARROW[kind])


def _cast(texts: pa.Array, kind: Kind) -> pa.Array | None:
    """Texts as values of a type, None where one has to be read by itself."""
    try:
        if kind == "text":
            return pc.if_else(pc.is_in(texts, _ABSENT_TEXT), pa.scalar(None, pa.string()), texts)
        if kind == "datetime":
            return None
        return _without_absent(texts).cast(ARROW[kind])
    except pa.ArrowInvalid:
        return None


def _stage_parquet(source: Path, into: UPath, key: Sequence[str]) -> FileRows:
    """A Parquet file's own columns and types; what is nested becomes text."""
    try:
        file = pq.ParquetFile(source)
        types = {one.name: _plain(one.type) for one in file.schema_arrow}
        _require_key(source, key, types)
        names, at = _staged_names(types), 0
        schema = _schema(names, types)
        with StagedWriter(into, schema) as writer:
            for batch in file.iter_batches(_CHUNK):
                places = [f"{source.name}:{at + number}" for number in range(1, batch.num_rows + 1)]
                rows = cast("list[Record]", batch.select(list(key)).to_pylist()) if key else [{} for _ in places]
                keys = [_join(key, row, place) for row, place in zip(rows, places, strict=True)]
                columns = [_flatten(column, one) for column, one in zip(batch.columns, types.values(), strict=True)]
                writer.write_table(pa.Table.from_arrays([*_identity(places, keys), *columns], schema=schema))
                at += batch.num_rows
    except pa.ArrowInvalid as error:
        raise ContractBroken("is no Parquet file, or is damaged", about=source.name) from error
    kinds = {name: str(one) for name, one in types.items()}
    return FileRows(writer.manifest("file", "raw"), kinds, 0, _changed(names))


def _plain(given: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(given):
        return _plain(given.value_type)
    if pa.types.is_decimal(given):
        return pa.float64()
    return pa.string() if pa.types.is_nested(given) or pa.types.is_null(given) else given


def _flatten(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_nested(column.type):
        values = column.to_pylist()
        return pa.array([None if v is None else json.dumps(v, default=str, ensure_ascii=False) for v in values], wanted)
    return column.cast(wanted)


def _require_key(source: Path, key: Sequence[str], columns: Iterable[str]) -> None:
    names = list(columns)
    for name in key:
        if name not in names:
            raise ConfigurationError(explain_missing(name, names), about=f"key of {source.name}")


def _staged_names(columns: Iterable[str]) -> dict[str, str]:
    return {name: f"{name}_in_file" if name in IDENTITY else name for name in columns}


def _changed(names: Mapping[str, str]) -> dict[str, str]:
    return {old: new for old, new in names.items() if old != new}


def _schema(names: Mapping[str, str], types: Mapping[str, pa.DataType]) -> pa.Schema:
    return pa.schema(
        [*((name, pa.string()) for name in IDENTITY), *((names[name], one) for name, one in types.items())]
    )


def _identity(places: Sequence[str], keys: Sequence[str]) -> Iterator[pa.Array]:
    lineage = [json.dumps({"file": place}, ensure_ascii=False) for place in places]
    return (pa.array(one, pa.string()) for one in (places, keys, lineage))


def _join(key: Sequence[str], row: Record, place: str) -> str:
    """The row key: the values of the key's columns, else the place where one is missing."""
    values = [str(row[name]).strip() if row.get(name) is not None else "" for name in key]
    return "/".join(values) if values and all(values) else place
