"""Blocks by Arrow and records by the csv module: the same rows, lines and problems, whatever the text."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.systems.files.formats import blocks as delimited
from include.systems.files.formats.blocks import read_delimited
from include.systems.files.formats.delimited import Dialect, read_records
from include.systems.files.formats.layout import FileLayout

Row = tuple[int, tuple[str, ...]]


class Heard:
    """What a reader told."""

    def __init__(self) -> None:
        self.records, self.empties, self.values = list[tuple[int, str]](), list[int](), list[tuple[int, str, str]]()

    def record(self, line: int, problem: str) -> None:
        self.records.append((line, problem))

    def value(self, line: int, column: str, problem: str) -> None:
        self.values.append((line, column, problem))

    def empty(self, line: int) -> None:
        self.empties.append(line)

    def blank(self, line: int) -> None:
        """Not asked about here."""

    def note(self, said: str) -> None:
        raise AssertionError(said)


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    """The text in pieces, cut between characters as a decoder would cut it."""
    text = data.decode()
    return (text[at : at + size].encode() for at in range(0, len(text), size))


def in_blocks(text: str, width: int, size: int = 7) -> tuple[list[Row], Heard]:
    heard = Heard()
    layout = FileLayout(Dialect(",", field=1_000_000), tuple(f"c{at}" for at in range(width)), 1, 0)
    rows = list[Row]()
    for batch in read_delimited(chunked(text.encode(), size), layout, heard):
        columns = [column.to_pylist() for column in batch.columns.values()]
        rows += zip(batch.lines.to_pylist(), zip(*columns, strict=True), strict=True)
    return rows, heard


def one_by_one(text: str, width: int) -> tuple[list[Row], list[tuple[int, str]], list[int]]:
    rows, problems, empties = list[Row](), list[tuple[int, str]](), list[int]()
    for one in read_records(io.StringIO(text, newline=""), Dialect(",", field=1_000_000), 10**8, width):
        if one.problem:
            problems.append((one.line, one.problem))
        elif not one.blank:
            rows.append((one.line, tuple(field.replace("\x00", "\ufffd") for field in one.fields)))
        elif len(one.fields) > 1:
            empties.append(one.line)
    return rows, problems, empties


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK", 16)
    monkeypatch.setattr(delimited, "_SLOW", 4)


PIECES = [
    "a",
    "1",
    ",",
    ",",
    '"',
    '""',
    "\n",
    "\n",
    "\r\n",
    "\r",
    " ",
    "\u00e9",
    "\x00",
    "\ufeff",
    '"x\ny"',
    "7,8\n",
    ',"z"\n',
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.sampled_from([1, 2, 3]), st.integers(1, 30))
def test_blocks_and_single_records_agree(text: str, width: int, size: int) -> None:
    rows, heard = in_blocks(text, width, size)
    expected, problems, empties = one_by_one(text, width)
    assert rows == expected, repr((text, width, size))
    assert sorted(line for line, _ in heard.records) == [line for line, _ in problems], repr((text, width, size))
    assert sorted(heard.empties) == empties, repr((text, width, size))


def test_a_byte_order_mark_within_a_file_is_part_of_a_value() -> None:
    rows, _ = in_blocks("\ufeffa,b\n\ufeffc,d\n", 2)
    assert rows == [(1, ("\ufeffa", "b")), (2, ("\ufeffc", "d"))]
