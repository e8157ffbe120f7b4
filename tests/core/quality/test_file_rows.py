"""Files of rows: types, keys, places, and what cannot be read, on files that somebody made by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from include.errors import ConfigurationError, ContractBroken, NightledgerError
from include.models import Record
from include.quality.file_rows import DELIMITED, LINES, FileRows, stage_file
from include.settings import ROOT

MESSY = ROOT.parent / "shared" / "data" / "messy_csv"
Stage = Callable[..., tuple[FileRows, list[Record]]]


@pytest.fixture
def told() -> list[tuple[str, str, str]]:
    return []


@pytest.fixture
def stage(tmp_path: Path, told: list[tuple[str, str, str]]) -> Stage:
    def run(content: str | bytes, name: str = "rows.csv", **more: Any) -> tuple[FileRows, list[Record]]:
        source = tmp_path / name
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        found = stage_file(source, UPath(tmp_path / "raw.parquet"), tell=lambda *what: told.append(what), **more)
        return found, pq.read_table(tmp_path / "raw.parquet").to_pylist()

    return run


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
    assert [row["country"] for row in rows] == ["NA", "DE"]
    assert [row["none"] for row in rows] == [None, None]


def test_every_row_knows_its_line_and_key(stage: Stage) -> None:
    _, rows = stage('order,line,note\n7,1,"two\nlines"\n\n7,2,x\n,3,y\n', key=("order", "line"))
    assert [(row["row_id"], row["row_key"]) for row in rows] == [
        ("rows.csv:2", "7/1"),
        ("rows.csv:5", "7/2"),
        ("rows.csv:6", "rows.csv:6"),
    ]
    assert rows[0]["lineage"] == '{"file": "rows.csv:2"}'
    assert rows[0]["note"] == "two\nlines"


def test_lines_that_are_no_records_are_told_and_the_rest_goes_on(stage: Stage, told: list[Any]) -> None:
    found, rows = stage('a,b\n1,2\n3\n4,5,6\n"7,8\n9,10\n')
    assert [(row["a"], row["b"]) for row in rows] == [(1, 2), (9, 10)]
    assert found.unreadable == len(told) == 3
    assert [place for place, _, _ in told] == ["rows.csv:3", "rows.csv:4", "rows.csv:5"]
    assert told[0][2] == "has 1 fields, the header has 2"


def test_a_declared_type_wins_and_values_that_are_none_of_it_are_told(stage: Stage, told: list[Any]) -> None:
    text = "amount\tnote\n1.234,50\ta\nmany\tb\n7\tc\n"
    found, rows = stage(text, "rows.txt", declared={"amount": "number"}, expected=["amount", "note"])
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


def test_columns_with_our_names_are_staged_under_others(stage: Stage) -> None:
    found, rows = stage("row_id,lineage\nx,y\n")
    assert found.renamed == {"row_id": "row_id_in_file", "lineage": "lineage_in_file"}
    assert (rows[0]["row_id"], rows[0]["row_id_in_file"]) == ("rows.csv:2", "x")


def test_parquet_keeps_its_types_and_nested_values_become_text(tmp_path: Path) -> None:
    source = tmp_path / "rows.parquet"
    codes = pa.array(["a", "b"]).dictionary_encode()
    pq.write_table(pa.table({"id": [1, 2], "codes": codes, "tags": [["x"], None], "empty": [None, None]}), source)
    found = stage_file(source, UPath(tmp_path / "raw.parquet"), key=["id"], tell=lambda *_: None)
    rows = pq.read_table(tmp_path / "raw.parquet").to_pylist()
    assert found.types == {"id": "int64", "codes": "string", "tags": "string", "empty": "string"}
    assert [(row["row_id"], row["row_key"]) for row in rows] == [("rows.parquet:1", "1"), ("rows.parquet:2", "2")]
    assert [row["tags"] for row in rows] == ['["x"]', None]


def test_memory_and_types_do_not_depend_on_where_a_chunk_ends(stage: Stage) -> None:
    lines = [f"{number},{number}" for number in range(25_000)]
    found, rows = stage("a,b\n" + "\n".join(lines) + "\n1,late\n")
    assert found.types == {"a": "integer", "b": "text"}
    assert (len(rows), rows[-1]["b"], rows[20_000]["b"]) == (25_001, "late", "20000")


@pytest.mark.parametrize(
    ("content", "name", "more", "error", "said"),
    [
        ("a\n1\n", "rows.xlsx", {}, ConfigurationError, "of no kind"),
        ("a,a\n1,2\n", "rows.csv", {}, ContractBroken, "twice: a"),
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
        stage_file(tmp_path / "rows.csv", UPath(tmp_path / "raw.parquet"), tell=lambda *_: None)


def test_a_file_without_rows_is_a_dataset_without_rows(stage: Stage) -> None:
    assert [stage(content)[0].rows.rows for content in ("", "a,b\n")] == [0, 0]


@pytest.mark.skipif(not MESSY.exists(), reason="needs the public messy CSV set beside the project")
def test_messy_files_of_others_are_read_or_refused_in_words(tmp_path: Path) -> None:
    files = [f for f in MESSY.rglob("*") if f.suffix.lower() in DELIMITED | LINES]
    assert len(files) > 50
    staged = 0
    for number, file in enumerate(files):
        try:
            found = stage_file(file, UPath(tmp_path / f"{number}.parquet"), tell=lambda *_: None)
        except NightledgerError:
            continue
        staged += found.rows.rows > 0
        assert pq.read_metadata(tmp_path / f"{number}.parquet").num_rows == found.rows.rows
    assert staged > len(files) / 2


def test_what_made_a_column_text_is_said(stage: Stage) -> None:
    found, _ = stage("amount,name\n1,a\n2,7\nmany,b\n4,c\n")
    assert found.types == {"amount": "text", "name": "text"}
    assert found.mixed == {"amount": "rows.csv:4 is no integer"}
