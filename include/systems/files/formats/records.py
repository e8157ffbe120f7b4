"""Records whose format has types: JSON Lines, spreadsheets, Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from include.errors import ConfigurationError, ContractBroken
from include.models import Kind, Record
from include.systems.files.formats.layout import rename
from include.systems.files.formats.notation import Notation
from include.systems.files.formats.reading import Batch, Reading, Told
from include.systems.files.formats.values import explain_missing
from include.systems.files.formats.workbook import Beside, in_cells, in_letters, look_beside

CHUNK = 10_000


def is_json(head: bytes) -> bool:
    """Whether a text begins as a JSON object does."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith(b"{"):
        return False
    line = text.splitlines()[0]
    return line.rstrip() == b"{" or text[1:].lstrip()[:1] in (b'"', b"}")


def read_json(source: Path, told: Told, kinds: Mapping[str, Kind | Notation]) -> Iterator[Batch]:
    """The objects of JSON Lines; a line that is none is told."""
    lines = _objects(source, told)
    while chunk := list(islice(lines, CHUNK)):
        names = dict.fromkeys(name for _, row in chunk for name in row)
        columns = {name: [row.get(name) for _, row in chunk] for name in names}
        yield _batch([line for line, _ in chunk], columns, kinds)


def _objects(source: Path, told: Told) -> Iterator[tuple[int, Record]]:
    with source.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                told.blank(number)
                continue
            try:
                row = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
            except (ValueError, RecursionError):
                told.record(number, "is no JSON in UTF-8")
                continue
            if not isinstance(row, dict):
                told.record(number, "is no JSON object")
            elif row:
                yield number, row
            else:
                told.empty(number)


def read_sheet(source: Path, name: str, reading: Reading, told: Told) -> Iterator[Batch]:
    """The rows of one sheet of a workbook (XLSX, XLSM, XLS, ODS), values and not formulas; its row numbers are lines.

    Raises ConfigurationError where the library for it is not installed or there is no such sheet, ContractBroken for a
    workbook that is damaged or has a password.
    """
    rows, first, beside = _sheet(source, name, reading, told)
    deep = reading.header if reading.header is not None else (0 if reading.names else 1)
    at = max((reading.skip or 0) - first + 1, 0)
    while at < len(rows) and not any(_given(one) for one in rows[at]):
        at += 1
    header, body = rows[at : at + deep], rows[at + deep :]
    width = max((len(row) for row in rows[at:]), default=0)
    written = [" ".join(str(row[c]).strip() for row in header if c < len(row) and _given(row[c])) for c in range(width)]
    while written and not written[-1] and not any(_given(row[len(written) - 1]) for row in body):
        written.pop()
    names, notes = rename(reading.names or written)
    for said in notes:
        told.note(said)
    if len(names) != len(written):
        raise ConfigurationError(f"{len(names)} names are given for {len(written)} columns", about=name)
    _tell_beside(beside, names, at, at + deep, told)
    numbered = list(enumerate(body, start=first + at + deep))
    for part in range(0, len(numbered), CHUNK):
        kept = list[tuple[int, Sequence[Any]]]()
        for line, row in numbered[part : part + CHUNK]:
            if any(_given(one) for one in row[: len(names)]):
                kept.append((line, row))
            else:
                told.empty(line)
        values = {one: [row[c] for _, row in kept] for c, one in enumerate(names)}
        yield _batch([line for line, _ in kept], values, reading.kinds)


def _tell_beside(beside: Beside, names: Sequence[str], table: int, body: int, told: Told) -> None:
    """Say what the values do not show; `table` and `body` are the rows, from 0, in which those begin."""
    merged = [one for one in beside.merged if one[1][0] >= table]
    if merged:
        ranges = "1 merged range" if len(merged) == 1 else f"{len(merged):,} merged ranges"
        told.note(f"{ranges}, e.g. {in_cells(merged[0])}: only the first cell of each has the value")
    if beside.hidden:
        told.note("1 row is hidden, and read" if beside.hidden == 1 else f"{beside.hidden:,} rows are hidden, and read")
    for row, column in beside.uncomputed:
        if row >= body:
            what = names[column] if column < len(names) else in_letters(column)
            told.value(row + 1, what, "is a formula whose value was never computed; open and save the workbook")


def _sheet(source: Path, name: str, reading: Reading, told: Told) -> tuple[list[list[Any]], int, Beside]:
    import python_calamine as calamine

    visible = calamine.SheetVisibleEnum.Visible
    try:
        with calamine.CalamineWorkbook.from_path(str(source)) as book:
            sheets = [one.name for one in book.sheets_metadata if str(one.typ).endswith("WorkSheet")]
            wanted = reading.sheet or (sheets[0] if sheets else "")
            if wanted not in sheets:
                raise ConfigurationError(explain_missing(wanted, sheets), about=f"sheets of {name}")
            if len(sheets) > 1 and reading.sheet is None:
                told.note(f"of {len(sheets)} sheets the first is read: {wanted!r}; others: {', '.join(sheets[1:6])}")
            sheet = book.get_sheet_by_name(wanted)
            rows = sheet.to_python(skip_empty_area=False)
            if next(one for one in book.sheets_metadata if one.name == wanted).visible != visible:
                told.note(f"sheet {wanted!r} is hidden")
            merged = sheet.merged_cell_ranges
        return rows, 1, look_beside(source, wanted, merged)
    except calamine.PasswordError as error:
        raise ContractBroken("has a password", about=name, action="Save it without one") from error
    except calamine.CalamineError as error:
        raise ContractBroken(f"is no workbook that can be read ({error})", about=name) from error


def _given(value: Any) -> bool:
    return value is not None and (not isinstance(value, str) or bool(value.strip()))


def _batch(lines: Sequence[int], columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, Kind | Notation]) -> Batch:
    """Values as texts; what is a number or a time in the file itself is written as its column is declared to be."""
    columns = {name: _spelt(values, kinds.get(name)) for name, values in columns.items()}
    quoted = frozenset(name for name, values in columns.items() if any(isinstance(one, str) for one in values))
    return Batch(pa.array(lines, pa.int64()), {name: as_texts(values) for name, values in columns.items()}, quoted)


def _spelt(values: Sequence[Any], notation: Kind | Notation | None) -> Sequence[Any]:
    if notation is None or isinstance(notation, str):
        return values
    return [one if isinstance(one, str) or one is None else notation.spell(one) or one for one in values]


def as_texts(values: Sequence[Any]) -> pa.StringArray:
    """Values as a CSV would have them, null where there is none."""
    return pa.array([None if value is None else _mended(as_text(value)) for value in values], pa.string())


def as_text(value: Any) -> str:
    """One value as a CSV would have it; what is nested as JSON, a whole number in a float without its point."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, dict, list)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (date, time, timedelta, Decimal)):
        return str(value)
    return str(value)


def _mended(text: str) -> str:
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
