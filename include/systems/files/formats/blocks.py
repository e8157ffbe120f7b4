"""Delimited text in blocks: by Arrow's reader where quotes and line ends are as they should be, else record by record.

Where a record ends is found before anything is parsed: at a line end outside of quotes. So every record knows its
physical line, and a damaged one costs only what is between it and the next whole block.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from include.systems.files.formats.delimited import UNCLOSED, Found, read_records
from include.systems.files.formats.layout import FileLayout
from include.systems.files.formats.reading import LONGEST_FIELD, Batch, Told

BLOCK = 1 << 21  # bytes
_LONGEST_RECORD = 64 << 20  # bytes; also how far the end of a quote is looked for
_SLOW = 1 << 16  # bytes read record by record before Arrow is tried again
_LF, _CR = 10, 13
_LOST = "\ufffd"
_MARK = "\ufeff".encode()
_NO_END = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class _Marks:
    """Of a buffer: where its lines end, where well-formed records end, and where the first bad quote or line end is."""

    newlines: np.ndarray
    ends: np.ndarray
    bad: int


def read_delimited(chunks: Iterator[bytes], layout: FileLayout, told: Told) -> Iterator[Batch]:
    """The records of a file, given as UTF-8 in `chunks`, from the layout's first record on.

    Memory is a block, or the longest record, of at most 64 MiB.
    """
    return _Blocks(chunks, layout, told).batches()


class _Blocks:
    """A buffer of whole and begun records, and the physical line it begins on."""

    def __init__(self, chunks: Iterator[bytes], layout: FileLayout, told: Told) -> None:
        self._chunks, self._layout, self._told = chunks, layout, told
        self._dialect, self._width = layout.dialect, len(layout.names)
        self._buffer, self._end, self._line = b"", False, layout.line
        self._slow = _SLOW
        quote, delimiter = self._dialect.quote or "", self._dialect.delimiter
        self._quote = quote.encode()
        self._beside = np.array([*delimiter.encode(), _LF, _CR, *self._quote], np.uint8)
        self._plain = delimiter.isascii() and self._dialect.escape is None and not self._dialect.blanks

    def batches(self) -> Iterator[Batch]:
        self._fill(self._layout.offset + BLOCK)
        self._buffer = self._buffer[self._layout.offset :]
        while True:
            self._fill(BLOCK)
            if not self._buffer:
                return
            marks = self._mark() if self._plain else None
            if marks is not None and len(marks.ends):
                yield from self._whole(marks)
                self._slow = _SLOW
                if marks.bad == _NO_END:
                    continue
            elif (
                marks is not None and marks.bad == _NO_END and not self._end and len(self._buffer) <= LONGEST_FIELD * 2
            ):
                self._fill(len(self._buffer) + BLOCK)
                continue
            yield from self._record_by_record()

    def _fill(self, size: int) -> None:
        parts, have = [self._buffer], len(self._buffer)
        while have < size and not self._end:
            part = next(self._chunks, None)
            self._end = part is None
            parts.append(part or b"")
            have += len(parts[-1])
        if len(parts) > 1:
            self._buffer = b"".join(parts)

    def _take(self, size: int, lines: int) -> None:
        self._buffer = self._buffer[size:]
        self._line += lines

    def _mark(self) -> _Marks:
        """Find the ends of records; whatever follows a bad quote, a lone CR or a record too long is not judged."""
        data = np.frombuffer(self._buffer, np.uint8)
        newlines = np.flatnonzero(data == _LF)
        bad, ends = _lone_return(data, self._end) if b"\r" in self._buffer else _NO_END, newlines + 1
        open_at_end = False
        if self._quote and self._quote in self._buffer:
            quotes = np.flatnonzero(data == ord(self._quote))
            bad = min(bad, self._bad_quote(data, quotes))
            ends, open_at_end = newlines[np.searchsorted(quotes, newlines) % 2 == 0] + 1, len(quotes) % 2 == 1
        if self._end and not open_at_end and (not len(ends) or ends[-1] < len(data)):
            ends = np.append(ends, len(data))
        ends = ends[ends <= bad]
        long = np.flatnonzero(np.diff(ends, prepend=0) > LONGEST_FIELD)
        if len(long):
            bad = min(bad, int(ends[long[0] - 1]) if long[0] else 0)
            ends = ends[: long[0]]
        return _Marks(newlines, ends, bad)

    def _bad_quote(self, data: np.ndarray, quotes: np.ndarray) -> int:
        """The first quote that opens within a field, or closes before the field ends; a doubled one does neither."""
        opening, closing = quotes[::2], quotes[1::2]
        before = data[opening - 1]
        wrong = [opening[~np.isin(before, self._beside) & (opening > 0)][:1]]
        after = data[np.minimum(closing + 1, len(data) - 1)]
        wrong.append(closing[~np.isin(after, self._beside) & (closing + 1 < len(data))][:1])
        return min((int(one[0]) for one in wrong if len(one)), default=_NO_END)

    def _whole(self, marks: _Marks) -> Iterator[Batch]:
        """Parse the records that end well, and take them off the buffer; fewer, if one has fields over several lines
        and not as many as the header.
        """
        starts = np.concatenate(([0], marks.ends[:-1]))
        lines = self._line + np.searchsorted(marks.newlines, starts)
        size, wrong = int(marks.ends[-1]), list[tuple[int, int]]()
        table = self._parse(self._buffer[:size], wrong)
        unended = not self._buffer.endswith(b"\n", 0, size)
        taken = int(np.searchsorted(marks.newlines, size)) + unended
        spans = np.diff(lines, append=self._line + taken)
        cut = next((at for at, _ in wrong if spans[at] > 1), None)
        if cut is not None or table.num_rows + len(wrong) != len(starts):
            upto = cut or 0
            if not upto:
                yield from self._record_by_record()
            else:
                yield from self._whole(_Marks(marks.newlines, marks.ends[:upto], marks.bad))
            return
        keep = np.ones(len(starts), bool)
        for at, count in wrong:
            keep[at] = False
            self._leave_out(int(lines[at]), self._buffer[starts[at] : marks.ends[at]], count)
        blank = _without_values(table)
        if blank is not None:
            for at in np.flatnonzero(keep)[blank]:
                keep[at] = False
                self._leave_out(int(lines[at]), self._buffer[starts[at] : marks.ends[at]], self._width)
            table = table.filter(pa.array(~blank))
        columns = [_mended(column) if b"\x00" in self._buffer else column for column in table.columns]
        named = dict(zip(self._layout.names, (_one(column) for column in columns), strict=True))
        self._take(size, taken)
        if table.num_rows:
            yield Batch(pa.array(lines[keep], pa.int64()), named)

    def _leave_out(self, line: int, raw: bytes, count: int) -> None:
        """A line of the wrong width, or without a value: told, counted, or passed over where it is nothing at all."""
        text = raw.decode("utf-8", "replace")
        if text.replace(self._dialect.delimiter, "").replace(self._dialect.quote or "", "").strip():
            self._told.record(line, f"has {count} fields, the header has {self._width}")
        else:
            handle = io.StringIO(text, newline="")
            for one in read_records(handle, self._dialect, _LONGEST_RECORD, self._width):
                self._sort(one, line, one.problem, [])

    def _parse(self, block: bytes, wrong: list[tuple[int, int]]) -> pa.Table:
        names = [str(at) for at in range(self._width)]

        def skip(row: pacsv.InvalidRow) -> str:
            wrong.append((row.number - 1, row.actual_columns))
            return "skip"

        marked = _MARK if block.startswith(_MARK) else b""  # Arrow passes over one, and this one is a value's
        return pacsv.read_csv(
            pa.BufferReader(marked + block),
            pacsv.ReadOptions(use_threads=False, block_size=len(block) + 4, column_names=names),
            pacsv.ParseOptions(
                delimiter=self._dialect.delimiter,
                quote_char=self._dialect.quote or False,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, null_values=[]
            ),
        )

    def _record_by_record(self) -> Iterator[Batch]:
        """Read on from the buffer's start by the csv module, for a while; more is read where a record needs it."""
        while self._buffer:
            limit = self._slow if len(self._buffer) > 4 * self._slow else len(self._buffer)
            text, whole = self._piece(4 * limit)
            found, consumed, lines, blocked = self._read(text, whole, limit)
            if lines or not blocked:
                break
            if limit < len(self._buffer):
                self._slow = len(self._buffer)
            elif len(self._buffer) >= _LONGEST_RECORD:
                self._give_up_line()
                return
            else:
                self._fill(len(self._buffer) * 2)
        else:
            return
        self._slow = min(self._slow * 2, BLOCK)
        self._take(consumed, lines)
        if found:
            columns = zip(*(one.fields for one in found), strict=True)
            arrays = (_mended(pa.array(column, pa.string())) for column in columns)
            yield Batch(
                pa.array([one.line for one in found], pa.int64()), dict(zip(self._layout.names, arrays, strict=True))
            )

    def _give_up_line(self) -> None:
        """Pass over a line that is longer than any record may be."""
        self._told.record(self._line, f"longer than {_LONGEST_RECORD:,} bytes")
        while b"\n" not in self._buffer and not self._end:
            self._buffer = b""
            self._fill(BLOCK)
        self._take(self._buffer.find(b"\n") + 1 or len(self._buffer), 1)

    def _piece(self, size: int) -> tuple[str, bool]:
        """Whole lines from the buffer's start, about `size` bytes; and whether the file ends with them."""
        if self._end and size >= len(self._buffer):
            return self._buffer.decode("utf-8", "replace"), True
        end = (
            max(self._buffer.rfind(b"\n", 0, size), self._buffer.rfind(b"\r", 0, min(size, len(self._buffer)) - 1)) + 1
        )
        if self._buffer[end - 1 : end] == b"\r" and self._buffer[end : end + 1] == b"\n":
            end += 1
        return self._buffer[:end].decode("utf-8", "replace"), False

    def _read(self, text: str, whole: bool, limit: int) -> tuple[list[Found], int, int, bool]:
        """Records of a piece; how many bytes and lines they take, and whether more must be read to go on."""
        handle = io.StringIO(text, newline="")
        physical = list(handle)
        good, at, blocked = list[Found](), 0, not physical
        first, consumed = self._line, 0
        handle.seek(0)
        again = True
        while again and physical:
            again = False
            begun = at
            for one in read_records(handle, self._dialect, _LONGEST_RECORD, self._width):
                problem, spans = one.problem, one.lines
                if problem and not whole and "unexpected end of data" in problem:
                    blocked = True
                    break
                if problem and problem == UNCLOSED.format(LONGEST_FIELD):
                    closed = self._closed("".join(physical[at:]).encode())
                    if closed is None and not self._end and len(self._buffer) < _LONGEST_RECORD:
                        blocked = True
                        break
                    if closed:
                        problem, spans, again = f"a field is longer than {LONGEST_FIELD:,} characters", closed, True
                line = first + at
                self._sort(one, line, problem, good)
                consumed += sum(len(physical[i].encode()) for i in range(at, at + spans))
                at += spans
                if again or consumed >= limit:
                    break
            if again:
                handle = io.StringIO("".join(physical[at:]), newline="")
                again = at > begun and consumed < limit and at < len(physical)
        return good, consumed, at, blocked

    def _sort(self, one: Found, line: int, problem: str | None, good: list[Found]) -> None:
        if problem:
            self._told.record(line, problem)
        elif one.blank:
            (self._told.empty if len(one.fields) > 1 else self._told.blank)(line)
        else:
            good.append(Found(line, one.lines, one.fields))

    def _closed(self, data: bytes) -> int | None:
        """How many lines a record has whose quoted field is too long, if it is well formed for all that."""
        array = np.frombuffer(data, np.uint8)
        quotes, newlines = np.flatnonzero(array == ord(self._quote or "\0")), np.flatnonzero(array == _LF)
        ends = newlines[np.searchsorted(quotes, newlines) % 2 == 0] + 1
        if not self._plain or not len(ends) or ends[0] > self._bad_quote(array, quotes):
            return None
        csv.field_size_limit(_LONGEST_RECORD)
        text = io.StringIO(data[: ends[0]].decode(), newline="")
        record = next(csv.reader(text, delimiter=self._dialect.delimiter, quotechar=self._dialect.quote))
        return int(np.searchsorted(newlines, ends[0])) if len(record) == self._width else None


def _lone_return(data: np.ndarray, at_end: bool) -> int:
    """The first CR that no LF follows."""
    returns = np.flatnonzero(data == _CR)
    known = returns[returns + 1 < len(data)]
    lone = known[data[known + 1] != _LF]
    if len(lone):
        return int(lone[0])
    return len(data) - 1 if at_end and len(returns) > len(known) else _NO_END


def _without_values(table: pa.Table) -> np.ndarray | None:
    """Which rows hold nothing but blanks; None where no row does."""
    empty = None
    for column in table.columns:
        short = pc.equal(pc.binary_length(pc.utf8_trim_whitespace(_one(column))), 0)
        empty = short if empty is None else pc.and_(empty, short)
        if not empty.true_count:
            return None
    return empty.to_numpy(zero_copy_only=False) if empty is not None else None


def _one(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _mended(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Texts as every database takes them."""
    return pc.replace_substring(column, "\x00", _LOST)
