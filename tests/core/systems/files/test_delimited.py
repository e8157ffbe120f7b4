"""Delimited text record by record: right lines, right encodings, and no damage beyond the damaged line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.settings import ROOT
from include.systems.files.formats.delimited import Found, find_layout, open_text, read_records
from include.systems.files.formats.encoding import Encoding, find_encoding

PUBLIC_SET = ROOT.parent / "shared" / "data" / "messy_csv"
UTF8 = Encoding("utf-8", "utf-8", clean=True)


def read(path: Path, text: str | bytes, width: int | None = None, longest: int = 1_000) -> list[Found]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with open_text(path, UTF8) as handle:
        return list(read_records(handle, ",", longest, width))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.csv"


def test_lines_are_physical_even_after_quoted_newlines(file: Path) -> None:
    found = read(file, 'a,b\n1,"two\nlines\r\nthree"\n\n4,5\n', 2)
    assert [(f.line, f.lines, list(f.fields)) for f in found] == [
        (1, 1, ["a", "b"]),
        (2, 3, ["1", "two\nlines\r\nthree"]),
        (5, 1, []),
        (6, 1, ["4", "5"]),
    ]
    assert found[2].blank


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_counts_as_one_line(file: Path, end: str) -> None:
    assert [f.line for f in read(file, f"a,b{end}1,2{end}3,4", 2)] == [1, 2, 3]


def test_ragged_lines_are_named_and_the_rest_goes_on(file: Path) -> None:
    found = read(file, "a,b\n1\n1,2,3\n4,5\n", 2)
    assert [f.problem for f in found] == [
        None,
        "has 1 fields, the header has 2",
        "has 3 fields, the header has 2",
        None,
    ]
    assert found[1].text == "1\n"


def test_a_quote_that_never_closes_costs_one_line_and_not_the_file(file: Path) -> None:
    found = read(file, 'a,b\n"open,2\n3,4\n5,6\n', 2)
    assert [(f.line, f.problem is None) for f in found] == [(1, True), (2, False), (3, True), (4, True)]


def test_a_quote_that_closes_lines_later_in_another_record_costs_only_its_line(file: Path) -> None:
    found = read(file, 'a,b\n"open,2\n3,"four"\n5,6\n', 2)
    assert [(f.line, list(f.fields)) for f in found if not f.problem][1:] == [(3, ["3", "four"]), (4, ["5", "6"])]


def test_an_open_quote_reads_no_further_than_the_longest_record(file: Path) -> None:
    found = read(file, 'a,b\n"open,2\n' + "3,4\n" * 100, 2, longest=50)
    assert found[1].problem == "a quote is not closed within 50 characters"
    assert len(found) == 102
    assert all(f.problem is None for f in found[2:])


def test_a_line_of_any_length_is_given_up_without_being_kept(file: Path) -> None:
    found = read(file, "a,b\n" + "x" * 300_000 + ",1\n3,4\n", 2, longest=100)
    assert [f.problem for f in found] == [None, "longer than 100 characters", None]
    assert len(found[1].text) == 100
    assert found[2].line == 3


def test_a_long_line_inside_an_open_quote_costs_both_lines_only(file: Path) -> None:
    found = read(file, 'a,b\n"open,2\n' + "y" * 500 + "\n3,4\n", 2, longest=100)
    assert [(f.line, f.problem is None) for f in found] == [(1, True), (2, False), (3, False), (4, True)]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='ab",;\n\r \x00é', max_size=80))
def test_whatever_the_text_each_line_belongs_to_exactly_one_record(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        assert_tiles(read(Path(folder) / "f", text, 2, longest=30), Path(folder) / "f", UTF8)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.text(alphabet='ab",\n ', max_size=6), min_size=2, max_size=2), max_size=8))
def test_what_the_csv_module_writes_comes_back(rows: list[list[str]]) -> None:
    import csv
    import io
    import tempfile

    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    with tempfile.TemporaryDirectory() as folder:
        assert [list(f.fields) for f in read(Path(folder) / "f", text.getvalue(), 2)] == rows


def assert_tiles(found: list[Found], path: Path, encoding: Encoding) -> None:
    """Records cover the physical lines from the first to the last without gap or overlap."""
    with open_text(path, encoding) as handle:
        lines = sum(1 for _ in handle)
    expected = 1
    for record in found:
        assert record.line == expected
        assert record.lines >= 1
        expected += record.lines
    assert expected == lines + 1


@pytest.mark.parametrize(
    ("codec", "how", "text"),
    [
        ("utf-8", "utf-8", "a,b\nMüller,Łódź 東京\n"),
        ("utf-8-sig", "byte order mark", "a,b\nMüller,Łódź\n"),
        ("utf-16", "byte order mark", "a,b\nMüller,Łódź\n"),
        ("utf-32", "byte order mark", "a,b\nMüller,Łódź\n"),
        ("utf-16-le", "detected", "a,b\nMüller,two\n"),
        ("utf-16-be", "detected", "a,b\nMüller,two\n"),
        ("latin-1", "assumed", "a,b\nMüller & Söhne,España\n"),
        ("cp1252", "assumed", "a,b\n“Größe” – 5 €,y\n"),
        ("cp1251", "detected", "имя,город\nИван,Москва и другие города России\n"),
        ("shift_jis", "detected", "会社,名前\n株式会社,日本語のテストです\n"),
    ],
)
def test_text_is_the_same_in_every_encoding(file: Path, codec: str, how: str, text: str) -> None:
    file.write_bytes(text.encode(codec))
    found = find_encoding(file)
    assert (found.how, found.clean) == (how, True)
    with open_text(file, found) as handle:
        assert handle.read().lstrip("\ufeff") == text


def test_a_byte_outside_ascii_is_found_far_into_the_file(file: Path) -> None:
    file.write_bytes(b"a,b\n" + b"1,2\n" * 500_000 + "ä,ö\n".encode("latin-1"))
    assert find_encoding(file).codec == "cp1252"


def test_bytes_that_fit_nothing_are_reported(file: Path) -> None:
    file.write_bytes(b"a,b\ncaf\xe9 \x81 \x98 ,na\xefve\n")
    assert not find_encoding(file).clean


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_that_finds_the_declared_header(file: Path, delimiter: str) -> None:
    file.write_text(f"\n{delimiter.join(['one', ' two ', 'a b'])}\n1{delimiter}2{delimiter}3\n")
    layout = find_layout(file, UTF8, ["one", "two"], 1_000)
    assert layout is not None
    assert (layout.delimiter, layout.header, layout.line) == (delimiter, ("one", "two", "a b"), 2)


def test_an_empty_file_has_no_layout(file: Path) -> None:
    file.write_text("\n \n")
    assert find_layout(file, UTF8, ["one"], 1_000) is None


def public_files() -> list[Path]:
    """The public collection of damaged files, where a checkout has it beside the project."""
    return sorted(p for p in PUBLIC_SET.rglob("*") if p.is_file() and p.name != "SOURCE.md" and "LICENSE" not in p.name)


@pytest.mark.skipif(not PUBLIC_SET.is_dir(), reason="the public set of messy CSV files is not beside the project")
def test_no_damaged_file_of_the_public_set_crashes_or_loses_a_line(tmp_path: Path) -> None:
    files = public_files()
    assert len(files) > 100
    read_in_all = 0
    for path in files:
        if path.suffix == ".gz":
            (tmp_path / "plain").write_bytes(gzip.decompress(path.read_bytes()))
            path = tmp_path / "plain"
        encoding = find_encoding(path)
        layout = find_layout(path, encoding, [], 100_000)
        if layout is None:
            continue
        with open_text(path, encoding) as handle:
            found = list(read_records(handle, layout.delimiter, 100_000, len(layout.header)))
        assert_tiles(found, path, encoding)
        read_in_all += sum(record.problem is None for record in found)
    assert read_in_all > 1_000
