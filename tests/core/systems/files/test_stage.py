"""Files of rows: types, keys, places, and what cannot be read, on files that somebody made by hand."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from include.errors import ConfigurationError, ContractBroken
from include.systems.files.formats.stage import stage_file
from tests.core.systems.files.conftest import Stage


def test_each_column_gets_the_narrowest_type_that_all_its_values_share(stage: Stage) -> None:
    head = "id,zip,price,day,at,open,mixed,none,country\n"
    first = "1,01067,2.50,2026-01-31,2026-01-31T10:00:00+01:00,true,7,,NA\n"
    second = "-20,99999,n/a,2026-02-01,2026-02-01,FALSE,seven,-,DE\n"
    found, rows = stage(head + first + second)
    assert found.types == {
        **{"id": "integer", "zip": "text", "price": "number", "day": "date", "at": "datetime"},
        **{"open": "boolean", "mixed": "text", "none": "text", "country": "text"},
    }
    assert [row["at"] for row in rows] == [datetime(2026, 1, 31, 9, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)]
    assert rows[0]["day"] == date(2026, 1, 31)
    assert [row["price"] for row in rows] == [2.5, None]
    assert [row["country"] for row in rows] == [None, "DE"]
    assert found.absent == {"price": {"n/a": 1}, "none": {"-": 1}, "country": {"NA": 1}}
    assert [row["none"] for row in rows] == [None, None]


def test_every_row_knows_its_line_and_key(stage: Stage, places: Callable[[], Any]) -> None:
    _, rows = stage('order,line,note\n7,1,"two\nlines"\n\n7,2,x\n,3,y\n', key=("order", "line"))
    assert places() == [(2, "7/1"), (5, "7/2"), (6, None)]
    assert rows[0]["note"] == "two\nlines"


def test_lines_that_are_no_records_are_told_and_the_rest_goes_on(stage: Stage, told: list[Any]) -> None:
    found, rows = stage('a,b\n1,2\n3\n4,5,6\n"7,8\n9,10\n')
    assert [(row["a"], row["b"]) for row in rows] == [(1, 2), (9, 10)]
    assert found.unreadable == len(told) == 3
    assert [place for place, _, _ in told] == ["rows.csv:3", "rows.csv:4", "rows.csv:5"]
    assert told[0][2] == "has 1 fields, the header has 2"


def test_a_declared_type_wins_and_values_that_are_none_of_it_are_told(stage: Stage, told: list[Any]) -> None:
    text = "amount\tnote\n1.234,50\ta\nmany\tb\n7\tc\n"
    found, rows = stage(text, "rows.txt", kinds={"amount": "number"}, expected=["amount", "note"])
    assert found.types == {"amount": "number", "note": "text"}
    assert [row["amount"] for row in rows] == [1234.5, None, 7.0]
    assert told == [("rows.txt:3", "amount", "is no number")]


def test_text_in_json_is_never_a_number(stage: Stage) -> None:
    text = '{"a": 1, "zip": "01067", "n": {"x": [1]}}\n{"a": 2.5, "zip": "7", "late": true}\n'
    found, rows = stage(text, "rows.jsonl")
    assert found.types == {"a": "number", "zip": "text", "n": "text", "late": "boolean"}
    assert rows[0] == rows[0] | {"a": 1.0, "zip": "01067", "n": '{"x": [1]}', "late": None}


def test_lines_that_are_no_json_objects_are_told(stage: Stage, told: list[Any]) -> None:
    found, rows = stage(b'{"a": 1}\n[1]\n{"a": \xff}\n\n{"a": 2}\n' + b"[" * 100_000, "rows.jsonl")
    assert [row["a"] for row in rows] == [1, 2]
    assert found.unreadable == 3
    assert [place for place, _, _ in told] == ["rows.jsonl:2", "rows.jsonl:3", "rows.jsonl:6"]


def test_values_that_no_database_takes_are_mended_as_from_every_source(stage: Stage) -> None:
    _, rows = stage('{"a": "x\\u0000y"}\n{"a": "\\ud800"}\n', "rows.jsonl")
    assert [row["a"] for row in rows] == ["x\ufffdy", "\ufffd"]


def test_not_a_number_is_no_value_and_infinity_is_one(stage: Stage) -> None:
    found, rows = stage('{"a": NaN}\n{"a": Infinity}\n{"a": 1}\n', "rows.jsonl")
    assert found.types == {"a": "number"}
    assert [row["a"] for row in rows] == [None, float("inf"), 1.0]


def test_a_day_that_no_calendar_has_is_told_and_null(stage: Stage, told: list[Any]) -> None:
    _, rows = stage("day\n2026-02-28\n2026-02-31\n")
    assert [row["day"] for row in rows] == [date(2026, 2, 28), None]
    assert told == [("rows.csv:3", "day", "is no date")]


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_a_file_may_have_columns_of_any_name(stage: Stage, name: str) -> None:
    text = "row_id,row_key,lineage,line\nx,y,z,7\n" if name == "rows.csv" else '{"row_id": "x", "line": 7}\n'
    found, rows = stage(text, name)
    assert rows[0]["row_id"] == "x"
    assert rows[0]["line"] == 7
    assert set(found.rows.columns) == set(rows[0])


def test_parquet_keeps_its_types_and_nested_values_become_text(tmp_path: Path, places: Callable[[], Any]) -> None:
    source = tmp_path / "rows.parquet"
    codes = pa.array(["a", "b"]).dictionary_encode()
    pq.write_table(pa.table({"id": [1, 2], "codes": codes, "tags": [["x"], None], "empty": [None, None]}), source)
    found = stage_file(source, UPath(tmp_path), key=["id"], tell=lambda *_: None)
    rows = pq.read_table(tmp_path / "raw.parquet").to_pylist()
    assert found.types == {"id": "int64", "codes": "string", "tags": "string", "empty": "string"}
    assert places() == [(1, "1"), (2, "2")]
    assert [row["tags"] for row in rows] == ['["x"]', None]


def test_memory_and_types_do_not_depend_on_where_a_chunk_ends(stage: Stage) -> None:
    lines = [f"{number},{number}" for number in range(25_000)]
    found, rows = stage("a,b\n" + "\n".join(lines) + "\n1,late" * 2_000)
    assert found.types == {"a": "integer", "b": "text"}
    assert (len(rows), rows[-1]["b"], rows[20_000]["b"]) == (27_000, "late", "20000")


@pytest.mark.parametrize(
    ("content", "name", "more", "error", "said"),
    [
        ("%PDF-1.7", "rows.csv", {}, ConfigurationError, "a PDF document"),
        ("<html><table>", "rows.xls", {}, ConfigurationError, "a web page"),
        (b"\x1f\x8bnonsense", "rows.csv.gz", {}, ContractBroken, "cannot be unpacked"),
        (b"PK\x03\x04nonsense", "rows.zip", {}, ContractBroken, "damaged zip"),
        ("a\n1\n", "rows.csv", {"encoding": "utf-9"}, ConfigurationError, "no encoding"),
        ("number\n1\n", "rows.csv", {"key": ["numbr"]}, ConfigurationError, "closest: 'number'"),
        (b"PAR1nonsense", "rows.parquet", {}, ContractBroken, "damaged"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    stage: Stage, content: Any, name: str, more: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        stage(content, name, **more)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        stage_file(tmp_path / "rows.csv", UPath(tmp_path), tell=lambda *_: None)


def test_a_file_without_rows_is_a_dataset_without_rows(stage: Stage) -> None:
    assert [stage(content)[0].rows.rows for content in ("", "a,b\n")] == [0, 0]


def test_what_made_a_column_text_is_said(stage: Stage) -> None:
    found, _ = stage("amount,name\n1,a\n2,7\nmany,b\n4,c\n")
    assert found.types == {"amount": "text", "name": "text"}
    assert found.mixed == {"amount": "rows.csv:4 is no integer"}


@pytest.mark.parametrize(
    "values",
    [
        [str(10**19 + number) for number in range(1_000)],
        [f"{number:020}" for number in range(1_000)],
        [*["1.5"] * 100, *(str(2**60 + number) for number in range(900))],
        [f"+49{number}" for number in range(1_000)],
    ],
)
def test_identifiers_stay_as_they_are_written(stage: Stage, values: list[str], told: list[Any]) -> None:
    found, rows = stage("id\n" + "\n".join(values) + "\n")
    assert found.types == {"id": "text"}
    assert [row["id"] for row in rows] == values
    assert told == []


def test_whole_numbers_of_64_bits_stay_whole(stage: Stage) -> None:
    values = [2**63 - 1, -(2**63) + 1, 0, 7]
    found, rows = stage("id\n" + "\n".join(map(str, values)) + "\n")
    assert (found.types, [row["id"] for row in rows]) == ({"id": "integer"}, values)


def test_one_bad_byte_costs_one_value_and_not_the_encoding(stage: Stage, told: list[Any]) -> None:
    lines = "".join(f"{number},M\u00fcller\n" for number in range(1_000)).encode()
    found, rows = stage(b"id,name\n" + lines + b"1000,M\xfcller\n")
    assert [row["name"] for row in rows] == ["M\u00fcller"] * 1_000 + ["M\ufffdller"]
    assert told == [("rows.csv:1002", "name", "has bytes that are not of the file's encoding, read as U+FFFD")]
    assert (found.replaced, found.encoding) == (1, "utf-8; 1 characters cannot be decoded")


def test_texts_are_what_the_file_holds_unless_trimming_is_declared(stage: Stage) -> None:
    text = "name,amount,day\n x ,  7 , 2026-01-02\ny\t,8,2026-01-03 \n"
    found, rows = stage(text)
    assert found.types == {"name": "text", "amount": "integer", "day": "date"}
    assert [row["name"] for row in rows] == [" x ", "y\t"]
    assert [row["amount"] for row in rows] == [7, 8]
    assert [row["name"] for row in stage(text, trim=["name"])[1]] == ["x", "y"]
    assert [row["name"] for row in stage(text, trim=True)[1]] == ["x", "y"]


def test_few_values_of_another_kind_are_told_and_the_rest_is_judged(stage: Stage, told: list[Any]) -> None:
    numbers = "".join(f"{number},{number}.5\n" for number in range(2_001))
    found, rows = stage("id,amount\n" + numbers + "2001,lots\n")
    assert found.types == {"id": "integer", "amount": "number"}
    assert told == [("rows.csv:2003", "amount", "is no number")]
    assert (len(rows), rows[-1]["amount"], rows[-2]["amount"]) == (2_002, None, 2000.5)
    assert stage("id,amount\n" + numbers + "2001,lots\n", measured=())[0].types["amount"] == "text"


@pytest.mark.parametrize("word", ["", "None", "NA", "nan", "Null", "N/A", " null ", "-"])
def test_one_rule_says_in_every_column_what_is_no_value(stage: Stage, told: list[Any], word: str) -> None:
    text = f"n,t,d,b\n1,x,2026-01-01,true\n{word},{word},{word},{word}\n2,y,2026-01-02,false\n"
    found, rows = stage(text)
    assert list(found.types.values()) == ["integer", "text", "date", "boolean"]
    assert (len(rows), told) == ((2 if not word.strip() else 3), [])
    assert found.empty == (1 if not word.strip() else 0)
    if word.strip():
        assert list(rows[1].values()) == [None] * 4
        assert {name: dict(words) for name, words in found.absent.items()} == {
            name: {word.strip(): 1} for name in "ntdb"
        }


def test_which_words_are_no_value_can_be_declared(stage: Stage) -> None:
    _, rows = stage("code,n\nNA,1\nnull,.\n,2\n", absent=["."])
    assert [row["code"] for row in rows] == ["NA", "null", None]
    assert [row["n"] for row in rows] == [1, None, 2]


def test_a_long_word_for_no_value_is_known_in_any_case_and_costs_no_more_than_a_short_one(stage: Stage) -> None:
    absent = ["Not available at the time of the survey", "na"]
    text = "x\nNOT AVAILABLE at the time of the survey\n Na \n7\n"
    found, rows = stage(text, absent=absent)
    assert [row["x"] for row in rows] == [None, None, 7]
    assert found.types == {"x": "integer"}


def test_names_that_are_missing_or_there_twice_are_given_and_said(stage: Stage) -> None:
    found, rows = stage("a,,a,a_2\n1,2,3,4\n")
    assert rows == [{"a": 1, "column_2": 2, "a_3": 3, "a_2": 4}]
    assert found.notes == (
        "column 2 is called 'column_2' here: it has no name",
        "column 3 is called 'a_3' here: 'a' is there twice",
    )


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("a;b;c\n1,5;2;x\n2,5;3;y\n", {}),
        ("a\tb\tc\n1,5\t2\tx\n2,5\t3\ty\n", {}),
        ("a|b|c\n1,5|2|x, y\n2,5|3|y\n", {}),
        ("sep=;\na;b;c\n1,5;2;x\n2,5;3;y\n", {}),
        ('Report of the day\n\nby somebody\na,b,c\n"1,5",2,x\n"2,5",3,y\n"2,5",3,y\n', {}),
        ('x,y,z,\nno,no,no,no\na,b,c\n"1,5",2,x\n"2,5",3,y\n', {"skip": 2}),
        ('a, b, c\n1, "2", "x, y"\n3, "4", "z"\n', {}),
        ("a,b,c\n'1,5',2,'x'\n'2,5',3,'y'\n", {}),
        ('a,b,c\n"1,5",2,"x \\"y\\" z"\n"2,5",3,"y"\n', {}),
        ("1;2;3\n4;5;6\n", {"names": ("a", "b", "c")}),
        ("1;2;3\n4;5;6\n", {"names": ("a", "b", "c"), "delimiter": ";"}),
    ],
)
def test_how_a_file_is_written_is_found_out_or_declared(
    stage: Stage, told: list[Any], text: str, more: dict[str, Any]
) -> None:
    found, rows = stage(text, **more)
    assert told == []
    assert list(found.types) == ["a", "b", "c"]
    assert len(rows) == text[text.index("1") :].count("\n")


def test_headers_of_two_lines_and_of_none(stage: Stage) -> None:
    _, rows = stage("2025,,2026,\nin,out,in,out\n1,2,3,4\n", header=2)
    assert rows == [{"2025 in": 1, "2025 out": 2, "2026 in": 3, "2026 out": 4}]
    _, rows = stage("1,2\n3,4\n", header=0)
    assert rows == [{"column_1": 1, "column_2": 2}, {"column_1": 3, "column_2": 4}]


def test_fields_have_up_to_a_million_characters(stage: Stage, told: list[Any]) -> None:
    _, rows = stage("a,b\n" + "x" * 1_000_000 + ',1\n"' + "y\n" * 500_000 + '",2\n' + "z" * 1_000_001 + ",3\n4,5\n")
    assert [len(row["a"]) for row in rows] == [1_000_000, 1_000_000, 1]
    assert told == [("rows.csv:500004", "", "a field is longer than 1000000 characters")]


def test_a_long_quoted_field_is_one_finding_and_an_open_quote_one_line(stage: Stage, told: list[Any]) -> None:
    found, rows = stage('a,b\n1,2\n3,"' + "many words\n" * 800_000 + '"\n4,5\n')
    assert [row["a"] for row in rows] == [1, 4]
    assert told == [("rows.csv:3", "", "a field is longer than 1,000,000 characters")]
    told.clear()
    found, rows = stage('a,b\n1,2\n"3,4\n' + "5,6\n" * 200_000)
    assert (found.rows.rows, found.unreadable) == (200_001, 1)
    assert told[0][0] == "rows.csv:3"


def test_lines_of_only_delimiters_are_counted_and_said(stage: Stage) -> None:
    found, rows = stage("a,b,c\n1,2,3\n,,\n\n , ,\n4,5,6\n")
    assert (len(rows), found.empty, found.unreadable) == (2, 2, 0)
    assert found.notes == ("2 records hold no value and are no rows, the first in line 3",)


def test_a_header_alone_is_a_dataset_of_its_columns_without_rows(stage: Stage) -> None:
    found, rows = stage("a,b\n")
    assert (found.types, rows) == ({"a": "text", "b": "text"}, [])


def test_packed_files_are_unpacked(stage: Stage, tmp_path: Path) -> None:
    text = b"a,b\n1,2\n"
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("inner.csv", text)
    packed = [gzip.compress(text), bz2.compress(text), lzma.compress(text), (tmp_path / "z.zip").read_bytes()]
    packed.append(pa.Codec("zstd").compress(text, asbytes=True))
    for data in packed:
        assert stage(data, "rows.csv.x")[1] == [{"a": 1, "b": 2}]


def test_times_with_and_without_a_zone_in_one_column(stage: Stage) -> None:
    found, rows = stage("at\n2026-01-31T10:00:00+01:00\n2026-01-31 10:00\n2026-01-31\n2026-01-31T10:00:00.5Z\n")
    hours = [9, 10, 0, 10]
    assert [row["at"].hour for row in rows] == hours
    assert found.types == {"at": "datetime"}


def test_wide_files_and_odd_characters(stage: Stage, told: list[Any]) -> None:
    names = ",".join(f"c{number}" for number in range(2_000))
    cells = ",".join(["x" * 10_000, "\u202eabc", "\U0001f600", "=1+1", "a\x00b", *["1"] * 1_995])
    _, rows = stage(f"{names}\n{cells}\n")
    assert told == []
    assert [len(rows[0]["c0"]), rows[0]["c1"], rows[0]["c2"], rows[0]["c3"], rows[0]["c4"]] == [
        *(10_000, "\u202eabc", "\U0001f600", "=1+1", "a\ufffdb")
    ]


def test_a_few_identifiers_among_numbers_make_the_column_text(stage: Stage, told: list[Any]) -> None:
    values = [*(str(10_000 + number) for number in range(1_000)), "00501", "01067"]
    found, rows = stage("zip\n" + "\n".join(values) + "\n")
    assert (found.types, told) == ({"zip": "text"}, [])
    assert [row["zip"] for row in rows] == values
    assert found.mixed == {"zip": "rows.csv:1002 is no integer"}
