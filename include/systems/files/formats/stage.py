"""A file of rows, staged so that it can be checked: each column as the kind of its values, each row with its line.

Text is read once. Its values wait as texts beside the staged file until the kinds of all columns are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from upath import UPath

from include.errors import ConfigurationError
from include.models import Kind, Manifest
from include.staging import ARROW, StagedWriter
from include.systems.files.formats.blocks import read_delimited
from include.systems.files.formats.dialect import say_delimiter
from include.systems.files.formats.encoding import Encoding, find_encoding
from include.systems.files.formats.fixed import find_fixed_layout, read_fixed
from include.systems.files.formats.kinds import Narrowing, convert, mark_absent, spellings
from include.systems.files.formats.layout import find_layout
from include.systems.files.formats.likely import Waiting
from include.systems.files.formats.opening import Opened, decoded, open_file
from include.systems.files.formats.parquet import stage_parquet
from include.systems.files.formats.reading import Batch, Reading, Tell
from include.systems.files.formats.records import is_json, read_json, read_sheet
from include.systems.files.formats.spool import Spool
from include.systems.files.formats.staged import PLACES, FileRows, join_keys
from include.systems.files.formats.values import explain_missing

_SAMPLE = 1 << 20
_MOST_MISREAD = 1_000
_COMMA = "^[-+]?[1-9][0-9]{0,2},[0-9]{3}$"
_LOST = "has bytes that are not of the file's encoding, read as U+FFFD"


def stage_file(
    source: Path, folder: UPath, *, key: Sequence[str] = (), reading: Reading | None = None, tell: Tell
) -> FileRows:
    """Read a file into Parquet in the local `folder`: delimited text, JSON Lines, a spreadsheet or Parquet.

    What it is, is told by its first bytes; gzip, bzip2, xz, zstd and a zip of one file are unpacked. The key is the
    values of the columns `key`, joined by `/`. `tell` hears of records and values that cannot be read: such a record is
    left out, such a value null. Memory does not grow with the file.

    Raises ConfigurationError for a file that cannot be read, is no table, or lacks a key column, ContractBroken for one
    that is damaged.
    """
    try:
        opened = open_file(source, Path(str(folder)))
        _hold(reading or Reading(), opened, source.name)
        if opened.format == "parquet":
            return stage_parquet(opened.path, source.name, folder, key, reading or Reading(), tell)
        return _Staging(source.name, opened, folder, key, reading or Reading(), tell).run()
    except OSError as error:
        raise ConfigurationError(f"cannot be read ({error.strerror or error})", about=str(source)) from error


class _Staging:
    """One file on its way; hears what its reader has to tell."""

    def __init__(
        self, name: str, opened: Opened, folder: UPath, key: Sequence[str], reading: Reading, tell: Tell
    ) -> None:
        self._name, self._opened, self._folder, self._key = name, opened, folder, key
        self._reading, self._tell = reading, tell
        self._narrowing = dict[str, Narrowing]()
        self._absent = dict[str, Counter[str]]()
        self._waiting = Waiting(reading)
        self._commas = set[str]()
        self._words = spellings(tuple(sorted({"", *(word.strip() for word in reading.absent)})))
        self._notes = list(opened.notes)
        self._unreadable = self._wrong = self._empty = self._blank = 0
        self._form = ""
        self._misread = dict[tuple[str, str], Counter[str]]()
        self._first_empty = 0
        self._encoding: Encoding | None = None

    def record(self, line: int, problem: str) -> None:
        self._unreadable += 1
        self._tell(f"{self._name}:{line}", "", problem)

    def value(self, line: int, column: str, problem: str) -> None:
        self._wrong += 1
        self._tell(f"{self._name}:{line}", column, problem)

    def empty(self, line: int) -> None:
        self._empty += 1
        self._first_empty = self._first_empty or line

    def blank(self, line: int) -> None:
        self._blank += 1

    def note(self, said: str) -> None:
        self._notes.append(said)

    def run(self) -> FileRows:
        """Read, find out the kinds, and write."""
        spool = Spool(Path(str(self._folder)) / "texts")
        for batch in self._batches():
            spool.write(self._prepared(batch))
        spool.close()
        self._say_lost()
        self._require(self._key, "key of")
        for name in self._reading.kinds:
            if name not in self._narrowing:
                self.note(f"a declared column is not in the file: {explain_missing(name, self._narrowing)}")
        kinds = {name: self._kind(name) for name in self._narrowing}
        rows, places = self._write(spool, kinds)
        mixed = {name: said for name, (kind, _) in kinds.items() if kind == "text" and (said := self._disturbed(name))}
        mixed |= self._waiting.why()
        self._notes += self._waiting.notes()
        return FileRows(
            rows, places, {name: str(kind) for name, (kind, _) in kinds.items()}, self._unreadable, self._wrong,
            self._empty, mixed, {name: dict(found) for name, found in self._absent.items()},
            _say_encoding(self._encoding), self._encoding.replaced if self._encoding else 0, tuple(self._notes),
            self._form, self._blank, self._misread,
        )  # fmt: skip

    def _batches(self) -> Iterator[Batch]:
        path, reading = self._opened.path, self._reading
        if self._opened.format == "sheet":
            self._form = "a sheet of a workbook"
            yield from read_sheet(path, self._name, reading, self)
            return
        with path.open("rb") as handle:
            head = handle.read(4_096)
        if reading.delimiter is None and not reading.widths and is_json(head):
            self._form = "JSON Lines"
            yield from read_json(path, self, reading.kinds)
            return
        yield from self._text(path)

    def _text(self, path: Path) -> Iterator[Batch]:
        encoding = self._encoding = find_encoding(path, self._reading.encoding)
        sample, whole = "", True
        for part in decoded(path, encoding.codec):
            sample += part.decode()
            if len(sample) > _SAMPLE:
                sample, whole = sample[:_SAMPLE], False
                break
        chunks = decoded(path, encoding.codec)
        for batch in self._records(chunks, sample, whole):
            if not encoding.clean:
                self._tell_lost(batch)
            yield batch

    def _records(self, chunks: Iterator[bytes], sample: str, whole: bool) -> Iterator[Batch]:
        if self._reading.widths:
            fixed = find_fixed_layout(sample, whole, self._reading, self._name)
            if fixed is not None:
                self._form = "fields of fixed widths"
                self._begin(fixed.names, fixed.notes)
                yield from read_fixed(chunks, fixed, self)
            return
        layout = find_layout(sample, whole, self._reading, self._name)
        if layout is not None:
            self._form = f"delimiter {say_delimiter(layout.dialect.delimiter)}"
            self._begin(layout.names, layout.notes)
            yield from read_delimited(chunks, layout, self)

    def _begin(self, names: Sequence[str], notes: Sequence[str]) -> None:
        self._notes += notes
        self._narrowing.update({name: Narrowing() for name in names})

    def _tell_lost(self, batch: Batch) -> None:
        for name, column in batch.columns.items():
            for at in pc.indices_nonzero(pc.match_substring(column, "\ufffd")).to_pylist():
                self.value(batch.lines[at].as_py(), name, _LOST)

    def _say_lost(self) -> None:
        if self._empty:
            one = self._empty == 1
            said = (
                "1 record holds no value and is no row"
                if one
                else f"{self._empty:,} records hold no value and are no rows"
            )
            self.note(f"{said}, {'in' if one else 'the first in'} line {self._first_empty}")

    def _prepared(self, batch: Batch) -> pa.RecordBatch:
        """A batch with null where there is no value, and its kinds taken note of."""
        columns = {}
        for name, texts in batch.columns.items():
            known = self._narrowing.get(name)
            if known is None:
                known = self._narrowing[name] = Narrowing()
            trimmed, absent = mark_absent(texts, self._words)
            padded = trimmed.nbytes != texts.nbytes and not trimmed.equals(texts)
            known.padded = known.padded or padded
            if absent is not None:
                self._count(name, trimmed.filter(absent))
                nothing = pa.scalar(None, pa.string())
                texts = pc.if_else(absent, nothing, texts)
                trimmed = pc.if_else(absent, nothing, trimmed) if padded else texts
            if name not in self._reading.kinds:
                known.add(trimmed, batch.lines, quoted=name in batch.quoted)
            columns[name] = trimmed if self._reading.trims(name) else texts
        return pa.RecordBatch.from_arrays([batch.lines, *columns.values()], ["\x00line", *columns])

    def _count(self, name: str, words: pa.StringArray) -> None:
        spelt = words.filter(pc.greater(pc.binary_length(words), 0))
        if len(spelt):
            found = pc.value_counts(spelt)
            counter = self._absent.setdefault(name, Counter())
            counter.update(dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True)))

    def _require(self, names: Sequence[str], what: str) -> None:
        for name in names:
            if name not in self._narrowing:
                raise ConfigurationError(explain_missing(name, self._narrowing), about=f"{what} {self._name}")

    def _kind(self, name: str) -> tuple[Kind, bool]:
        declared = self._reading.kinds.get(name)
        if declared is not None:
            return (declared, declared == "text") if isinstance(declared, str) else (declared.kind, False)
        if name in self._reading.texts:
            return "text", True
        measured = self._reading.measured
        return self._narrowing[name].kind(measured=measured is None or name in measured)

    def _disturbed(self, name: str) -> str | None:
        told = name not in self._reading.kinds and name not in self._reading.texts
        found = self._narrowing[name].disturbed() if told else None
        return f"{self._name}:{found[1]} is no {found[0]}" if found else None

    def _write(self, spool: Spool, kinds: Mapping[str, tuple[Kind, bool]]) -> tuple[Manifest, Manifest]:
        schema = pa.schema([(name, ARROW[kind]) for name, (kind, _) in kinds.items()])
        with (
            StagedWriter(self._folder / "raw.parquet", schema, brief=True) as rows,
            StagedWriter(self._folder / "places.parquet", PLACES, brief=True) as places,
        ):
            for lines, texts in spool.read(list(kinds)):
                columns = [
                    self._converted(name, column, lines, kinds[name]) for name, column in zip(kinds, texts, strict=True)
                ]
                at = list(kinds)
                keys = join_keys([texts[at.index(name)] for name in self._key], len(lines))
                rows.write_table(pa.Table.from_arrays(columns, schema=schema))
                places.write_table(pa.Table.from_arrays([lines, keys], schema=PLACES))
        return rows.manifest("file", "raw"), places.manifest("file", "places")

    def _converted(self, name: str, texts: pa.StringArray, lines: pa.Int64Array, kind: tuple[Kind, bool]) -> pa.Array:
        trimmed = pc.utf8_trim_whitespace(texts) if self._narrowing[name].padded else texts
        declared = self._reading.kinds.get(name)
        if kind[0] == "text":
            if declared is None:
                self._waiting.add(name, trimmed)
            return texts
        if declared is not None and not isinstance(declared, str):
            values, problem = declared.read(trimmed), f"is not written as declared: {declared.code}"
            bad: Sequence[int] = pc.indices_nonzero(pc.and_(values.is_null(), trimmed.is_valid())).to_pylist()
        else:
            if declared in ("number", "integer"):
                self._say_commas(name, trimmed, lines)
            problem = f"is no {kind[0]}"
            values, bad = convert(trimmed, kind[0], fits=kind[1] or declared is not None, declared=declared is not None)
        for at in bad:
            self.value(lines[at].as_py(), name, problem)
        if bad:
            _count_some(self._misread.setdefault((name, problem), Counter()), trimmed.take(pa.array(bad, pa.int64())))
        return values

    def _say_commas(self, name: str, texts: pa.StringArray, lines: pa.Int64Array) -> None:
        """Of a column that is declared as numbers and no more: `1,234` is read, and could be read otherwise."""
        if name in self._commas:
            return
        first = pc.index(pc.match_substring_regex(texts, _COMMA), True).as_py()
        if first >= 0:
            self._commas.add(name)
            said = "is read with the comma between thousands; amounts() in COLUMNS says which it is"
            self.note(f"{name!r}, first in line {lines[first].as_py()}: a number such as 1,234 {said}")


def _count_some(counts: Counter[str], values: pa.StringArray) -> None:
    """Count values; a new one only while there are few different ones."""
    found = pc.value_counts(values)
    for value, rows in zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True):
        if value in counts or len(counts) < _MOST_MISREAD:
            counts[value] += rows


def _hold(reading: Reading, opened: Opened, name: str) -> None:
    if reading.widths and opened.format != "text":
        raise ConfigurationError("is no text, so that its fields have no widths", about=name)
    if reading.widths and reading.delimiter is not None:
        raise ConfigurationError("fields have widths or a delimiter between them, not both", about=name)


def _say_encoding(encoding: Encoding | None) -> str | None:
    return encoding.in_words() if encoding is not None else None
