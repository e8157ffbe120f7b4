"""Fields of fixed widths: cut by characters, and no line that is shorter or longer is shifted."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.cli import main
from include.errors import ConfigurationError, ContractBroken
from include.systems.files.formats import fixed
from include.systems.files.formats.fixed import FixedLayout, read_fixed
from include.systems.files.formats.reading import hold_widths
from tests.core.systems.files.conftest import Stage
from tests.core.systems.files.test_blocks import Heard, chunked

WIDTHS = (3, 6, 4)
HEAD = "id name  amt \n"


def test_fields_are_cut_trimmed_and_typed(stage: Stage, places: Callable[[], Any]) -> None:
    found, rows = stage(HEAD + "001M\u00fcller 1.5\n002\u65e5\u672c      20\n", widths=WIDTHS)
    assert rows == [
        {"id": "001", "name": "M\u00fcller", "amt": 1.5},
        {"id": "002", "name": "\u65e5\u672c", "amt": 20.0},
    ]
    assert [line for line, _ in places()] == [2, 3]
    assert found.notes == ("fields are cut by their widths; blanks around them are padding and cut, too",)


def test_a_line_of_another_length_is_told_and_never_shifted(stage: Stage, told: list[Any]) -> None:
    found, rows = stage(
        HEAD + "001a      1.5\n02a      1.5\n003a      1.5x\n\n             \n004b      2.5", widths=WIDTHS
    )
    assert [row["id"] for row in rows] == ["001", "004"]
    assert told == [
        ("rows.csv:3", "", "has 12 characters, the widths are 13"),
        ("rows.csv:4", "", "has 14 characters, the widths are 13"),
    ]
    assert (found.unreadable, found.empty) == (2, 1)


def test_the_last_width_may_be_the_rest_of_the_line(stage: Stage, told: list[Any]) -> None:
    _, rows = stage("id name\n001a\n002\n003many words\n04\n", widths=(3, None))
    assert [row["name"] for row in rows] == ["a", None, "many words"]
    assert told == [("rows.csv:5", "", "has 2 characters, the widths are at least 3")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_and_line_ends_are_as_with_delimiters(stage: Stage, end: str, codec: str) -> None:
    _, rows = stage(end.join([HEAD.rstrip("\n"), "001M\u00fcller 1.5", "002b      2.5"]).encode(codec), widths=WIDTHS)
    assert [row["name"] for row in rows] == ["M\u00fcller", "b"]


def test_a_row_of_nothing_but_a_stroke_is_a_row(stage: Stage) -> None:
    _, rows = stage(HEAD + "   -         \n001a      1.5\n", widths=WIDTHS)
    assert [row["name"] for row in rows] == [None, "a"]


def test_lines_before_the_table_and_a_rule_below_the_header_are_passed_over_and_said(stage: Stage) -> None:
    text = "EU\n\n" + HEAD + "-- ----- ----\n001a      1.5\n"
    found, rows = stage(text, widths=WIDTHS)
    assert rows == [{"id": "001", "name": "a", "amt": 1.5}]
    assert "the table begins in line 3; 2 lines before it are passed over" in found.notes
    assert "line 4 rules off the header and is no row" in found.notes
    assert stage("Orders of today\n" + HEAD + "001a      1.5\n", widths=WIDTHS, skip=1)[1] == rows
    long = "Orders of today, as at noon\n" + HEAD + "001a      1.5\n"
    assert stage(long, widths=WIDTHS, expected=("name", "amt"))[1] == rows


def test_a_header_that_is_wider_than_the_fields_is_an_error_and_no_row_is_taken_for_one(stage: Stage) -> None:
    with pytest.raises(ContractBroken, match="the header has 24 characters, the widths are 13"):
        stage("id name of the thing amt\n001a      1.5\n", widths=WIDTHS)
    text = "id name of the thing amt\n001a      1.5\n"
    assert len(stage(text, widths=WIDTHS, names=("a", "b", "c"), header=1)[1]) == 1


def test_columns_may_be_named_or_not(stage: Stage) -> None:
    assert stage("001a      1.5\n", widths=WIDTHS, names=("a", "b", "c"))[1] == [{"a": "001", "b": "a", "c": 1.5}]
    assert list(stage("001a      1.5\n", widths=WIDTHS, header=0)[1][0]) == ["column_1", "column_2", "column_3"]
    assert [stage(text, widths=WIDTHS)[0].rows.rows for text in ("", "\n\n", HEAD)] == [0, 0, 0]
    with pytest.raises(ConfigurationError, match="2 names are given for 3 widths"):
        stage("001a      1.5\n", widths=WIDTHS, names=("a", "b"))


def test_what_is_no_text_has_no_widths(stage: Stage) -> None:
    with pytest.raises(ConfigurationError, match="no text"):
        stage(b"PAR1nonsense", widths=WIDTHS)
    with pytest.raises(ConfigurationError, match="not both"):
        stage(HEAD, widths=WIDTHS, delimiter=",")


@pytest.mark.parametrize("given", [(0,), (-1,), (None, 3), (1.5,), ("3",), "345", (True,), (10**7,), 3.5])
def test_widths_are_numbers_of_characters(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="no number of characters"):
        hold_widths(given)


def test_widths_are_given_by_option_or_by_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text(HEAD + "001a      1.5\n002b      2.5\n")
    rules = tmp_path / "rules.py"
    source = "from include.quality.rules import *\nEXPECTATIONS = [between('amt', 0, 2)]\n"
    for declared, options in (
        ("", ["--widths", "3,6,4"]),
        ("WIDTHS = (3, 6, None)\n", []),
        ("", ["--widths", "3,6,*"]),
    ):
        rules.write_text(source + declared)
        out = io.StringIO()
        code = main(["check", "--input", str(tmp_path / "rows.txt"), "--expectations", str(rules), *options], out)
        assert code == 1
        assert "2 rows, 3 columns" in out.getvalue()
        assert "50.0% of rows pass" in out.getvalue()


@pytest.mark.parametrize(("declared", "options"), [("WIDTHS = (3, 'x')\n", []), ("", ["--widths", "3,x"])])
def test_widths_that_are_none_are_an_error_in_words(
    tmp_path: Path, declared: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.txt").write_text(HEAD)
    rules = tmp_path / "rules.py"
    rules.write_text("from include.quality.rules import *\nEXPECTATIONS = [row_count(1)]\n" + declared)
    files = ["--input", str(tmp_path / "rows.txt"), "--expectations", str(rules)]
    assert main(["check", *files, *options], io.StringIO()) == 2
    assert "idth" in capsys.readouterr().err


PIECES = ["ab c", "a", "\u65e5", " ", "\n", "\n", "\r\n", "\r", "\x00", "abcd\n", "\u00e9"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
    st.integers(1, 9),
)
def test_pieces_of_any_size_give_the_same_records(text: str, size: int) -> None:
    heard = Heard()
    batches = read_fixed(chunked(text.encode(), size), FixedLayout(("a", "b"), (1, 3), 1, 0), heard)
    rows = [
        (line, *values)
        for batch in batches
        for line, *values in zip(batch.lines.to_pylist(), *(c.to_pylist() for c in batch.columns.values()), strict=True)
    ]
    expected, bad, empty = [], [], []
    for number, raw in enumerate(io.StringIO(text, newline=None), start=1):
        line = raw.rstrip("\n").replace("\x00", "\ufffd")
        if not line.strip():
            empty += [number] if line else []
        elif len(line) != 4:
            bad.append(number)
        else:
            expected.append((number, line[:1].strip(), line[1:].strip()))
    assert (rows, [line for line, _ in heard.records], heard.empties) == (expected, bad, empty), repr(text)


def test_a_line_beyond_all_measure_costs_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixed, "_LONGEST_LINE", 20)
    heard = Heard()
    text = "abcd\n" + "x" * 100 + "\r\nefgh\n"
    batches = list(read_fixed(chunked(text.encode(), 7), FixedLayout(("a",), (4,), 1, 0), heard))
    assert [value for batch in batches for value in batch.columns["a"].to_pylist()] == ["abcd", "efgh"]
    assert [line for batch in batches for line in batch.lines.to_pylist()] == [1, 3]
    assert heard.records == [(2, "longer than 20 bytes")]
