"""Lines of fields of fixed widths, cut by Arrow; a line of another length is told and never shifted."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.errors import ConfigurationError, ContractBroken
from include.systems.files.formats.layout import name_columns, rename
from include.systems.files.formats.reading import Batch, Reading, Told

_LONGEST_LINE = 64 << 20  # bytes
_SEARCHED = 40  # lines among which the header is looked for
_END = re.compile(rb"\n|\r\n|\r(?=.)", re.DOTALL)
_RULER = frozenset("-=+_| \t")


@dataclass(frozen=True, slots=True)
class FixedLayout:
    """The fields of a line, and where the first record begins: physical line and UTF-8 byte.

    A width counts characters, which are code points: a Chinese one is one, and so is an accent that stands by itself.
    None, as the last width, is the rest of the line.
    """

    names: tuple[str, ...]
    widths: tuple[int | None, ...]
    line: int
    offset: int
    notes: tuple[str, ...] = ()

    @property
    def least(self) -> int:
        """Characters that a line has at least; all of them where no width is open."""
        return sum(filter(None, self.widths))


def find_fixed_layout(text: str, whole: bool, reading: Reading, about: str) -> FixedLayout | None:
    """The layout from the start of a file (`whole`: all of it) of declared widths; None where it holds only blanks.

    Raises ConfigurationError for as many names as there are no widths, ContractBroken for a header that is wider.
    """
    lines = list(io.StringIO(text, newline=""))
    if not whole and len(lines) > 1:
        lines.pop()
    edges, least = _edges(reading.widths), sum(filter(None, reading.widths))
    first = next((at for at in range(reading.skip or 0, len(lines)) if lines[at].strip()), None)
    if first is None:
        return None
    notes = ["fields are cut by their widths; blanks around them are padding and cut, too"]
    deep = (0 if reading.names else 1) if reading.header is None else reading.header
    if reading.skip is None and deep:
        begin = _find_header(lines, first, edges, reading)
        if begin != first:
            notes.append(f"the table begins in line {begin + 1}; {begin - first} lines before it are passed over")
        first = begin
    at, header = first, list[list[str]]()
    while at < len(lines) and len(header) < deep:
        line = lines[at].rstrip()
        if len(line) > least and reading.widths[-1] is not None and not reading.names:
            raise ContractBroken(
                f"the header has {len(line)} characters, the widths are {least} together",
                about=f"{about}, line {at + 1}",
                action="Say by --skip how many lines are before the table, or name its columns by --columns",
            )
        if line:
            header.append(_cut(line, edges))
        at += 1
    if header and at < len(lines) and _is_ruler(lines[at].strip()):
        notes.append(f"line {at + 1} rules off the header and is no row")
        at += 1
    names, more = _name(header, reading, about)
    offset = len("".join(lines[:at]).encode())
    return FixedLayout(names, reading.widths, at + 1, offset, (*notes, *more))


def _edges(widths: Sequence[int | None]) -> list[tuple[int, int | None]]:
    ends = list(itertools.accumulate(width or 0 for width in widths))
    starts = [0, *ends]
    return [(start, None if width is None else start + width) for start, width in zip(starts, widths, strict=False)]


def _cut(line: str, edges: Sequence[tuple[int, int | None]]) -> list[str]:
    return [line[start:end].strip() for start, end in edges]


def _find_header(lines: Sequence[str], first: int, edges: Sequence[tuple[int, int | None]], reading: Reading) -> int:
    """The first line that has most of the expected columns; else the first with a value in more than a third of the
    fields.
    """
    searched = [at for at in range(first, min(first + _SEARCHED, len(lines))) if lines[at].strip()]
    for at in searched:
        if reading.expected_in(_cut(lines[at].rstrip(), edges)):
            return at
    few = len(edges) // 3 if len(edges) > 2 else 0
    return next((at for at in searched if sum(map(bool, _cut(lines[at].rstrip(), edges))) > few), first)


def _is_ruler(line: str) -> bool:
    """Strokes alone, and somewhere three together: a single one is how people write that there is no value."""
    return _RULER.issuperset(line) and any(sign * 3 in line for sign in "-=_")


def _name(header: Sequence[list[str]], reading: Reading, about: str) -> tuple[tuple[str, ...], list[str]]:
    count = len(reading.widths)
    if reading.names:
        if len(reading.names) != count:
            raise ConfigurationError(f"{len(reading.names)} names are given for {count} widths", about=about)
        return rename(reading.names)
    if not header:
        return tuple(f"column_{at}" for at in range(1, count + 1)), ["the columns have no names in the file"]
    return name_columns(header, count)


def read_fixed(chunks: Iterator[bytes], layout: FixedLayout, told: Told) -> Iterator[Batch]:
    """The records of a file, given as UTF-8 in `chunks`, from the layout's first record on.

    A line ends in LF, CR LF or CR. Memory is a chunk, or the longest line, of at most 64 MiB.
    """
    line, edges = layout.line, _edges(layout.widths)
    for piece in _lines_of(chunks, layout.offset):
        if piece is None:
            told.record(line, f"longer than {_LONGEST_LINE:,} bytes")
            line += 1
            continue
        texts = _as_lines(piece)
        numbers = pa.array(np.arange(line, line + len(texts)), pa.int64())
        line += len(texts)
        good = _sort(texts, numbers, layout, told)
        if good.true_count:
            texts, numbers = texts.filter(good), numbers.filter(good)
            cut = (pc.utf8_slice_codeunits(texts, start, end) for start, end in edges)
            named = dict(zip(layout.names, map(pc.utf8_trim_whitespace, cut), strict=True))
            yield Batch(numbers, named)


def _sort(texts: pa.StringArray, numbers: pa.Int64Array, layout: FixedLayout, told: Told) -> pa.BooleanArray:
    """Which lines are records; the others are told, counted, or passed over where they are nothing at all."""
    lengths = pc.utf8_length(texts)
    fits = (pc.equal if layout.widths[-1] is not None else pc.greater_equal)(lengths, layout.least)
    blank = pc.equal(pc.binary_length(pc.utf8_trim_whitespace(texts)), 0)
    for at in pc.indices_nonzero(blank).to_pylist():
        (told.empty if lengths[at].as_py() else told.blank)(numbers[at].as_py())
    for at in pc.indices_nonzero(pc.and_not(pc.invert(fits), blank)).to_pylist():
        open_end = "at least " if layout.widths[-1] is None else ""
        told.record(
            numbers[at].as_py(), f"has {lengths[at].as_py()} characters, the widths are {open_end}{layout.least}"
        )
    return pc.and_not(fits, blank)


def _as_lines(piece: bytes) -> pa.StringArray:
    """The lines of a piece, each without its end, as every database takes them."""
    if b"\r" in piece:
        piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    piece = piece.replace(b"\x00", "\ufffd".encode())
    ends = np.flatnonzero(np.frombuffer(piece, np.uint8) == ord("\n")) + 1
    if not len(ends) or ends[-1] < len(piece):
        ends = np.append(ends, len(piece))
    offsets = np.concatenate(([0], ends)).astype(np.int32)
    lines = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(piece))
    return pc.utf8_rtrim(lines, "\n")


def _lines_of(chunks: Iterator[bytes], offset: int) -> Iterator[bytes | None]:
    """Whole lines, a chunk or more of them at a time; None for one that is too long."""
    buffer, lost = b"", False
    for part in itertools.chain(chunks, (None,)):
        buffer += part or b""
        if len(buffer) < offset and part is not None:
            continue
        buffer, offset = buffer[offset:], 0
        if lost:
            found = _END.search(buffer)
            lost = found is None
            buffer = buffer[found.end() :] if found else _half_end(buffer)
            if lost:
                continue
        end = len(buffer) if part is None else _last_end(buffer)
        if end:
            yield buffer[:end]
            buffer = buffer[end:]
        elif len(buffer) > _LONGEST_LINE:
            yield None
            buffer, lost = _half_end(buffer), True


def _last_end(buffer: bytes) -> int:
    """Behind the last line end; a CR that ends the buffer may be half of one."""
    known = len(buffer) - len(_half_end(buffer))
    return max(buffer.rfind(b"\n", 0, known), buffer.rfind(b"\r", 0, known)) + 1


def _half_end(buffer: bytes) -> bytes:
    return b"\r" if buffer.endswith(b"\r") else b""
